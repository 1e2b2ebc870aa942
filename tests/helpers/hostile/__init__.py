"""Damage done on purpose: seeded changes of bytes, a server that answers with any bytes, a backend with one defect."""
