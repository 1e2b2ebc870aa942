"""Commands that measure a bundle, here or on a device, and read the results."""
