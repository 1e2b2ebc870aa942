"""`README.md` of a serving folder: how the server is started, a request that works, and how a version is added."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .example import REQUEST, Example
from .order import Order
from .table import SERVERS


@dataclass(frozen=True, kw_only=True)
class Words:
    """What differs from server to server.

    start   command lines, in the folder
    url     where the request goes
    notes   what a user of this server must know, a sentence or more each
    update  what makes the server use a new version
    called  output -> its name in the answer, if that is another one
    """

    start: str
    url: str
    notes: tuple[str, ...]
    update: str
    called: Mapping[str, str] = field(default_factory=dict)


def readme(order: Order, words: Words) -> str:
    """Return the text."""
    options = order.options
    notes = "".join(f"* {note}\n" for note in words.notes)
    return f"""# {options.name} on {SERVERS[options.server].what}

Written by `pulsecast serve-config --for {options.server}`. All commands are for this folder.

## Start

```sh
{words.start}
```

## Ask

```sh
curl --silent --show-error --header 'Content-Type: application/json' --data @{REQUEST} {words.url}
```

`{REQUEST}` holds one window that the model was not trained on. Version {options.version} answers

{_answer(order.example, words.called)}

These are the numbers of the reference. The forecast may differ from them by {order.example.limit:.2g}, which is the
tolerance of the artifact `{order.artifact.id}`. A bound that is a whole number may then be the next one.

{notes}
## A new version

```sh
pulsecast serve-config BUNDLE --for {options.server} --version {options.version + 1} --out .
```

It comes to stand beside the versions that are here, whole or not at all. {words.update}
`--keep 2` removes all versions but the two newest. `pulsecast.json` lists every file here with its SHA-256: do not edit
them, and keep others elsewhere.
"""


def _answer(example: Example, called: Mapping[str, str]) -> str:
    lines = {called.get(name, name): values for name, values in example.answer.items()}
    width = max(map(len, lines))
    return "\n".join(
        f"    {name:<{width}}  {' '.join(f'{value:.9g}' for value in values)}" for name, values in lines.items()
    )
