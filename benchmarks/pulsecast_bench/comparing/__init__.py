"""Two results of one model, or one and ratios that were kept: which case is slower, and the answer as text."""
