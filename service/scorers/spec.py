"""What a scorer says of itself: one `ScorerSpec`, from which everything else follows.

Settings, wiring, the route, OpenAPI, `/v1/info`, what a group must hold, what `/v1/reward` may count, metrics, remote
pods and caches are made from the list of specs (`rewright.service.scorers.registry`). Light: a spec's module imports
its scorer's own code inside `build`, so that settings can be read without loading a model library.
"""

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypedDict

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, create_model, model_validator

from rewright.service.schema import Answer, Failed, Group, GroupScores, ScalarScored, ScoreRequest
from rewright.service.scorers.base import Scorer

if TYPE_CHECKING:
    from rewright.service.models.sharing import SharedModels

Where = Literal["off", "local", "remote"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]

NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
"""A scorer's name is part of a path, of an environment variable and of a host name."""
RESERVED = frozenset({"reward", "info", "scores", "flat", "rendezvous", "local", "checked"})


OPTIONS = frozenset(ScoreRequest.model_fields) - {"groups", "rule"}
"""Fields of a request that a scorer may take as keywords, each on or off; pods are sent those that are on."""
TEXTS = frozenset({"problem", "reference", "answer"})


class Block(BaseModel):
    """Settings that belong together: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ScorerSettings(Block):
    """What every scorer's block begins with: where the scorer works, and how to reach it elsewhere."""

    where: Where = "local"
    url: str | None = Field(
        None,
        description="Base URL of the pods, only where `where` is `remote`: a headless service's name, all of whose "
        "addresses are used, or several, comma-separated.",
    )
    api_key: SecretStr | None = Field(None, description="Bearer key of the pods; absent: the first of api_keys.")
    timeout_s: float = Field(120.0, gt=0, description="Longest wait for a remote scorer's answer.")
    connection_age_s: float = Field(60.0, gt=0, description="A connection to a pod is used no longer than this.")
    waiting: int = Field(20_480, ge=1, description="Candidates that may be inside at once; more are refused (429).")

    @property
    def urls(self) -> list[str]:
        return split_commas(self.url) if self.url is not None else []

    @property
    def elsewhere(self) -> bool:
        """Whether the work is done by another process, so that its death is not this process's."""
        return self.where == "remote"

    @model_validator(mode="after")
    def _remote_has_a_url(self) -> Self:
        if self.where == "remote" and not self.urls:
            raise ValueError("where is 'remote' but url is not set; name the pod's base URL")
        if self.where != "remote" and self.url is not None:
            raise ValueError(f"url is set but where is {self.where!r}; set where to 'remote' or leave url out")
        if any("@" in url for url in self.urls):
            raise ValueError("url holds a password; put the key into api_key")
        if any("?" in url or "#" in url for url in self.urls):
            raise ValueError("url holds a query or a fragment; give the base URL alone, and put a key into api_key")
        if wrong := [url for url in self.urls if not url.startswith(("http://", "https://"))]:
            raise ValueError(f"url: {wrong[0]!r} must begin with http:// or https://")
        return self


class DeviceSettings(ScorerSettings):
    """What the block of a scorer with a model on a device of this process has beside."""

    precision: Precision = "auto"
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")
    batch_tokens: int = Field(16_384, ge=1)
    queue_tokens: int = Field(20_000_000, ge=1)


class Batching(TypedDict):
    """How a scorer shares its device: tokens of a batch, tokens that may wait, and the turn on it."""

    batch_tokens: int
    queue_tokens: int
    turn: AbstractContextManager[object] | None


@dataclass(frozen=True)
class Building:
    """What a spec's `build` is given.

    settings: the scorer's own block, an instance of `ScorerSpec.settings`; models: loaded models that the scorers of
    this process share, and the turn on its CPU; remembered: how many results a scorer may keep in memory.
    """

    settings: Any
    models: "SharedModels"
    remembered: int

    def batching(self) -> Batching:
        """Where `settings` are `DeviceSettings`."""
        s: DeviceSettings = self.settings
        return {
            "batch_tokens": s.batch_tokens,
            "queue_tokens": s.queue_tokens,
            "turn": self.models.turn(s.device),
        }


@dataclass(frozen=True)
class ScorerSpec:
    """One kind of score.

    name: lower case, as in `/v1/{name}` and `REWRIGHT_SCORERS__{NAME}__…`.
    summary: one line for OpenAPI.
    build: settings → a scorer that is not open yet; heavy imports belong inside.
    settings: the block of settings, `ScorerSettings` or a subclass.
    item: the model of a scored candidate. `ScalarScored` makes the scorer usable in `rule.weights`.
    group: the model of a group's result; absent: `id` and `candidates` alone.
    needs: fields that a group must hold; `"answer|reference"` asks for one of the two.
    reads: all fields of a group that an item depends on, beside the candidate itself.
    cacheable: an item depends on its own candidate and `reads` alone, so it may be remembered.
    options: fields of the request that `score` takes as keywords (`tokens`, `similarities`).
    sticky: pods keep something for each problem, so a problem goes to the same pod while that is well.
    """

    name: str
    summary: str
    build: Callable[[Building], Scorer[Any]]
    settings: type[ScorerSettings] = ScorerSettings
    item: type[BaseModel] = ScalarScored
    group: type[GroupScores[Any]] = field(default=None)  # type: ignore[assignment]  # made of `item` below
    needs: Sequence[str] = ()
    reads: Sequence[str] = ("problem", "reference", "answer")
    cacheable: bool = False
    options: Sequence[str] = ()
    sticky: bool = False
    version: str | None = None
    """Of the distribution that a plug-in comes from; the registry notes it."""

    def __post_init__(self) -> None:
        # A name is a field of settings too, where it must hide nothing.
        if not NAME.fullmatch(self.name) or self.name in RESERVED or hasattr(BaseModel, self.name):
            raise ValueError(f"{self.name!r} cannot be a scorer's name; use lower-case letters, digits and single _")
        fields = {either for need in self.needs for either in need.split("|")} | set(self.reads)
        if unknown := sorted(fields - set(Group.model_fields)):
            raise ValueError(f"scorer {self.name}: a group has no field {unknown[0]!r}")
        if not (isinstance(self.settings, type) and issubclass(self.settings, ScorerSettings)):
            raise ValueError(f"scorer {self.name}: settings must be ScorerSettings or a subclass of it")
        if unknown := sorted(set(self.options) - OPTIONS):
            raise ValueError(f"scorer {self.name}: a request has no option {unknown[0]!r}; there are {sorted(OPTIONS)}")
        if unknown := sorted(set(self.reads) - TEXTS):
            raise ValueError(f"scorer {self.name}: reads may name {sorted(TEXTS)}, not {unknown[0]!r}")
        if self.group is None:
            items: Any = Annotated[self.item | Failed, Field(discriminator="status")]
            made = create_model(f"{self._title}Group", __base__=GroupScores[items])
            object.__setattr__(self, "group", made)
        self._check_group()

    def _check_group(self) -> None:
        """A pod that is away fails whole groups, whose further fields are then null."""
        further = set(self.group.model_fields) - {"id", "candidates"}
        if further and self.cacheable:
            raise ValueError(f"scorer {self.name}: a group with further fields cannot be remembered by item")
        failed = Failed.because("internal", "as a trial", retryable=True)
        try:
            self.group.model_validate(dict.fromkeys(further) | {"id": "g", "candidates": [failed]})
        except ValidationError as error:
            raise ValueError(
                f"scorer {self.name}: its group must take failed items and null elsewhere: {error}"
            ) from None

    @property
    def scalar(self) -> bool:
        """Whether an item is one number, which `rule.weights` may count."""
        return issubclass(self.item, ScalarScored)

    @cached_property
    def answer(self) -> type[Answer[Any]]:
        """The model of the endpoint's answer, named for OpenAPI."""
        return create_model(f"{self._title}Answer", __base__=Answer[self.group])  # type: ignore[name-defined]

    @property
    def _title(self) -> str:
        return "".join(part.capitalize() for part in self.name.split("_"))


def split_commas(value: Any) -> Any:
    """A comma-separated setting as a list; what is no string is left as it is."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
