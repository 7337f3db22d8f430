"""Compiled code never outlives the sources that it was made of."""

import ast
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from numba.core.caching import FunctionCache

import common
from common import compiled as compiling
from common import features
from common.catalog import Catalog, CatalogHistory
from common.compiled import SOURCES, compiled, sources_hash
from common.counting import day_counts_of
from common.features import vector
from common.replay import decision_of, example_table
from tests.logs import canonical, simulated_users

PACKAGE = Path(common.__file__).parent


@compiled
def doubled(number: int) -> int:
    return 2 * number


def test_a_changed_source_is_compiled_again(monkeypatch: pytest.MonkeyPatch):
    assert doubled(21) == 42
    (signature,) = doubled.signatures
    codegen = doubled.targetctx.codegen()
    before = doubled._cache._index_key(signature, codegen)

    monkeypatch.setattr(compiling, "sources_hash", lambda: "other sources")

    assert doubled._cache._index_key(signature, codegen) != before


def test_every_source_that_compiled_code_reads_is_watched():
    watched = {path.name for pattern in SOURCES for path in PACKAGE.glob(pattern)}

    unwatched = {
        f"{path.name} reads {module}.py"
        for path in PACKAGE.glob("*.py")
        for tree in [ast.parse(path.read_text())]
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and any(ast.unparse(by) == "compiled" for by in node.decorator_list)
        for module, names in _imports(tree)
        if names & _names_in(node) and f"{module}.py" not in watched
    }
    assert unwatched == set()


def test_compiles_without_a_place_to_keep_what_it_compiled(monkeypatch: pytest.MonkeyPatch):
    def nowhere(self: FunctionCache, function: object) -> None:
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr(FunctionCache, "__init__", nowhere)

    assert compiled(lambda number: number + 1)(1) == 2


def test_nothing_is_compiled_at_import():
    code = (
        "from common import features, replay, counting, replay_points as points\n"
        "assert not any(f.signatures for f in (features._fill_rows, points._mark_first, counting._count_cells))"
    )

    subprocess.run([sys.executable, "-c", code], check=True, cwd=PACKAGE.parent)


def test_the_definition_is_compiled_once_for_every_path():
    users = simulated_users(3, users=4)
    block = canonical(users)
    history = CatalogHistory(Catalog.empty(), day_counts_of(block))
    travelled = pickle.loads(pickle.dumps(history))  # noqa: S301 - our own bytes
    (events, *_) = users.values()
    decision = decision_of("ann", events[-1], events[-1].time_us)

    for known in (history, travelled):
        example_table(block, known, horizon_us=1, log_end_us=0)
        vector(decision, events[-3:], known.last)
        vector(decision, [], known.last)

    assert len(features._fill_rows.signatures) == 1


def test_the_hash_names_the_sources_that_this_process_runs():
    assert len(sources_hash()) == 32


def _imports(tree: ast.Module) -> list[tuple[str, set[str]]]:
    """(module of this package, names taken from it)."""
    return [
        (node.module.removeprefix("common."), {alias.asname or alias.name for alias in node.names})
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("common.")
    ]


def _names_in(function: ast.FunctionDef) -> set[str]:
    decorators = {id(node) for by in function.decorator_list for node in ast.walk(by)}
    return {node.id for node in ast.walk(function) if isinstance(node, ast.Name) and id(node) not in decorators}
