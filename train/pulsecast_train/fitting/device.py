"""Which device trains, found and reported: an unused GPU costs days."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import keras

NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")


def describe_device(devices: int = 1) -> str:
    """Return one line: the GPUs that train (`devices` is the number requested), or why the CPU trains."""
    if keras.backend.backend() != "tensorflow":
        return f"Keras on {keras.backend.backend()}, on the device that it chooses"
    import tensorflow as tf

    gpus = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in _gpus()]
    if gpus:
        spare = f"; {devices} of the {len(gpus)} here" if devices < len(gpus) else ""
        return f"GPU: {', '.join(gpus[:devices])}{spare}"
    return f"CPU, {os.cpu_count()} cores: {_why_no_gpu(built_with_cuda=tf.test.is_built_with_cuda())}"


def _gpus() -> list[Any]:
    import tensorflow as tf

    found: list[Any] = tf.config.list_physical_devices("GPU")
    return found


def _why_no_gpu(*, built_with_cuda: bool) -> str:
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return "CUDA_VISIBLE_DEVICES hides all GPUs"
    if not NVIDIA_DRIVER.exists():
        return "no NVIDIA driver on this machine"
    if not built_with_cuda:
        return "an NVIDIA driver is here, but this TensorFlow is built without CUDA"
    return "an NVIDIA driver is here, but TensorFlow finds no CUDA libraries: pip install 'pulsecast[all-gpu]'"
