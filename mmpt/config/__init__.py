"""YAML projects and the typed values they resolve to."""
