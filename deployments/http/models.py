"""The bodies that clients send and the answers that they get, with an example of each."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, TypeAdapter

from common.clock import from_datetime
from common.events import ID_PATTERN, KIND_BY_NAME, MAX_PRICE, MAX_TEXT, Decision, Event

MAX_BATCH = 1_000
"""The most decisions, or events, in one request."""


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("control characters are not allowed")
    return text


def _iso(value: Any) -> Any:
    # a bare number would be taken as seconds or as milliseconds, by its size
    if not isinstance(value, str | datetime) or (isinstance(value, str) and "-" not in value):
        raise ValueError("must be an ISO 8601 time such as 2026-01-31T12:00:00Z")
    return value


Moment = Annotated[datetime, BeforeValidator(_iso)]
Id = Annotated[str, StringConstraints(pattern=f"^{ID_PATTERN}$", strict=True)]
Text = Annotated[str, StringConstraints(max_length=MAX_TEXT, strict=True), AfterValidator(_printable)]
EventType = Literal["view", "cart", "remove_from_cart", "purchase"]
ExplainMethod = Literal["shap", "lime", "none"]

_AS_OF = "The instant the decision is about, ISO 8601; now if left out. Events after it are not seen."


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class UserData(_Body):
    """One decision: would this shopper, now in this session, buy this product at this price?"""

    user_id: Id
    session_id: Id
    product_id: Id
    category_code: Text | None = Field(None, description="null where the product has none")
    brand: Text | None = Field(None, description="null where the product has none")
    price: float = Field(gt=0.0, le=MAX_PRICE, description="the price shown, in the shop's currency")
    hour: int = Field(ge=0, le=23, description="hour of the day, UTC")
    day_of_week: int = Field(ge=0, le=6, description="0 is Monday")
    is_weekend: int = Field(ge=0, le=1)
    user_segment: Text | None = None
    experiment_id: Id | None = Field(None, description="the A/B test that this decision takes part in")
    as_of: Moment | None = Field(None, description=_AS_OF)

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "user_id": "user_123",
                    "session_id": "session_1",
                    "product_id": "product_1",
                    "category_code": "electronics.smartphone",
                    "brand": "samsung",
                    "price": 299.99,
                    "hour": 14,
                    "day_of_week": 2,
                    "is_weekend": 0,
                }
            ]
        }
    )

    def decision(self, now_us: int) -> Decision:
        """The question in the words of the feature definition."""
        return Decision(
            user=self.user_id,
            session=self.session_id,
            product=self.product_id,
            category=self.category_code or "",
            brand=self.brand or "",
            price=self.price,
            hour=self.hour,
            day_of_week=self.day_of_week,
            is_weekend=self.is_weekend,
            as_of_us=now_us if self.as_of is None else from_datetime(self.as_of),
        )


class EventIn(_Body):
    """One event, in the columns of the event log."""

    event_id: Id | None = Field(None, description="sent again with the same id, an event is stored once")
    event_time: Moment | None = Field(None, description="ISO 8601, UTC where it names no zone; now if left out")
    event_type: EventType
    product_id: Id
    category_id: Id | int | None = Field(None, description="accepted and ignored")
    category_code: Text | None = None
    brand: Text | None = None
    price: float = Field(ge=0.0, le=MAX_PRICE)
    user_id: Id
    user_session: Id

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "event_id": "e-1",
                    "event_type": "cart",
                    "product_id": "product_1",
                    "category_code": "electronics.smartphone",
                    "brand": "samsung",
                    "price": 299.99,
                    "user_id": "user_123",
                    "user_session": "session_1",
                }
            ]
        }
    )

    def event(self, now_us: int) -> Event:
        """The event in the words of the feature definition."""
        return Event(
            time_us=now_us if self.event_time is None else from_datetime(self.event_time),
            kind=int(KIND_BY_NAME[self.event_type]),
            product=self.product_id,
            session=self.user_session,
            price=self.price,
            category=self.category_code or "",
            brand=self.brand or "",
        )


class Answer(BaseModel):
    """What Cartcast says to one decision."""

    user_id: str
    purchase_probability: float = Field(ge=0.0, le=1.0, description="calibrated; of buying within the label horizon")
    recommendation: str
    model_used: str = Field(description="`ensemble`, or the member that an experiment's variant names")
    confidence_score: float = Field(
        ge=0.0, le=1.0, description="1 - 2 x the weighted standard deviation of the members' probabilities"
    )
    business_insights: list[str]
    feature_contributions: dict[str, float] = Field(description="the ten largest by size")
    ab_test_variant: str | None
    prediction_timestamp: str = Field(description="as_of, ISO 8601 UTC")
    request_id: str
    bundle_version: str
    base_value: float | None = Field(description="base_value + all contributions = purchase_probability (SHAP)")
    members: dict[str, float] = Field(description="each member's calibrated probability")
    degraded: list[str] = Field(description="what was missing: `state`, `member:<name>`, `explainer`")


class MemberExplanation(BaseModel):
    """One member's own share of an explanation."""

    base_value: float
    contributions: dict[str, float]


class ExplanationAnswer(BaseModel):
    """The full explanation of one decision: every feature, every member."""

    user_id: str
    method: Literal["shap", "lime"]
    purchase_probability: float
    base_value: float
    contributions: dict[str, float]
    members: dict[str, MemberExplanation] = Field(description="empty for LIME, which explains the ensemble only")
    surrogate: dict[str, float] | None = Field(
        None, description="LIME only: r2 and the local model's own prediction, which its terms sum to"
    )
    request_id: str
    bundle_version: str
    prediction_timestamp: str
    degraded: list[str]


class EventsAccepted(BaseModel):
    """What became of the events that were sent; all of them are stored when this is answered."""

    stored: int
    duplicates: int


class ErrorBody(BaseModel):
    """What went wrong."""

    code: str = Field(description="stable; for programs")
    message: str = Field(description="for people")
    details: Any = Field(description="for 422: a list of {field, message}")


class ErrorAnswer(BaseModel):
    """The one shape of every error."""

    error: ErrorBody


USER_DATA = TypeAdapter(UserData)
USER_DATA_LIST = TypeAdapter(Annotated[list[UserData], Field(max_length=MAX_BATCH)])
EVENT = TypeAdapter(EventIn)
EVENT_LIST = TypeAdapter(Annotated[list[EventIn], Field(min_length=1, max_length=MAX_BATCH)])
