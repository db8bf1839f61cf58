"""A scorer from somebody else's package: one file and one entry point, and it is there on every way."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from rewright.clients.http_client import RewardClient
from rewright.clients.wire import NotFound, RewardScored
from tests.k8s.rendered import kubectl_kustomize
from tests.live_server import LiveServer, serve_app, serve_process
from tests.plain_scorers import plain_scorers
from tests.service.plugin_package import files_of_contributing, installed, rewritten

ROOT = Path(__file__).resolve().parents[2]
GROUP = {
    "problem": "p",
    "reference": "r",
    "candidates": ["ans=1 nll=0.5 e=0.1", "ans=1 nll=0.7 nll=0.7 e=0.2", "ans=0 no no no", " "],
}
"""Candidates of the plain scorers; as texts of words they have 8 of 8, 8 of 12 … different ones."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(tmp_path_factory.mktemp("plugin"), files_of_contributing())


def with_plugin(site: Path) -> dict[str, str]:
    return {"PYTHONPATH": f"{site}{os.pathsep}{ROOT}"}


@pytest.fixture(scope="module")
def pod(site: Path) -> Iterator[LiveServer]:
    """The plug-in alone in a process, as in a pod of its own."""
    with serve_process({**with_plugin(site), "REWRIGHT_ONLY": "variety"}) as server:
        yield server


@pytest.fixture(scope="module")
def gateway(site: Path, pod: LiveServer) -> Iterator[LiveServer]:
    """Every scorer elsewhere: the plug-in in its pod, the built-in ones as plain stand-ins."""
    with serve_app(plain_scorers()) as others:
        urls = dict.fromkeys(("VERIFY", "JUDGE", "NLL", "DIVERSITY"), others.url) | {"VARIETY": pod.url}
        settings = {f"REWRIGHT_SCORERS__{name}__WHERE": "remote" for name in urls}
        settings |= {f"REWRIGHT_SCORERS__{name}__URL": url for name, url in urls.items()}
        with serve_process({**with_plugin(site), **settings}) as server:
            yield server


def ratio(text: str) -> float:
    words = re.findall(r"\w+", text.lower())
    return len(set(words)) / len(words)


def test_the_pod_serves_it_alone(pod):
    with pod.client() as client:
        info = client.get("/v1/info").json()
        assert list(info["scorers"]) == ["variety"]
        assert info["settings"]["scorers"]["nll"]["where"] == "off"
        answer = client.post("/v1/variety", json={"groups": [{"candidates": ["a b a b", "one two", ""]}]}).json()
        items = answer["groups"][0]["candidates"]
        assert [item.get("score") for item in items] == [0.5, 1.0, None]
        assert items[2]["error"]["code"] == "no_words"
        assert answer["served_by"]["scorers"]["variety"] == {"version": 1, "lower_case": True}
        assert client.post("/v1/nll", json={"groups": [GROUP]}).json()["error"]["code"] == "scorer_off"


def test_openapi_info_and_metrics_have_it(gateway):
    with gateway.client() as client:
        described = client.get("/openapi.json").json()
        route = described["paths"]["/v1/variety"]["post"]
        assert route["summary"] == "Type-token ratio, in (0, 1]"
        assert {"VarietyAnswer", "VarietyGroup", "ScalarScored"} <= set(described["components"]["schemas"])
        client.post("/v1/variety", json={"groups": [GROUP]}).raise_for_status()
        info = client.get("/v1/info").json()
        assert info["settings"]["scorers"]["variety"]["where"] == "remote"
        assert info["scorers"]["variety"]["replicas"] == 1
        metrics = client.get("/metrics").text
        assert 'rewright_scores_total{outcome="scored",scorer="variety"}' in metrics
        assert 'rewright_scalar_count{scorer="variety"}' in metrics


def test_the_reward_counts_it_behind_the_gate(gateway):
    with RewardClient(gateway.url) as client:
        plain = client.reward([GROUP]).groups[0].candidates
        weighed = client.reward([GROUP], rule={"weights": {"variety": 0.5}}).groups[0].candidates
        for text, before, after in zip(GROUP["candidates"], plain, weighed, strict=True):
            assert isinstance(before, RewardScored) and isinstance(after, RewardScored)
            if before.gate == "open":
                assert after.scores == {"variety": pytest.approx(ratio(text))}
                assert after.total == pytest.approx(before.total + 0.5 * ratio(text))
            else:
                assert (after.scores, after.total) == ({}, 0.0)
        scored = client.score("variety", [GROUP]).groups[0].candidates
        assert [item.score for item in scored[:3]] == [pytest.approx(ratio(t)) for t in GROUP["candidates"][:3]]
        with pytest.raises(NotFound):
            client.score("nosuch", [GROUP])


def test_the_command_line_reaches_it(gateway, tmp_path):
    (tmp_path / "groups.jsonl").write_text(json.dumps(GROUP) + "\n")
    command = [sys.executable, "-m", "rewright.clients.cli.main", "score", "groups.jsonl", "--url", gateway.url]
    done = subprocess.run(
        [*command, "--out", "rewards.jsonl", "--weights", "variety=0.5"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (line,) = (tmp_path / "rewards.jsonl").read_text().splitlines()
    first = json.loads(line)["candidates"][0]
    assert first["scores"] == {"variety": pytest.approx(ratio(GROUP["candidates"][0]))}


@pytest.mark.parametrize(
    ("weights", "status", "named"),
    [
        ({"nosuch": 1.0}, 422, "rule.weights.nosuch"),
        ({"nll": 1.0}, 422, "rule.weights.nll"),
        ({"variety": "much"}, 422, "rule.weights.variety"),
    ],
)
def test_a_weight_that_cannot_count_is_named(gateway, weights, status, named):
    answer = httpx.post(f"{gateway.url}/v1/reward", json={"groups": [GROUP], "rule": {"weights": weights}}, timeout=60)
    assert answer.status_code == status
    assert named in answer.json()["error"]["message"]


def start(environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """The service with settings that end it at once."""
    return subprocess.run(
        [sys.executable, "-m", "rewright.service"],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("spoilt", "told"),
    [
        ("import no_such_library\n", "ModuleNotFoundError"),
        ("SPEC = 7\n", "must be a ScorerSpec"),
    ],
)
def test_a_broken_plugin_is_named_at_the_start(site, tmp_path, spoilt, told):
    broken = rewritten(site, tmp_path, spoilt)
    told_of(start({**with_plugin(broken), "REWRIGHT_SCORERS__VARIETY__WHERE": "local"}), "variety", told)


def test_an_entry_point_of_another_name_is_named_at_the_start(tmp_path):
    files = files_of_contributing()
    files["pyproject.toml"] = files["pyproject.toml"].replace("variety = ", "other = ")
    site = installed(tmp_path, files)
    told_of(start({**with_plugin(site), "REWRIGHT_SCORERS__OTHER__WHERE": "local"}), "other", "'variety'")


def told_of(ended: "subprocess.CompletedProcess[str]", name: str, told: str) -> None:
    assert ended.returncode == 2
    assert f"scorers.{name}" in ended.stderr and told in ended.stderr and "rewright-variety 0.1.0" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_broken_plugin_that_no_setting_names_does_no_harm(site, tmp_path):
    site = rewritten(site, tmp_path, "raise RuntimeError\n")
    code = "from rewright.service.settings import load; print([s.name for s in load().specs])"
    shown = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **with_plugin(site)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.strip() == "['verify', 'judge', 'nll', 'diversity']"


def test_a_name_that_nothing_has_is_told_with_those_that_there_are(site):
    ended = start({**with_plugin(site), "REWRIGHT_SCORERS__VARIETI__WHERE": "local"})
    assert ended.returncode == 2
    assert "scorers.varieti" in ended.stderr and "verify, judge, nll, diversity, variety" in ended.stderr


def test_its_pods_are_rendered_beside_the_others(site, tmp_path):
    k8s = tmp_path / "k8s"
    shutil.copytree(ROOT / "k8s", k8s)
    command = [sys.executable, "-m", "rewright.clients.cli.main", "pod-manifests", "variety"]
    environment = {**os.environ, **with_plugin(site)}
    subprocess.run(
        [*command, "--out", k8s / "components" / "variety"], env=environment, check=True, capture_output=True
    )
    overlay = k8s / "overlays" / "dev" / "kustomization.yaml"
    overlay.write_text(
        overlay.read_text().replace(
            "  - ../../components/nll\n", "  - ../../components/nll\n  - ../../components/variety\n"
        )
    )
    rendered = list(yaml.safe_load_all(kubectl_kustomize(overlay.parent)))
    named = {(o["kind"], o["metadata"]["name"]) for o in rendered}
    assert {("Deployment", "variety"), ("Service", "variety"), ("NetworkPolicy", "variety-from-reward")} <= named
    maps = {o["metadata"]["name"].rsplit("-", 1)[0]: o["data"] for o in rendered if o["kind"] == "ConfigMap"}
    assert maps["variety"] == {"REWRIGHT_ONLY": "variety"}
    assert maps["reward"]["REWRIGHT_SCORERS__VARIETY__URL"] == "http://variety:8000"


def test_a_built_in_scorer_costs_one_file_and_two_lines(tmp_path):
    """A copy of the packages with the example's file in it, and the registry told."""
    for package in ("service", "clients"):
        shutil.copytree(ROOT / package, tmp_path / "rewright" / package)
    shutil.copy(ROOT / "rewright" / "__init__.py", tmp_path / "rewright" / "__init__.py")
    scorers = tmp_path / "rewright" / "service" / "scorers"
    (scorers / "variety.py").write_text(files_of_contributing()["rewright_variety.py"])
    registry = (scorers / "registry.py").read_text()
    spec = "from rewright.service.scorers.spec import ScorerSpec\n"
    variety = "from rewright.service.scorers.variety import SPEC as VARIETY\n"
    told = registry.replace(spec, spec + variety).replace("NLL, DIVERSITY)", "NLL, DIVERSITY, VARIETY)")
    (scorers / "registry.py").write_text(told)
    assert len(set(told.splitlines()) - set(registry.splitlines())) == 2
    code = (
        "from rewright.service.http.app import create_app; from rewright.service.settings import load;"
        "from rewright.service.scorers.base import Scorers;"
        "print('/v1/variety' in create_app(load(), Scorers()).openapi()['paths'], load().scorers.variety.lower_case)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.stdout.strip() == "True True", shown.stderr
