"""The measured subjects: an artifact through the runtime, its bare engine, and the peers."""
