"""Diffusion Transformers, one idea per file, in the order of the book."""
