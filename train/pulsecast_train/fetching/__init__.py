"""A log from a paged HTTP API, with retries."""
