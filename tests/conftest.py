"""Fixtures that every part of the suite shares. Nothing here needs a network, a hub or a GPU."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.live_server import LiveServer, serve_process

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Side by side, test processes share the cores: threads that wait for one another on a taken core only cost time, and so
# do idle ones that spin.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
_BESIDE = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // _BESIDE)))

# Neither how long an example takes nor how long it takes to draw some says anything on a slow or busy machine.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

ROOT = Path(__file__).resolve().parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_rows() -> Callable[[str], list[dict[str, Any]]]:
    """Rows of a file of the public test data; the test is skipped where the data is absent."""

    def rows(name: str) -> list[dict[str, Any]]:
        path = SHARED_DATA / name
        if not path.is_file():
            pytest.skip(f"the public test data file {name} is not beside this checkout (../shared/data)")
        return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]

    return rows


@pytest.fixture(scope="session")
def embedded_server() -> Iterator[LiveServer]:
    """The real service as its own process, all four scorers local, on the embedded models."""
    with serve_process({"REWRIGHT_DEADLINE_S": "600"}) as server:
        yield server
