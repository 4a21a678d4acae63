"""From captions and features to the fixed-length sequences that the models take."""
