"""Commands on engagement logs: getting them and looking at them."""
