"""Kafka, on Quix Streams: it consumes, keeps states in RocksDB with changelog topics, and commits."""
