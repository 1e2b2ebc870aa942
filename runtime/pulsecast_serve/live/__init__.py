"""What was last answered to each series, for those who watch it live."""
