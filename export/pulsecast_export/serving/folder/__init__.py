"""A serving folder on disk: what its marker says is in it, and how a version comes to stand beside the others."""
