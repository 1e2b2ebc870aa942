"""A user's own Keras file, read as data, as a model directory."""
