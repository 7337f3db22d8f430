"""A bundle: one version of the ensemble as a directory whose every file is hashed in its manifest.

<version>/
    manifest.json             what it is (`Manifest`); the only file without a hash of its own
    members/catboost.cbm      native formats: nothing is unpickled when a bundle is loaded
    members/xgboost.ubj
    members/lightgbm.txt
    members/random_forest.onnx
    catalog.parquet           the statistics of products, brands and categories at the end of the log
    trees.parquet             all members as one table of trees, for explanations
    background.parquet        the rows that explanations are measured against
    reference.parquet         a sample of the vectors it was fitted on, for LIME and drift
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from common.ensemble import Calibration
from common.errors import BundleError

MANIFEST = "manifest.json"
FORMAT = 1
MEMBER_FILES = {
    "catboost": "members/catboost.cbm",
    "xgboost": "members/xgboost.ubj",
    "lightgbm": "members/lightgbm.txt",
    "random_forest": "members/random_forest.onnx",
}
MEMBER_KINDS = tuple(MEMBER_FILES)


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MemberEntry(_Record):
    """One base model: where it lies, what it weighs, how its margin becomes a probability."""

    name: str
    kind: str
    file: str
    weight: float = Field(ge=0.0, le=1.0)
    calibration: Calibration
    base_margin: float = Field(description="what the trees of trees.parquet start from, in log-odds")
    params: dict[str, Any] = Field(default_factory=dict)


class Probe(_Record):
    """Stored vectors and the probabilities that this bundle gave for them when it was made."""

    x: list[list[float]]
    members: dict[str, list[float]]
    ensemble: list[float]


class Manifest(_Record):
    """What a bundle is, where it comes from and how good it was on the untouched last part of its log."""

    format: int = FORMAT
    version: str
    created: str
    feature_schema: str = Field(description="the hash of the feature definition that it was fitted with")
    features: list[str]
    members: list[MemberEntry]
    threshold: float = Field(gt=0.0, lt=1.0, description="the probability from which a purchase is expected")
    label_horizon_s: int
    catalog_through_day: int = Field(description="the last day the catalog knows, days since 1970")
    metrics: dict[str, Any] = Field(default_factory=dict)
    importance: dict[str, float] = Field(default_factory=dict, description="mean |SHAP| on the background's peers")
    data: dict[str, Any] = Field(default_factory=dict, description="rows, time range, quarantine, splits")
    probe: Probe
    files: dict[str, str] = Field(default_factory=dict, description="SHA-256 of every file, by its path")

    @property
    def weights(self) -> dict[str, float]:
        """The learned weight of each member, in the order in which they are summed."""
        return {member.name: member.weight for member in self.members}

    @property
    def calibrations(self) -> dict[str, Calibration]:
        """The calibration of each member."""
        return {member.name: member.calibration for member in self.members}

    def member(self, name: str) -> MemberEntry:
        """The entry of one member.

        Raises:
            BundleError: there is no member of that name.
        """
        for entry in self.members:
            if entry.name == name:
                return entry
        raise BundleError(f"bundle {self.version} has no member {name!r}", remedy=f"It has {', '.join(self.weights)}")


class Bundle:
    """A directory whose manifest was read and whose files were checked against it."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest

    @property
    def version(self) -> str:
        """The bundle's version, as answers carry it."""
        return self.manifest.version

    def file(self, name: str) -> Path:
        """The path of a file of the bundle."""
        return self.path / name


def open_bundle(path: Path, *, feature_schema: str, only: Iterable[str] | None = None) -> Bundle:
    """The bundle at `path`, once its files are what its manifest says.

    Args:
        path: the bundle's directory.
        feature_schema: the hash of the feature definition of the running code.
        only: check and need these files alone (a replica that serves one member reads one file).

    Raises:
        BundleError: no bundle, an unreadable manifest, another feature schema, a missing or altered file.
    """
    manifest = _read_manifest(path)
    if manifest.feature_schema != feature_schema:
        raise BundleError(
            f"bundle {manifest.version} was fitted with feature schema {manifest.feature_schema}, "
            f"this code has {feature_schema}",
            remedy="Train again with this code, or serve the bundle with the code it was made by",
        )
    wanted = list(manifest.files) if only is None else list(only)
    for name in wanted:
        _check_file(path, name, manifest)
    return Bundle(path, manifest)


def seal_bundle(path: Path, manifest: Manifest) -> Bundle:
    """Hash every file below `path` into the manifest and write it: the last step of making a bundle."""
    files = {
        str(PurePosixPath(file.relative_to(path))): _sha256(file)
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name != MANIFEST
    }
    sealed = manifest.model_copy(update={"files": files})
    (path / MANIFEST).write_text(sealed.model_dump_json(indent=1), encoding="utf-8")
    return Bundle(path, sealed)


def _read_manifest(path: Path) -> Manifest:
    try:
        text = (path / MANIFEST).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"no readable bundle at {path}: {error}", remedy="Train one with: make run") from error
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BundleError(f"the manifest of {path} is not valid: {where}: {first['msg']}") from error
    if manifest.format != FORMAT:
        raise BundleError(f"bundle {manifest.version} has format {manifest.format}, this code reads {FORMAT}")
    return manifest


def _check_file(path: Path, name: str, manifest: Manifest) -> None:
    expected = manifest.files.get(name)
    if expected is None:
        raise BundleError(f"the manifest of bundle {manifest.version} does not list {name}")
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts:
        raise BundleError(f"the manifest of bundle {manifest.version} points outside of it: {name}")
    file = path / name
    if not file.is_file():
        raise BundleError(f"bundle {manifest.version} lacks {name}", remedy="Fetch it again from the registry")
    if _sha256(file) != expected:
        raise BundleError(
            f"{name} of bundle {manifest.version} is not the file that was trained: its SHA-256 differs",
            remedy="Fetch the bundle again from the registry",
        )


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
