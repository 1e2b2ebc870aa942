"""What the site takes from the repository while it is built: files of the stages, docstrings, commands, errors."""
