"""The overlays, run: every Deployment's command as a process with its own environment and probes, scored through."""

import json
import threading
from pathlib import Path

import httpx
import pytest

from tests.fake_openai import fake_openai
from tests.k8s.local_pods import running
from tests.k8s.queries import all_queries, exported_by, labels_in
from tests.k8s.rendered import KEYS, Rendered
from tests.waiting import until

# Five processes load models at once; on a busy machine that takes minutes.
pytestmark = pytest.mark.timeout(600)
ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = json.loads((ROOT / "examples" / "groups.json").read_text(encoding="utf-8"))
EXPECTED = json.loads((ROOT / "examples" / "groups.expected.json").read_text(encoding="utf-8"))
ONE_GROUP = {
    "groups": [
        {
            "id": "g",
            "problem": "What is 6 times 7?",
            "reference": "$6 \\cdot 7 = \\boxed{42}$",
            "candidates": ["Six sevens make \\boxed{42}.", "6 * 7 = 42, so \\boxed{42}.", "It is \\boxed{41}."],
        }
    ],
    "rule": {"variant": "soft"},
}
TWO_GROUPS = {"groups": [EXAMPLES["groups"][4], EXAMPLES["groups"][6]]}
EMBEDDED = {f"REWRIGHT_SCORERS__{name}__MODEL": "embedded" for name in ("NLL", "DIVERSITY")}


@pytest.fixture(scope="module")
def dev(tmp_path_factory):
    with running(Rendered("dev"), tmp_path_factory.mktemp("dev"), warm={"judge", "nll", "diversity"}) as pods:
        yield pods


def reward(pod, body, **headers):
    return httpx.post(f"{pod.url}/v1/reward", json=body, headers=headers, timeout=300)


def inside(pod):
    """Whether it has let a request in that it has not answered."""
    waiting = 'rewright_waiting_candidates{scorer="verify"} '
    lines = httpx.get(f"{pod.url}/metrics").text.splitlines()
    return any(float(line.removeprefix(waiting)) > 0 for line in lines if line.startswith(waiting))


def candidates(answer):
    assert answer.status_code == 200, answer.text
    return [c for g in answer.json()["groups"] for c in g["candidates"]]


def test_dev_scores_groups_through_its_gateway(dev):
    answer = reward(dev["reward"], TWO_GROUPS)
    for group in answer.json()["groups"]:
        assert [c["error"] for c in group["candidates"] if c["status"] == "failed"] == []
        assert [c["v_ans"] or 0 for c in group["candidates"]] == EXPECTED[group["id"]]
    # Everything was computed in the scorers' pods; who computed it travels with the answer.
    assert {s["where"] for s in answer.json()["served_by"]["scorers"].values()} == {"remote"}
    assert all(pod.passes("readinessProbe") for pod in dev.values())


def test_a_killed_scorer_pod_costs_its_scores_while_it_is_away_and_nothing_after(dev):
    before = candidates(reward(dev["reward"], ONE_GROUP))
    assert [c["error"] for c in before if c["status"] == "failed"] == []
    dev["nll"].kill()
    while_away = reward(dev["reward"], ONE_GROUP)
    assert dev["reward"].passes("readinessProbe") and dev["reward"].passes("livenessProbe")
    # Whole requests may be refused as well as items failed; either way it is retryable and no number.
    if while_away.status_code == 200:
        failed = [c for c in candidates(while_away) if c["status"] == "failed"]
        assert failed and all(c["total"] is None and c["error"]["retryable"] for c in failed)
    else:
        assert while_away.status_code == 503 and while_away.json()["error"]["retryable"]
    dev["nll"].start()
    dev["nll"].wait_until_ready()
    until(lambda: all(c["status"] == "scored" for c in candidates(reward(dev["reward"], ONE_GROUP))))
    after = candidates(reward(dev["reward"], ONE_GROUP))
    assert [c["nll"] for c in after] == pytest.approx([c["nll"] for c in before], abs=0.03)


def test_a_gateway_told_to_stop_finishes_what_it_accepted(dev):
    answers = []
    # Not what was scored before, so that no cache can be quicker than the signal.
    body = {"groups": EXAMPLES["groups"][2:3]}
    caller = threading.Thread(target=lambda: answers.append(reward(dev["reward"], body)))
    caller.start()
    try:
        until(lambda: answers or inside(dev["reward"]))
        assert dev["reward"].stop() == 0
    finally:
        caller.join()
        dev["reward"].start()
        dev["reward"].wait_until_ready()
    assert len(candidates(answers[0])) == len(body["groups"][0]["candidates"])
    assert "Traceback" not in dev["reward"].log()


def test_pods_export_what_dashboard_and_alerts_ask_for_with_its_labels(dev):
    candidates(reward(dev["reward"], ONE_GROUP))
    pages = [httpx.get(f"{pod.url}/metrics").text for pod in dev.values()]
    exported = exported_by(pages)
    for where, query in all_queries():
        for name, labels in labels_in(query).items():
            known = exported.get(name)  # absent: of further scorers, which no pod here has
            assert not known or labels <= known, f"{where}: {name}"


def test_nothing_was_written_outside_the_volumes(dev):
    reward(dev["reward"], ONE_GROUP)
    for pod in dev.values():
        assert list(pod.root.rglob("*")) == [], pod.name


def test_logs_are_json_lines_without_texts(dev):
    secret = "the-text-of-a-candidate \\boxed{42}"
    group = {**ONE_GROUP["groups"][0], "candidates": [secret]}
    candidates(reward(dev["reward"], {"groups": [group]}))
    for pod in dev.values():
        lines = pod.log().splitlines()
        others = [(place, line) for place, line in enumerate(lines) if not line.startswith("{")]
        assert lines and not others, (pod.name, others, lines[-20:])
        assert all("message" in json.loads(line) for line in lines), pod.name
        assert "the-text-of" not in pod.log()


@pytest.mark.slow
def test_split_scores_groups_with_keys_and_a_judge_behind_http(tmp_path):
    with (
        fake_openai() as vllm,
        running(Rendered("split"), tmp_path, elsewhere={"judge-model": vllm.port}, changed=EMBEDDED) as pods,
    ):
        assert reward(pods["reward"], ONE_GROUP).status_code == 401
        for key in KEYS["rewright-keys"]["api-keys"].split(","):
            scored = candidates(reward(pods["reward"], ONE_GROUP, Authorization=f"Bearer {key}"))
            assert [c["v_ans"] for c in scored] == [1, 1, 0]
            assert all(c["status"] == "scored" for c in scored)
        assert {h["Authorization"] for h in vllm.headers} == {"Bearer key-of-the-judge"}
        assert {r["model"] for r in vllm.requests} == {"Qwen/Qwen3-30B-A3B-Instruct-2507-FP8"}
        for pod in pods.values():
            assert "key-" not in pod.log() and list(pod.root.rglob("*")) == []
            assert pod.stop() == 0


@pytest.mark.slow
def test_single_pod_scores_groups_with_every_scorer_in_it(tmp_path):
    changed = EMBEDDED | {"REWRIGHT_SCORERS__JUDGE__MODEL": "embedded"}
    with running(Rendered("single-pod"), tmp_path, changed=changed) as pods:
        (pod,) = pods.values()
        assert reward(pod, ONE_GROUP).status_code == 401
        scored = candidates(reward(pod, ONE_GROUP, Authorization="Bearer key-to-come"))
        assert all(c["status"] == "scored" and c["nll"] is not None for c in scored)
        assert "key-" not in pod.log() and list(pod.root.rglob("*")) == []
        assert pod.stop() == 0
