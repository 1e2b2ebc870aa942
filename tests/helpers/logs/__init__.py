"""Logs for tests: faults that are put into known counts, and small files of one kind."""
