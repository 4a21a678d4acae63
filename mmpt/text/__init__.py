"""Captions: their files, their cleaning, their token ids."""
