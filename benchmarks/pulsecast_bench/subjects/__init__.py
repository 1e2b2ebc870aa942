"""What is measured: an artifact through the runtime, the bare engine beneath it, and the peers."""
