"""Token ids of text that stands between control tokens, exactly as a tokenizer sees it in the middle of a longer text.

A chat template's control tokens ("<|im_end|>") must be encoded as such, and the same letters in somebody's text must
not. A tokenizer cuts a text at control tokens before anything else, so a piece between two of them can be encoded
alone, but only nearly: some tokenizers treat the start of a text specially (a "▁" put in front), and some control
tokens swallow white space beside them. `ControlTokens` therefore encodes a piece between two anchors, private tokens
that stand for the neighbours, with control tokens switched off.

Promises: no text, whatever it spells, is encoded to a control token. Threads may share an instance.
Not covered: tokenizers without a `tokenizers` backend.
"""

import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import AddedToken, Tokenizer


@dataclass(frozen=True)
class Control:
    """A control token that the template itself wrote."""

    id: int
    swallows_left: bool
    swallows_right: bool


Piece = str | Control


class ControlTokens:
    """The control tokens of a tokenizer: those it calls special, and added ones that the chat template writes.

    written: the template's own text. A fine-tune may have added its turn marks as ordinary tokens; they are control
    tokens all the same.
    """

    def __init__(self, backend: Tokenizer, *, written: str) -> None:
        self._backend: Any = Tokenizer.from_str(backend.to_str())
        self._backend.no_truncation()
        self._backend.no_padding()
        # Bytes are spelled by one character each, and so at most as many characters as this come of one token.
        self.longest = max(map(len, self._backend.get_vocab()), default=1)
        added = {id_: token for id_, token in self._backend.get_added_tokens_decoder().items() if token.content}
        control = {
            id_: token
            for id_, token in added.items()
            if token.special or (token.content.strip() and token.content in written)
        }
        self._controls = {
            token.content: Control(id_, swallows_left=token.lstrip, swallows_right=token.rstrip)
            for id_, token in control.items()
        }
        self._backend.add_special_tokens(
            [
                AddedToken(t.content, lstrip=t.lstrip, rstrip=t.rstrip, single_word=t.single_word, normalized=False)
                for t in control.values()
                if not t.special
            ]
        )
        self._backend.encode_special_tokens = True
        self._left = {flag: self._anchor(swallows_right=flag) for flag in (False, True)}
        self._right = {flag: self._anchor(swallows_left=flag) for flag in (False, True)}
        # Longest first: of two tokens that start alike a tokenizer takes the longer.
        contents = sorted(self._controls, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, contents)) if contents else r"(?!)")

    def spelled_in(self, text: str) -> bool:
        return self._pattern.search(text) is not None

    def broken(self, text: str) -> str:
        """The text with a space inside whatever spells one, for somebody who parses control tokens out of any text."""
        return self._pattern.sub(lambda match: f"{match[0][0]} {match[0][1:]}", text)

    def split(self, text: str) -> list[Piece]:
        """The template's own text as text and control tokens; joined, it is the same text."""
        pieces: list[Piece] = []
        end = 0
        for match in self._pattern.finditer(text):
            if match.start() > end:
                pieces.append(text[end : match.start()])
            pieces.append(self._controls[match.group()])
            end = match.end()
        if end < len(text):
            pieces.append(text[end:])
        return pieces

    def encode(self, text: str, *, before: Piece | None, after: Piece | None) -> list[int]:
        """Ids of ordinary text between two neighbours; None: the text starts or ends there."""
        if not text:
            return []
        left = right = ""
        if before is not None:
            left = self._left[isinstance(before, Control) and before.swallows_right]
        if after is not None:
            right = self._right[isinstance(after, Control) and after.swallows_left]
        ids: list[int] = self._backend.encode(left + text + right, add_special_tokens=False).ids
        return ids[bool(left) : len(ids) - bool(right)]

    def encode_behind(self, context: Sequence[Piece], text: str, *, after: Piece | None = None) -> list[int]:
        """Ids with which generation would write ordinary text behind `context`, whose own ids are given by then.

        Encoded together with the text in front of it, and cut where that ends: some tokenizers put a mark of their own
        in front of whatever begins a text or follows a control token. Where a token reaches over the cut, as for a
        context that ends with a space, generation cannot write it any more; a line break stands for the context then.
        """
        start = max((place for place, piece in enumerate(context) if isinstance(piece, Control)), default=None)
        before = context[start] if start is not None else None
        tail = "".join(piece for piece in context[(start or 0) :] if isinstance(piece, str))
        for front, left in ((tail, before), ("\n", tail)):
            front_ids = self.encode(front, before=left, after=None)
            ids = self.encode(front + text, before=left, after=after)
            if ids[: len(front_ids)] == front_ids:
                return ids[len(front_ids) :]
        return self.encode(text, before=None, after=after)

    def encode_pieces(
        self, pieces: Iterable[Piece], *, before: Piece | None = None, after: Piece | None = None
    ) -> list[int]:
        """Ids of alternating text and control tokens, between two neighbours. Text next to text is one text."""
        whole = _merged(pieces)
        ids: list[int] = []
        for place, piece in enumerate(whole):
            if isinstance(piece, Control):
                ids.append(piece.id)
            else:
                left = whole[place - 1] if place else before
                right = whole[place + 1] if place + 1 < len(whole) else after
                ids.extend(self.encode(piece, before=left, after=right))
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """What ids read as, control tokens included; "�" for parts of a character."""
        return str(self._backend.decode(list(ids), skip_special_tokens=False))

    def _anchor(self, *, swallows_left: bool = False, swallows_right: bool = False) -> str:
        # Random, so that no text can spell it; not special, so that it works while control tokens are switched off.
        content = f"\ue000{secrets.token_hex(16)}\ue001"
        self._backend.add_tokens(
            [AddedToken(content, lstrip=swallows_left, rstrip=swallows_right, normalized=False, special=False)]
        )
        return content


def _merged(pieces: Iterable[Piece]) -> list[Piece]:
    whole: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, str) and whole and isinstance(whole[-1], str):
            whole[-1] += piece
        else:
            whole.append(piece)
    return whole
