"""6. A body costs at most a stated multiple of its size in memory, and never the event loop."""

import subprocess
import sys
import threading
import time

import httpx
import pytest

from tests.live_server import ROOT, serve_app
from tests.plain_scorers import plain_scorers

MOST = 32
"""Times its own size that a body may cost, as `service/http/request_body.py` says."""

FLOODS = {
    "groups of zeros": ('{"groups":[', "0", "]}"),
    "groups of lists": ('{"groups":[', "[]", "]}"),
    "candidates of zeros": ('{"groups":[{"candidates":[', "0", "]}]}"),
    "candidates of objects": ('{"groups":[{"candidates":[', "{}", "]}]}"),
    "flags of zeros": ('{"groups":[{"candidates":["a"],"feasible":[', "7", "]}]}"),
    "tiny groups": ('{"groups":[', '{"candidates":["a"]}', "]}"),
    "wrong groups": ('{"groups":[', '{"candidates":[]}', "]}"),
    "nested lists": ('{"groups":', "[", ""),
}
FIELDS = {
    "fields of a group": ('{"groups":[{"candidates":["a"],', "}]}"),
    "fields of the body": ('{"groups":[{"candidates":["a"]}],', "}"),
    "weights": ('{"groups":[{"candidates":["a"]}],"rule":{"weights":{', "}}}"),
}


def flood(name: str, size: int) -> bytes:
    if name in FIELDS:
        start, end = FIELDS[name]
        return (start + ",".join(f'"k{n}":0' for n in range(size // 10)) + end).encode()
    start, item, end = FLOODS[name]
    separator = "" if end == "" else ","
    return (start + separator.join([item] * (size // (len(item) + len(separator)))) + end).encode()


MEASURED = """
import resource, sys
from rewright.service.errors import RequestError
from rewright.service.http.request_body import _parse
from rewright.service.settings import LimitSettings
body = sys.stdin.buffer.read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    _parse(body, LimitSettings())
except RequestError as refusal:
    told = len(refusal.detail) if isinstance(refusal.detail, list) else 0
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024, told)
"""


@pytest.mark.parametrize("name", [*FLOODS, *FIELDS])
def test_it_is_refused_for_little_memory_and_after_the_first_few_errors(name):
    body = flood(name, 2 << 20)
    shown = subprocess.run(
        [sys.executable, "-c", MEASURED], input=body, capture_output=True, cwd=ROOT, check=True, timeout=120
    )
    grown, told = map(int, shown.stdout.split())
    assert grown <= MOST * len(body)
    assert told <= 5


def test_the_loop_answers_others_meanwhile():
    """Health is asked again and again while floods arrive: the longest gap is told apart from a loop that stood."""
    with serve_app(plain_scorers()) as server:
        over = threading.Event()
        answered: list[float] = []

        def ask() -> None:
            with httpx.Client(base_url=server.url, timeout=60) as client:
                while not over.is_set():
                    assert client.get("/healthz").status_code == 200
                    answered.append(time.monotonic())

        asking = threading.Thread(target=ask)
        asking.start()
        started = time.monotonic()
        for name in ("candidates of objects", "tiny groups", "weights"):
            body = flood(name, 8 << 20)
            assert httpx.post(f"{server.url}/v1/nll", content=body, timeout=120).status_code in (413, 422)
        over.set()
        asking.join()
        # Answers all along, not one before and one after: even a slow machine gives many in the time of three floods.
        inside = [moment for moment in answered if moment > started]
        assert len(inside) > 20


def test_a_limit_names_the_group_that_passes_it():
    groups = [{"candidates": ["a"] * 3000} for _ in range(30)]
    with serve_app(plain_scorers()) as server:
        answer = httpx.post(f"{server.url}/v1/nll", json={"groups": groups}, timeout=60)
    assert answer.status_code == 413
    assert "groups.21" in answer.json()["error"]["message"]
