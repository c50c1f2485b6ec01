"""Notebook 05: CoordConv and homographies."""
