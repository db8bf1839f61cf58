"""7. An empty, blank or unreadable key is an error at the start that says which; a comment is no key."""

import httpx
import pytest
from pydantic import SecretStr

from rewright.service.errors import SettingsError
from rewright.service.http.auth import Keys
from rewright.service.settings import Settings, load
from tests.live_server import serve_app
from tests.plain_scorers import plain_scorers


@pytest.mark.parametrize("keys", ['["real", ""]', '[" "]', '["real", "\\t"]'])
def test_an_empty_key_in_the_settings_is_refused_by_its_number(tmp_path, monkeypatch, keys):
    path = tmp_path / "settings.yaml"
    path.write_text(f"host: 0.0.0.0\napi_keys: {keys}\n")
    monkeypatch.setenv("REWRIGHT_CONFIG", str(path))
    with pytest.raises(SettingsError, match=r"api_keys.*number \d.*empty") as refusal:
        load()
    assert "real" not in refusal.value.message


@pytest.mark.parametrize("key", ["two words", "line\nend", "naïve", "\x00"])
def test_a_key_that_no_header_can_carry_is_refused(key):
    with pytest.raises(SettingsError, match="api_keys: key number 1"):
        Keys([SecretStr(key)], None)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "holds no key"),
        (b"\n  \n# only a comment\n", "holds no key"),
        ("secret".encode("utf-16"), "UTF-8"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"caf\xe9\n", "UTF-8"),
        (b"two words\n", "line 1"),
    ],
)
def test_a_file_without_a_usable_key_is_refused_at_the_start(tmp_path, content, told):
    file = tmp_path / "keys"
    file.write_bytes(content)
    with pytest.raises(SettingsError, match=f"api_keys_file.*{told}"):
        Keys([], file)


def test_comments_and_a_byte_order_mark_are_passed_over(tmp_path):
    file = tmp_path / "keys"
    file.write_bytes(b"\xef\xbb\xbf# keys of the trainers\nfirst\n\n  second  \n# first, until May\n")
    assert Keys([], file).now() == [b"first", b"second"]


def test_nobody_without_a_key_is_let_in(tmp_path):
    file = tmp_path / "keys"
    file.write_text("# a comment\nreal\n")
    body = {"groups": [{"problem": "p", "candidates": ["nll=1"]}]}
    with serve_app(plain_scorers(), Settings(api_keys_file=file)) as server:
        for header in (
            {},
            {"Authorization": "Bearer"},
            {"Authorization": "Bearer # a comment"},
            {"Authorization": ""},
        ):
            assert httpx.post(f"{server.url}/v1/nll", json=body, headers=header).status_code == 401
        assert (
            httpx.post(f"{server.url}/v1/nll", json=body, headers={"Authorization": "Bearer real"}).status_code == 200
        )
