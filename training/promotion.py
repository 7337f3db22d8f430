"""Who becomes champion: a bundle that passes its own gates and is not beaten by the one that serves."""

from common.bundle import Bundle, open_bundle
from common.errors import BundleError, RegistryError
from common.feature_specs import SCHEMA_HASH
from common.members import Matrix
from training.evaluation import Points
from training.gates import champion_gate, learned_later
from training.prediction import ensemble_probability
from training.progress import Progress
from training.registry import Registered, Registry


def promote_if_better(registry: Registry, bundle: Bundle, test: Points, X: Matrix, progress: Progress) -> Registered:
    """Promote a new bundle, held against the champion on the new bundle's untouched part.

    A champion that learned from those times or later ones is not compared: it would win by knowing the answers.

    Args:
        registry: where the bundle is registered.
        bundle: the new one.
        test: its untouched part.
        X: the vectors of that part (n, f).
        progress: shows the comparison.

    Raises:
        RegistryError: says which gate was missed, and by how much.
    """
    missed = list(bundle.manifest.metrics["missed_gates"])
    champion = registry.champion()
    if champion is not None and champion.version != bundle.version:
        with progress.stage("compare with the champion") as stage:
            served = _served(registry, champion)
            if served is None:
                stage.note(f"{champion.version} cannot be opened any more")
            elif learned_later(served.manifest.data, bundle.manifest.data):
                stage.note(f"none: {served.version} learned from times that this one is judged by, or later ones")
            else:
                missed += champion_gate(test, ensemble_probability(bundle, X), ensemble_probability(served, X))
                stage.note(served.version)
    require_passed(bundle, missed)
    promoted = registry.promote(bundle.version)
    progress.print(f"champion is now {promoted.version}")
    return promoted


def require_passed(bundle: Bundle, missed: list[str]) -> None:
    """Refuse a bundle that missed a gate.

    Raises:
        RegistryError: says which gate, and by how much.
    """
    if missed:
        raise RegistryError(
            f"bundle {bundle.version} is registered but not promoted: {'; '.join(missed)}",
            remedy=f"To serve it all the same: python -m training promote {bundle.version} --force",
        )


def _served(registry: Registry, champion: Registered) -> Bundle | None:
    try:
        return open_bundle(registry.fetch(champion), feature_schema=SCHEMA_HASH)
    except (BundleError, RegistryError):
        return None  # of another schema, or lost: this code could not serve it, so there is nothing to defend
