"""Rolling-origin back-tests: folds -> refitted models and baselines -> scores, verdict and report."""
