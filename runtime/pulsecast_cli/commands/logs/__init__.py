"""Commands on engagement logs: fetch one, show its rhythm."""
