"""The layout of DESIGN.md §2 and §3: who may know whom, how long a module may be, and that error codes are used."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import CODES

ROOT = Path(__file__).parents[2]
MODULES = sorted(path for folder in ("pipeline", "dags") for path in (ROOT / folder).rglob("*.py"))
BASE = {"batch", "model", "comparison", "recipe", "errors", "form", "scratch", "settings", "uris"}
DOORS = {"cli", "api", "dags", "pipeline"}  # `pipeline` itself: connect()

EXCEPTIONS = {
    ("lake", "pipeline.store.base"): "a lake is handed its store and knows the protocol, no store",
    ("cli", "pipeline.api.serve"): "`shotlog serve` opens the other door",
    ("dags", "pipeline.settings"): "the schedule and the pools are settings",
    ("dags", "pipeline.form"): "what a run's form asks for",
    ("decode", "pipeline.shots.base"): "its protocol",
    ("decode", "pipeline.shots"): "shots are found in the child process that decodes, on frames that never leave it",
}
"""(stage, module) → why the one may know the other."""


def room(path: Path) -> str:
    """The stage, base module or front door that a file belongs to: lake, model, cli, …"""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0] if parts[0] == "dags" or parts[1] == "__init__" else parts[1]


def imports(path: Path) -> Iterator[str]:
    """Modules of the project that a file imports anywhere, also inside functions and for type checking."""
    names = {module_name(module) for module in MODULES}
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively: write pipeline.…"
            # `from pipeline import planning` is an import of pipeline.planning
            found = [f"{node.module}.{alias.name}" for alias in node.names]
            found = [name if name in names else name.rpartition(".")[0] for name in found]
        else:
            continue
        yield from (name for name in found if name.split(".")[0] in ("pipeline", "dags", "demo", "tests"))


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def target(module: str) -> str:
    return module.split(".")[1] if module.startswith("pipeline.") else module.split(".")[0]


def allowed(own: str) -> set[str]:
    """The rooms that a file of this room may import from."""
    stages = {room(path) for path in MODULES} - BASE - DOORS - {"steps"}
    if own in BASE:
        known = {
            "batch": {"model"},
            "form": {"settings", "recipe"},
            "model": {"recipe", "uris"},
            "settings": {"model", "recipe", "errors"},
        }
        return known.get(own, set())
    if own == "steps":
        return BASE | stages | {"steps"}
    if own in DOORS:
        return {"steps", own} | (BASE if own in ("cli", "api") else set())
    return BASE | {own}


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_go_one_way(path):
    own = room(path)
    strangers = {name for name in imports(path) if target(name) not in allowed(own) and (own, name) not in EXCEPTIONS}
    assert not strangers, f"{module_name(path)} knows {sorted(strangers)}: only steps join stages"


def test_every_exception_is_still_needed():
    used = {(room(path), name) for path in MODULES for name in imports(path)}
    assert sorted(set(EXCEPTIONS) - used) == []


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_a_module_is_short_and_says_what_it_is_for(path):
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= (80 if room(path) == "dags" else 320)
    assert not text or ast.get_docstring(ast.parse(text)), "every module begins with a docstring"


def strings(tree: ast.AST) -> set[str]:
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def codes(tree: ast.AST) -> set[str]:
    """Strings that can be nothing but codes: `MediaError("…")`, `fault="…"`, `error_code="…"`."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    raised = [call.args[0] for call in calls if getattr(call.func, "id", "") == "MediaError" and call.args]
    named = [word.value for call in calls for word in call.keywords if word.arg in ("fault", "error_code")]
    return {node.value for node in raised + named if isinstance(node, ast.Constant) and node.value}


def test_error_codes_are_known_and_each_is_used():
    trees = [ast.parse(path.read_text("utf-8")) for path in MODULES if path.name != "errors.py"]
    assert sorted(set().union(*map(codes, trees)) - set(CODES)) == []
    assert sorted(set(CODES) - set().union(*map(strings, trees))) == []
