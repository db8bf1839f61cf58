"""The openai judge against a real HTTP server: how a verdict is read, and what is asked."""

import json
import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rewright.service.errors import SettingsError
from rewright.service.schema import Failed, JudgeScored
from rewright.service.scorers.judge.prompt import JudgePrompt
from tests.fake_openai import FakeOpenAI, Reply, completion, fake_openai
from tests.service.scorers.judge.openai_judge import ask, code, group
from tests.service.scorers.tiny_models import NO_SYSTEM_TURN, tiny_tokenizer


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with fake_openai() as fake:
        yield fake


def one(server: FakeOpenAI, body: Any, *, threshold: float = 0.5) -> Any:
    server.usual = Reply(body=body)
    return ask(server, groups=[group("anything")], threshold=threshold)[0]


# --- reading the verdict ----------------------------------------------------------------------------------------------


def test_scores_are_p_valid_in_the_order_asked(server: FakeOpenAI) -> None:
    server.latency_s = 0.01
    wanted = [0.9, 0.2, 0.55, 0.45, 0.05, 0.7]
    groups = [group(*(f"it is p={p:.2f}" for p in wanted), id="a"), group("p=0.31", id="b")]
    items = ask(server, groups=groups)
    assert [i.score for i in items] == pytest.approx([*wanted, 0.31])
    assert [i.verdict for i in items] == ["valid", "invalid", "valid", "invalid", "invalid", "valid", "invalid"]
    assert all(i.valid == (i.verdict == "valid") for i in items)


def test_the_threshold_decides_and_counts_itself_as_valid(server: FakeOpenAI) -> None:
    body = completion("No", logprobs={"No": 0.25, "Yes": 0.25})
    assert one(server, body, threshold=0.5).verdict == "valid"
    assert one(server, body, threshold=0.51).verdict == "invalid"


@pytest.mark.parametrize(
    ("logprobs", "floor", "verdict"),
    [
        ({"Well": 0.99, "Yes": math.exp(-19), "No": math.exp(-20)}, 0.05, "no_verdict"),
        ({"Well": 0.99, "Yes": math.exp(-19)}, 0.05, "no_verdict"),
        ({"Well": 0.96, "Yes": 0.03, "No": 0.01}, 0.05, "no_verdict"),
        ({"Well": 0.9, "Yes": 0.06, "yes": 0.03, "No": 0.01}, 0.05, "valid"),
        ({"Well": 0.9, "No": 0.06}, 0.05, "invalid"),
        ({"Well": 0.99, "Yes": 1e-3, "No": 1e-4}, 0.0, "valid"),
        ({"Well": 0.5, "Yes": 0.4, "No": 0.1}, 0.6, "no_verdict"),
    ],
)
def test_labels_that_are_hardly_likely_together_make_no_verdict(
    server: FakeOpenAI, logprobs: dict[str, float], floor: float, verdict: str
) -> None:
    server.usual = Reply(body=completion("Well", logprobs=logprobs))
    (item,) = ask(server, groups=[group("anything")], label_floor=floor)
    assert item.verdict == verdict
    assert (item.score is None) == (verdict == "no_verdict")


@pytest.mark.parametrize(("text", "verdict"), [("Yes", "valid"), (" yes\n", "valid"), ("NO", "invalid")])
def test_without_logprobs_a_bare_label_is_the_verdict(server: FakeOpenAI, text: str, verdict: str) -> None:
    item = one(server, completion(text))
    assert (item.verdict, item.score, item.valid) == (verdict, None, verdict == "valid")


@pytest.mark.parametrize(
    "body",
    [
        completion("Yes, it is sound"),
        completion("The answer is Yes."),
        completion("Yesterday"),
        completion("**Yes**"),
        completion("Maybe", logprobs={"Maybe": 0.9, "Perhaps": 0.1}),
        completion("", finish_reason="stop"),
        completion(None, finish_reason="stop", refusal="I cannot help with that."),
    ],
)
def test_a_verdict_is_never_searched_for(server: FakeOpenAI, body: Any) -> None:
    assert one(server, body) == JudgeScored(valid=False, score=None, verdict="no_verdict")


@pytest.mark.parametrize(
    "body",
    [
        completion(None, finish_reason="length", reasoning_content="Let"),
        completion("", finish_reason="length"),
        completion("Yes", logprobs={"Yes": 0.9}, finish_reason="content_filter"),
    ],
)
def test_a_judge_cut_off_by_its_limit_or_filter_is_a_failure(server: FakeOpenAI, body: Any) -> None:
    assert code(one(server, body)) == ("judge_cut_off", True)


@pytest.mark.parametrize("body", [{"choices": []}, {"id": 1}, {"choices": [{"message": 3}]}])
def test_an_answer_of_another_shape_is_no_verdict_of_any_kind(server: FakeOpenAI, body: Any) -> None:
    assert code(one(server, body)) == ("judge_unavailable", True)


def test_blank_candidates_fail_alone_and_ask_nobody(server: FakeOpenAI) -> None:
    blank, scored = ask(server, groups=[group(" \n", "p=0.8")])
    assert code(blank) == ("blank", False)
    assert scored.score == pytest.approx(0.8)
    assert len(server.requests) == 1


def test_equal_candidates_are_asked_once_and_answered_each(server: FakeOpenAI) -> None:
    items = ask(server, groups=[group("p=0.8", "p=0.1", "p=0.8", " p=0.8 ")])
    assert [i.score for i in items] == pytest.approx([0.8, 0.1, 0.8, 0.8])
    assert len(server.requests) == 2


# --- the request ------------------------------------------------------------------------------------------------------


def test_the_request_is_one_greedy_token_in_standard_fields(server: FakeOpenAI) -> None:
    ask(server, groups=[group("p=0.8")])
    (request,) = server.requests
    assert request.pop("messages")[0]["role"] == "user"
    assert request == {"model": "fake", "max_tokens": 1, "temperature": 0, "logprobs": True, "top_logprobs": 20}
    assert server.headers[0]["Authorization"] == "Bearer a-secret-key"


def test_marks_of_any_template_do_not_reach_the_server(server: FakeOpenAI) -> None:
    spelled = ["<|im_end|>", "[/INST]", "<end_of_turn>", "</s>", "<｜Assistant｜>", "<</SYS>>", "<seed:eos>", "<turn|>"]
    kept = r"if a < b then |x| < |y| and f[INSTANCE] <sup> \frac{1}{2} {{problem}}"
    ask(server, groups=[group(" ".join(spelled) + kept)])
    text = server.requests[0]["messages"][0]["content"]
    assert not [token for token in spelled if token in text]
    assert kept in text


def test_with_its_tokenizer_named_the_judges_own_marks_and_no_others_are_broken_up(
    server: FakeOpenAI, tmp_path: Path
) -> None:
    tokenizer = tiny_tokenizer(NO_SYSTEM_TURN)
    tokenizer.add_special_tokens({"additional_special_tokens": ["@@odd@@"]})
    tokenizer.save_pretrained(tmp_path)
    own = [str(tokenizer.eos_token), "@@odd@@"]
    ask(server, groups=[group(f"{' '.join(own)} and [/INST] too")], tokenizer=str(tmp_path))
    text = server.requests[0]["messages"][0]["content"]
    assert not [token for token in own if token in text]
    assert "@ @odd@@" in text and "[/INST]" in text


def test_a_tokenizer_that_cannot_be_had_is_a_settings_error(server: FakeOpenAI, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"scorers\.judge\.tokenizer"):
        ask(server, groups=[group("p=0.8")], tokenizer=str(tmp_path / "nowhere"))


# --- rationales, samples, both orders ---------------------------------------------------------------------------------

RATIONALE = JudgePrompt.load("rationale-v1")


def judgement(**changed: Any) -> dict[str, Any]:
    fields = {"first_faulty_step": "none", "reason": "each line follows", "verdict": "Yes"}
    return completion(json.dumps(fields | changed), finish_reason="stop")


def explained(server: FakeOpenAI, body: Any, **changed: Any) -> Any:
    server.usual = Reply(body=body)
    return ask(server, groups=[group("anything")], prompt=RATIONALE, **changed)[0]


def test_a_rationale_names_the_first_faulty_step_and_its_verdict_counts(server: FakeOpenAI) -> None:
    sound = explained(server, judgement())
    assert (sound.verdict, sound.valid, sound.score, sound.rationale) == ("valid", True, None, "each line follows")
    faulty = explained(server, judgement(first_faulty_step="6 * 7 is odd", reason="it is even", verdict="No"))
    assert (faulty.verdict, faulty.rationale) == ("invalid", 'at "6 * 7 is odd": it is even')


@pytest.mark.parametrize(
    "content",
    [
        "Yes",
        '{"verdict": "Yes"}',
        '{"first_faulty_step": "none", "reason": "r", "verdict": "Maybe"}',
        '{"first_faulty_step": "none", "reason": "r", "verdict": "Yes", "more": 1}',
        'The verdict: {"first_faulty_step": "none", "reason": "r", "verdict": "Yes"}',
        '{"first_faulty_step": "none", "reason": "\\"verdict\\": \\"Yes\\"", "verdict": true}',
        "",
    ],
)
def test_a_rationale_of_another_shape_is_no_verdict(server: FakeOpenAI, content: str) -> None:
    assert explained(server, completion(content, finish_reason="stop")).verdict == "no_verdict"


def test_a_rationale_that_was_cut_off_is_a_failure(server: FakeOpenAI) -> None:
    assert code(explained(server, completion('{"first_faulty', finish_reason="length"))) == ("judge_cut_off", True)


def test_a_rationale_is_asked_for_by_schema_with_the_verdict_last(server: FakeOpenAI) -> None:
    explained(server, judgement())
    (request,) = server.requests
    schema = request["response_format"]["json_schema"]["schema"]
    assert list(schema["properties"]) == ["first_faulty_step", "reason", "verdict"] == schema["required"]
    assert schema["properties"]["verdict"]["enum"] == ["Yes", "No"]
    assert request["temperature"] == 0 and "seed" not in request


def test_samples_are_drawn_apart_and_their_share_is_the_score(server: FakeOpenAI) -> None:
    for verdict in ("Yes", "No", "Yes"):
        server.script.append(Reply(body=judgement(verdict=verdict)))
    (item,) = ask(server, groups=[group("anything")], prompt=RATIONALE, samples=3, concurrency=1)
    assert item.score == pytest.approx(2 / 3) and item.valid
    assert sorted(r["seed"] for r in server.requests) == [0, 1, 2]
    assert all(r["temperature"] > 0 for r in server.requests)


def test_one_failed_sample_fails_the_candidate(server: FakeOpenAI) -> None:
    server.usual = Reply(body=judgement())
    server.script.append(Reply(status=400))
    (item,) = ask(server, groups=[group("anything")], prompt=RATIONALE, samples=3)
    assert code(item) == ("judge_rejected", False)


def test_both_orders_ask_twice_and_average(server: FakeOpenAI) -> None:
    for p in (0.9, 0.3):
        server.script.append(Reply(body=completion("True", logprobs={"True": p, "False": 1 - p})))
    prompt = JudgePrompt.load("label-v2")
    (item,) = ask(server, groups=[group("anything")], prompt=prompt, both_orders=True, concurrency=1)
    assert item.score == pytest.approx(0.6)
    asked = [r["messages"][0]["content"].rpartition(". ")[2] for r in server.requests]
    assert sorted(asked) == ["False or True?", "True or False?"]


@pytest.mark.parametrize(("changed", "named"), [({"both_orders": True}, "both_orders"), ({"samples": 2}, "samples")])
def test_what_a_prompt_cannot_be_asked_is_a_settings_error(changed: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        ask(groups=[group("anything")], **changed)


def test_a_false_calculation_asks_nobody_and_is_quoted(server: FakeOpenAI) -> None:
    fault, other = ask(server, groups=[group("6 * 7 = 45.", "p=0.8")])
    assert (fault.verdict, fault.valid, fault.score) == ("invalid", False, 0.0)
    assert "6 * 7 = 45" in fault.rationale and "42" in fault.rationale
    assert other.valid and len(server.requests) == 1


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (completion("Well", finish_reason="stop"), "no_verdict"),
        (completion("", finish_reason="length"), "judge_cut_off"),
        (completion("Well", logprobs={"Well": 0.999, "Yes": 0.001}), "no_verdict"),
    ],
)
def test_a_judge_that_often_gives_no_verdict_is_warned_of_once(
    server: FakeOpenAI, caplog: pytest.LogCaptureFixture, body: Any, told: str
) -> None:
    server.usual = Reply(body=body)
    with caplog.at_level(logging.WARNING, logger="rewright.service.scorers.judge.no_verdict_alarm"):
        items = ask(server, groups=[group(*(f"text {n}" for n in range(30)))])
    assert {i.error.code if isinstance(i, Failed) else i.verdict for i in items} == {told}
    assert len(caplog.records) == 1 and "no verdict" in caplog.records[0].getMessage()
