"""Notebook 04: rows of digits in clutter."""
