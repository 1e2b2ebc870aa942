"""How targets are written, gated and measured, each in a child process."""
