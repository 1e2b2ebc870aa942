"""Which models are served, in which versions: found on disk, loaded, proven, and swapped in one step."""
