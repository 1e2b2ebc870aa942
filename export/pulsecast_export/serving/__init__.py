"""What serves a bundle elsewhere: TensorFlow Serving's files, a page for a browser."""
