"""The notebooks: run and stored, equal to their sources, held to their rules."""
