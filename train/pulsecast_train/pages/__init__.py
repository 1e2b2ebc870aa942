"""What people look at: the pages and pictures of a back-test and of a rhythm."""
