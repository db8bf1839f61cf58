"""What a reward needs to know of a problem, and whether a data set has it, asked of the service before a run.

    check_dataset("http://127.0.0.1:8000", dataset, columns={"problem": "question", "reference": "solution"})

`/v1/info` says what a sample must hold (`sample_schema`): with a judge a problem and an expert solution; with
`rule={"reasoning": "off"}` a problem and either a solution or a final answer. Adapters ask once, at their first call.
"""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rewright.clients.http_client import AsyncRewardClient, RewardClient
from rewright.clients.transport.batches import parsed_rule, text_trouble
from rewright.service.errors import InvalidRequest, RewrightError
from rewright.service.schema import Rule

log = logging.getLogger(__name__)
FIELDS = ("problem", "reference", "answer")
INFO_S = 2.0


@dataclass(frozen=True)
class Sample:
    """A row of the data set: question, expert solution y*, gold final answer a*."""

    problem: str
    reference: str | None = None
    answer: str | None = None


def mapped_columns(columns: Mapping[str, str] | None) -> dict[str, str]:
    """Where each field of a sample stands. Raises `InvalidRequest` for a field that there is not."""
    if unknown := sorted(set(columns or {}) - set(FIELDS)):
        raise InvalidRequest(f"columns: {unknown[0]!r} is no field of a sample; there are {', '.join(FIELDS)}")
    return {field: (columns or {}).get(field, field) for field in FIELDS}


def sample_of(row: Mapping[str, Any], where: str, *, columns: Mapping[str, str] | None = None) -> Sample:
    """A sample out of a mapping. `where` is named in errors. Raises `InvalidRequest`.

    columns: names of its keys, where they are not `problem`, `reference` and `answer`; the problem must be there, and
    one of the others.
    """
    names = mapped_columns(columns)
    if not isinstance(row, Mapping):
        raise InvalidRequest(f"{where}: must be a mapping with {names['problem']!r}, not {type(row).__name__}")
    fields: dict[str, Any] = {field: row.get(name) for field, name in names.items()}
    for field, value in fields.items():
        trouble = text_trouble(value) if value is not None or field == "problem" else None
        if trouble is not None:
            raise InvalidRequest(f"{where}.{names[field]}: {trouble}")
    if fields["reference"] is None and fields["answer"] is None:
        raise InvalidRequest(
            f"{where}.{names['reference']}: missing, and so is {names['answer']}; the reward needs one of them"
        )
    return Sample(**fields)


def sample_of_json(text: object, where: str) -> Sample:
    """The same out of a JSON object, for frameworks that carry one text beside the prompt."""
    try:
        content = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise InvalidRequest(f'{where}: must be a JSON object such as {{"problem": "…", "reference": "…"}}')
    return sample_of(content, where)


class SampleCheck:
    """A JSON schema of a sample, of those that `/v1/info` tells: what is required, or one of several."""

    def __init__(self, schema: Mapping[str, Any], names: Mapping[str, str]) -> None:
        either = [[one["required"] for one in part.get("anyOf", [])] for part in schema.get("allOf", [])]
        self._ways: list[list[list[str]]] = [[schema.get("required", [])], *either]
        self._names = names

    def missing(self, row: Mapping[str, Any]) -> str | None:
        """What this row lacks, by the names of its columns; None where it lacks nothing."""
        for ways in self._ways:
            lacking = [[field for field in way if row.get(self._names[field]) is None] for way in ways]
            if lacking and all(lacking):
                return " or ".join(", ".join(repr(self._names[field]) for field in way) for way in lacking)
        return None

    def check(self, row: Mapping[str, Any], where: str) -> None:
        """Raise `InvalidRequest` where the row lacks what the service needs."""
        if (lacking := self.missing(row)) is not None:
            raise InvalidRequest(
                f"{where}: lacks {lacking}, which the reward needs here (`sample_schema` of /v1/info); name the column "
                "by columns=…, or leave the judge out by rule={'reasoning': 'off'}"
            )


class FirstCheck:
    """Asks the service once what a sample must hold, and holds the first sample to it.

    A service that does not answer now is no trouble of the data: scoring itself waits for it, or says so.
    """

    def __init__(
        self,
        base_urls: str | Sequence[str],
        rule: Rule,
        api_key: str | None,
        *,
        columns: Mapping[str, str] | None = None,
    ) -> None:
        self._asking = (base_urls, rule, api_key)
        self._names = mapped_columns(columns)
        self._done = False

    async def check(self, sample: Sample, where: str) -> None:
        """Raises `InvalidRequest`."""
        if self._done:
            return
        self._done = True
        base_urls, rule, api_key = self._asking
        try:
            async with AsyncRewardClient(base_urls, api_key=api_key, deadline_s=INFO_S) as client:
                info = await client.info(rule=rule)
        except RewrightError as error:
            log.info("rewright: could not ask what a sample must hold (%s)", error.message)
            return
        row = {self._names[field]: value for field, value in vars(sample).items()}
        SampleCheck(info.get("sample_schema", {}), self._names).check(row, where)


def check_dataset(
    base_urls: str | Sequence[str],
    rows: Iterable[Mapping[str, Any]],
    *,
    columns: Mapping[str, str] | None = None,
    rule: Rule | Mapping[str, Any] | None = None,
    api_key: str | None = None,
    deadline_s: float = 60.0,
) -> int:
    """How many rows there are, each of which the reward can be computed for; before a run starts.

    Raises `InvalidRequest` that names the first row and column that cannot be used, and errors of
    `rewright.service.errors` where the service does not say what it needs.
    """
    names, parsed = mapped_columns(columns), parsed_rule(rule)
    with RewardClient(base_urls, api_key=api_key, deadline_s=deadline_s) as client:
        schema = client.info(rule=parsed).get("sample_schema", {})
    check = SampleCheck(schema, names)
    count = 0
    for count, row in enumerate(rows, start=1):
        where = f"row {count - 1}"
        check.check(row, where)
        sample_of(row, where, columns=columns)
    if not count:
        raise InvalidRequest("the data set has no rows")
    return count
