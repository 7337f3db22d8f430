"""Who becomes champion: a bundle that passes its own gates and is not worse than the one that serves."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from common import holdout
from common.bundle import MANIFEST, Bundle, Manifest, open_bundle
from common.clock import from_datetime
from common.ensemble import Vector
from common.errors import BundleError, RegistryError
from common.feature_specs import SCHEMA_HASH
from common.members import Matrix
from training.comparison import Comparison, Contestant, Predict, Verdict, compare
from training.gates import Gate, against_champion, missed, of_schema, sentence, stored
from training.prediction import Predictor
from training.progress import Progress
from training.registry import Registered, Registry
from training.version_tags import FORCED, MISSED

BLOCK_ROWS = 65_536
COMPARISON = "comparison"
"""The tag of a version that keeps how it did against the champion of the time when it was trained."""
VectorsOf = Callable[[NDArray[np.intp]], Matrix]
"""The vectors (m, f) of some rows of a bundle's holdout, by their sorted numbers (m,)."""


@dataclass(frozen=True)
class Examination:
    """All gates of a candidate, and how it was compared with the champion, if it was."""

    gates: Sequence[Gate]
    comparison: Comparison | None
    note: str

    @property
    def missed(self) -> list[Gate]:
        """The gates that it missed."""
        return missed(self.gates)


def examine(registry: Registry, bundle: Bundle, x: VectorsOf | None = None) -> Examination:
    """Ask a bundle's own gates, as they were found when it was trained, and compare it with the present champion.

    Args:
        registry: who the champion is.
        bundle: the candidate.
        x: the vectors of its holdout; without them what they showed when it was trained is remembered, if it was held
            against the same champion, and else the two are compared on points that both held out alone.
    """
    gates = [*stored(bundle.manifest.metrics), of_schema(bundle.manifest.feature_schema)]
    champion = registry.champion()
    if champion is None or champion.version == bundle.version:
        return Examination(gates, None, "no other champion to compare with")
    try:
        served, usable = _open_champion(registry, champion)
        opponent = contestant_of(served)
    except (BundleError, RegistryError) as error:
        return Examination(gates, None, f"champion {champion.version} cannot be compared with: {error.message}")
    predict = predicting(served, x) if x is not None and usable else None
    remembered = None if x is not None else _remembered(registry, bundle, champion)
    comparison = remembered or compare(contestant_of(bundle), opponent, predict)
    if comparison.verdict is Verdict.IMPOSSIBLE and not usable:
        return Examination(gates, comparison, f"this code cannot serve champion {champion.version}: nothing to defend")
    return Examination([*gates, against_champion(comparison)], comparison, comparison.message)


def hold_against_champion(registry: Registry, bundle: Bundle, progress: Progress, *, x: VectorsOf) -> Examination:
    """Examine a new bundle while the vectors of its holdout are at hand, and keep what came out with its version."""
    with progress.stage("compare with the champion") as stage:
        examined = examine(registry, bundle, x)
        stage.note(examined.note)
    if examined.comparison is not None:
        missed_now = json.dumps([sentence(gate) for gate in examined.missed])
        tags = {COMPARISON: json.dumps(examined.comparison.as_dict()), MISSED: missed_now}
        registry.tag(registry.find(bundle.version), tags)
    return examined


def promote_if_passed(registry: Registry, bundle: Bundle, examined: Examination, progress: Progress) -> Registered:
    """Promote a new bundle that passed every gate.

    Raises:
        RegistryError: says which gates were missed, and by how much.
    """
    require_passed(bundle.version, examined.missed)
    promoted = registry.promote(bundle.version)
    progress.print(f"champion is now {promoted.version}")
    return promoted


def promote_registered(registry: Registry, name: str, *, force: bool) -> tuple[Registered, str]:
    """Promote a version of the registry, past its gates if forced; gives it and what its examination found.

    Raises:
        RegistryError: there is no such version, or it missed a gate and nobody forces it.
        BundleError: its files are not what was trained, or this code could not serve it.
    """
    entry = registry.find(name)
    bundle = open_bundle(registry.fetch(entry), feature_schema=SCHEMA_HASH)
    examined = examine(registry, bundle)
    if not force:
        require_passed(bundle.version, examined.missed)
    elif examined.missed:
        registry.tag(entry, {FORCED: "; ".join(sentence(gate) for gate in examined.missed)})
    return registry.promote(entry.number), examined.note


def promote_sound(registry: Registry, bundle: Bundle) -> Registered:
    """Promote a bundle that passes its own gates, whoever serves: for one whose log is to be served from now on.

    Raises:
        RegistryError: says which gates were missed, and by how much.
    """
    require_passed(bundle.version, missed(stored(bundle.manifest.metrics)))
    return registry.promote(bundle.version)


def require_passed(version: str, gates: Sequence[Gate]) -> None:
    """Refuse a bundle that missed a gate.

    Raises:
        RegistryError: says which gates, by how much, and what to do.
    """
    if gates:
        remedies = dict.fromkeys(gate.remedy for gate in gates if gate.remedy)
        raise RegistryError(
            f"bundle {version} is registered but not promoted: {'; '.join(sentence(gate) for gate in gates)}",
            remedy=". ".join([*remedies, f"To serve it all the same: python -m training promote {version} --force"]),
        )


def contestant_of(bundle: Bundle) -> Contestant:
    """What a bundle brings to a comparison.

    Raises:
        BundleError: it does not say what it learned, or what it thought of points before it learned them.
    """
    manifest = bundle.manifest
    return Contestant(
        bundle.version,
        manifest.label_horizon_s,
        learned_to_us(bundle),
        holdout.read(bundle.file(holdout.FILE)),
    )


def learned_to_us(bundle: Bundle) -> int:
    """The time of the last point that the trees of a bundle were fitted on.

    Raises:
        BundleError: it does not say.
    """
    learned = bundle.manifest.data.get("learned", {})
    if "to" not in learned:
        raise BundleError(f"bundle {bundle.version} does not say what it learned from", remedy="Train again")
    return from_datetime(datetime.fromisoformat(learned["to"]))


def _open_champion(registry: Registry, champion: Registered) -> tuple[Bundle, bool]:
    """The champion, and whether this code could serve it; of one of another schema only the holdout is needed."""
    path = registry.fetch(champion)
    try:
        schema = Manifest.model_validate_json((path / MANIFEST).read_bytes()).feature_schema
    except (OSError, ValidationError) as error:
        raise BundleError(f"the manifest of {path} cannot be read: {error}") from error
    usable = schema == SCHEMA_HASH
    return open_bundle(path, feature_schema=schema, only=None if usable else [holdout.FILE]), usable


def _remembered(registry: Registry, bundle: Bundle, champion: Registered) -> Comparison | None:
    """How a bundle did against this champion when it was trained, if it was held against it."""
    text = registry.find(bundle.version).tags.get(COMPARISON)
    comparison = Comparison.from_dict(json.loads(text)) if text else None
    return comparison if comparison is not None and comparison.champion == champion.version else None


def predicting(champion: Bundle, x: VectorsOf) -> Predict:
    """What a bundle says of rows of a holdout whose vectors are known, a block at a time."""

    def predict(rows: NDArray[np.intp]) -> Vector:
        return Predictor(champion).ensemble_of(x(block) for block in _blocks(rows))

    return predict


def _blocks(rows: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    return (rows[start : start + BLOCK_ROWS] for start in range(0, len(rows), BLOCK_ROWS))
