"""All files that TensorFlow Serving needs for a bundle: a version directory, its configuration, its deployment.

    DIR/models/pulsecast/VERSION/   the SavedModel, with its warm-up records
    DIR/config/                     models.config, batching.config, monitoring.config (protobuf text)
    DIR/compose.yaml                docker compose
    DIR/kubernetes.yaml             ConfigMap, Deployment, Service; expects the models on a volume claim
    DIR/pulsecast.json              the names and SHA-256 of these files: only such a folder is ever replaced

The server runs as a user without rights, on a read-only file system, and cannot change the model. So every file is
readable by all, whatever the umask. It computes only batch sizes that have warm-up records, and a request of more
windows than the largest of them is refused: a client splits it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pulsecast.backends import is_installed
from pulsecast.bundle.bundle import Bundle
from pulsecast.bundle.manifest import Artifact
from pulsecast.errors import MissingExtraError, UsageError
from pulsecast.foundation import strict_json
from pulsecast.foundation.arguments import StrPath, instance, invalid, one_path, require_types, shown
from pulsecast.foundation.folder_kind import FolderKind
from pulsecast.foundation.whole_directory import whole_directory
from pulsecast.stages.model_directory import sha256

from ..graphs.savedmodel import SERVING_NAME, WARMUP_BATCHES

MARKER = "pulsecast.json"
IMAGE = "tensorflow/serving:2.19.1"
USER = 65534  # the usual id of the user without rights
MOST_WINDOWS = WARMUP_BATCHES[-1]  # of one request


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """How to serve.

    version   number of the version directory; the server uses the largest
    threads   batches computed at once: the cores it may use
    wait_us   longest wait of a batch's first request for others; 0 never waits
    image     image of the server
    """

    version: int = 1
    threads: int = 2
    wait_us: int = 0
    image: str = IMAGE

    def __post_init__(self) -> None:
        require_types(self)
        if self.version < 1 or self.threads < 1 or self.wait_us < 0:
            raise ValueError("version and threads must be at least 1, wait_us at least 0")
        if not self.image or any(not (c.isalnum() or c in "./:@_-") for c in self.image):
            raise invalid([f"image {shown(self.image)} is not the name of an image"])


@dataclass(frozen=True, kw_only=True)
class _Written:
    """All of `pulsecast.json`; `files` maps every other file's relative path to its SHA-256."""

    format: Literal[1]
    kind: Literal["serving"]
    files: Mapping[str, str]


def _listed(written: bytes) -> set[str]:
    return {*strict_json.loads(_Written, written, where=MARKER).files, MARKER}


SERVING_FOLDER = FolderKind(noun="serving folder", marker=MARKER, listed=_listed)


def serve_config(
    path: StrPath,
    out: StrPath,
    options: ServeOptions | None = None,
    *,
    force: bool = False,
) -> Artifact:
    """Write everything for the bundle at `path` (a folder or a `.pulse` file) into `out`; return the artifact served.

    Raises what `Bundle.open` raises, UsageError if the bundle has no SavedModel, or `out` exists and not `force`, and
    EngineError if the SavedModel holds more than a forecast, because a server runs any operator.
    """
    options = ServeOptions() if options is None else instance("options", options, ServeOptions)
    bundle, out = Bundle.open(path), one_path("out", out)
    artifact = next((a for a in bundle.manifest.artifacts if a.backend == "savedmodel"), None)
    if artifact is None:
        raise UsageError(f"{bundle.path.name} has no SavedModel; export it with --target savedmodel")
    _require_arithmetic(bundle, artifact)
    with whole_directory(out, SERVING_FOLDER, force=force) as staging:
        version = staging / "models" / SERVING_NAME / str(options.version)
        for entry in bundle.manifest.files:
            if entry.path.startswith(f"{artifact.path}/"):
                target = version / entry.path.removeprefix(f"{artifact.path}/")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(bundle.read(entry.path))
        for name, text in _texts(options).items():
            (staging / name).parent.mkdir(exist_ok=True)
            (staging / name).write_text(text, encoding="utf-8")
        (staging / MARKER).write_text(strict_json.dumps(_written(staging)), encoding="utf-8")
        _open_to_the_server(staging)
    return artifact


def _open_to_the_server(folder: Path) -> None:
    """Let USER, whom the files name, read all of `folder`: under a umask of 027 or 077 a server could not start."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))


def _written(folder: Path) -> _Written:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = {path.relative_to(folder).as_posix(): sha256(path.read_bytes()) for path in paths}
    return _Written(format=1, kind="serving", files=files)


def _require_arithmetic(bundle: Bundle, artifact: Artifact) -> None:
    if not is_installed(artifact.backend):
        raise MissingExtraError(
            "the check of the SavedModel needs TensorFlow, which is not installed: pip install 'pulsecast[export]'"
        )
    from pulsecast.backends.savedmodel import require_arithmetic

    with bundle.unpacked(artifact.path) as folder:
        require_arithmetic(folder, served=True)


def _texts(options: ServeOptions) -> dict[str, str]:
    configs = {
        "models.config": _models(),
        "batching.config": _batching(options),
        "monitoring.config": 'prometheus_config { enable: true path: "/monitoring/prometheus/metrics" }\n',
    }
    return {
        **{f"config/{name}": text for name, text in configs.items()},
        "compose.yaml": _compose(options),
        "kubernetes.yaml": _kubernetes(options, configs),
    }


def _models() -> str:
    return f"""model_config_list {{
  config {{
    name: "{SERVING_NAME}"
    base_path: "/models/{SERVING_NAME}"
    model_platform: "tensorflow"
    model_version_policy {{ latest {{ num_versions: 1 }} }}
  }}
}}
"""


def _batching(options: ServeOptions) -> str:
    sizes = "".join(f"allowed_batch_sizes: {size}\n" for size in WARMUP_BATCHES)
    return f"""# a request of more windows is answered 400: split it
max_batch_size {{ value: {MOST_WINDOWS} }}
batch_timeout_micros {{ value: {options.wait_us} }}
max_enqueued_batches {{ value: {100 * options.threads} }}
num_batch_threads {{ value: {options.threads} }}
{sizes}"""


_ARGUMENTS = (
    "--model_config_file=/config/models.config",
    "--enable_batching=true",
    "--batching_parameters_file=/config/batching.config",
    "--monitoring_config_file=/config/monitoring.config",
    "--enable_grpc_healthcheck_service=true",
)


def _arguments(options: ServeOptions, indent: str) -> str:
    # one window is too small to share among threads; requests run in parallel
    threads = (
        "--tensorflow_intra_op_parallelism=1",
        f"--tensorflow_inter_op_parallelism={options.threads}",
        f"--rest_api_num_threads={4 * options.threads}",
    )
    return "\n".join(f'{indent}- "{argument}"' for argument in (*_ARGUMENTS, *threads))


def _compose(options: ServeOptions) -> str:
    return f"""services:
  pulsecast:
    image: {options.image}
    command:
{_arguments(options, "      ")}
    user: "{USER}:{USER}"
    read_only: true
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    tmpfs: [/tmp]
    ports:
      - "127.0.0.1:8500:8500"
      - "127.0.0.1:8501:8501"
    volumes:
      - ./models:/models:ro
      - ./config:/config:ro
"""


def _kubernetes(options: ServeOptions, configs: dict[str, str]) -> str:
    data = "".join(
        f"  {name}: |\n" + "".join(f"    {line}\n" for line in text.splitlines()) for name, text in configs.items()
    )
    probe = f"{{httpGet: {{path: /v1/models/{SERVING_NAME}, port: rest}}, periodSeconds: 5}}"
    return f"""apiVersion: v1
kind: ConfigMap
metadata: {{name: pulsecast-serving}}
data:
{data}---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: pulsecast, labels: {{app: pulsecast}}}}
spec:
  replicas: 1
  selector: {{matchLabels: {{app: pulsecast}}}}
  template:
    metadata: {{labels: {{app: pulsecast}}}}
    spec:
      automountServiceAccountToken: false
      securityContext:
        runAsNonRoot: true
        runAsUser: {USER}
        runAsGroup: {USER}
        seccompProfile: {{type: RuntimeDefault}}
      containers:
        - name: serving
          image: {options.image}
          args:
{_arguments(options, "            ")}
          ports:
            - {{name: grpc, containerPort: 8500}}
            - {{name: rest, containerPort: 8501}}
          readinessProbe: {probe}
          livenessProbe: {{tcpSocket: {{port: grpc}}, periodSeconds: 10}}
          resources:
            requests: {{cpu: "{options.threads}", memory: 512Mi}}
            limits: {{cpu: "{options.threads}", memory: 1Gi}}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {{drop: [ALL]}}
          volumeMounts:
            - {{name: models, mountPath: /models, readOnly: true}}
            - {{name: config, mountPath: /config, readOnly: true}}
            - {{name: tmp, mountPath: /tmp}}
      volumes:
        - name: models
          persistentVolumeClaim: {{claimName: pulsecast-models, readOnly: true}}
        - name: config
          configMap: {{name: pulsecast-serving}}
        - name: tmp
          emptyDir: {{}}
---
apiVersion: v1
kind: Service
metadata: {{name: pulsecast}}
spec:
  selector: {{app: pulsecast}}
  ports:
    - {{name: grpc, port: 8500, targetPort: grpc}}
    - {{name: rest, port: 8501, targetPort: rest}}
"""
