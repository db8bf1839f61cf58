"""A service on scorers that stand at the protocol, one for each file of tests."""

import pytest

from tests.live_server import serve_app
from tests.plain_scorers import plain_scorers
from tests.service.http.wire import GROUP


@pytest.fixture(scope="module")
def server():
    with serve_app(plain_scorers()) as server:
        yield server


@pytest.fixture
def client(server):
    with server.client() as client:
        yield client
        # Whatever the test sent, the service goes on.
        assert client.post("/v1/reward", json={"groups": [GROUP]}).status_code == 200
