"""The models, their checkpoints, and the way from a YAML file or a folder to a loaded model."""
