"""Sparse autoencoders: reading, training, describing them."""
