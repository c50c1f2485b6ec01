"""Every speed target beside its peer: `python -m benchmarks`."""
