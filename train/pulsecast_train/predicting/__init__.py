"""The forecasts that a bundle makes for series in logs: of one log at once, or of thousands of files piece by piece."""
