"""Anomaly detectors on labelled series."""
