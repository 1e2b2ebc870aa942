"""`python -m pulsecast_bench.native` holds the native engine against its limits."""

import sys

from .limits import main

sys.exit(main(sys.argv[1:]))
