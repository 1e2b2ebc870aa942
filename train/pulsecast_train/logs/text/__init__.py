"""How the text of a log is written: its encoding, its separator and header, its quotes, its numbers and its times."""
