"""With plain ai-edge-litert: python forecast_litert.py bundle/tflite/model.tflite TIME < counts.txt"""

import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter

counts = np.array(sys.stdin.read().split(), np.float32)  # as many as the model's context, oldest first
values = counts.reshape(1, -1, 1)  # (batch, context, measured)
time = np.array([sys.argv[2]]).astype(np.int64)  # unix seconds (UTC) of the last count

found = Interpreter(model_path=sys.argv[1]).get_signature_runner()(values=values, time=time)
results = (found[name][0] for name in ("forecast", "lower", "upper"))
for forecast, lower, upper in zip(*results, strict=True):
    print(forecast, lower, upper)
