"""Statistics, summaries and verdicts: everything that is computed from the records, on reading."""
