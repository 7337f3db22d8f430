import asyncio
from typing import Any

import numpy as np
import pytest

from common.clock import from_datetime, now_us
from common.ensemble import combine
from common.errors import ConfigError
from common.events import Decision
from common.feature_specs import NAMES
from common.features import vector
from deployments.experiments import Experiment, assign
from deployments.http.models import UserData
from tests.integration.conftest import OPTIONS, Api, token

pytestmark = pytest.mark.anyio

BODY = {
    "user_id": "ann",
    "session_id": "now",
    "product_id": "p3",
    "category_code": "office",
    "brand": None,
    "price": 12.5,
    "hour": 14,
    "day_of_week": 2,
    "is_weekend": 0,
}
VIEW = {"event_type": "view", "product_id": "p3", "price": 12.5, "user_id": "ann", "user_session": "now"}
ANSWER_FIELDS = {
    "user_id", "purchase_probability", "recommendation", "model_used", "confidence_score", "business_insights",
    "feature_contributions", "ab_test_variant", "prediction_timestamp", "request_id", "bundle_version", "base_value",
    "members", "degraded",
}  # fmt: skip


async def test_an_answer_has_the_full_shape(api: Api) -> None:
    answer = (await api.post("/predict_purchase", BODY)).json()

    assert set(answer) == ANSWER_FIELDS
    assert 0.0 < answer["purchase_probability"] < 1.0
    assert set(answer["members"]) == {"catboost", "xgboost", "lightgbm", "random_forest"}
    assert len(answer["feature_contributions"]) == 10
    assert answer["degraded"] == []
    assert answer["model_used"] == "ensemble"
    assert answer["recommendation"]


async def test_the_probability_is_the_members_vote_on_the_defined_vector(api: Api) -> None:
    instant = "2016-08-06T12:00:00Z"
    body = {**BODY, "as_of": instant}

    answer = (await api.post("/predict_purchase?explain=none", body)).json()

    decision: Decision = UserData.model_validate(body).decision(now_us())
    assert decision.as_of_us == from_datetime(UserData.model_validate(body).as_of)  # type: ignore[arg-type]
    row = vector(decision, [], api.engine._keeper.history.as_of(decision.as_of_us))
    version = api.engine.manifest.version
    opinions = {
        name: np.frombuffer(await member.predict(version, row.tobytes()))  # type: ignore[attr-defined]
        for name, member in api.members.items()
    }
    assert answer["purchase_probability"] == combine(opinions, api.engine.manifest.weights)[0]


async def test_contributions_sum_to_the_probability(api: Api) -> None:
    explanation = (await api.post("/explain", BODY)).json()

    total = explanation["base_value"] + sum(explanation["contributions"].values())
    assert list(explanation["contributions"]) == list(NAMES)
    assert total == pytest.approx(explanation["purchase_probability"], abs=1e-6)
    for name, own in explanation["members"].items():
        answer = await api.post(
            "/predict_purchase?explain=none", {**BODY, "as_of": explanation["prediction_timestamp"]}
        )
        own_total = own["base_value"] + sum(own["contributions"].values())
        assert own_total == pytest.approx(answer.json()["members"][name], abs=1e-6)


async def test_lime_explains_every_feature_and_says_how_well(api: Api) -> None:
    explanation = (await api.post("/explain?method=lime", BODY)).json()

    surrogate = explanation["surrogate"]
    total = explanation["base_value"] + sum(explanation["contributions"].values())
    assert list(explanation["contributions"]) == list(NAMES)
    assert total == pytest.approx(surrogate["prediction"], abs=1e-9)
    assert surrogate["r2"] <= 1.0


async def test_an_event_changes_the_next_prediction(api: Api) -> None:
    body = {**BODY, "product_id": "p7"}
    before = (await api.post("/explain", body)).json()

    carted = {**VIEW, "event_type": "cart", "product_id": "p7"}
    assert (await api.post("/events", [VIEW, carted])).status_code == 202
    after = (await api.post("/explain", body)).json()

    assert after["purchase_probability"] != before["purchase_probability"]


async def test_an_event_with_the_same_id_is_stored_once(api: Api) -> None:
    first = await api.post("/events", {**VIEW, "event_id": "e1"})
    again = await api.post("/events", {**VIEW, "event_id": "e1"})

    assert first.json() == {"stored": 1, "duplicates": 0}
    assert again.json() == {"stored": 0, "duplicates": 1}


async def test_a_batch_is_answered_in_its_order_like_single_requests(api: Api) -> None:
    bodies = [{**BODY, "user_id": f"u{i}", "price": 1.0 + i, "as_of": "2016-08-06T12:00:00Z"} for i in range(40)]

    batch = (await api.post("/batch_predict", bodies)).json()
    alone = [(await api.post("/predict_purchase?explain=none", body)).json() for body in bodies[:5]]

    assert [answer["user_id"] for answer in batch] == [body["user_id"] for body in bodies]
    assert [answer["purchase_probability"] for answer in batch[:5]] == [a["purchase_probability"] for a in alone]
    assert (await api.post("/batch_predict", [])).json() == []


async def test_the_same_decision_comes_from_the_cache_and_another_price_does_not(api: Api) -> None:
    body = {**BODY, "as_of": "2016-08-06T12:00:00Z"}
    first = (await api.post("/predict_purchase?explain=none", body)).json()
    await api.service.state._write_behind()

    again = (await api.post("/predict_purchase?explain=none", body)).json()
    other = (await api.post("/predict_purchase?explain=none", {**body, "price": 13.0})).json()

    metrics = (await api.get("/metrics")).text
    assert again["purchase_probability"] == first["purchase_probability"]
    assert other["request_id"] != first["request_id"]
    assert 'cache_requests_total{outcome="hit"} 1.0' in metrics
    assert 'cache_requests_total{outcome="miss"} 2.0' in metrics


class Dead:
    async def predict(self, version: str, rows: bytes) -> bytes:
        raise RuntimeError("the replica died")


async def test_a_lost_member_costs_its_share_not_the_answer(api: Api) -> None:
    api.members["xgboost"] = Dead()

    answer = (await api.post("/predict_purchase", BODY)).json()

    weights = {name: w for name, w in api.engine.manifest.weights.items() if name != "xgboost"}
    vote = sum(w * answer["members"][name] for name, w in weights.items()) / sum(weights.values())
    assert answer["degraded"] == ["member:xgboost"]
    assert answer["purchase_probability"] == pytest.approx(vote, abs=1e-12)
    assert "xgboost" not in answer["members"]


async def test_contributions_add_up_without_the_lost_member_too(api: Api) -> None:
    api.members["catboost"] = Dead()

    explanation = (await api.post("/explain", BODY)).json()

    total = explanation["base_value"] + sum(explanation["contributions"].values())
    assert total == pytest.approx(explanation["purchase_probability"], abs=1e-6)
    assert explanation["degraded"] == ["member:catboost"]


async def test_without_any_member_the_answer_is_503_with_retry_after(api: Api) -> None:
    for name in list(api.members):
        api.members[name] = Dead()

    response = await api.post("/predict_purchase", BODY)

    assert response.status_code == 503
    assert response.json()["error"]["code"] == "members_unavailable"
    assert int(response.headers["Retry-After"]) >= 1


async def test_without_the_explainer_the_prediction_stands(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    class Lost:
        async def shap(self, *_: object) -> None:
            raise RuntimeError("the replica died")

    monkeypatch.setattr(api.engine, "_explainer", Lost())
    answer = (await api.post("/predict_purchase", BODY)).json()
    full = await api.post("/explain", BODY)

    assert answer["degraded"] == ["explainer"]
    assert answer["feature_contributions"] == {}
    assert answer["base_value"] is None
    assert full.status_code == 503


async def test_an_explainer_that_hangs_does_not_hold_those_who_ask_later(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = api.engine._explainer

    class HangsOnce:
        asked = 0

        async def shap(self, *question: Any) -> Any:
            self.asked += 1
            if self.asked == 1:
                await asyncio.Event().wait()
            return await real.shap(*question)

    api.engine.configure(OPTIONS.model_copy(update={"explain_deadline_ms": 400.0}))
    monkeypatch.setattr(api.engine, "_explainer", HangsOnce())
    first = await api.post("/predict_purchase", BODY)
    second = await api.post("/predict_purchase", BODY)

    assert first.json()["degraded"] == ["explainer"]
    assert second.json()["degraded"] == []


async def test_the_operators_weights_take_the_place_of_the_learned_ones(api: Api) -> None:
    api.engine.configure(OPTIONS.model_copy(update={"weights": {"lightgbm": 3.0, "xgboost": 1.0}}))

    explanation = (await api.post("/explain", BODY)).json()
    answer = (await api.post("/predict_purchase", {**BODY, "as_of": explanation["prediction_timestamp"]})).json()

    vote = 0.75 * answer["members"]["lightgbm"] + 0.25 * answer["members"]["xgboost"]
    total = explanation["base_value"] + sum(explanation["contributions"].values())
    assert answer["purchase_probability"] == pytest.approx(vote, abs=1e-12)
    assert total == pytest.approx(vote, abs=1e-6)


async def test_without_the_only_weighted_member_the_others_vote(api: Api) -> None:
    api.engine.configure(OPTIONS.model_copy(update={"weights": {"catboost": 1.0}}))
    api.members["catboost"] = Dead()

    answer = (await api.post("/predict_purchase", BODY)).json()

    assert answer["purchase_probability"] == pytest.approx(np.mean(list(answer["members"].values())), abs=1e-12)
    assert answer["degraded"] == ["member:catboost"]


async def test_weights_of_a_member_that_is_not_there_are_refused(api: Api) -> None:
    before = api.engine.weights

    with pytest.raises(ConfigError, match="oracle"):
        api.engine.configure(OPTIONS.model_copy(update={"weights": {"oracle": 1.0}}))
    assert api.engine.weights == before


async def test_many_at_once_share_fan_outs(api: Api) -> None:
    asks = [api.post("/predict_purchase?explain=none", {**BODY, "price": 1.0 + i}) for i in range(50)]
    responses = await asyncio.gather(*asks)

    metrics = (await api.get("/metrics")).text
    calls = next(line for line in metrics.splitlines() if line.startswith('member_latency_seconds_count{member="cat'))
    assert {response.status_code for response in responses} == {200}
    assert float(calls.split()[1]) < 25


async def test_a_variant_that_names_a_member_answers_with_its_probability(api: Api) -> None:
    body = {
        "experiment_id": "x1",
        "variants": ["ensemble", "xgboost"],
        "traffic_split": {"ensemble": 0.5, "xgboost": 0.5},
        "primary_metric": "conversion",
    }
    assert (await api.post("/ab_test_config", body)).status_code == 200
    await api.service.state._watch_experiments()
    experiment = Experiment.model_validate(body)
    user = next(f"u{i}" for i in range(100) if assign(experiment, f"u{i}") == "xgboost")

    answer = (await api.post("/predict_purchase", {**BODY, "user_id": user, "experiment_id": "x1"})).json()
    await api.service.state._write_behind()
    results = (await api.get("/ab_tests/x1/results")).json()

    assert answer["ab_test_variant"] == answer["model_used"] == "xgboost"
    assert answer["purchase_probability"] == answer["members"]["xgboost"]
    assert results["variants"]["xgboost"]["users"] == 1
    assert 'ab_test_predictions_total{experiment="x1",variant="xgboost"} 1.0' in (await api.get("/metrics")).text


async def test_an_unknown_experiment_answers_control_and_is_counted(api: Api) -> None:
    answer = (await api.post("/predict_purchase?explain=none", {**BODY, "experiment_id": "nobody"})).json()

    assert answer["ab_test_variant"] == "control"
    assert answer["model_used"] == "ensemble"
    assert 'ab_test_predictions_total{experiment="unknown",variant="control"}' in (await api.get("/metrics")).text


async def test_ready_compares_every_member_with_its_bundles_probe(api: Api) -> None:
    good = await api.get("/ready")
    api.members["lightgbm"] = api.members["xgboost"]  # answers, but not what the bundle says
    api.service.readiness._report = None
    bad = await api.get("/ready")

    assert good.status_code == 200
    assert bad.status_code == 503
    assert bad.json()["parts"]["member:lightgbm"] != "ok"
    assert bad.json()["parts"]["member:xgboost"] == "ok"


async def test_predictions_lists_the_newest_first(api: Api) -> None:
    for n in range(3):
        await api.post("/predict_purchase?explain=none", BODY, **{"X-Request-Id": f"r{n}"})

    newest = (await api.get("/predictions?limit=2")).json()

    assert [record["request_id"] for record in newest] == ["r2", "r1"]


async def test_the_named_metrics_are_there(api: Api) -> None:
    await api.post("/predict_purchase?explain=none", BODY)

    text = (await api.get("/metrics")).text

    for name in (
        "predictions_total",
        "prediction_latency_seconds_bucket",
        "model_accuracy",
        "ab_test_predictions_total",
    ):
        assert name in text
    assert 'predictions_total{variant="ensemble"} 1.0' in text


async def test_a_token_without_the_scope_is_refused(api: Api) -> None:
    none = await api.client.post("/predict_purchase", json=BODY)
    weak = await api.client.post("/predict_purchase", json=BODY, headers=token("events"))

    assert none.status_code == 401
    assert none.headers["WWW-Authenticate"].startswith("Bearer")
    assert weak.status_code == 403
    assert 'scope="predict"' in weak.headers["WWW-Authenticate"]
