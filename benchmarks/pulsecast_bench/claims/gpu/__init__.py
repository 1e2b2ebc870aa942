"""`python -m pulsecast_bench.claims.gpu`: what an NVIDIA card is worth in training, and that its model runs without."""
