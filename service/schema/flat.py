"""The wire language of `/v1/flat/reward`: completions in a row, with columns beside them, and one number each."""

from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, model_validator

from rewright.service.schema.base import Asked, Told, Total
from rewright.service.schema.messages import Text
from rewright.service.schema.requests import Group

Column = list[Any]


class FlatRequest(Asked):
    """A batch as TRL's reward functions get it. Fields that only the trainer knows are left alone."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    prompts: Column = Field(min_length=1, description="Texts or lists of messages: with the columns, a group's key.")
    completions: Annotated[list[Text], Field(min_length=1, fail_fast=True)]
    context: dict[str, Column] = Field({}, description="Columns of the data set, one value per completion each.")

    @model_validator(mode="after")
    def _one_value_a_completion(self) -> Self:
        for name, values in {"prompts": self.prompts, **self.context}.items():
            if len(values) != len(self.completions):
                raise ValueError(
                    f"{name} has {len(values)} rows for {len(self.completions)} completions; give one per completion"
                )
        return self

    def groups(self, columns: dict[str, str], size: int | None) -> tuple[list[Group], list[list[int]]]:
        """Groups, and the rows of each. columns: of `context`, for each field of a group; size: K, or None.

        Raises `ValueError` where a column holds something else than text, and where a key's rows are no multiple of K.
        """
        fields = [self._column(name, columns[name]) for name in ("problem", "reference", "answer")]
        rows_of: dict[tuple[object, ...], list[int]] = {}
        for row, prompt in enumerate(self.prompts):
            rows_of.setdefault((repr(prompt), *(field[row] for field in fields)), []).append(row)
        members: list[list[int]] = []
        for rows in rows_of.values():
            step = size or len(rows)
            if len(rows) % step:
                raise ValueError(
                    f"completions: the group of row {rows[0]} has {len(rows)} members, no multiple of size={step}; "
                    "let every batch hold whole groups"
                )
            members += [rows[start : start + step] for start in range(0, len(rows), step)]
        members.sort(key=lambda rows: rows[0])
        problem, reference, answer = fields
        return [
            Group(
                id=str(index),
                problem=problem[rows[0]],
                reference=reference[rows[0]],
                answer=answer[rows[0]],
                candidates=[self.completions[row] for row in rows],
            )
            for index, rows in enumerate(members)
        ], members

    def _column(self, field: str, name: str) -> list[str | None]:
        values = self.context.get(name, [None] * len(self.completions))
        for row, value in enumerate(values):
            if not (value is None or isinstance(value, str)):
                raise ValueError(f"context.{name}.{row}: must be a text, for it is read as the {field}")
        return values


class FlatAnswer(Told):
    """One total per completion, in order. What could not be scored is no number, so the answer is then an error."""

    rewards: list[Total]
