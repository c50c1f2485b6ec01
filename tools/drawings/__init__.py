"""Drawings of the course's networks, read off the networks themselves: `figures/drawings`."""
