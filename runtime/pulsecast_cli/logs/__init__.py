"""The options of a log on the command line, and how they are read."""
