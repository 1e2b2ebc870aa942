"""What a bundle is, and how it is read, checked, signed and packed."""
