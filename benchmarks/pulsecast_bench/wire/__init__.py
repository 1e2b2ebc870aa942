"""A running server as a caller sees it: requests of its protocol, connections that stay open, and what it answered."""
