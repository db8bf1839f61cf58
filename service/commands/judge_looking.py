"""What a judge shows of labelled rows: the features that a calibration is fitted on, and the judge's own score.

Promises: nobody is asked about a row that a check decides; a row of which a reading cannot be scored (too long, no
verdict, a server in trouble) is left out, and how many is for the caller to say. Not covered: the fit.
"""

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from rewright.service.commands.judge_fitting import Seen
from rewright.service.commands.labelled_rows import LabelledRow
from rewright.service.errors import SettingsError
from rewright.service.scorers.judge.calibration import feature_names, feature_reading, features
from rewright.service.scorers.judge.openai_backend import OpenAIJudge
from rewright.service.scorers.judge.readings import readings
from rewright.service.scorers.judge.transformers_backend import TransformersJudge
from rewright.service.scorers.judge.verdicts import Reading, settled
from rewright.service.settings import Settings
from rewright.service.wiring import opened_scorer

_ROWS_AT_ONCE = 16


class Looked(NamedTuple):
    """described: what the judge says of itself. features, tokens: as in `Calibration`."""

    seen: list[Seen]
    described: dict[str, Any]
    features: tuple[str, ...]
    tokens: tuple[int, ...]


class _Shown(NamedTuple):
    """Of one reading."""

    features: tuple[float, ...]
    plain: float


async def look(configured: Settings, rows: Sequence[LabelledRow], *, probe: bool) -> Looked:
    """probe: log-probabilities of tokens at the verdict's position instead of the features of a regression.

    Raises `SettingsError` where the judge cannot be fitted.
    """
    # Single questions are asked, which no cache answers.
    uncached = configured.model_copy(update={"cache": configured.cache.model_copy(update={"entries": 0})})
    seen: list[Seen] = []
    async with opened_scorer(uncached, "judge") as judge:
        if not isinstance(judge, TransformersJudge | OpenAIJudge):
            raise SettingsError("scorers.judge is a plug-in's, and nothing here is fitted to those")
        if judge.prompt.asks != "label":
            raise SettingsError(
                f"scorers.judge.prompt: {judge.prompt.name!r} asks for a rationale; choose one that asks for a label"
            )
        tokens = judge.probe_tokens() if probe and isinstance(judge, TransformersJudge) else ()
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            chunk = rows[start : start + _ROWS_AT_ONCE]
            seen += await _seen(judge, chunk, tokens)
            print(f"\r{start + len(chunk)} of {len(rows)} rows", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        return Looked(seen, judge.describe(), () if probe else feature_names(judge.prompt), tokens)


async def _seen(
    judge: TransformersJudge | OpenAIJudge, rows: Sequence[LabelledRow], tokens: tuple[int, ...]
) -> list[Seen]:
    asked = [_asked(judge, row) for row in rows]
    each = [reading for of_one in asked for reading in of_one]
    if isinstance(judge, TransformersJudge) and tokens:
        shown = iter(await _probed(judge, each, tokens))
    else:
        shown = iter(await _answered(judge, each))
    seen = []
    for row, of_one in zip(rows, asked, strict=True):
        found = [next(shown) for _ in of_one]
        complete = [one for one in found if one is not None]
        if len(complete) == len(found):
            # A row that a check decides has no readings and scores 0.
            plain = min((one.plain for one in complete), default=0.0)
            seen.append(Seen(row, tuple(one.features for one in complete), plain))
    return seen


def _asked(judge: TransformersJudge | OpenAIJudge, row: LabelledRow) -> list[Reading]:
    if settled(problem=row.problem, reference=row.reference, candidate=row.candidate) is not None:
        return []
    return [
        feature_reading(judge.prompt, problem=row.problem, reference=row.reference, candidate=text, gold=row.reference)
        for text in readings(row.candidate, row.reference, problem=row.problem)
    ]


async def _answered(judge: TransformersJudge | OpenAIJudge, each: Sequence[Reading]) -> list[_Shown | None]:
    questions = list(dict.fromkeys(question for reading in each for question in reading.questions))
    answers = dict(zip(questions, await judge.ask(questions), strict=True))
    shown: list[_Shown | None] = []
    for reading in each:
        found = features(reading, [answers[question] for question in reading.questions])
        plain = answers[reading.questions[0]]
        score = plain.score if plain.status == "scored" else None
        shown.append(_Shown(found, score) if isinstance(found, tuple) and score is not None else None)
    return shown


async def _probed(judge: TransformersJudge, each: Sequence[Reading], tokens: tuple[int, ...]) -> list[_Shown | None]:
    shown: list[_Shown | None] = []
    for logprobs in await judge.look([reading.questions[0] for reading in each], tokens):
        plain = judge.plain(logprobs) if logprobs is not None else None
        shown.append(_Shown(tuple(logprobs), plain) if logprobs is not None and plain is not None else None)
    return shown
