"""Statistics, summaries and verdicts: everything computed from the records when they are read."""
