"""TensorFlow Serving's gRPC services: their messages, tensors in both directions, and what answers."""
