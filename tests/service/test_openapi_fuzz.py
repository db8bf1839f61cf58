"""What the description promises holds for whatever fits it, and for what does not: no 5xx, no undocumented status."""

import pytest
from hypothesis import HealthCheck, settings

from tests.live_server import serve_app
from tests.plain_scorers import plain_scorers

schemathesis = pytest.importorskip("schemathesis")


@pytest.fixture(scope="module")
def described():
    with serve_app(plain_scorers()) as server:
        yield schemathesis.openapi.from_url(f"{server.url}/openapi.json")


schema = schemathesis.pytest.from_fixture("described")


@pytest.mark.slow
@schema.parametrize()
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_nothing_sent_gets_an_answer_that_is_not_described(case):
    checks = (schemathesis.checks.not_a_server_error, schemathesis.checks.CHECKS.get_one("status_code_conformance"))
    case.call_and_validate(checks=list(checks))
