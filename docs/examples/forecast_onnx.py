"""With plain onnxruntime: python forecast_onnx.py bundle/onnx/model.onnx TIME < counts.txt"""

import sys

import numpy as np
import onnxruntime

counts = np.array(sys.stdin.read().split(), np.float32)  # as many as the model's context, oldest first
values = counts.reshape(1, -1, 1)  # (batch, context, measured)
time = np.array([sys.argv[2]]).astype(np.int64)  # unix seconds (UTC) of the last count

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
found = session.run(["forecast", "lower", "upper"], {"values": values, "time": time})
for forecast, lower, upper in zip(*(rows[0] for rows in found), strict=True):
    print(forecast, lower, upper)
