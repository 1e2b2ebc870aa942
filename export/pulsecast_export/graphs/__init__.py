"""The forecast as a graph from weights, and its writers: SavedModel, ONNX, TFLite."""
