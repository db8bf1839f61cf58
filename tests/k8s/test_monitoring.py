"""Dashboard, alerts and autoscalers name only what the service exports: read from /metrics of a live one.

Labels of metrics that only real scorers fill are checked against real pods in test_running_pods.
"""

import re

import pytest

from rewright.service.core.admission import Admission
from rewright.service.ops.metrics import Metrics
from rewright.service.schema import AnyGroup, ScalarScored
from tests.k8s.queries import (
    ADAPTER,
    DASHBOARD,
    all_queries,
    exported_by,
    labels_in,
    names_in,
    without_kind,
)
from tests.k8s.rendered import OVERLAYS, Rendered
from tests.live_server import serve_app
from tests.plain_scorers import plain_scorers


@pytest.fixture(scope="module")
def exported():
    with serve_app(plain_scorers()) as server, server.client() as client:
        texts = ["nll=0.5 e=0", "nll=0.7 e=0.5", "ans=0", "fail=out_of_memory@nll", ""]
        body = {"groups": [{"problem": "p", "reference": "r", "answer": "42", "candidates": texts}]}
        for endpoint in ("reward", "verify", "judge"):
            assert client.post(f"/v1/{endpoint}", json=body).status_code == 200
        assert client.post("/v1/reward", json={}).status_code == 422
        return exported_by([client.get("/metrics").text, _metrics_of_a_further_scorer()])


def _metrics_of_a_further_scorer() -> str:
    metrics = Metrics(plain_scorers(), Admission({}, waiting_bytes=1))
    metrics.note_scores("fluency", [AnyGroup.model_construct(id="g", candidates=[ScalarScored(score=0.5)])])
    return metrics.exposition().decode()


@pytest.mark.parametrize("query", [pytest.param(query, id=where) for where, query in all_queries()])
def test_a_query_names_what_the_service_exports(query, exported):
    assert names_in(query)
    _are_there(names_in(query), exported)
    for name, labels in labels_in(query).items():
        assert not exported[name] or labels <= exported[name], name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_autoscaler_names_what_the_service_exports_and_the_adapter_passes_on(overlay, exported):
    passed_on = {re.match(r"\w+", rule["seriesQuery"])[0] for rule in ADAPTER["rules"]["custom"]}
    for autoscaler in Rendered(overlay).of("HorizontalPodAutoscaler"):
        for metric in autoscaler["spec"]["metrics"]:
            if metric["type"] == "Pods":
                assert metric["pods"]["metric"]["name"] in passed_on
                _are_there({metric["pods"]["metric"]["name"]}, exported)


def test_every_metric_of_the_service_is_on_the_dashboard(exported):
    shown = {without_kind(name) for where, query in all_queries() if where[0] == "d" for name in names_in(query)}
    # Counted elsewhere already, or of use only when something is looked into.
    assert {without_kind(name) for name in exported if name.startswith("rewright_")} - shown <= {
        "rewright_batch_items",
        "rewright_cache_errors",
        "rewright_group_mean",
        "rewright_queue_cost",
        "rewright_rate_candidates",
        "rewright_scores",
    }


def test_panels_do_not_overlap_and_have_ids_of_their_own():
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    taken = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + i, place["y"] + j) for i in range(place["w"]) for j in range(place["h"])}
        assert not cells & taken and place["x"] + place["w"] <= 24, panel["title"]
        taken |= cells


def _are_there(names, exported):
    missing = names - set(exported)
    assert not missing
