"""A series that goes on in this process between two of its steps, and how one is found again by the bytes it left."""
