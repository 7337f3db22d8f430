"""The registry of bundles: runs, versions and aliases of the model `cartcast` in MLflow.

Aliases: `champion` is what is served, `previous` what was before it, `challenger` the newest version. MLflow takes 3 s
to import, so it is imported when a registry is opened.
"""

import logging
import os
import tempfile
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.bundle import MANIFEST, Bundle, Manifest
from common.errors import RegistryError
from training.found import TrialRecord
from training.runs import Runs, best_so_far
from training.state import State
from training.version_tags import described

MODEL = "cartcast"
CHAMPION, PREVIOUS, CHALLENGER = "champion", "previous", "challenger"
_LOCAL = ("sqlite:", "file:")
SHOWN = ("log_loss", "roc_auc", "ece")


@dataclass(frozen=True)
class Registered:
    """A bundle version as the registry knows it; `aliases` are those that name it.

    `figures` are the ensemble's log loss, ROC AUC and ECE over all points of its untouched part; `tags` are all that
    the registry keeps beside, see `training.version_tags`.
    """

    number: str
    version: str
    path: str
    created_ms: int
    run_id: str
    aliases: tuple[str, ...]
    figures: dict[str, float]
    tags: Mapping[str, str] = field(default_factory=dict)


class Registry:
    """The registry at the tracking address of a state."""

    def __init__(self, state: State) -> None:
        """Connect; a local store that is not there yet is made.

        Raises:
            RegistryError: a server that does not answer.
        """
        # a server that is down would be asked for minutes
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # nothing is reported to anyone
        warnings.filterwarnings("ignore", module="mlflow")
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        for name in ("mlflow", "alembic"):  # importing MLflow has set them
            logging.getLogger(name).setLevel(logging.ERROR)
        self._error: type[Exception] = MlflowException
        self._local = state.tracking_uri.startswith(_LOCAL)
        self._artifacts, self._bundles, self._uri = state.artifacts, state.bundles, state.tracking_uri
        if self._local:
            state.make()
        try:
            self._client = MlflowClient(tracking_uri=state.tracking_uri, registry_uri=state.tracking_uri)
            self._runs = Runs(self._client, self._experiment_id())
        except MlflowException as error:
            first = str(error).splitlines()[0][:300]
            remedy = "Check MLFLOW_TRACKING_URI and the server it names"
            raise RegistryError(f"the registry does not answer: {first}", remedy=remedy) from error

    def register(self, bundle: Bundle, *, trials: Iterable[TrialRecord], settings: Mapping[str, Any]) -> Registered:
        """Record a training run and its bundle as the newest version.

        In the run is one for each member kind, and in that one for each trial: parameters, figures and loss curve.

        Raises:
            RegistryError: the registry does not answer any more.
        """
        try:
            return self._registered(bundle, trials, settings)
        except self._error as error:
            first = str(error).splitlines()[0][:300]
            raise RegistryError(
                f"bundle {bundle.version} is made but could not be registered: {first}",
                remedy=f"It lies in {bundle.path}. When the registry answers again, the same train with --resume "
                "skips the search",
            ) from error

    def _registered(self, bundle: Bundle, trials: Iterable[TrialRecord], settings: Mapping[str, Any]) -> Registered:
        manifest = bundle.manifest
        run_id = self._runs.add(f"train {bundle.version}", settings, _figures(manifest.metrics))
        records = list(trials)
        self._runs.add_search(records, run_id=run_id)
        for kind in dict.fromkeys([member.kind for member in manifest.members] + [trial.kind for trial in records]):
            self._add_kind(kind, [trial for trial in records if trial.kind == kind], manifest, parent=run_id)
        self._client.log_artifacts(run_id, str(bundle.path), "bundle")
        try:
            self._client.create_registered_model(MODEL)
        except self._error as error:
            if getattr(error, "error_code", "") != "RESOURCE_ALREADY_EXISTS":
                raise
        source = f"{self._client.get_run(run_id).info.artifact_uri}/bundle"
        figures = _figures(manifest.metrics)
        tags = {
            "bundle_version": bundle.version,
            "bundle_path": str(bundle.path.resolve()) if self._local else source,
            **{name: str(figures[f"all.{name}"]) for name in SHOWN if f"all.{name}" in figures},
            **described(manifest),
        }
        made = self._client.create_model_version(MODEL, source, run_id=run_id, tags=tags)
        self._client.set_registered_model_alias(MODEL, CHALLENGER, made.version)
        return self.find(bundle.version)

    def add_report(self, entry: Registered, directory: Path) -> None:
        """Keep the files of a report as artifacts of the run that made the version."""
        self._client.log_artifacts(entry.run_id, str(directory), "report")

    def tag(self, entry: Registered, tags: Mapping[str, str]) -> None:
        """Keep more beside a version."""
        for name, value in tags.items():
            self._client.set_model_version_tag(MODEL, entry.number, name, value)

    def versions(self) -> list[Registered]:
        """Every version, newest first."""
        aliases = self._aliases()
        found = [
            Registered(
                number=str(entry.version),
                version=entry.tags.get("bundle_version", ""),
                path=entry.tags.get("bundle_path", ""),
                created_ms=int(entry.creation_timestamp),
                run_id=str(entry.run_id),
                aliases=tuple(sorted(name for name, number in aliases.items() if number == str(entry.version))),
                figures={name: float(entry.tags[name]) for name in SHOWN if name in entry.tags},
                tags=dict(entry.tags),
            )
            for entry in self._client.search_model_versions(f"name='{MODEL}'")
        ]
        return sorted(found, key=lambda entry: int(entry.number), reverse=True)

    def find(self, name: str) -> Registered:
        """The version of that bundle version, number or alias.

        Raises:
            RegistryError: there is none.
        """
        versions = self.versions()
        for entry in versions:
            if name in (entry.version, entry.number, *entry.aliases):
                return entry
        known = ", ".join(entry.version for entry in versions) or "none; train one with: make run"
        raise RegistryError(f"there is no version {name} in the registry", remedy=f"It has: {known}")

    def champion(self) -> Registered | None:
        """The version that is served, if one was promoted."""
        return next((entry for entry in self.versions() if CHAMPION in entry.aliases), None)

    def promote(self, name: str) -> Registered:
        """Make a version the champion; the champion so far becomes `previous`.

        Raises:
            RegistryError: there is no such version.
        """
        chosen, before = self.find(name), self.champion()
        if before is not None and before.number == chosen.number:
            return chosen
        if before is not None:
            self._client.set_registered_model_alias(MODEL, PREVIOUS, before.number)
        self._client.set_registered_model_alias(MODEL, CHAMPION, chosen.number)
        return self.find(chosen.number)

    def rollback(self) -> Registered:
        """Make the previous champion the champion again; done twice, it is undone.

        Raises:
            RegistryError: there was none before.
        """
        previous = next((entry for entry in self.versions() if PREVIOUS in entry.aliases), None)
        if previous is None:
            raise RegistryError("there is no previous champion to go back to", remedy="See: python -m training list")
        return self.promote(previous.number)

    def fetch(self, entry: Registered) -> Path:
        """The directory of a version's bundle, downloaded where it lies elsewhere.

        Raises:
            RegistryError: its files are not to be had.
        """
        target = self._bundles / Path(entry.version).name
        for path in (Path(entry.path.removeprefix("file://")), target):
            if (path / MANIFEST).is_file():
                return path
        from mlflow.artifacts import download_artifacts

        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as beside:
                fetched = download_artifacts(artifact_uri=entry.path, dst_path=beside, tracking_uri=self._uri)
                Path(fetched).rename(target)
        except (self._error, OSError) as error:
            raise RegistryError(f"bundle {entry.version} is not to be had from {entry.path}: {error}") from error
        return target

    def _experiment_id(self) -> str:
        known = self._client.get_experiment_by_name(MODEL)
        if known is not None:
            return str(known.experiment_id)
        location = self._artifacts.as_uri() if self._local else None
        return str(self._client.create_experiment(MODEL, artifact_location=location))

    def _add_kind(self, kind: str, trials: list[TrialRecord], manifest: Manifest, *, parent: str) -> None:
        """The run of a member kind with its trials; a kind that was searched but left out has them alone."""
        history = list(best_so_far(trials))
        metrics = {"trials": float(len(trials))} | ({"tune_log_loss": history[-1][1]} if history else {})
        params: Mapping[str, Any] = {}
        for member in manifest.members:
            if member.kind == kind:
                metrics |= {"weight": member.weight} | _figures(manifest.metrics, member.name)
                params = member.params
        seconds = sum(trial.seconds for trial in trials)
        run = self._runs.add(kind, params, metrics, parent=parent, curves={"best_so_far": history}, seconds=seconds)
        self._runs.add_trials(trials, parent=run)

    def _aliases(self) -> dict[str, str]:
        try:
            return {name: str(number) for name, number in self._client.get_registered_model(MODEL).aliases.items()}
        except self._error as error:
            if getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST":
                return {}
            raise


def _figures(metrics: Mapping[str, Any], candidate: str = "ensemble") -> dict[str, float]:
    """The figures of one candidate, flat, as MLflow takes them: `view.log_loss` and the like."""
    return {
        f"{name}.{metric}": value
        for name, of_slice in metrics.get("slices", {}).items()
        for metric, value in of_slice["quality"].get(candidate, {}).items()
        if value is not None
    }
