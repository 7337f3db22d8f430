"""What the OpenAPI document says of routes that read their bodies themselves.

Bodies are validated by pydantic straight from the bytes, which is faster than FastAPI's own way through parsed
objects; the document must then be told their shape.
"""

from typing import Any

from pydantic import BaseModel

from deployments.experiments import Experiment
from deployments.http.models import Answer, ErrorAnswer, EventIn, EventsAccepted, ExplanationAnswer, UserData

_REF = "#/components/schemas/"
_DESCRIPTIONS = {
    400: "not JSON",
    401: "no token, or one that is not valid",
    403: "the token lacks the scope",
    404: "no such thing",
    409: "the same id with another body",
    413: "the body is too large",
    422: "a field is missing or wrong; `details` names it",
    503: "not available now; see Retry-After",
}

DOCUMENTED: tuple[type[BaseModel], ...] = (
    UserData,
    EventIn,
    Answer,
    EventsAccepted,
    ExplanationAnswer,
    Experiment,
    ErrorAnswer,
)


def one(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of one body of a model."""
    return {"$ref": _REF + model.__name__}


def many(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of a list of bodies of a model."""
    return {"type": "array", "items": one(model)}


def operation(scope: str, schema: dict[str, Any] | None = None, example: Any = None) -> dict[str, Any]:
    """The `openapi_extra` of a route that needs a scope and, perhaps, reads a body."""
    extra: dict[str, Any] = {"security": [{"bearer": []}], "x-scope": scope}
    if schema is not None:
        content: dict[str, Any] = {"schema": schema}
        if example is not None:
            content["example"] = example
        extra["requestBody"] = {"required": True, "content": {"application/json": content}}
    return extra


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route: each status with the one shape of errors."""
    return {status: {"model": ErrorAnswer, "description": _DESCRIPTIONS[status]} for status in statuses}


def example_of(model: type[BaseModel]) -> dict[str, Any]:
    """The example that a model declares."""
    schema_extra = model.model_config.get("json_schema_extra")
    if not isinstance(schema_extra, dict):
        raise TypeError(f"{model.__name__} declares no example")
    examples: Any = schema_extra["examples"]
    example: dict[str, Any] = examples[0]
    return example


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """The document with the schemas of hand-read bodies and the way to sign in."""
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for model in DOCUMENTED:
        schema = model.model_json_schema(ref_template=_REF + "{model}")
        for name, definition in schema.pop("$defs", {}).items():
            schemas.setdefault(name, definition)
        schemas.setdefault(model.__name__, schema)
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "deployments token"}
    }
    return document
