"""Programs that measure what the project claims of itself: imports, training, reading."""
