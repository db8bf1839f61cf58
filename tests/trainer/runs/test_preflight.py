"""What is found wrong before compute is spent, each with a clear message."""

import pytest
from pydantic import SecretStr

from rewright.service.models.chat_format import ChatFormat
from rewright.service.models.locating import Located
from rewright.service.models.rendering import Rendering
from rewright.service.settings import Settings
from rewright.trainer.errors import RecipeError, ServiceTrouble
from rewright.trainer.recipes.blocks import Reward
from rewright.trainer.runs.preflight import check_service, incompatibilities
from tests.live_server import free_port, serve_app
from tests.plain_scorers import PlainNll, PlainVerifier, plain_scorers
from tests.service.scorers.tiny_models import SWALLOWING_MARKS, TRIMS_AND_PRINTS_THE_DATE, tiny_tokenizer

CHAT = ChatFormat.of(tiny_tokenizer(TRIMS_AND_PRINTS_THE_DATE), Rendering(template_args={}, template_date="2025-01-01"))


class DescribedNll(PlainNll):
    def describe(self):
        return {
            "model": "some/model",
            "revision": "abc",
            "template": {"sha256": CHAT.template_sha256, "args": {"enable_thinking": False}, "date": "2024-05-06"},
        }


def reward(*urls, **options):
    return Reward(base_urls=urls, **options)


def test_a_good_service_says_how_it_renders():
    with serve_app(plain_scorers(nll=DescribedNll())) as server:
        served = check_service(reward(server.url))
    assert served.rendering == Rendering(template_args={"enable_thinking": False}, template_date="2024-05-06")
    assert incompatibilities(served, Located("x", "x", "abc"), CHAT) == []
    (other,) = incompatibilities(served, Located("mine", "x", "sha256:123"), CHAT)
    assert "some/model" in other and "mine" in other
    other_template = ChatFormat.of(
        tiny_tokenizer(SWALLOWING_MARKS), Rendering(template_args={}, template_date="2025-01-01")
    )
    assert "chat template" in incompatibilities(served, Located("x", "x", "abc"), other_template)[0]


def test_a_dead_address_is_named_with_its_fix():
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(ServiceTrouble, match=f"{url} cannot be used.*rewright serve"):
        check_service(reward(url), wait_s=1)


def test_an_address_of_something_else_is_named():
    with serve_app(plain_scorers()) as server, pytest.raises(ServiceTrouble, match="cannot be used"):
        check_service(reward(server.url + "/elsewhere"))


def test_a_scorer_that_is_off_or_fails_is_found():
    with serve_app(plain_scorers(nll=None)) as server, pytest.raises(ServiceTrouble, match="off"):
        check_service(reward(server.url))

    class Failing(PlainVerifier):
        def _failure(self, facts):
            from rewright.service.schema import Failed

            return Failed.because("internal", "broken", retryable=False)

    with serve_app(plain_scorers(verify=Failing())) as server, pytest.raises(ServiceTrouble, match="cannot score"):
        check_service(reward(server.url))


def test_the_key_comes_from_a_file(tmp_path):
    key = tmp_path / "key"
    key.write_text("secret\n", encoding="utf-8")
    with serve_app(plain_scorers(), Settings(api_keys=frozenset({SecretStr("secret")}))) as server:
        check_service(reward(server.url, api_key_file=str(key)))
        with pytest.raises(ServiceTrouble, match="key"):
            check_service(reward(server.url))
    with pytest.raises(RecipeError, match="api_key_file"):
        check_service(reward("http://127.0.0.1:1", api_key_file=str(tmp_path / "absent")))


def test_replicas_that_score_with_other_models_are_refused():
    with (
        serve_app(plain_scorers()) as one,
        serve_app(plain_scorers(nll=DescribedNll())) as two,
        pytest.raises(ServiceTrouble, match="other models"),
    ):
        check_service(reward(one.url, two.url))
