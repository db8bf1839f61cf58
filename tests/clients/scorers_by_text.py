"""Scorers whose verdict on any text at all is told by the text itself, so that a trainer's rows can be checked."""

import hashlib
from typing import Any

from rewright.service.schema import Failed, Group, NllGroup, NllScored, VerifyGroup, VerifyScored
from rewright.service.scorers.base import Scorers
from tests.plain_scorers import PlainNll, PlainVerifier, plain_scorers


def fate(text: str) -> str:
    """`failed`, `wrong` or `correct`: one in six, two in six, three in six."""
    number = hashlib.sha256(text.strip().encode()).digest()[0] % 6
    return "failed" if number == 0 else "wrong" if number < 3 else "correct"


def nll_of(text: str) -> float:
    return 0.5 + hashlib.sha256(text.strip().encode()).digest()[1] / 256


class VerifierByText(PlainVerifier):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.groups: list[Group] = []

    def _group(self, group: Group, tokens: bool) -> VerifyGroup:
        self.groups.append(group)
        items = []
        for text in group.candidates:
            failed = Failed.because("not_finite", "as its text says", retryable=False)
            verdict = fate(text)
            scored = VerifyScored(correct=verdict == "correct", verdict="correct" if verdict == "correct" else "wrong")
            items.append(failed if verdict == "failed" else scored)
        return VerifyGroup(id=group.id or "", candidates=items)


class NllByText(PlainNll):
    def _group(self, group: Group, tokens: bool) -> NllGroup:
        return NllGroup(
            id=group.id or "", candidates=[NllScored(nll=nll_of(text), n_tokens=1) for text in group.candidates]
        )


def scorers_by_text(verifier: VerifierByText) -> Scorers:
    return plain_scorers(verify=verifier, nll=NllByText())
