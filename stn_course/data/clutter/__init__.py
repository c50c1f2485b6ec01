"""The published cluttered sets, regenerated number for number, and the same recipe drawn afresh."""
