"""The way to a champion on a real registry: gates, the comparison, force, and back; then with real trainings."""

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from common import holdout
from common.bundle import Bundle, seal_bundle
from common.clock import DAY_US, from_datetime, to_iso
from common.errors import RegistryError
from common.holdout import Holdout
from tests.bundles import small_bundle
from tests.logs import simulated_users
from training.gates import Gate, recorded
from training.prediction import ensemble_probability
from training.progress import Progress
from training.promotion import examine, hold_against_champion, promote_registered
from training.registry import Registry
from training.shop.traffic import Plan
from training.simulate import DEFAULT_START, simulate
from training.state import State
from training.version_tags import FORCED

RNG = np.random.default_rng(0)
TRUE_P = np.clip(RNG.beta(1, 7, 4_000), 1e-4, 1.0 - 1e-4)
HELD_OUT = Holdout(
    point=np.arange(4_000, dtype=np.uint64),
    user=RNG.integers(0, 1_500, 4_000).astype(np.uint64),
    as_of_us=np.sort(RNG.integers(20 * DAY_US, 30 * DAY_US, 4_000)),
    kind=np.zeros(4_000, np.int8),
    label=(RNG.random(4_000) < TRUE_P).astype(np.int8),
    ensemble=TRUE_P,
    members={},
)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> State:
    return State.from_environment({"CARTCAST_STATE_DIR": str(tmp_path_factory.mktemp("state"))})


@pytest.fixture(scope="module")
def registry(state: State) -> Registry:
    return Registry(state)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return small_bundle(tmp_path_factory.mktemp("bundles") / "small-1", simulated_users(31, users=90))


@dataclass(frozen=True)
class Shelf:
    """Where bundles are copied to and registered."""

    original: Bundle
    state: State
    registry: Registry

    def add(
        self,
        version: str,
        said: Holdout = HELD_OUT,
        *,
        learned_to_days: float = 30.0,
        schema: str | None = None,
        gates: tuple[Gate, ...] = (),
    ) -> Bundle:
        """A registered bundle that said so of its holdout."""
        path = self.state.bundles / version
        shutil.copytree(self.original.path, path)
        holdout.write(path / holdout.FILE, said)
        manifest = self.original.manifest.model_copy(
            update={
                "version": version,
                "feature_schema": schema or self.original.manifest.feature_schema,
                "data": {"learned": {"from": to_iso(0), "to": to_iso(int(learned_to_days * DAY_US))}},
                "metrics": {"slices": {}, **recorded(gates)},
            }
        )
        bundle = seal_bundle(path, manifest)
        self.registry.register(bundle, trials=[], settings={})
        return bundle


@pytest.fixture(scope="module")
def shelf(original: Bundle, state: State, registry: Registry) -> Shelf:
    return Shelf(original, state, registry)


def blunt(said: Holdout) -> Holdout:
    return Holdout(**{**said.__dict__, "ensemble": np.sqrt(said.ensemble) * 0.4})


def test_the_first_bundle_that_passes_its_own_gates_is_promoted(shelf, registry):
    shelf.add("first-1")
    promoted, note = promote_registered(registry, "first-1", force=False)
    assert "champion" in promoted.aliases
    assert note == "no other champion to compare with"


def test_a_bundle_as_good_as_the_champion_takes_over(shelf, registry):
    shelf.add("old-1")
    registry.promote("old-1")
    shelf.add("as-good-1")
    promoted, note = promote_registered(registry, "as-good-1", force=False)
    assert promoted.version == registry.champion().version == "as-good-1"
    assert note.startswith("not worse, beyond 1%, than old-1")


def test_a_worse_bundle_is_refused_by_how_much_and_serves_only_by_force(shelf, registry):
    shelf.add("good-1")
    registry.promote("good-1")
    shelf.add("blunt-1", blunt(HELD_OUT))

    with pytest.raises(
        RegistryError, match=r"champion: worse than good-1: log loss .*%, 95 % interval \+.* is allowed"
    ):
        promote_registered(registry, "blunt-1", force=False)
    assert registry.champion().version == "good-1"

    assert promote_registered(registry, "blunt-1", force=True)[0].version == "blunt-1"
    assert registry.find("blunt-1").tags[FORCED].startswith("champion: worse than good-1")
    assert registry.rollback().version == "good-1"


def test_a_gate_that_was_missed_in_training_is_named_with_its_remedy(shelf, registry):
    gate = Gate("calibration", passed=False, message="error 0.09, 0.02 is allowed", remedy="Train on a later log")
    shelf.add("crooked-1", gates=(gate,))
    expected = r"calibration: error 0.09, 0.02 is allowed.*Train on a later log.*promote crooked-1 --force"
    with pytest.raises(RegistryError, match=expected):
        promote_registered(registry, "crooked-1", force=False)


def test_a_bundle_of_an_older_log_does_not_replace_one_of_a_later(shelf, registry):
    shelf.add("later-1", learned_to_days=40.0)
    registry.promote("later-1")
    shelf.add("older-1")
    with pytest.raises(RegistryError, match="10 days later"):
        promote_registered(registry, "older-1", force=False)


def test_newer_points_are_judged_by_the_champions_own_files(shelf, registry, original):
    """The champion learned all up to day 22, and labels up to day 23: what is later can be asked of its files."""
    X = np.random.default_rng(1).random((len(HELD_OUT), len(original.manifest.features)), dtype=np.float32)
    said = Holdout(**{**HELD_OUT.__dict__, "ensemble": ensemble_probability(original, X)})
    nothing = HELD_OUT.rows(np.zeros(len(HELD_OUT), dtype=bool))
    shelf.add("earlier-1", nothing, learned_to_days=22.0)
    registry.promote("earlier-1")
    bundle = shelf.add("newer-1", said)

    compared = examine(registry, bundle, lambda rows: X[rows]).comparison

    assert compared.fresh == compared.points == int((HELD_OUT.as_of_us >= 23 * DAY_US).sum())
    assert compared.difference == 0.0
    assert examine(registry, bundle).comparison.verdict == "impossible"


def test_what_newer_points_showed_in_training_is_remembered_for_a_later_promotion(shelf, registry, original):
    nothing = HELD_OUT.rows(np.zeros(len(HELD_OUT), dtype=bool))
    shelf.add("before-1", nothing, learned_to_days=22.0)
    registry.promote("before-1")
    X = np.random.default_rng(1).random((len(HELD_OUT), len(original.manifest.features)), dtype=np.float32)
    bundle = shelf.add("after-1", Holdout(**{**HELD_OUT.__dict__, "ensemble": ensemble_probability(original, X)}))

    hold_against_champion(registry, bundle, Progress(Console(file=io.StringIO())), x=lambda rows: X[rows])

    promoted, note = promote_registered(registry, "after-1", force=False)
    assert promoted.version == "after-1"
    assert "newer than the champion" in note


def test_a_champion_of_another_schema_is_compared_by_its_holdout_and_else_not_defended(shelf, registry):
    shelf.add("foreign-1", schema="another")
    registry.promote("foreign-1")
    assert examine(registry, shelf.add("successor-1", blunt(HELD_OUT))).missed

    nothing = HELD_OUT.rows(np.zeros(len(HELD_OUT), dtype=bool))
    shelf.add("foreign-2", nothing, schema="another")
    registry.promote("foreign-2")
    examined = examine(registry, shelf.add("successor-2"))
    assert examined.missed == []
    assert "nothing to defend" in examined.note


def test_a_lost_champion_is_not_defended(shelf, registry):
    lost = shelf.add("lost-1")
    registry.promote("lost-1")
    (lost.path / "manifest.json").write_text("{")
    examined = examine(registry, shelf.add("heir-1"))
    assert examined.missed == []
    assert "lost-1 cannot be compared with" in examined.note


# --- with real trainings -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A shop of 40 days, its first 28 in a file of their own, and a state of its own."""
    directory = tmp_path_factory.mktemp("home")
    simulate(
        Plan(events=30_000, seed=3, start_us=from_datetime(DEFAULT_START), days=40),
        directory / "all.parquet",
        directory / "truth.parquet",
    )
    log = pq.read_table(directory / "all.parquet")
    cut = pa.scalar(DEFAULT_START + timedelta(days=28), log["event_time"].type)
    pq.write_table(log.filter(pc.less(log["event_time"], cut)), directory / "early.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CARTCAST_STATE_DIR", str(directory / "state"))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield directory


def main(arguments: Sequence[str]) -> int:
    """A command in a process of its own: Ray must not have been imported before its environment is set."""
    return subprocess.run([sys.executable, "-m", "training", *arguments], cwd=ROOT, check=False).returncode


ROOT = Path(__file__).resolve().parents[2]
SHORT = ("--trials", "1", "--time-budget-s", "30", "--seed", "1")


@pytest.fixture(scope="module")
def champion(home: Path) -> str:
    """The bundle that `ensure` made of the first 28 days."""
    assert main(["ensure", "--events", str(home / "early.parquet"), *SHORT]) == 0
    entry = Registry(State.from_environment()).champion()
    assert entry is not None
    return entry.version


def test_a_moved_or_touched_log_is_not_learned_again(home, champion, capfd):
    shutil.copy(home / "early.parquet", home / "moved.parquet")
    assert main(["ensure", "--events", str(home / "moved.parquet"), *SHORT]) == 0
    assert f"champion {champion} is there" in capfd.readouterr().err


def test_a_log_that_it_learned_cannot_judge_a_bundle_unless_it_is_told_to(home, champion, tmp_path, capfd):
    early = ["evaluate", "--events", str(home / "early.parquet")]
    assert main(early) == 2
    assert "it may know their labels. Give a log that goes on for longer" in capfd.readouterr().err

    assert main([*early, "--include-learned", "--json", str(tmp_path / "figures.json")]) == 0
    assert "IT HAS LEARNED" in capfd.readouterr().out
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["include_learned"] is True
    assert figures["points"]["learned"] == figures["points"]["judged"]


def test_a_later_log_judges_it_by_what_came_after(home, champion, tmp_path, capfd):
    arguments = ["--events", str(home / "all.parquet"), "--truth", str(home / "truth.parquet")]
    assert main(["evaluate", *arguments, "--json", str(tmp_path / "figures.json")]) == 0
    assert "earlier ones are left out" in capfd.readouterr().out
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["version"] == champion
    assert figures["points"]["judged"] == figures["slices"]["all"]["rows"] > 100
    assert figures["points"]["left_out"] > 1_000


def test_a_week_later_the_two_are_compared_on_what_neither_knew(home, champion, tmp_path, capfd):
    retrain = ["train", "--events", str(home / "all.parquet"), *SHORT, "--promote"]
    code, captured = main(retrain), capfd.readouterr()
    assert champion in captured.err
    assert "newer than the champion" in captured.err
    assert code == 0 or "error: bundle" in captured.err  # whether it passes hangs on a short search

    versions = ["--version", champion, "challenger"]
    later = ["evaluate", "--events", str(home / "all.parquet"), *versions, "--include-learned"]
    assert main([*later, "--json", str(tmp_path / "both.json")]) == 0
    both = json.loads((tmp_path / "both.json").read_text())["side_by_side"]
    assert both[0]["version"] == champion
    assert both[0]["difference"] == 0.0
    assert both[1]["interval"][0] < both[1]["difference"] < both[1]["interval"][1]
