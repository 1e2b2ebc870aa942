"""The measurement: one child process after the other, their phases, and the machine around them."""
