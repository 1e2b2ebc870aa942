"""gRPC beside HTTP: the same models, keys and limits, on a port of its own."""
