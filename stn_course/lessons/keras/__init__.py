"""Notebook 06: the same in Keras and TensorFlow."""
