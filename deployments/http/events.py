"""The route that takes what happens in the shop."""

from collections.abc import Sequence

from fastapi import APIRouter, Request
from starlette.responses import Response

from deployments.http.models import EVENT, EVENT_LIST, EventIn, EventsAccepted
from deployments.http.openapi import errors, example_of, many, one, operation
from deployments.http.service import BATCH_LIMIT_BYTES, Service, json
from deployments.state.windows import StoredEvent, content_id


def routes(service: Service) -> APIRouter:
    """The event routes of one replica."""
    router = APIRouter(tags=["events"])

    @router.post(
        "/events",
        status_code=202,
        response_model=EventsAccepted,
        responses=errors(400, 401, 403, 413, 422, 503),
        openapi_extra=operation("events", {"anyOf": [one(EventIn), many(EventIn)]}, example_of(EventIn)),
    )
    async def events(request: Request) -> Response:
        """Store one event or a list; 202 means that all of them are stored.

        An event is known by its `event_id`: sent again, it counts once. Without an id it is known by its content, time
        included, so one without a time is a new event each time it is sent.
        """
        service.principal(request, "events")
        bodies, is_list = await _read(service, request)
        now_us = service.now_us()
        batch = [
            _stored(service, body, now_us, f"{i}.event_time" if is_list else "event_time")
            for i, body in enumerate(bodies)
        ]
        stored = await service.state.append(batch)
        return json({"stored": sum(stored), "duplicates": len(stored) - sum(stored)}, 202)

    return router


async def _read(service: Service, request: Request) -> tuple[Sequence[EventIn], bool]:
    """One event or a list of them: the first byte tells, so that errors name the field and not both shapes."""
    body = await service.body(request, BATCH_LIMIT_BYTES)
    if body.lstrip()[:1] == b"[":
        return EVENT_LIST.validate_json(body), True
    return [EVENT.validate_json(body)], False


def _stored(service: Service, body: EventIn, now_us: int, field: str) -> StoredEvent:
    event = body.event(now_us)
    service.check_time(event.time_us, now_us, field)
    return StoredEvent(body.user_id, event, body.event_id or content_id(body.user_id, event))
