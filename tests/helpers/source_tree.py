"""The source tree as a graph: which module imports which, how long files and functions are."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
STAGES = ("runtime", "train", "export", "benchmarks")
PACKAGES = {
    "pulsecast": "runtime",
    "pulsecast_serve": "runtime",
    "pulsecast_streams": "runtime",
    "pulsecast_cli": "runtime",
    "pulsecast_train": "train",
    "pulsecast_export": "export",
    "pulsecast_bench": "benchmarks",
}


@dataclass(frozen=True, kw_only=True)
class Module:
    """A module by its dotted name; `imports` are our modules that it names, also in functions and for types."""

    name: str
    path: Path
    tree: ast.Module
    imports: frozenset[str]


@cache
def modules() -> dict[str, Module]:
    """Return every module of the packages."""
    paths = {
        ".".join(path.relative_to(REPOSITORY / stage).with_suffix("").parts).removesuffix(".__init__"): path
        for package, stage in PACKAGES.items()
        for path in sorted((REPOSITORY / stage / package).rglob("*.py"))
    }
    trees = {name: ast.parse(path.read_text("utf-8")) for name, path in paths.items()}
    return {
        name: Module(name=name, path=path, tree=trees[name], imports=frozenset(_imports(name, path, trees)))
        for name, path in paths.items()
    }


def _imports(name: str, path: Path, trees: dict[str, ast.Module]) -> set[str]:
    found = set()
    for node in ast.walk(trees[name]):
        if isinstance(node, ast.ImportFrom):
            base = _absolute(name, node, is_package=path.name == "__init__.py")
            for alias in node.names:
                full = f"{base}.{alias.name}"
                found.add(full if full in trees else base)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return (found & set(trees)) - {name}


def _absolute(name: str, node: ast.ImportFrom, *, is_package: bool) -> str:
    """Return the dotted name that a relative or absolute import starts from."""
    if not node.level:
        return node.module or ""
    parts = name.split(".")
    kept = parts[: len(parts) - node.level + is_package]
    return ".".join([*kept, *([node.module] if node.module else [])])


def circles(graph: dict[str, frozenset[str]]) -> list[list[str]]:
    """Return every group of modules that import each other, directly or through others (Tarjan)."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        number[name] = lowest[name] = len(number)
        stack.append(name)
        for other in sorted(graph[name]):
            if other not in number:
                visit(other)
                lowest[name] = min(lowest[name], lowest[other])
            elif other in stack:
                lowest[name] = min(lowest[name], number[other])
        if lowest[name] == number[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                found.append(sorted(group))

    for name in sorted(graph):
        if name not in number:
            visit(name)
    return found


def function_lengths() -> list[tuple[int, str]]:
    """Return (lines, name) of every function, the longest first."""
    found = [
        ((node.end_lineno or node.lineno) - node.lineno + 1, f"{module.name}.{node.name}")
        for module in modules().values()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return sorted(found, reverse=True)
