"""Whether a chat template is rendered right, seen from outside: from what transformers makes of it, and its text alone.

Used by the table of `make templates` and by the tests over templates as models ship them. A template alone has no
tokenizer: a stand-in gets the marks that the template writes as control tokens, and the end-of-sequence tokens that the
model's published generation config names, where the template cannot tell.
"""

import contextlib
import datetime
import re
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from rewright.service.models.chat_format import ChatFormat
from rewright.service.models.errors import ModelError
from rewright.service.models.rendering import DEFAULT_RENDERING, Rendering

PROBLEM = "What is 12 + 30?"
ANSWER = "It is 42,\nso yes."
_MARK = re.compile(r"<[^<>\s'\"{}%]{1,40}>|\[[/|A-Za-z_]{1,30}\]|\[e~\[|\]~!?b[\[\]]")
_REASONING = re.compile(r"think|thought|reason|analysis|cot", re.IGNORECASE)
_CLOCK = {"strftime_now": datetime.datetime.fromisoformat(DEFAULT_RENDERING.template_date).strftime}
ENDS_BY_CONFIG = {"GLM": ("<|user|>", "<|observation|>"), "glm4": ("<|user|>", "<|observation|>"),
                  "gpt-oss": ("<|return|>", "<|call|>"), "gptoss": ("<|return|>", "<|call|>")}  # fmt: skip
"""By a part of the file's name: eos_token_id of the generation config that the family publishes."""


Render = Callable[..., str]
"""What transformers makes of turns; "" where the template refuses them."""


class Verdict(NamedTuple):
    """outcome: right, refused or wrong; why: the error's message, or what is wrong."""

    outcome: str
    why: str
    picture: str = ""


def stand_in(template: str) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer without merges that has the marks of a template as control tokens.

    Marks are looked for in the template and in what it renders, since some put theirs together from a role's name.
    """
    bare = _tokenizer(template, ["<s>", "</s>"])
    turns = [*_question(), _answer(), *_question()]
    rendered = [_rendered(bare, {}, turns[:n], generation_prompt=asked) for n in (1, 2, 3) for asked in (True, False)]
    return _tokenizer(template, ["<s>", "</s>", *_MARK.findall(template + "".join(rendered))])


def _tokenizer(template: str, marks: list[str]) -> PreTrainedTokenizerFast:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={letter: place for place, letter in enumerate(letters)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(mark, normalized=False) for mark in dict.fromkeys(marks)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", pad_token="</s>", chat_template=template
    )


def verdict(name: str, template: str, rendering: Rendering = DEFAULT_RENDERING) -> Verdict:
    """name: the file's, for what the model's generation config adds."""
    tokenizer = stand_in(template)
    added = [mark for part, marks in ENDS_BY_CONFIG.items() if part in name for mark in marks]
    eos = {tokenizer.eos_token_id, *(tokenizer.convert_tokens_to_ids(mark) for mark in added)} - {None}
    try:
        chat = ChatFormat.of(tokenizer, rendering, eos_ids=eos)
    except ModelError as error:
        return Verdict("refused", error.message)
    wrong = faults(partial(_rendered, tokenizer, rendering.template_args), tokenizer, chat, eos=eos)
    return Verdict("wrong" if wrong else "right", "; ".join(wrong), chat.picture())


def faults(render: Render, tokenizer: Any, chat: ChatFormat, *, eos: set[int]) -> list[str]:
    """Everything that does not hold; empty where the template is rendered right."""
    prefix, candidate, end = chat.encode_prefix(PROBLEM), chat.encode_candidate(ANSWER), chat.end_of_turn
    asked = render(_question(), generation_prompt=True)
    said = tokenizer.decode(prefix)
    whole = tokenizer.decode([*prefix, *candidate, *end])
    control = set(tokenizer.get_added_vocab().values())
    found = []
    if not said.startswith(asked):
        found.append("the prefix does not begin with the generation prompt")
    if (opened := _left_open(said.rpartition(PROBLEM)[2])) is not None:
        found.append(f"the answer stands inside {opened}")
    if chat.encode_prompt(_question()) != prefix:
        found.append("generation is given another prefix")
    target = chat.encode_target(_question(), ANSWER)
    if (target.ids, target.start) != ([*prefix, *candidate, *end], len(prefix)):
        found.append("what is trained is not what is scored")
    if not end or end[-1] not in control:
        found.append("no end of turn")
    elif not _is_its_end(render, tokenizer, tokenizer.decode(end), eos):
        found.append(f"{tokenizer.decode(end)!r} does not end an answer")
    if end and end[-1] not in chat.stop_ids:
        found.append("generation does not stop at the end of turn")
    if not _is_its_own(render, whole, prefix=said, asked=asked):
        found.append("decoded, it is not the template's own rendering")
    if not control.isdisjoint(candidate):
        found.append("the candidate holds a control token")
    return found


def _left_open(text: str) -> str | None:
    """A reasoning mark that nothing closes. Marks of one part differ in "/" or in the side their bars stand on."""
    marks = [mark for mark in _MARK.findall(text) if _REASONING.search(mark)]
    balance = 0
    for mark in marks:
        closes = "/" in mark or "END" in mark.upper()
        balance = balance - 1 if closes else balance + 1
    if "<|channel>" in text and "<channel|>" not in text:
        return "<|channel>"
    if "<|channel|>" in text and "final" not in text:
        return "<|channel|>"
    return marks[-1] if balance > 0 else None


def _is_its_end(render: Render, tokenizer: Any, end: str, eos: set[int]) -> bool:
    """The template writes it right behind an answer, and it is no header of the next turn."""
    turns = [*_question(), _answer()]
    follows = render([*turns, {"role": "user", "content": "sentinelnext"}]).partition(ANSWER)[2]
    closes = render(turns).partition(ANSWER)[2]
    if not (follows.lstrip("\n").startswith(end.lstrip("\n")) or closes.startswith(end)):
        return False
    mark = _MARK.findall(end)[-1:] or [end]
    if tokenizer.convert_tokens_to_ids(mark[0]) in eos:
        return True
    # The header of the next turn stands before the first question too, and has a mark of its own behind the end.
    before = render(_question(), generation_prompt=True).partition(PROBLEM)[0]
    header = follows.partition("sentinelnext")[0]
    return not before.endswith(header) or _MARK.search(header.removeprefix(end)) is not None


def _is_its_own(render: Render, whole: str, *, prefix: str, asked: str) -> bool:
    """Up to its end, one of the template's renderings of the answered question; reasoning parts may be closed here
    where that rendering has none."""
    turns = [*_question(), _answer()]
    own = [render(turns), render([*turns, *_question()])]
    if any(each.startswith(whole) for each in own):
        return True
    before, _, after = whole.rpartition(ANSWER)
    for each in own:
        head, _, tail = each.partition(ANSWER)
        shared = len(_common(head, before))
        kept, lost = before[shared:], head[shared:]
        # What this rendering has in front of the answer and ours has not, ours closes by itself, or ends alike.
        if tail.startswith(after) and (not lost.strip() or before.endswith(lost)) and _left_open(kept) is None:
            return True
    closes = render(turns).partition(ANSWER)
    return bool(closes[1]) and closes[0].endswith(before[len(asked) :] or before[-1:]) and closes[2].startswith(after)


def _common(one: str, other: str) -> str:
    length = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return one[:length]


def _question() -> list[dict[str, str]]:
    return [{"role": "user", "content": PROBLEM}]


def _answer() -> dict[str, str]:
    return {"role": "assistant", "content": ANSWER}


def _rendered(
    tokenizer: Any, args: dict[str, Any], turns: list[dict[str, str]], *, generation_prompt: bool = False
) -> str:
    """What transformers makes of it; "" where the template refuses. Texts go in as strings, else as parts."""
    arguments = {"tokenize": False, "add_generation_prompt": generation_prompt} | _CLOCK | args
    in_parts = [turn | {"content": [{"type": "text", "text": turn["content"]}]} for turn in turns]
    for form in (turns, in_parts):
        with contextlib.suppress(Exception):  # whatever a template raises
            rendered = str(tokenizer.apply_chat_template(form, **arguments))
            if turns[0]["content"] in rendered:
                return rendered
    return ""
