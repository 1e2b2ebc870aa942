"""Brokers and streams for tests: real ones, on 127.0.0.1, with folders of their own."""
