"""The measurement: one child process after the other, what each of them does, and the machine around it."""
