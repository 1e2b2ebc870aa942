"""Coverage-guided fuzzing of everything that reads a stranger's bytes: what the targets are, and how they are run."""
