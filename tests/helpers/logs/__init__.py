"""Logs for tests: faults that are put into known counts, small files of one kind, three series and their model."""
