"""A report: its content as data, and the same as columns of text, as Markdown and as one HTML file."""
