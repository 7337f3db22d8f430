"""Whether this replica can answer, part by part."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import numpy as np

from common.bundle import Manifest
from common.clock import SECOND_US, Clock
from common.errors import StateUnavailable, UnavailableError
from deployments.members import MemberClient, ask_members

REMEMBERED_US = SECOND_US
"""How long a check stands: a burst of probes must not become a load of its own, microseconds."""

PROBE_TOLERANCE = 1e-6
"""How far a member may be from the probabilities that its bundle stored when it was made."""


@dataclass(frozen=True)
class Report:
    """Each part with `ok` or what is wrong; ready when everything that an answer needs is ok."""

    ready: bool
    parts: dict[str, str]


class Readiness:
    """Asks every part, and remembers the report for a second."""

    def __init__(
        self,
        manifest: Manifest,
        members: Mapping[str, MemberClient],
        *,
        state_alive: Callable[[], Awaitable[bool]],
        explainer_alive: Callable[[], Awaitable[bool]],
        catalog_rolled: Callable[[], bool],
        warm_up: Callable[[], Awaitable[object]],
        now_us: Clock,
        deadline_s: float = 2.0,
    ) -> None:
        self._manifest = manifest
        self._members = members
        self._state_alive = state_alive
        self._explainer_alive = explainer_alive
        self._catalog_rolled = catalog_rolled
        self._warm_up = warm_up
        self._is_warm = False
        self._now_us = now_us
        self._deadline_s = deadline_s
        self._lock = asyncio.Lock()
        self._report: Report | None = None
        self._checked_us = 0

    async def check(self) -> Report:
        """The report, at most a second old.

        Ready means: Redis answers, the explainer answers, and every member gives the probabilities that the bundle
        stored for its probe vectors. (Once serving, a lost part degrades answers; it is readiness that waits for all.)
        """
        async with self._lock:
            if self._report is None or self._now_us() - self._checked_us > REMEMBERED_US:
                self._report = await self._check()
                self._checked_us = self._now_us()
            return self._report

    async def _check(self) -> Report:
        state, explainer, members = await asyncio.gather(
            self._alive(self._state_alive), self._alive(self._explainer_alive), self._check_members()
        )
        catalog = "ok" if self._catalog_rolled() else "not yet rolled over the days since the bundle"
        parts = {"bundle": "ok", "catalog": catalog, "state": state, "explainer": explainer, **members}
        ready = all(verdict == "ok" for verdict in parts.values())
        if ready and not self._is_warm:
            parts["warm-up"] = await self._warmed_up()
            ready = self._is_warm = parts["warm-up"] == "ok"
        return Report(ready, parts)

    async def _warmed_up(self) -> str:
        """The first decision pays for connections and first uses: not the first client's."""
        try:
            async with asyncio.timeout(self._deadline_s):
                await self._warm_up()
        except (TimeoutError, UnavailableError) as error:
            return f"failed: {error!r}"
        return "ok"

    async def _alive(self, ask: Callable[[], Awaitable[bool]]) -> str:
        try:
            async with asyncio.timeout(self._deadline_s):
                return "ok" if await ask() else "does not answer"
        except (TimeoutError, StateUnavailable):
            return "does not answer"

    async def _check_members(self) -> dict[str, str]:
        probe = self._manifest.probe
        matrix = np.array(probe.x, dtype=np.float32)
        opinions = await ask_members(self._members, self._manifest.version, matrix, deadline_s=self._deadline_s)
        verdicts = {f"member:{name}": reason for name, reason in opinions.missing.items()}
        for name, values in opinions.probabilities.items():
            distance = float(np.abs(values - np.array(probe.members[name])).max())
            is_close = distance <= PROBE_TOLERANCE
            verdicts[f"member:{name}"] = "ok" if is_close else f"differs from its bundle's probe by {distance:.2g}"
        return verdicts
