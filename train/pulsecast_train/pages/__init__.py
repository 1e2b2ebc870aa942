"""The pages and pictures of a back-test and of a rhythm."""
