"""Damage done on purpose: seeded changes of bytes, and a server that answers with any bytes."""
