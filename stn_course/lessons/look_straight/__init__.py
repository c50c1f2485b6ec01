"""Notebook 03: transformers on distorted digits, and how they fail."""
