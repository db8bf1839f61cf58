"""The judge's question: a versioned file, filled in once, with the candidate kept as data.

Promises: placeholders are filled in a single pass, so braces of LaTeX and texts that spell a placeholder stay as they
are; the mark that separates the blocks occurs in none of the texts, so no text can end its own block; the mark depends
on problem and reference, so a group's candidates share everything before the candidate; the same texts always give
the same question.

A prompt is a YAML file: `labels` (`valid`, `invalid`: each one token of the judge), `asks` (`label`, the default, or
`rationale`) and `user`, which holds {{problem}}, {{reference}} and then {{candidate}} once each, {{fence}} before and
after the candidate, and may hold {{valid}} and {{invalid}}, or {{first}} and {{second}}: the two labels in an order
that can be turned. {{answers_differ}}, behind the candidate, becomes the sentence `answers_differ` where a program
reads another final answer in the candidate than in the reference, else nothing. There is no system turn, because some
chat templates have none: what it would say stands first in `user`.

Not covered: control tokens of the judge's chat template in the texts; each backend neutralises them its own way.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rewright.service.errors import SettingsError
from rewright.service.mathematics.answers.same_answer import same_final_answer

FOLDER = Path(__file__).parent / "prompts"
_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")
_DATA = ("problem", "reference", "candidate")
_FILLED = ("fence", "valid", "invalid", "first", "second", "answers_differ")


class Question(NamedTuple):
    """One judge call. The user turn is `shared + candidate + ending`."""

    shared: str
    """Everything before the candidate: alike for all candidates of a group (unless one of them spells the mark)."""
    candidate: str
    ending: str
    sample: int = 0
    """Which of several answers to the same question this one is."""

    @property
    def user(self) -> str:
        return self.shared + self.candidate + self.ending


class _Labels(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    valid: str = Field(min_length=1)
    invalid: str = Field(min_length=1)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    asks: Literal["label", "rationale"] = "label"
    labels: _Labels
    answers_differ: str | None = Field(None, min_length=1)
    user: str


@dataclass(frozen=True)
class JudgePrompt:
    name: str
    revision: str
    """Hash of the file's content."""
    valid: str
    invalid: str
    user: str
    asks: Literal["label", "rationale"] = "label"
    answers_differ: str | None = None

    @property
    def can_turn(self) -> bool:
        """Whether the labels can be asked for in the other order."""
        return "{{first}}" in self.user

    @classmethod
    def load(cls, name: str) -> Self:
        """A prompt of `judge_prompts` by name, or a file by path. Raises `SettingsError` saying what is wrong."""
        shipped = FOLDER / f"{name}.yaml"
        path = shipped if re.fullmatch(r"[\w.-]+", name) and shipped.is_file() else Path(name)
        try:
            content = path.read_bytes()
        except OSError as error:
            known = ", ".join(sorted(p.stem for p in FOLDER.glob("*.yaml")))
            raise _wrong(f"cannot read {name!r} ({error.strerror}); give one of {known}, or a file's path") from None
        try:
            file = _File.model_validate(yaml.safe_load(content))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise _wrong(f"{name!r} is not YAML: {error}") from None
        except ValidationError as error:
            places = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise _wrong(f"{name!r}: {places}") from None
        _check(name, file)
        return cls(
            name=path.stem,
            revision=hashlib.sha256(content).hexdigest()[:16],
            valid=file.labels.valid,
            invalid=file.labels.invalid,
            user=file.user.strip(),
            asks=file.asks,
            answers_differ=file.answers_differ,
        )

    def question(
        self, *, problem: str, reference: str, candidate: str, answer: str | None = None, turned: bool = False
    ) -> Question:
        """The candidate, stripped of outer white space, in its place. Never raises, whatever the texts hold.

        answer: the gold final answer, where it is known apart from the reference. turned: labels in the other order.
        """
        values = {
            "problem": problem.strip(),
            "reference": reference.strip(),
            "candidate": candidate.strip(),
            "valid": self.valid,
            "invalid": self.invalid,
            "first": self.invalid if turned else self.valid,
            "second": self.valid if turned else self.invalid,
            "answers_differ": self._compared(answer or reference, candidate),
        }
        values["fence"] = self._fence(values["problem"], values["reference"], values["candidate"])
        before, after = self.user.split("{{candidate}}")
        return Question(
            shared=_filled(before, values),
            candidate=values["candidate"],
            # An empty line leaves no gap. Nothing of the three texts stands here.
            ending=_filled(after, values).replace("\n\n\n\n", "\n\n"),
        )

    def describe(self) -> dict[str, Any]:
        return {"name": self.name, "revision": self.revision}

    def _compared(self, gold: str, candidate: str) -> str:
        if self.answers_differ is None or same_final_answer(gold, candidate) is not False:
            return ""
        return self.answers_differ

    def _fence(self, problem: str, reference: str, candidate: str) -> str:
        """A mark that is in none of the texts. Not random: the same texts must score alike on every replica."""
        for attempt in range(1_000_000):
            parts = (self.revision, str(attempt), problem, reference)
            seed = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass"))
            fence = seed.hexdigest()[:12]
            if not any(fence in text.lower() for text in (problem, reference, candidate)):
                return fence
        raise AssertionError("a text cannot hold a million chosen marks")


def _filled(template: str, values: dict[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda match: values[match[1]], template)


def _check(name: str, file: _File) -> None:
    places = _PLACEHOLDER.findall(file.user)
    if unknown := sorted({*places} - {*_DATA, *_FILLED}):
        raise _wrong(f"{name!r} holds unknown placeholders: {', '.join(unknown)}")
    if [p for p in places if p in _DATA] not in (list(_DATA), ["reference", "problem", "candidate"]):
        raise _wrong(f"{name!r}: user must hold problem and reference once each, then candidate once")
    candidate = places.index("candidate")
    if "fence" not in places[:candidate] or "fence" not in places[candidate:]:
        raise _wrong(f"{name!r}: user must hold {{{{fence}}}} both before and after {{{{candidate}}}}")
    if places[candidate:].count("answers_differ") != (file.answers_differ is not None):
        raise _wrong(f"{name!r}: user must hold {{{{answers_differ}}}} behind the candidate if answers_differ is given")
    if "answers_differ" in places[:candidate]:
        raise _wrong(f"{name!r}: {{{{answers_differ}}}} depends on the candidate and must stand behind it")
    if ("first" in places) != ("second" in places):
        raise _wrong(f"{name!r}: user must hold {{{{first}}}} and {{{{second}}}}, or neither")
    if file.labels.valid.strip().casefold() == file.labels.invalid.strip().casefold():
        raise _wrong(f"{name!r}: the two labels are alike")


def _wrong(what: str) -> SettingsError:
    return SettingsError(f"scorers.judge.prompt: {what}")
