"""Notebook 02: grids and sampling from scratch."""
