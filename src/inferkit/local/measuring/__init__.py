"""Measures model files: how fast they are, what memory they take, and what quantising cost them."""
