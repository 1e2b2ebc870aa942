"""The errors' reference: every class with its code and exit code, and the sentences that are in the source."""

from __future__ import annotations

import ast
import html
import inspect
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from pulsecast import errors
from pulsecast.errors import PulsecastError
from pulsecast.stages import exits

_STAGES = ("runtime", "train", "export", "benchmarks")
_REPOSITORY = Path(__file__).parents[2]


def tree_and_classes() -> str:
    """Return the tree, and a section for each class under the anchor that is its code."""
    tree = (inspect.getdoc(errors) or "").split("\n\n")[1]
    return "\n\n".join([f"```text\n{tree}\n```", *(_section(kind) for kind in classes())])


def classes() -> list[type[PulsecastError]]:
    """Return every class of error, in the order of the source."""
    found = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, PulsecastError)]
    return list(dict.fromkeys(found))


def exit_codes() -> str:
    """Return a table of the exit codes, and a section for each with the errors that end in it."""
    rows = [f"| [{one.code}](#exit-{one.code}) | {one.word} | {one.meaning} |" for one in exits.EXITS]
    sections = [f"\n(exit-{one.code})=\n### Exit code {one.code}\n\n{_ending(one)}" for one in exits.EXITS]
    return "\n".join(["| code | | a command ends with it when |", "|---|---|---|", *rows, *sections])


def _ending(one: exits.Exit) -> str:
    kinds = [f"[{kind.__name__}](#{kind.code})" for kind in classes() if exits.exit_code_of(kind) == one.code]
    return one.meaning + (f"\n\nErrors that end so: {', '.join(kinds)}." if kinds else "")


def _section(kind: type[PulsecastError]) -> str:
    code = exits.exit_code_of(kind)
    bases = [f"`{base.__name__}`" for base in kind.__mro__[1:] if base not in {object, BaseException, Exception}]
    facts = [f"Code `{kind.code}`", f"exit code [{code}](#exit-{code})", f"is also {', '.join(bases) or '`Exception`'}"]
    text = [f"({kind.code})=", f"### {kind.__name__}", "", (inspect.getdoc(kind) or "").split("\n\n")[0]]
    return "\n".join([*text, "", f"{' · '.join(facts)}", "", *_sentences_of(kind)])


def _sentences_of(kind: type[PulsecastError]) -> list[str]:
    found = sorted(sentences()[kind.__name__])
    if not found:
        return []
    count = f"{len(found)} sentence{'s' if len(found) > 1 else ''}"
    rows = [f"<li>{html.escape(sentence)}</li>" for sentence in found]
    return [f"<details><summary>{count} in the source</summary><ul>", *rows, "</ul></details>", ""]


@cache
def sentences() -> dict[str, set[str]]:
    """Return the sentences that the source raises, by the name of the class; `…` stands for a value.

    Sentences that are put together elsewhere are not among them.
    """
    found: defaultdict[str, set[str]] = defaultdict(set)
    for stage in _STAGES:
        for path in sorted((_REPOSITORY / stage).rglob("*.py")):
            for name, sentence in _raised(ast.parse(path.read_text("utf-8"))):
                found[name].add(sentence)
    return found


def _raised(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield (class, sentence) of every call of a class with a text in the source."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute) and node.args:
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            sentence = _sentence(node.args[0])
            if sentence and re.search(r"[a-z]{3}", sentence):  # not of values alone
                yield name, sentence


def _sentence(node: ast.expr) -> str:
    """Return a text of the source with `…` for its values, or "" for anything else."""
    if not isinstance(node, ast.JoinedStr):
        return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
