"""Commands on an exported bundle: check, show, run, pack."""
