"""`python -m pulsecast_cli` is the command line too."""

from . import main

main()
