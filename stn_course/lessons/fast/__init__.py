"""Notebook 07: make it fast, and know why."""
