"""The book: its pages gathered, built by Sphinx and looked through."""
