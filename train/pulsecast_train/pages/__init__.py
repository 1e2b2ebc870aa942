"""The pages and pictures of a back-test, of a rhythm, of a forecast and of what was unusual."""
