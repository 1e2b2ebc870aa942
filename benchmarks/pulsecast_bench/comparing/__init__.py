"""Two results of one model, or one and stored ratios: which case is slower, and the answer as text."""
