"""How a model is asked and answered: what a chat template is told, and what is said where it cannot be read off it.

One value travels from the service's settings into `/v1/info`, every data set, adapter and run folder, and from there
into SFT, evaluation and drift, so that all of them render alike (method.md, "Rendering"). Light: settings and recipes
import it.
"""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from rewright.service.models.defaults import TEMPLATE_ARGS, TEMPLATE_DATE


class Prompting(BaseModel):
    """The pinned inputs of a chat template up to where an answer begins."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    template_args: dict[str, Any] = Field(TEMPLATE_ARGS, description="Pinned arguments of the chat template.")
    template_date: str = Field(TEMPLATE_DATE, description="The date that templates which print today's see (ISO).")
    answer_prefix: str | None = Field(
        None,
        description="What stands between the generation prompt and the answer, such as the end of a reasoning part "
        "that the prompt opens; absent: learnt from the template.",
    )

    @property
    def prompting(self) -> "Prompting":
        """These fields alone, of a block of settings that has them among others."""
        return Prompting(**{name: getattr(self, name) for name in Prompting.model_fields})


class Rendering(Prompting):
    """The same, and what ends an answer. Absent values are learnt from the template."""

    end_of_turn: str | None = Field(
        None,
        min_length=1,
        description="What ends an answer, holding a control token; absent: learnt from the template.",
    )

    @property
    def rendering(self) -> "Rendering":
        """These fields alone, of a block of settings that has them among others."""
        return Rendering(**{name: getattr(self, name) for name in Rendering.model_fields})

    def described(self) -> dict[str, Any]:
        """As `/v1/info`, run folders and data sets show it, under the names that `of_described` reads."""
        return {
            "args": dict(self.template_args),
            "date": self.template_date,
            "answer_prefix": self.answer_prefix,
            "end_of_turn": self.end_of_turn,
        }

    @classmethod
    def of_described(cls, described: Mapping[str, Any]) -> Self:
        """From what `described` wrote, or an older version that knew arguments and date alone; more is not read.

        Raises `ValueError` (of pydantic) where a value has another type.
        """
        return cls(
            template_args=described.get("args", TEMPLATE_ARGS),
            template_date=described.get("date", TEMPLATE_DATE),
            answer_prefix=described.get("answer_prefix"),
            end_of_turn=described.get("end_of_turn"),
        )


DEFAULT_RENDERING = Rendering()
