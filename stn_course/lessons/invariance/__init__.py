"""Notebook 01: what a network makes of digits that move."""
