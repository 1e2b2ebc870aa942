"""Commands on an exported bundle: check it, show it, run it, pass it on."""
