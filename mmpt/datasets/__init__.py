"""Items, the order they come in, and the batches made of them."""
