"""`python -m pulsecast_bench.native` compares the native engine with its limits."""

import sys

from .limits import main

sys.exit(main(sys.argv[1:]))
