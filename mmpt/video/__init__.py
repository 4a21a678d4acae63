"""Video in: decoding, windows, features."""
