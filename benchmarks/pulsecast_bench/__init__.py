"""pulsecast_bench: bundle -> measurements -> report. The protocol is written down in benchmarks/README.md."""
