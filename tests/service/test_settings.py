"""Settings: sources, refusals that name the key, and the rules across keys."""

import pytest

from rewright.service.errors import SettingsError
from rewright.service.settings import load


@pytest.fixture
def env(monkeypatch):
    return monkeypatch.setenv


def test_defaults_are_loopback_and_embedded():
    settings = load()
    assert (settings.host, settings.port, settings.deadline_s) == ("127.0.0.1", 8000, 120.0)
    assert settings.scorers.nll.model == settings.scorers.judge.model == settings.scorers.diversity.model == "embedded"


def test_the_environment_wins_over_the_file(env, tmp_path):
    path = tmp_path / "rewright.yaml"
    path.write_text("port: 9000\nscorers:\n  nll:\n    model: from-file\n    batch_tokens: 77\n")
    env("REWRIGHT_CONFIG", str(path))
    env("REWRIGHT_SCORERS__NLL__MODEL", "from-env")
    settings = load()
    assert (settings.port, settings.scorers.nll.model, settings.scorers.nll.batch_tokens) == (9000, "from-env", 77)


def test_lists_and_keys_are_comma_separated(env):
    env("REWRIGHT_API_KEYS", "a, b")
    env("REWRIGHT_SCORERS__JUDGE__BACKEND", "openai")
    env("REWRIGHT_SCORERS__JUDGE__MODEL", "judge")
    env("REWRIGHT_SCORERS__JUDGE__BASE_URLS", "http://a/v1,http://b/v1")
    settings = load()
    assert {k.get_secret_value() for k in settings.api_keys} == {"a", "b"}
    assert settings.scorers.judge.base_urls == ["http://a/v1", "http://b/v1"]
    assert "'a'" not in repr(settings)


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("REWRIGHT_PORTT", "1", "REWRIGHT_PORTT"),
        ("REWRIGHT_PORT", "http", "port"),
        ("REWRIGHT_SCORERS__NLL__MODLE", "x", "scorers.nll.modle"),
        ("REWRIGHT_SCORERS__NLI__MODEL", "x", "scorers.nli"),
        ("REWRIGHT_SCORERS__NLL__WHERE", "remote", "scorers.nll"),
        ("REWRIGHT_SCORERS__NLL__URL", "http://a", "scorers.nll"),
        ("REWRIGHT_SCORERS__JUDGE__BACKEND", "openai", "base_urls"),
        ("REWRIGHT_SCORERS__JUDGE__BASE_URLS", "http://u:p@a/v1", "api_key"),
        ("REWRIGHT_HOST", "0.0.0.0", "api_keys"),  # noqa: S104
        ("REWRIGHT_CONFIG", "/no/such/file.yaml", "REWRIGHT_CONFIG"),
    ],
)
def test_what_is_wrong_is_named(env, variable, value, named):
    env(variable, value)
    with pytest.raises(SettingsError, match=named.replace(".", r"\.")):
        load()


def test_other_addresses_need_a_key_or_a_word(env):
    env("REWRIGHT_HOST", "0.0.0.0")  # noqa: S104
    env("REWRIGHT_ALLOW_UNAUTHENTICATED", "true")
    assert load().allow_unauthenticated
    env("REWRIGHT_ALLOW_UNAUTHENTICATED", "false")
    env("REWRIGHT_API_KEYS", "k")
    assert load().api_keys


def test_unknown_keys_of_the_file_are_refused(env, tmp_path):
    path = tmp_path / "c.yaml"
    for content in ("prot: 1", "- a", "a: [", "scorers: {nll: {modle: x}}"):
        path.write_text(content)
        env("REWRIGHT_CONFIG", str(path))
        with pytest.raises(SettingsError):
            load()


def test_one_scorer_alone_is_one_setting(env, tmp_path):
    """A pod may share its gateway's file: where that sends the gateway, the pod is."""
    path = tmp_path / "shared.yaml"
    path.write_text("scorers:\n  nll: {where: remote, url: 'http://nll:8000', batch_tokens: 77}\n  judge: {model: m}\n")
    env("REWRIGHT_CONFIG", str(path))
    env("REWRIGHT_ONLY", "nll")
    settings = load()
    where = {spec.name: settings.block(spec.name).where for spec in settings.specs}
    assert where == {"verify": "off", "judge": "off", "nll": "local", "diversity": "off"}
    assert (settings.scorers.nll.batch_tokens, settings.scorers.nll.url) == (77, None)
    env("REWRIGHT_ONLY", "nil")
    with pytest.raises(SettingsError, match=r"nil.*known are verify, judge, nll, diversity"):
        load()
