"""What ends an answer: found in what a template writes behind it, with the model's own end-of-sequence tokens.

Templates close a turn in different places: behind every answer, only where another turn follows, or only at the very
end of a conversation; some write the next turn's header there as well. So the text between an answer and the next
question is read first, as far as the first token with which the model ends a sequence. Where it has none, the mark that
stands behind an answer in both places is it, then an end-of-sequence token at the end of the conversation, then any
mark that begins no turn. Nothing found is an error of whoever needs an end: a turn that ends with words alone is never
trained or scored as if it ended there.
"""

from collections.abc import Collection, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

from rewright.service.models.control_tokens import Control, ControlTokens, Piece
from rewright.service.models.errors import ModelError

if TYPE_CHECKING:
    from rewright.service.models.chat_template import Skeleton


def end_of_turn(
    skeleton: "Skeleton",
    controls: ControlTokens,
    *,
    eos_ids: Collection[int],
    bos_id: int | None,
    given: str | None,
    setting: str,
) -> list[Piece]:
    """Text and control tokens from the answer's last character to the token that ends it; empty where none is found.

    eos_ids: the model's end-of-sequence ids; bos_id: its begin of sequence. given: the setting `end_of_turn`. Raises
    `ModelError` where it does not end with a control token of the tokenizer.
    """
    if given is not None:
        pieces = controls.split(given)
        if not pieces or not isinstance(pieces[-1], Control):
            raise ModelError(
                f"{setting}.end_of_turn: {given!r} does not end with a control token of the model's tokenizer; name "
                "the one that ends an answer, such as its end-of-sequence token"
            )
        return pieces
    following, last = controls.split(skeleton.before_next), controls.split(skeleton.at_the_end)
    head, asked = controls.split(skeleton.head), controls.split(skeleton.asked)
    # A mark that closes a reasoning part ends no answer, unless there is no other.
    reasoning = _ids(controls.split(skeleton.closes_reasoning))
    marks = _ids(following) - _header_marks(head, bos_id)
    # Of several marks the one that ends a question's turn as well: others close a part of the answer.
    turn_mark = marks & _ids(asked[: _first_mark(asked) + 1])
    behind_both = _shared(following, last)
    places: list[tuple[Sequence[Piece], set[int]]] = [
        (following, {*eos_ids}),
        (behind_both, turn_mark),
        (behind_both, marks),
        (last, {*eos_ids}),
        (following, turn_mark),
        (following, marks),
    ]
    for barred in (reasoning, set[int]()):
        for behind, ends in places:
            for place, piece in enumerate(behind):
                if isinstance(piece, Control) and piece.id in ends - barred:
                    return list(behind[: place + 1])
    return []


def stop_ids(
    skeleton: "Skeleton", controls: ControlTokens, *, end: Sequence[Piece], eos_ids: Collection[int]
) -> frozenset[int]:
    """Ids that end generation: the end of turn and the model's own, but for marks that close reasoning."""
    reasoning = _ids(controls.split(skeleton.closes_reasoning))
    return frozenset({*eos_ids} - reasoning | _ids(end))


def none_found(setting: str, skeleton: "Skeleton") -> ModelError:
    behind = skeleton.before_next or skeleton.at_the_end
    return ModelError(
        f"{setting}.model: no end of turn is found in the chat template of the model (behind an answer it writes "
        f"{behind[:60]!r}, with none of the model's end-of-sequence tokens); set end_of_turn to the token that ends an "
        "answer, such as its end-of-sequence token"
    )


def _ids(pieces: Sequence[Piece]) -> set[int]:
    return {piece.id for piece in pieces if isinstance(piece, Control)}


def _first_mark(pieces: Sequence[Piece]) -> int:
    """The place of the first control token; the last place where there is none."""
    return next((place for place, piece in enumerate(pieces) if isinstance(piece, Control)), len(pieces) - 1)


def _shared(one: Sequence[Piece], other: Sequence[Piece]) -> list[Piece]:
    """What both begin with."""
    return [a for a, _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))]


def _header_marks(head: Sequence[Piece], bos_id: int | None) -> set[int]:
    """What begins a turn: the first mark of a conversation but for its begin of sequence, and the last one in front of
    a question. A template that closes nothing writes them behind an answer all the same."""
    ids = [piece.id for piece in head if isinstance(piece, Control)]
    begins = [token for token in ids if token != bos_id]
    return {*begins[:1], *ids[-1:]}
