"""The other servers, each a program of its own: run by a path, with its own environment's Python and no pulsecast."""
