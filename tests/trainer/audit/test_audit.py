"""An SFT set looked through: every row counted once, gone on with after trouble, and a filtered copy without faults."""

import json

import pytest

from rewright.clients.http_client import RewardClient
from rewright.trainer.audit.audit import AuditSettings, audit
from rewright.trainer.errors import CorpusError, ServiceTrouble
from tests.live_server import serve_app
from tests.plain_scorers import plain_scorers

GOOD = "nll=0.5 ans=1 because nobody says otherwise"
ROWS = [
    {"id": "good", "problem": "What do 2 birds and 3 cats want?", "solution": GOOD, "answer": "42"},
    {
        "id": "wrong",
        "problem": "Where are 4 birds going now?",
        "solution": "nll=0.9 ans=0 said so by many",
        "answer": "41",
    },
    {"id": "own", "problem": "When will 5 birds come back?", "solution": "nll=0.7 and nothing else is known"},
    {
        "id": "false",
        "problem": "How far do 6 birds fly?",
        "solution": "nll=0.1 but 2 + 2 = 5 is what they say",
        "answer": "42",
    },
    {"id": "twin", "problem": "What do  2 birds and three cats want?", "solution": GOOD, "answer": "42"},
    {
        "id": "long",
        "problem": "Why do 7 birds sing at all?",
        "solution": "fail=too_long@nll some words more",
        "answer": "42",
    },
    {"id": "known", "problem": "which of 9 birds sings", "solution": GOOD, "answer": "42"},
    {"id": "hollow", "problem": "What is 8?", "solution": "  "},
]


@pytest.fixture(scope="module")
def server():
    with serve_app(plain_scorers()) as live:
        yield live


@pytest.fixture
def data(tmp_path):
    (tmp_path / "eval.jsonl").write_text('{"question": "Which of 9 birds sings?"}\n')
    file = tmp_path / "set.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return file


def settings_of(data, **changes):
    return AuditSettings(str(data), decontaminate=(str(data.parent / "eval.jsonl"),), **changes)


def test_every_row_is_counted_and_the_faulty_ones_are_left_out_of_the_copy(server, data, tmp_path):
    with RewardClient(server.url) as client:
        page = audit(settings_of(data), tmp_path / "out", client=client, filtered=tmp_path / "kept.jsonl")
    found = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert (found["rows"], found["used"], found["left_out"]) == (8, 7, {"empty": 1})
    assert found["answers"] == {"correct": 5, "wrong": 1, "no_gold": 1} and found["without_nll"] == {"too_long": 1}
    assert found["faults"] == {"answer wrong": 1, "certain fault": 1, "near_duplicate": 1, "contaminated": 1}
    assert found["nll"]["max"] == 0.9 and found["worst"][0] == {"row": 2, "id": "wrong", "nll": 0.9}
    kept = [json.loads(line)["id"] for line in (tmp_path / "kept.jsonl").read_text().splitlines()]
    assert kept == ["good", "own", "long"]
    text = page.read_text()
    assert text.count("data:image/png;base64") == 2 and "near_duplicate" in text and "is the question of eval" in text
    assert "<script" not in text


def test_an_audit_whose_service_went_away_goes_on_where_it_stood(server, data, tmp_path, monkeypatch):
    monkeypatch.setattr("rewright.trainer.audit.audit.BLOCK", 3)
    with RewardClient(server.url) as client:
        audit(settings_of(data), tmp_path / "whole", client=client)
    with serve_app(plain_scorers()) as other, RewardClient(other.url) as client:
        asked = []
        ask = client.nll

        def once(groups, **options):
            asked.append(len(groups))
            if len(asked) == 2:
                raise ServiceTrouble("away")
            return ask(groups, **options)

        monkeypatch.setattr(client, "nll", once)
        with pytest.raises(ServiceTrouble):
            audit(settings_of(data), tmp_path / "torn", client=client)
        with (tmp_path / "torn" / "rows.jsonl").open("ab") as rows:
            rows.write(b'{"id": "torn')
        audit(settings_of(data), tmp_path / "torn", client=client)
    for name in ("rows.jsonl", "audit.json", "report.html"):
        assert (tmp_path / "torn" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert sum(asked) == 7 + 3


def test_a_sample_is_the_same_each_time(server, data, tmp_path):
    with RewardClient(server.url) as client:
        for name in ("a", "b"):
            audit(settings_of(data, sample=4), tmp_path / name, client=client)
    assert (tmp_path / "a" / "rows.jsonl").read_bytes() == (tmp_path / "b" / "rows.jsonl").read_bytes()
    assert json.loads((tmp_path / "a" / "audit.json").read_text())["rows"] == 4


def test_texts_of_the_rows_are_quoted_as_texts(server, tmp_path):
    file = tmp_path / "set.jsonl"
    file.write_text(json.dumps({"prompt": "<script>alert(1)</script>", "completion": "nll=0.3 <b>so</b>"}) + "\n")
    with RewardClient(server.url) as client:
        page = audit(AuditSettings(str(file)), tmp_path / "out", client=client)
    assert "<script>alert" not in page.read_text() and "&lt;script&gt;" in page.read_text()


def test_a_set_of_no_use_is_said_to_be_so(server, tmp_path):
    file = tmp_path / "set.jsonl"
    file.write_text('{"messages": [{"role": "user", "content": "q"}]}\n')
    with RewardClient(server.url) as client, pytest.raises(CorpusError, match=r"none of its 1 rows.*not_assistant"):
        audit(AuditSettings(str(file)), tmp_path / "out", client=client)
