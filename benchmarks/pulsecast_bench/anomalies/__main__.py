"""`python -m pulsecast_bench.anomalies DATA` judges anomaly detectors on labelled series."""

import sys

from .detectors import main

sys.exit(main(sys.argv[1:]))
