"""Serving folders: what is in them, how their writer is killed, and the real servers that run them."""
