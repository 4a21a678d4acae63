"""Small tools that know nothing of video, text or models."""
