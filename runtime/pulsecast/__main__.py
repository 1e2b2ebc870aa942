"""`python -m pulsecast` is the command line."""

from .cli import main

main()
