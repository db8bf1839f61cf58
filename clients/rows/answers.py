"""Gold answers as files hold them → the text that a verifier reads, or why there is none.

Promises: no value that stands in an answer's column is dropped in silence. A list holds several golds, all asked for;
so does a text that spells a list of texts, as verl's files have it. Numbers are written out exactly.

    no_answer        null, blank, or a word for it (`nan`, `null`, `proof`, `notfound`)
    inexact_answer   a number with an exponent above 0, whose last digits are lost: 1.23e+22
    not_finite       NaN or infinity
    answer_type      an object, or bytes
"""

import ast
import decimal
import json
import math
import re
from typing import Any, NamedTuple

_NO_ANSWER = {"nan", "null", "n/a", "proof", "notfound", "not found", "<na>"}
_WITH_EXPONENT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)e\+?\d+", re.IGNORECASE)


class Gold(NamedTuple):
    """One of them is None."""

    answer: str | None
    reason: str | None


def gold_of(value: Any) -> Gold:
    """value: whatever a row holds as the answer, None included."""
    match value:
        case None:
            gold = Gold(None, "no_answer")
        case bool():
            gold = Gold(str(value), None)
        case int():
            gold = Gold(format(decimal.Decimal(value), "f"), None)
        case float():
            gold = _of_float(value)
        case decimal.Decimal():
            gold = Gold(format(value, "f"), None) if value.is_finite() else Gold(None, "not_finite")
        case str():
            gold = _of_text(value.strip())
        case list() | tuple():
            gold = _of_list(list(value))
        case _:
            gold = Gold(None, "answer_type")
    return gold


def _of_float(value: float) -> Gold:
    if not math.isfinite(value):
        return Gold(None, "not_finite")
    if value.is_integer() and abs(value) < 2**53:
        return Gold(str(int(value)), None)
    shown = repr(value)
    return Gold(None, "inexact_answer") if "e+" in shown else Gold(format(decimal.Decimal(shown), "f"), None)


def _of_text(text: str) -> Gold:
    if not text or text.lower() in _NO_ANSWER:
        return Gold(None, "no_answer")
    if _WITH_EXPONENT.fullmatch(text):
        return Gold(None, "inexact_answer")
    members = _listed(text)
    return Gold(text, None) if members is None else _of_list(members)


def _listed(text: str) -> list[str] | None:
    """The members of a text that spells a list of texts, as JSON or Python do."""
    for quote, read in (('"', json.loads), ("'", ast.literal_eval)):
        if text.startswith("[") and text.endswith("]") and text[1:].lstrip().startswith(quote):
            try:
                members = read(text)
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                return None
            if isinstance(members, list) and all(isinstance(member, str) for member in members):
                return members
    return None


def _of_list(members: list[Any]) -> Gold:
    golds = [gold_of(member) for member in members]
    refused = next((gold.reason for gold in golds if gold.reason), None)
    if refused or not golds:
        return Gold(None, refused or "no_answer")
    said = list(dict.fromkeys(gold.answer for gold in golds if gold.answer is not None))
    return Gold(", ".join(said), None)
