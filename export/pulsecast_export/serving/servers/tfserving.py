"""TensorFlow Serving: the SavedModel with its warm-up records, configuration, docker compose, Kubernetes.

    DIR/models/pulsecast/VERSION/   the SavedModel
    DIR/config/                     models.config, batching.config, monitoring.config (protobuf text)
    DIR/compose.yaml                docker compose
    DIR/kubernetes.yaml             ConfigMap, Deployment, Service; expects the models on a volume claim

It computes only batch sizes that have warm-up records, and a request of more windows than the largest of them is
refused: a client splits it.
"""

from __future__ import annotations

from pulsecast.backends import is_installed
from pulsecast.errors import MissingExtraError

from ...graphs.savedmodel import SERVING_NAME, WARMUP_BATCHES
from ..options import ServeOptions
from .compose import compose
from .example import REQUEST, predict_body
from .order import USER, Layout, Order, below, encoded
from .readme import Words, readme

IMAGE = "tensorflow/serving:2.19.1"
MOST_WINDOWS = WARMUP_BATCHES[-1]  # of one request


def layout(order: Order) -> Layout:
    """Return the files; raises EngineError if the SavedModel holds more than a forecast: a server runs any operator."""
    require_arithmetic(order)
    return Layout(
        root=f"models/{SERVING_NAME}",
        version=below(order.bundle, order.artifact.path),
        around=encoded(
            {**_texts(order.options), REQUEST: predict_body(order.example), "README.md": readme(order, _WORDS)}
        ),
        remark=f"at most {MOST_WINDOWS} windows a request: TensorFlow Serving answers 400 to more, so split them",
    )


_WORDS = Words(
    start="docker compose up",
    url=f"http://127.0.0.1:8501/v1/models/{SERVING_NAME}:predict",
    notes=(
        f"A request of more than {MOST_WINDOWS} windows is answered 400: split it.",
        "TensorFlow 2.13.1 is the oldest that loads this SavedModel: no older TensorFlow Serving can serve it.",
        "A window with a value that is not finite, or a time that is not unix seconds (UTC), gets NaN.",
        "`kubernetes.yaml` expects the folder `models` on the volume claim `pulsecast-models`.",
    ),
    update="The server looks for new versions every second, warms one up and then drops the old one.",
)


def require_arithmetic(order: Order) -> None:
    """Raise EngineError unless the SavedModel is arithmetic and nothing more."""
    if not is_installed(order.artifact.backend):
        raise MissingExtraError(
            "the check of the SavedModel needs TensorFlow, which is not installed: pip install 'pulsecast[export]'"
        )
    from pulsecast.backends.savedmodel import require_arithmetic as require

    with order.bundle.unpacked(order.artifact.path) as folder:
        require(folder, served=True)


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
batch_timeout_micros {{ value: {options.wait_us or 0} }}
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


def _arguments(options: ServeOptions) -> tuple[str, ...]:
    # one window is too small to share among threads; requests run in parallel
    return (
        *_ARGUMENTS,
        "--tensorflow_intra_op_parallelism=1",
        f"--tensorflow_inter_op_parallelism={options.threads}",
        f"--rest_api_num_threads={4 * options.threads}",
    )


def _compose(options: ServeOptions) -> str:
    return compose(
        f"image: {_image(options)}",
        command=_arguments(options),
        ports=(8500, 8501),
        volumes=("models", "config"),
    )


def _image(options: ServeOptions) -> str:
    return options.image or IMAGE


def _kubernetes(options: ServeOptions, configs: dict[str, str]) -> str:
    data = "".join(
        f"  {name}: |\n" + "".join(f"    {line}\n" for line in text.splitlines()) for name, text in configs.items()
    )
    arguments = "\n".join(f'            - "{argument}"' for argument in _arguments(options))
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
          image: {_image(options)}
          args:
{arguments}
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
