"""A program for an environment with KServe's SDK: read InferenceServices from stdin, a JSON list, as its models.

A key that a model does not know ends it with an error. It prints what the models give back.
"""

import json
import re
import sys

import kserve
from kubernetes import client


def built(kind, value, where):
    """Return `value` as the model or the plain type that SDKs call `kind`."""
    if inner := re.fullmatch(r"list\[(.+)\]|dict\(str, (.+)\)", kind):
        if inner[1]:
            return [built(inner[1], item, f"{where}[]") for item in value]
        return {key: built(inner[2], item, f"{where}.{key}") for key, item in value.items()}
    model = getattr(kserve, kind, None) or getattr(client, kind, None)
    if model is None or not isinstance(value, dict):
        return value
    if not hasattr(model, "openapi_types"):  # Kubernetes' own models of newer versions
        found = model.from_dict(value)
        unknown = set(value) - set(found.to_dict())
        assert not unknown, f"{where}: {sorted(unknown)}"
        return found
    names = {key: attribute for attribute, key in model.attribute_map.items()}
    assert set(value) <= set(names), f"{where}: {sorted(set(value) - set(names))}"
    given = {names[key]: built(model.openapi_types[names[key]], item, f"{where}.{key}") for key, item in value.items()}
    return model(**given)


def plain(value):
    """Return a model as JSON has it, without what was not given."""
    if hasattr(value, "attribute_map"):
        pairs = ((key, getattr(value, attribute)) for attribute, key in value.attribute_map.items())
        return {key: plain(item) for key, item in pairs if item is not None}
    if hasattr(value, "to_dict"):
        return plain(value.to_dict())
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if item is not None}
    return [plain(item) for item in value] if isinstance(value, list) else value


services = [built("V1beta1InferenceService", one, "") for one in json.load(sys.stdin)]
json.dump([plain(one) for one in services], sys.stdout)
