"""Every test of the native targets may ask for these fixtures."""

from helpers.native_fixtures import backend, cache, case, model  # noqa: F401
