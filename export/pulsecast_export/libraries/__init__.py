"""Prebuilt libraries of the C source for other platforms, and running them here."""
