"""The server of a library: a JSON API and a page, for one's own machine."""
