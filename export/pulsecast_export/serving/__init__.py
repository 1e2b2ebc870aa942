"""A bundle on other hosts: TensorFlow Serving's files, a page for a browser."""
