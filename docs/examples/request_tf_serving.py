"""The REST body for TF Serving: python request_tf_serving.py TIME < counts.txt > body.json

curl --data @body.json http://127.0.0.1:8501/v1/models/pulsecast:predict
"""

import json
import sys

counts = [float(count) for count in sys.stdin.read().split()]  # as many as the model's context, oldest first
window = {"values": [[count] for count in counts], "time": int(sys.argv[1])}  # (context, measured); unix seconds (UTC)
print(json.dumps({"instances": [window]}))  # the answer: {"predictions": [{"forecast": [...], "lower": ..., ...}]}
