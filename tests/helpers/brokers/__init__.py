"""Real brokers for tests, on 127.0.0.1 with folders of their own, and a stream in a process of its own."""
