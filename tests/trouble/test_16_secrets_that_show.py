"""Secrets in settings: never in `/v1/info`, in `served_by`, in a log line, or in the message of a broken start."""

import asyncio
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
import yaml
from fastapi import FastAPI
from pydantic import BaseModel, SecretStr

from rewright.service.core.redaction import redacted, redacted_text, secrets_in
from rewright.service.errors import SettingsError
from rewright.service.http.app import create_app
from rewright.service.settings import Settings, load
from rewright.service.wiring import opened_scorers
from tests.plain_scorers import PlainNll, plain_scorers

CANARY = "canaryk3y"
URL = f"http://{CANARY}:{CANARY}@host.example:81/v1?key={CANARY}&{CANARY}#{CANARY}"
DEEP = {
    "endpoint": URL,
    "hf_token": CANARY,
    "nested": [{"headers": {"Authorization": f"Bearer {CANARY}"}}, [{"dbPassword": 12345, "APIKEY": [CANARY]}]],
    "command": f"--token={CANARY} --size=3",
}


def string_settings(model: type[BaseModel], place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every field that can hold a string, with a value full of canaries."""
    for name, field in model.model_fields.items():
        kinds = {field.annotation, *get_args(field.annotation)}
        blocks = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if blocks:
            yield from string_settings(blocks[0], (*place, name))
        elif kinds & {str, SecretStr, Path} and not kinds & {Ellipsis, list[str]}:
            yield (*place, name), URL
        elif Any in kinds:
            yield (*place, name), DEEP
        elif "list" in str(field.annotation) or "tuple" in str(field.annotation):
            yield (*place, name), [URL]
        else:
            yield (*place, name), None


async def info_of(app: FastAPI, key: str) -> str:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
        answer = await client.get("/v1/info", headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 200
    return answer.text


FOUND = [(place, value) for place, value in string_settings(Settings) if value is not None]


def test_the_fields_are_found() -> None:
    places = {".".join(place) for place, _ in FOUND}
    assert {
        "host",
        "otlp_endpoint",
        "api_keys",
        "api_keys_file",
        "only",
        "cache.redis_url",
        "scorers.judge.base_urls",
        "scorers.judge.model",
        "scorers.judge.prompt",
        "scorers.nll.engine_args",
        "scorers.nll.api_key",
        "scorers.verify.url",
    } <= places


def nested(place: tuple[str, ...], value: Any) -> dict[str, Any]:
    return {place[0]: nested(place[1:], value) if len(place) > 1 else value}


@pytest.mark.parametrize(("place", "value"), FOUND, ids=[".".join(place) for place, _ in FOUND])
def test_no_setting_shows_a_secret(place: tuple[str, ...], value: Any, tmp_path: Path) -> None:
    """Each is either refused, by a message without it, or shown without it."""
    for shape in (value, [value], {"a": value}, f"x {value}"):
        content = nested(place, shape)
        if place[0] == "host":
            content["allow_unauthenticated"] = True
        elif place[:2] == ("scorers", "judge"):
            content["scorers"]["judge"] |= {"backend": "openai", "where": "local"}
            content["scorers"]["judge"].setdefault("model", "m")
            content["scorers"]["judge"].setdefault("base_urls", ["http://h/v1"])
        path = tmp_path / "settings.yaml"
        path.write_text(yaml.safe_dump(content))
        try:
            settings = load(path)
            app = create_app(settings, plain_scorers())
        except SettingsError as error:
            assert CANARY not in redacted_text(error.message)  # as `main` prints it
            continue
        key = settings.api_keys[0].get_secret_value() if settings.api_keys else "none"
        assert CANARY not in asyncio.run(info_of(app, key))


@pytest.mark.parametrize("variable", ["REWRIGHT_SCORERS", "REWRIGHT_CACHE", "REWRIGHT_SCORERS__NLL__ENGINE_ARGS"])
def test_a_broken_variable_is_named_and_not_shown(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, '{"redis_url": "' + CANARY)
    with pytest.raises(SettingsError) as refused:
        load()
    assert CANARY not in refused.value.message
    assert variable.removeprefix("REWRIGHT_").split("__")[0].lower() in refused.value.message


def test_a_start_that_fails_shows_no_secret_anywhere() -> None:
    """Of the whole process: what it prints and what it logs, tracebacks included."""
    off = {f"REWRIGHT_SCORERS__{name}__WHERE": "off" for name in ("VERIFY", "JUDGE", "DIVERSITY")}
    settings = {"REWRIGHT_SCORERS__NLL__MODEL": URL, "REWRIGHT_LOG_LEVEL": "debug", "REWRIGHT_PORT": "0"}
    ended = subprocess.run(
        [sys.executable, "-m", "rewright.service"],
        env={**os.environ, **off, **settings},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 2 and "scorers.nll.model" in ended.stderr
    assert CANARY not in ended.stderr + ended.stdout and "Traceback" not in ended.stderr


class Talkative(PlainNll):
    """A plug-in that describes itself with all that it was given."""

    def describe(self) -> dict[str, Any]:
        return {"model": "m", "settings": DEEP}


def test_what_a_scorer_says_of_itself_is_redacted_in_answers_too() -> None:
    app = create_app(Settings(), plain_scorers(nll=Talkative()))

    async def answers() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
            body = {"groups": [{"problem": "p", "answer": "1", "reference": "r", "candidates": ["nll=1"]}]}
            return [
                await client.get("/v1/info"),
                *[await client.post(f"/v1/{n}", json=body) for n in ("nll", "reward")],
            ]

    for answer in asyncio.run(answers()):
        assert answer.status_code == 200 and '"model":"m"' in answer.text and CANARY not in answer.text


def test_the_log_of_a_start_shows_none(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    off = {name: {"where": "off"} for name in ("verify", "nll", "diversity")}
    judge = {
        "backend": "openai",
        "model": URL,
        "base_urls": [f"http://127.0.0.1:9/v1?key={CANARY}"],
        "call_timeout_s": 1,
    }
    settings = Settings(scorers={**off, "judge": {**judge, "api_key": CANARY}})

    async def run() -> None:
        async with opened_scorers(settings):
            pass

    asyncio.run(run())
    assert any("opened judge" in record.message for record in caplog.records)
    assert not [r.message for r in caplog.records if r.name.startswith("rewright") and CANARY in r.message]


def test_redaction_keeps_what_is_no_secret() -> None:
    shown = {
        "url": "https://host:8/v1",
        "batch_tokens": 5,
        "max_tokens": None,
        "api_key": None,
        "api_keys_file": "/etc/keys",
        "monkey": "m",
        "score_end_of_turn": True,
        "model": "owner/name",
    }
    assert redacted(shown) == shown
    assert redacted_text("why? a/b? c=d, e = f and 3 + 4 = 7") == "why? a/b? c=d, e = f and 3 + 4 = 7"


@pytest.mark.parametrize(
    "text",
    [
        URL,
        f"cannot load {URL!r}: 404",
        f"redis://:{CANARY}@host/0",
        f"http://u:{CANARY}/{CANARY}@{CANARY}@host/",
        f"http://u:{CANARY}?{CANARY}@host/",
        f"http://host/#a?{CANARY}",
        f"http://host/?q=a@{CANARY}",
        f"Max retries exceeded with url: /v1/traces?key={CANARY} (Caused by X)",
        f"Authorization: Bearer {CANARY}",
        f"--api-key={CANARY}",
        f"AWS_SECRET_ACCESS_KEY={CANARY}",
    ],
)
def test_texts_lose_their_secrets(text: str) -> None:
    assert CANARY not in redacted_text(text)


def test_mappings_lose_theirs_and_name_them_for_other_messages() -> None:
    assert CANARY not in json.dumps(redacted(DEEP)) and "12345" not in json.dumps(redacted(DEEP))
    assert sorted(secrets_in(DEEP)) == sorted([CANARY, f"Bearer {CANARY}", "12345", CANARY])
