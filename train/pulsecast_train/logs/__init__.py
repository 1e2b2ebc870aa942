"""Reading engagement logs: files or an HTTP API -> rows, repaired by stated policy -> series; and the generator."""
