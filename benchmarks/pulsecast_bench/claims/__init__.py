"""Programs that measure the project's claims about itself: imports, training, reading."""
