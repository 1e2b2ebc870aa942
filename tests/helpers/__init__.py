"""Shared parts of the tests: models, faults, servers, and checks for installed engines."""
