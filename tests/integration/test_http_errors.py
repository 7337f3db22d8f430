import math
from pathlib import Path
from typing import Any

import pytest

from deployments.state.experiment_store import ExperimentStore
from tests.conftest import OwnRedis
from tests.integration.conftest import Api, replica
from tests.integration.test_http_predictions import BODY, VIEW

pytestmark = pytest.mark.anyio


def shape_of(body: Any) -> tuple[set[str], set[str]]:
    return set(body), set(body["error"])


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"user_id": "user 123"}, "user_id"),
        ({"user_id": ""}, "user_id"),
        ({"user_id": "a" * 101}, "user_id"),
        ({"product_id": "p\n"}, "product_id"),
        ({"price": 0}, "price"),
        ({"price": -1}, "price"),
        ({"price": 100_001}, "price"),
        ({"price": "cheap"}, "price"),
        ({"hour": 24}, "hour"),
        ({"hour": 1.5}, "hour"),
        ({"day_of_week": 7}, "day_of_week"),
        ({"is_weekend": 2}, "is_weekend"),
        ({"brand": "x" * 201}, "brand"),
        ({"prize": 3}, "prize"),
        ({"as_of": "yesterday"}, "as_of"),
        ({"as_of": "2999-01-01T00:00:00Z"}, "as_of"),
    ],
)
async def test_a_wrong_field_is_named(api: Api, change: dict[str, Any], field: str) -> None:
    response = await api.post("/predict_purchase", {**BODY, **change})

    body = response.json()
    assert response.status_code == 422
    assert shape_of(body) == ({"error"}, {"code", "message", "details"})
    assert [problem["field"] for problem in body["error"]["details"]] == [field]


async def test_the_documentations_own_user_is_valid(api: Api) -> None:
    assert (await api.post("/predict_purchase?explain=none", {**BODY, "user_id": "user_123"})).status_code == 200


@pytest.mark.parametrize("missing", sorted(set(BODY) - {"category_code", "brand"}))
async def test_a_missing_field_is_named(api: Api, missing: str) -> None:
    body = {name: value for name, value in BODY.items() if name != missing}

    response = await api.post("/predict_purchase", body)

    assert response.status_code == 422
    assert response.json()["error"]["details"][0]["field"] == missing


async def test_what_is_not_json_is_400(api: Api) -> None:
    for content in (b"", b"{", b"price=3", b'{"price": NaN}'):
        response = await api.client.post("/predict_purchase", content=content, headers=api.headers)
        assert response.status_code in (400, 422), content
        assert shape_of(response.json()) == ({"error"}, {"code", "message", "details"})


async def test_a_body_over_the_limit_is_413(api: Api) -> None:
    response = await api.client.post("/predict_purchase", content=b" " * (1 << 20) + b"{}", headers=api.headers)

    assert response.status_code == 413
    assert response.json()["error"]["code"] == "body_too_large"


async def test_more_than_a_thousand_decisions_are_refused(api: Api) -> None:
    response = await api.post("/batch_predict", [BODY] * 1001)

    assert response.status_code == 422


async def test_a_wrong_decision_in_a_batch_is_named_with_its_place(api: Api) -> None:
    response = await api.post("/batch_predict", [BODY, {**BODY, "price": -1}])

    assert response.json()["error"]["details"][0]["field"] == "1.price"


async def test_the_problems_of_a_body_that_is_full_of_them_are_not_all_listed(api: Api) -> None:
    some = await api.post("/predict_purchase", {**BODY, **{f"k{i}": 1 for i in range(500)}})
    many = await api.post("/predict_purchase", {**BODY, **{f"k{i}": 1 for i in range(20_000)}})

    assert some.status_code == many.status_code == 422
    assert len(some.json()["error"]["details"]) == 100
    assert shape_of(many.json()) == ({"error"}, {"code", "message", "details"})
    assert len(many.content) < 1_000


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"event_type": "wish"}, "event_type"),
        ({"price": math.pi * 1e6}, "price"),
        ({"user_session": None}, "user_session"),
        ({"event_time": "1470000000"}, "event_time"),
        ({"event_time": 1470000000}, "event_time"),
        ({"event_time": "2999-01-01"}, "event_time"),
    ],
)
async def test_a_wrong_event_is_named_and_nothing_is_stored(api: Api, change: dict[str, Any], field: str) -> None:
    response = await api.post("/events", {**VIEW, **change})

    assert response.status_code == 422
    assert response.json()["error"]["details"][0]["field"] == field


async def test_unknown_paths_and_methods_have_the_one_shape(api: Api) -> None:
    for response, status in ((await api.get("/nowhere"), 404), (await api.get("/predict_purchase"), 405)):
        assert response.status_code == status
        assert shape_of(response.json()) == ({"error"}, {"code", "message", "details"})


async def test_a_wrong_query_is_named(api: Api) -> None:
    response = await api.post("/predict_purchase?explain=magic", BODY)

    assert response.status_code == 422
    assert response.json()["error"]["details"][0]["field"] == "explain"


async def test_the_same_experiment_twice_is_one_and_another_body_is_a_conflict(api: Api) -> None:
    body = {
        "experiment_id": "x1",
        "variants": ["ensemble", "xgboost"],
        "traffic_split": {"ensemble": 0.5, "xgboost": 0.5},
        "primary_metric": "conversion",
    }
    unknown = {**body, "variants": ["ensemble", "oracle"], "traffic_split": {"ensemble": 0.5, "oracle": 0.5}}
    uneven = {**body, "traffic_split": {"ensemble": 0.5, "xgboost": 0.6}}

    assert (await api.post("/ab_test_config", body)).status_code == 200
    assert (await api.post("/ab_test_config", body)).status_code == 200
    assert (await api.post("/ab_test_config", {**body, "primary_metric": "revenue_per_user"})).status_code == 409
    assert (await api.post("/ab_test_config", unknown)).json()["error"]["details"][0]["field"] == "variants.1"
    assert (await api.post("/ab_test_config", uneven)).status_code == 422
    assert (await api.get("/ab_tests/nobody")).status_code == 404


async def test_with_redis_lost_predictions_go_on_and_events_are_refused(served_bundle, members, explainer, tmp_path):
    server = OwnRedis(tmp_path / "redis")
    try:
        async with replica(served_bundle, dict(members), explainer, server.url, tmp_path) as api:
            assert (await api.post("/events", VIEW)).status_code == 202
            server.kill()

            answer = await api.post("/predict_purchase", BODY)
            event = await api.post("/events", [VIEW, VIEW])
            metrics = await api.get("/metrics")

            assert answer.status_code == 200
            assert answer.json()["degraded"] == ["state"]
            assert event.status_code == 503
            assert "Retry-After" in event.headers
            assert "state_up 0.0" in metrics.text
            assert 'events_total{outcome="refused"} 2.0' in metrics.text
    finally:
        server.end()


async def test_exposures_of_the_last_moment_are_written_at_the_end(served_bundle, members, explainer, redis, redis_url):
    url = redis_url.rpartition("/")[0] + "/9"
    body = {
        "experiment_id": "x1",
        "variants": ["ensemble", "xgboost"],
        "traffic_split": {"ensemble": 0.5, "xgboost": 0.5},
        "primary_metric": "conversion",
    }
    async with replica(served_bundle, dict(members), explainer, url, Path()) as api:
        await api.post("/ab_test_config", body)
        await api.service.state._watch_experiments()
        for i in range(5):
            await api.post("/predict_purchase?explain=none", {**BODY, "user_id": f"u{i}", "experiment_id": "x1"})

    results = await ExperimentStore(redis).results("x1")
    assert sum(arm["users"] for arm in results["variants"].values()) == 5


async def test_who_is_shown_control_before_a_replica_knows_the_experiment_is_not_exposed(api: Api) -> None:
    body = {
        "experiment_id": "x1",
        "variants": ["ensemble", "xgboost"],
        "traffic_split": {"ensemble": 0.5, "xgboost": 0.5},
        "primary_metric": "conversion",
    }
    await api.post("/ab_test_config", body)
    state = api.service.state
    state._known = {}
    early = state.assign("x1", "ann")
    await state._watch_experiments()

    assert early == ("control", False)
    assert state.assign("x1", "ann").is_running
