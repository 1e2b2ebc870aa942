"""C beside the full-integer TFLite file: raw values and a time to its channels, its output to raw forecasts."""
