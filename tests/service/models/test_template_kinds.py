"""Where an answer begins and ends: over the ways in which chat templates differ, and over those that models ship.

For each: the prefix is what generation is given, what is trained is what is scored, and all of it decoded is the
template's own rendering; or the template is refused with the setting that helps.
"""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rewright.service.models.chat_format import ChatFormat
from rewright.service.models.errors import ModelError
from rewright.service.models.rendering import Rendering
from tests.service.models import template_checks as checks
from tests.service.models import template_kinds as kinds
from tests.service.scorers import tiny_models as tiny

SHIPPED = sorted((Path(__file__).resolve().parents[4] / "shared" / "data" / "templates").glob("*.jinja"))
Q = [{"role": "user", "content": checks.PROBLEM}]


def format_of(template: str, *, eos: list[str] | None = None, **rendering: Any) -> tuple[Any, ChatFormat]:
    tokenizer = tiny.tiny_tokenizer(template)
    ids = None if eos is None else tokenizer.convert_tokens_to_ids(eos)
    return tokenizer, ChatFormat.of(tokenizer, Rendering(**rendering), eos_ids=ids)


@pytest.mark.parametrize(
    ("template", "eos", "prefix_ends", "end"),
    [
        (kinds.CLOSED_ONLY_BEFORE_ANOTHER_TURN, None, "<|start|>assistant\n", "<|turn|>"),
        (kinds.CLOSED_ONLY_AT_THE_END, None, "<|stop|>", "</s>"),
        (kinds.THE_NEXT_HEADER_ENDS_IT, ["<|start|>"], "<|stop|>\n", "<|start|>"),
        (kinds.ALWAYS_ASKS, None, "<|start|>assistant\n", "<|turn|>"),
        (kinds.TEXT_BEFORE_THE_END, None, "\n### Reply:\n", "\n</s>"),
        (kinds.ANSWER_CHANNEL, None, "<|start|>say<|stop|>", "</s>"),
        (kinds.OPENS_A_BLOCK_THAT_AN_ANSWER_LACKS, None, "<think>\n\n</think>\n\n", "<|turn|>"),
        (kinds.CLOSES_WITHOUT_OPENING, None, "<|start|>assistant\n</think>", "<|turn|>"),
        (kinds.CLOSES_IN_TWO_WAYS, None, "<|start|>assistant\n<think></think>", "<|turn|>"),
        (kinds.EMPTY_BLOCK_THEN_A_CHANNEL, None, "<think></think>[ASK]", "[/ASK]<|turn|>"),
        (kinds.TURNS_IN_PARTS, None, "<|start|>assistant\n", "<|turn|>"),
    ],
)
def test_an_answer_begins_and_ends_where_the_template_has_it(
    template: str, eos: list[str] | None, prefix_ends: str, end: str
) -> None:
    tokenizer, chat = format_of(template, eos=eos)
    assert tokenizer.decode(chat.encode_prefix("x")).endswith(prefix_ends)
    assert tokenizer.decode(chat.end_of_turn) == end
    assert chat.end_mark in chat.stop_ids
    render = partial(checks._rendered, tokenizer, Rendering().template_args)
    ends = {tokenizer.eos_token_id, *(tokenizer.convert_tokens_to_ids(eos) if eos else [])}
    assert checks.faults(render, tokenizer, chat, eos=ends) == []


@pytest.mark.parametrize("template", [kinds.WORDS_ALONE_END_IT, kinds.THE_NEXT_HEADER_ENDS_IT])
def test_a_turn_that_no_token_ends_is_refused_with_the_setting_that_helps(template: str) -> None:
    with pytest.raises(ModelError, match=r"scorers\.nll\.model: no end of turn .* set end_of_turn"):
        format_of(template)
    tokenizer, chat = format_of(template, end_of_turn="</s>")
    assert tokenizer.decode(chat.end_of_turn) == "</s>" and chat.stop_ids == {tokenizer.eos_token_id}
    with pytest.raises(ModelError, match=r"scorers\.nll\.end_of_turn: 'over' does not end with a control token"):
        format_of(template, end_of_turn="over")


def test_the_next_turns_header_that_is_always_written_is_no_end() -> None:
    with pytest.raises(ModelError, match="no end of turn"):
        format_of(kinds.ALWAYS_ASKS_AND_CLOSES_NOTHING)


def test_an_open_block_that_nothing_shows_how_to_close_is_refused_with_the_setting_that_helps() -> None:
    with pytest.raises(ModelError, match=r"'<think>\\n', which does not stand before an answer; set answer_prefix"):
        format_of(kinds.OPENS_A_BLOCK_AND_TAKES_NO_REASONING)
    tokenizer, chat = format_of(kinds.OPENS_A_BLOCK_AND_TAKES_NO_REASONING, answer_prefix="\n</think>\n\n")
    assert tokenizer.decode(chat.encode_prefix("x")).endswith("<|start|>assistant\n<think>\n\n</think>\n\n")
    assert chat.encode_prompt(Q) == chat.encode_prefix(checks.PROBLEM)


def test_a_judge_needs_no_end_of_turn() -> None:
    tokenizer = tiny.tiny_tokenizer(kinds.WORDS_ALONE_END_IT)
    chat = ChatFormat.of(tokenizer, Rendering(), setting="scorers.judge", needs_end=False)
    assert chat.end_of_turn == [] and tokenizer.decode(chat.encode_prefix("x")).endswith("MODEL: ")


def test_a_mark_that_closes_reasoning_stops_nothing() -> None:
    tokenizer, chat = format_of(kinds.ANSWER_CHANNEL, eos=["</s>", "<|turn|>"])
    assert tokenizer.convert_ids_to_tokens(sorted(chat.stop_ids)) == ["</s>"]


def test_every_stop_token_of_the_model_stops() -> None:
    tokenizer, chat = format_of(kinds.CLOSED_ONLY_BEFORE_ANOTHER_TURN, eos=["</s>", "[/ASK]"])
    assert set(tokenizer.convert_ids_to_tokens(sorted(chat.stop_ids))) == {"</s>", "[/ASK]", "<|turn|>"}


def test_several_turns_end_as_one_does() -> None:
    tokenizer, chat = format_of(kinds.ANSWER_CHANNEL)
    turns = [*Q, {"role": "assistant", "content": "42"}, {"role": "user", "content": "Why?"}]
    assert tokenizer.decode(chat.encode_prompt(turns)).endswith("Why?<|turn|>\n<|start|>say<|stop|>")


def test_the_picture_shows_how_prompts_end_and_what_ends_an_answer() -> None:
    described = format_of(kinds.ANSWER_CHANNEL)[1].describe()
    assert described["prefix_tail"] == "<|turn|>\n<|start|>say<|stop|>"
    assert described["turn_ends_with"] == "</s>" and described["stops"] == ["</s>"]
    assert Rendering.of_described(described) == Rendering()


@pytest.mark.skipif(not SHIPPED, reason="../shared/data/templates is not there")
@pytest.mark.parametrize("args", [{"enable_thinking": False}, {"enable_thinking": True}], ids=str)
def test_no_template_as_models_ship_it_is_rendered_wrong(args: dict[str, Any]) -> None:
    outcomes = {
        file.stem: checks.verdict(file.stem, file.read_text(encoding="utf-8"), Rendering(template_args=args))
        for file in SHIPPED
    }
    assert {name: each.why for name, each in outcomes.items() if each.outcome == "wrong"} == {}
    shipped = [each for name, each in outcomes.items() if not name.endswith("_training")]
    assert sum(each.outcome == "right" for each in shipped) >= (180 if args["enable_thinking"] else 185)
    for each in shipped:
        if each.outcome == "refused":
            assert any(way in each.why for way in ("template_args", "end_of_turn", "answer_prefix"))
