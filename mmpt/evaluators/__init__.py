"""What a model is asked, and what its answers are worth: a predictor and a metric for each task."""
