"""What is kept of streams between two pushes: states by model and series, in memory or in a file, changed in turns."""
