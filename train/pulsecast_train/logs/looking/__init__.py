"""What a log is: its columns, what its rows mean, what is open, and the command that reads it."""
