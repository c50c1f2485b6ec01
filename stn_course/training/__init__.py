"""From a configuration and a seed to weights and a record."""
