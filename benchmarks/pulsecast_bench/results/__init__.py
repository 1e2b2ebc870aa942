"""The written records: a case, one process's measurement of it, and the whole result; raw nanoseconds only."""
