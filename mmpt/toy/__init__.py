"""A small world to learn from: rendered how-to videos, their narration, and annotations as the data sets have them."""
