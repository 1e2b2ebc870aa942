"""Examples of every command: one literal table, which the help, the manual and the tests read."""

from __future__ import annotations

from typing import NamedTuple


class Example(NamedTuple):
    """What somebody wants, and the command line that does it."""

    purpose: str
    line: str


EXAMPLES: dict[str, tuple[Example, ...]] = {
    "demo": (
        Example("everything once, from a generated log to a page", "pulsecast demo --out demo"),
        Example("a shorter log, in the place of an earlier demo", "pulsecast demo --days 28 --force"),
    ),
    "fetch": (
        Example(
            "posts of a public API, page by page",
            "pulsecast fetch https://example.org/posts --out posts.ndjson --records data",
        ),
        Example(
            "the same with the token in $TOKEN, and at most ten pages",
            "pulsecast fetch https://example.org/posts --out posts.ndjson --token-env TOKEN --max-pages 10",
        ),
    ),
    "look": (
        Example("what this log is, and the command that trains on it", "pulsecast look mentions.csv"),
        Example("the same as a page", "pulsecast look mentions.csv --out look.html"),
    ),
    "train": (
        Example("a series of steps", "pulsecast train mentions.csv --timezone UTC --out model"),
        Example(
            "single events, counted by the hour", "pulsecast train events.csv --events --step 1h --id id --out model"
        ),
        Example("one model for several series", "pulsecast train logs/a.csv logs/b.csv --pool --out model"),
    ),
    "evaluate": (
        Example("is a model worth it on this log?", "pulsecast evaluate mentions.csv --out evaluation"),
        Example("do the exported artifacts forecast as well?", "pulsecast evaluate mentions.csv --bundle bundle"),
    ),
    "export": (
        Example("every target of a trained model", "pulsecast export model --out bundle"),
        Example("two targets only", "pulsecast export model --out bundle --target onnx --target tflite"),
        Example("C for boards and browsers", "pulsecast export model --out bundle --native-for aarch64-linux,wasm32"),
        Example("the linear path alone", "pulsecast export model --model ridge --out bundle"),
    ),
    "verify": (
        Example("every artifact, on this machine", "pulsecast verify bundle"),
        Example("and that this key signed it", "pulsecast verify bundle --key release.pub"),
    ),
    "inspect": (
        Example("what a bundle holds", "pulsecast inspect bundle"),
        Example("the same for a script", "pulsecast inspect bundle --format json"),
    ),
    "bench": (
        Example("every artifact, some minutes", "pulsecast bench bundle --out result.json"),
        Example("a first look", "pulsecast bench bundle --out result.json --profile quick"),
        Example("on a device over ssh", "pulsecast bench bundle --out result.json --host pi@raspberry"),
    ),
    "bench-pack": (
        Example("one program for a device without a network", "pulsecast bench-pack bundle --out bench.pyz"),
    ),
    "compare": (
        Example("is the second result slower?", "pulsecast compare before.json after.json"),
        Example("a gate for a CI", "pulsecast compare --baseline baseline.json after.json"),
    ),
    "report": (
        Example("Markdown, on stdout", "pulsecast report result.json"),
        Example("a page with pictures", "pulsecast report result.json --out report.html"),
    ),
    "predict": (
        Example("what comes after a log, as CSV", "pulsecast predict bundle --input mentions.csv"),
        Example(
            "the same as a page", "pulsecast predict bundle --input mentions.csv --out next.html --clock Europe/Berlin"
        ),
        Example("thousands of files", "pulsecast predict bundle --input 'logs/*.csv' --out forecasts.parquet --jobs 4"),
    ),
    "rhythm": (
        Example("when is this log busy?", "pulsecast rhythm mentions.csv --clock Europe/Berlin"),
        Example("with a picture", "pulsecast rhythm mentions.csv --out rhythm.html"),
    ),
    "anomalies": (
        Example("which steps were unusual?", "pulsecast anomalies bundle --input mentions.csv"),
        Example(
            "fewer of them, as a page", "pulsecast anomalies bundle --input mentions.csv --rate 0.005 --out odd.html"
        ),
    ),
    "serve": (
        Example("one bundle, on this machine alone", "pulsecast serve bundle"),
        Example("a folder of models, HTTP and gRPC", "pulsecast serve --models models --port 8080 --grpc-port 9000"),
    ),
    "stream": (
        Example("a topic of Kafka", "pulsecast stream bundle --kafka localhost:9092 --from counts --to forecasts"),
        Example(
            "a topic of MQTT", "pulsecast stream bundle --mqtt localhost:1883 --from in --to out --store states.db"
        ),
    ),
    "pack": (Example("a bundle as one file", "pulsecast pack bundle --out bundle.pulse"),),
    "unpack": (Example("and back", "pulsecast unpack bundle.pulse --out bundle"),),
    "serve-config": (
        Example("files for TensorFlow Serving", "pulsecast serve-config bundle --for tfserving --out serving"),
        Example("files for Triton", "pulsecast serve-config bundle --for triton --out serving"),
    ),
    "page": (Example("a static page that forecasts in the browser", "pulsecast page bundle --out page"),),
    "keygen": (Example("release and release.pub", "pulsecast keygen --out release"),),
    "sign": (Example("sign with the private key", "pulsecast sign bundle --key release"),),
    "doctor": (Example("what is installed, and how to mend the rest", "pulsecast doctor"),),
}


def examples_text(command: str) -> str:
    """Return the examples of `command` as Markdown for its help.

    >>> print(examples_text("sign"))
    **Examples**
    <BLANKLINE>
    ```text
    # sign with the private key
    pulsecast sign bundle --key release
    ```
    """
    lines = "\n".join(f"# {one.purpose}\n{one.line}" for one in EXAMPLES[command])
    return f"**Examples**\n\n```text\n{lines}\n```"
