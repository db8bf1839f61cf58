"""The study's numbers from folders as a pipeline leaves them, against counts made by hand."""

import json

import pytest

from examples.study import tables
from examples.study.figure import draw
from examples.study.measures import Likelihoods, difference, shape, verdicts
from rewright.clients.wire import NllScored

OWN = "8+1=9; 9-2=7. The answer is \\boxed{7}."
BARE = "The answer is \\boxed{7}."
PROBLEM = "What is 8 + 1 - 2?"


def row(name, text, *, origin="rewrite", ratio=1.0):
    attempts = [{"text": text, "n_tokens": int(10 * ratio), "scores": {"r_task": int(origin != "reference")}}]
    return {
        "id": name,
        "prompt": [{"role": "user", "content": PROBLEM}],
        "completion": [{"role": "assistant", "content": text}],
        "origin": origin,
        "reference": "Take 8.",
        "reference_n_tokens": 10,
        "tokens_written": 10,
        "attempts": attempts,
    }


def step(work, name, file, rows):
    folder = work / f"{name}-1"
    folder.mkdir(parents=True)
    (folder / file).write_text("".join(json.dumps(r) + "\n" for r in rows))
    (work / "steps").mkdir(exist_ok=True)
    (work / "steps" / f"{name}.json").write_text(json.dumps({"folder": folder.name}))


def verdict(name, right):
    return {"id": name, "status": "scored", "correct": right}


def test_a_difference_is_paired_and_sides_are_told_by_its_interval():
    found = difference([(1, 0), (1, 0), (1, 1), (0, 0)])
    assert found.mean == 0.5 and found.half_width == pytest.approx(1.96 * (1 / 3) ** 0.5 / 2)
    assert found.side() == "undecided" and difference([(1, 0)]) is None
    assert difference([(2, 0), (2.1, 0)]).side() == "above" and difference([(0, 2), (0, 2.1)]).side() == "below"


def test_bare_answers_are_counted_among_all_that_was_written_passed_or_not():
    rows = {"a": row("a", OWN, ratio=2.0), "b": row("b", BARE, origin="reference", ratio=0.5)}
    assert shape(rows) == (0.5, 1.25)


def test_an_answer_without_a_verdict_is_an_error_and_no_number(tmp_path):
    step(tmp_path, "evaluate-sft", "verdicts.jsonl", [verdict("a0", True), {"id": "a1", "status": "failed"}])
    with pytest.raises(RuntimeError, match="1 answers have no verdict, a1"):
        verdicts(tmp_path, "sft")


def test_seeds_are_reported_each_and_together_and_only_what_was_measured_is_predicted(tmp_path, monkeypatch):
    logprobs = {"Take 8.": [-3.0, -3.0], OWN: [-1.0, -1.0, -9.0], BARE: [-2.0]}

    def known(self, pairs):
        self._known |= {pair: logprobs[pair[1]] for pair in pairs}

    monkeypatch.setattr(Likelihoods, "ask", known)
    for seed in (1, 2):
        work = tmp_path / f"seed-{seed}" / "work"
        step(work, "evaluate-base", "verdicts.jsonl", [verdict("a0", False), verdict("a1", False), verdict("g0", True)])
        for method, text, general in (("sft", "Take 8.", False), ("sdft", OWN, True)):
            origin = "reference" if method == "sft" else "rewrite"
            step(work, f"build-{method}", "dataset.jsonl", [row(n, text, origin=origin) for n in ("p", "q")])
            answers = [verdict("a0", True), verdict("a1", seed == 1), verdict("g0", general)]
            step(work, f"evaluate-{method}", "verdicts.jsonl", answers)
    page = tables.write_results([tmp_path / "seed-1", tmp_path / "seed-2"], None, tmp_path).read_text()
    results = json.loads((tmp_path / "results.json").read_text())
    assert list(results) == ["seed-1", "seed-2", "all seeds"] and "## all seeds" in page
    together = results["all seeds"]
    assert together["methods"]["sft"]["arithmetic"] == 0.75 and together["methods"]["sft"]["gain"][0] == 0.75
    assert together["methods"]["sdft"]["yield"] == 1 and together["methods"]["sdft"]["nll"] == pytest.approx(11 / 3)
    said = {p["what"]: p for p in together["predictions"]}
    assert said["NLL at like length, reference - SDFT"]["difference"][0] == 2.0  # two tokens of each
    assert said["general, SDFT - SFT"]["verdict"] == "held" and said["general, SDFT - SFT"]["difference"][2] == 2
    assert not any("agent" in what for what in said)
    picture = draw(tmp_path / "results.json", tmp_path / "results.png")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_likelihoods_are_asked_for_once_and_one_that_failed_is_an_error(tmp_path):
    class Client:
        asked = 0

        def nll(self, groups, tokens):
            self.asked += len(groups)
            item = NllScored.model_construct(status="failed", tokens=None)
            return type("Answer", (), {"groups": [type("Group", (), {"candidates": [item]})] * len(groups)})

    client = Client()
    with pytest.raises(RuntimeError, match="no likelihood"):
        Likelihoods(client).ask([(PROBLEM, OWN), (PROBLEM, OWN)])
    assert client.asked == 1
