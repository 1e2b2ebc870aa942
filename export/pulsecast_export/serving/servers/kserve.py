"""KServe: an InferenceService for its Triton runtime, or for the image of `pulsecast serve`.

    DIR/models/NAME/            what goes to `storage_uri`: Triton's model repository, or version directories of bundles
    DIR/inferenceservice.yaml

KServe's runtime for OpenVINO is not offered: it takes no `plugin_config`, so it may compute in bfloat16.
"""

from __future__ import annotations

from dataclasses import replace

import pulsecast

from ..options import ServeOptions
from . import own, triton
from .example import REQUEST, infer_body, series_body
from .order import USER, Layout, Order, encoded
from .readme import Words, readme

STORAGE = "pvc://pulsecast-models"
FOLDER = "models"
PORT = 8080
_RUNTIME = "kserve-tritonserver"
_TRITON_USER = 1000  # of the runtime's image


def layout(order: Order) -> Layout:
    """Return the files for KServe's own Triton runtime."""
    options, found = order.options, triton.repository(order, FOLDER)
    predictor = f"""    model:
      modelFormat: {{name: triton, version: "2"}}
      runtime: {_RUNTIME}
      protocolVersion: v2
      storageUri: {_storage(options)}
{_container(options, user=_TRITON_USER, indent="      ")}"""
    notes = (
        *triton.raw_notes(order),
        *triton.batch_notes(order),
        f"The cluster must have the ClusterServingRuntime `{_RUNTIME}`, which KServe's charts install.",
    )
    body = infer_body(order.example, rows=True, batch=True)
    texts = _texts(order, predictor, _asked(order, triton.url(options.name, PORT), notes), body)
    return Layout(
        root=found.root, version=found.version, around={**found.around, **encoded(texts)}, lasting=found.lasting
    )


def own_layout(order: Order) -> Layout:
    """Return the files for a predictor that runs `pulsecast serve`."""
    options = order.options
    image = options.image or f"pulsecast:{pulsecast.__version__}"
    arguments = ", ".join(f'"{word}"' for word in own.arguments(options, "/mnt/models"))
    predictor = f"""    containers:
      - name: kserve-container
        image: {image}
        args: [{arguments}]
        env:
          - {{name: STORAGE_URI, value: "{_storage(options)}"}}
        ports:
          - {{name: http1, containerPort: {PORT}, protocol: TCP}}
{_container(options, user=USER, indent="        ")}"""
    notes = (
        *own.notes(order),
        f"The image `{image}` is built by `docker build` in a folder of `serve-config --for pulsecast`.",
        "KServe's ingress checks who asks, so the server is started with `--insecure`.",
    )
    words = replace(_asked(order, f"http://127.0.0.1:{PORT}{own.ADDRESS}", notes), called=own.CALLED)
    texts = _texts(order, predictor, words, series_body(order.example, options.name))
    return Layout(root=own.root(order), version=own.version(order), around=encoded(texts))


def _storage(options: ServeOptions) -> str:
    return options.storage_uri or STORAGE


def _texts(order: Order, predictor: str, words: Words, body: str) -> dict[str, str]:
    return {
        "inferenceservice.yaml": _service(order.options, predictor),
        "README.md": readme(order, words),
        REQUEST: body,
    }


def _asked(order: Order, url: str, notes: tuple[str, ...]) -> Words:
    options = order.options
    return Words(
        start=f"# first copy all that is in {FOLDER}/ to {_storage(options)}\n"
        "kubectl apply --filename inferenceservice.yaml\n"
        f"kubectl wait --for=condition=Ready inferenceservice/{options.name}\n"
        f"kubectl port-forward service/{options.name}-predictor {PORT}:80",
        url=url,
        notes=notes,
        update=f"Copy all that is in `{FOLDER}/` to {_storage(options)} again, then "
        f"`kubectl rollout restart deployment/{options.name}-predictor`: a pod reads its storage when it starts.",
    )


def _service(options: ServeOptions, predictor: str) -> str:
    return f"""apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: {options.name}
  annotations:
    serving.kserve.io/deploymentMode: Standard
spec:
  predictor:
    minReplicas: 1
    automountServiceAccountToken: false
    securityContext:
      seccompProfile: {{type: RuntimeDefault}}
{predictor}"""


def _container(options: ServeOptions, *, user: int, indent: str) -> str:
    """Return what every container has: probes, resources, no rights."""
    probe = f"{{httpGet: {{path: %s, port: {PORT}}}, periodSeconds: %d, failureThreshold: %d}}"
    lines = f"""startupProbe: {probe % ("/v2/health/ready", 2, 60)}
readinessProbe: {probe % ("/v2/health/ready", 5, 3)}
livenessProbe: {probe % ("/v2/health/live", 10, 3)}
resources:
  requests: {{cpu: "{options.threads}", memory: 512Mi}}
  limits: {{cpu: "{options.threads}", memory: 2Gi}}
securityContext:
  runAsNonRoot: true
  runAsUser: {user}
  runAsGroup: {user}
  allowPrivilegeEscalation: false
  capabilities: {{drop: [ALL]}}
"""
    return "".join(f"{indent}{line}\n" for line in lines.splitlines())
