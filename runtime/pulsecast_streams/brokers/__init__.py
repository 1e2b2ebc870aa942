"""MQTT, Redis streams and NATS JetStream, on FastStream, with a file of states beside it."""
