"""One's own videos as a library: indexed once, searched by text, answered by moments."""
