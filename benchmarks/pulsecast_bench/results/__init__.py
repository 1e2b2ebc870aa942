"""What is written: a case, what one process measured of it, and the whole result; raw nanoseconds, nothing computed."""
