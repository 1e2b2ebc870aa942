"""MQTT and Redis streams, on FastStream, with a file of states beside it."""
