"""A report: what it says, as data, and the same as columns of text, as Markdown and as one HTML file."""
