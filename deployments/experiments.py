"""Experiments: what is compared, and who sees what. Pure: the same user gets the same variant in every process.

Anyone can recompute an assignment. With `b2sum -l 64` (BLAKE2b of 8 bytes): the digest of the experiment's id, one
zero byte and the user's id, read as a big-endian number, its lowest 11 bits dropped, divided by 2**53, is a point in
[0, 1); the variants lie on that line in the order in which they are named, each as long as its share.
"""

import hashlib
import math
from collections.abc import Collection
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from common.errors import InputError, RequestError
from common.events import ID_PATTERN

MAX_VARIANTS = 10
SPLIT_TOLERANCE = 1e-9

Name = Annotated[str, StringConstraints(pattern=f"^{ID_PATTERN}$", strict=True)]
Share = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Metric = Literal["conversion", "revenue_per_user", "purchase_probability"]


class ExperimentConflict(InputError):
    """An experiment of this name is there with another definition, or there is no room for one more."""

    code = "conflict"


class ExperimentNotFound(InputError):
    """There is no experiment of this name."""

    code = "not_found"


class Experiment(BaseModel):
    """The definition of an experiment; it never changes. The first variant is the control."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "experiment_id": "ensemble-against-xgboost",
                    "variants": ["ensemble", "xgboost"],
                    "traffic_split": {"ensemble": 0.5, "xgboost": 0.5},
                    "primary_metric": "purchase_probability",
                }
            ]
        },
    )

    experiment_id: Name
    variants: tuple[Name, ...] = Field(
        min_length=2, max_length=MAX_VARIANTS, description="members, `ensemble` or aliases; the first is the control"
    )
    traffic_split: dict[str, Share] = Field(description="the share of users of each variant; all of them sum to 1")
    primary_metric: Metric

    @model_validator(mode="after")
    def _split_covers_the_variants(self) -> Self:
        if len(set(self.variants)) < len(self.variants):
            raise ValueError("variants: each may be named once")
        if set(self.traffic_split) != set(self.variants):
            raise ValueError("traffic_split: must name exactly the variants")
        if abs(math.fsum(self.traffic_split.values()) - 1.0) > SPLIT_TOLERANCE:
            raise ValueError("traffic_split: the shares must sum to 1")
        return self

    @property
    def control(self) -> str:
        """The variant that the others are compared with."""
        return self.variants[0]


class StoredExperiment(BaseModel):
    """An experiment and where it stands."""

    model_config = ConfigDict(frozen=True)

    experiment: Experiment
    phase: int = 1
    created_us: int
    stopped_us: int | None = None

    @property
    def status(self) -> Literal["running", "stopped"]:
        """Whether users are still assigned; outcomes of those who were join on either way."""
        return "running" if self.stopped_us is None else "stopped"


def check_variants(experiment: Experiment, known: Collection[str]) -> None:
    """Refuse a variant that nothing can serve.

    Raises:
        RequestError: names the field of each unknown variant.
    """
    fields = [
        {"field": f"variants.{i}", "message": f"{variant} is none of {', '.join(sorted(known))}"}
        for i, variant in enumerate(experiment.variants)
        if variant not in known
    ]
    if fields:
        raise RequestError(f"{fields[0]['field']}: {fields[0]['message']}", fields=fields)


def point(seed: str, user: str) -> float:
    """Where a user lies in [0, 1), evenly over users and independently over seeds."""
    digest = hashlib.blake2b(f"{seed}\0{user}".encode(), digest_size=8).digest()
    return float(int.from_bytes(digest, "big") >> 11) / 2.0**53


def assign(experiment: Experiment, user_id: str) -> str:
    """The variant that a user sees, always the same; a variant with share 0 is seen by nobody."""
    where, end = point(experiment.experiment_id, user_id), 0.0
    seen = ""
    for variant in experiment.variants:
        share = experiment.traffic_split[variant]
        if share > 0.0:
            seen, end = variant, end + share
            if where < end:
                break
    return seen  # the last one also where rounding leaves the shares a hair short of 1
