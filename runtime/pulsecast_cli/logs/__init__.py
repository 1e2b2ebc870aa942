"""How a command line says which log it means, and how it is read."""
