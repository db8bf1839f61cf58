"""What the description promises holds for whatever fits it, and for what does not: no 5xx, no undocumented status."""

import pytest
from hypothesis import HealthCheck, given, settings

from tests.live_server import serve_app
from tests.plain_scorers import plain_scorers

schemathesis = pytest.importorskip("schemathesis")


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=lambda mode: mode.name)
def test_nothing_sent_gets_an_answer_that_is_not_described(mode):
    checks = [
        schemathesis.checks.not_a_server_error,
        schemathesis.checks.status_code_conformance,
        schemathesis.checks.content_type_conformance,
        schemathesis.checks.response_schema_conformance,
    ]
    with serve_app(plain_scorers()) as server:
        described = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
        paths = []
        for found in described.get_all_operations():
            operation = found.ok()
            paths.append(operation.path)

            @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
            @given(case=operation.as_strategy(generation_mode=mode))
            def fuzz(case):
                case.call_and_validate(checks=checks)

            fuzz()
        assert len(paths) == 9
