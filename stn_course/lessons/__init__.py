"""What one notebook alone needs, in a folder of the notebook's name."""
