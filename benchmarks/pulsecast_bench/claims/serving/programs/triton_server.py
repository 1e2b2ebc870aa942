"""Triton with its Python backend and one ONNX model: `python triton_server.py PORT MODEL.onnx NAME`.

With nvidia-pytriton, which brings Triton's program, and onnxruntime. It writes a repository into the working directory
and becomes Triton. Triton may put requests that wait together into one batch.
"""

import os
import shutil
import sys
import sysconfig
from pathlib import Path

import onnxruntime as ort
import pytriton

MOST_WINDOWS = 64
_STUB = "triton_python_backend_stub"
_TYPES = {"tensor(float)": "TYPE_FP32", "tensor(int64)": "TYPE_INT64"}


def write_repository(folder: Path, path: str, name: str) -> None:
    """Write a repository of one model; an input of one number for each window gets an axis of its own."""
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    inputs = [_tensor(one.name, _TYPES[one.type], one.shape[1:] or [1]) for one in session.get_inputs()]
    outputs = [_tensor(one.name, "TYPE_FP32", one.shape[1:]) for one in session.get_outputs() if one.name == "forecast"]
    version = folder / name / "1"
    version.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("triton_model.py"), version / "model.py")
    text = f"""name: "{name}"
backend: "python"
max_batch_size: {MOST_WINDOWS}
input [ {", ".join(inputs)} ]
output [ {", ".join(outputs)} ]
instance_group [ {{ count: 1, kind: KIND_CPU }} ]
dynamic_batching {{ }}
"""
    (version.parent / "config.pbtxt").write_text(text, encoding="utf-8")


def _tensor(name: str, kind: str, shape: list[int]) -> str:
    return f'{{ name: "{name}", data_type: {kind}, dims: [ {", ".join(map(str, shape))} ] }}'


def become_triton(folder: Path, port: int, path: str, name: str) -> None:
    """Replace this process by Triton, on 127.0.0.1."""
    program = Path(pytriton.__file__).parent / "tritonserver"
    backends = shutil.copytree(program / "backends", folder / "backends")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    shutil.copy(program / "python_backend_stubs" / version / _STUB, backends / "python" / _STUB)
    packages = Path(pytriton.__file__).parents[1]
    libraries = [str(packages / "nvidia_pytriton.libs"), str(sysconfig.get_config_var("LIBDIR"))]
    environment = os.environ | {
        "LD_LIBRARY_PATH": os.pathsep.join(libraries),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "ONNX_MODEL": str(Path(path).resolve()),
    }
    arguments = [
        str(program / "bin" / "tritonserver"),
        f"--model-repository={folder / 'repository'}",
        f"--backend-directory={backends}",
        "--http-address=127.0.0.1",
        f"--http-port={port}",
        "--allow-grpc=false",
        "--allow-metrics=false",
        "--disable-auto-complete-config",
    ]
    write_repository(folder / "repository", path, name)
    os.execve(arguments[0], arguments, environment)  # noqa: S606  # it is the server from here on


if __name__ == "__main__":
    become_triton(Path.cwd(), int(sys.argv[1]), sys.argv[2], sys.argv[3])
