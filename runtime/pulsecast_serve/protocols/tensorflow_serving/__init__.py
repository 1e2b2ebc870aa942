"""TensorFlow Serving's protocol: its addresses, rules and sentences over our forecasters, for its own clients.

Source of names, rules and sentences: tensorflow/serving, `g3doc/api_rest.md` and `apis/*.proto`. What REST and gRPC
share is here: `signature` (inputs and outputs), `finding` (models, versions, states), `predicting` (tensors to
tensors).
"""
