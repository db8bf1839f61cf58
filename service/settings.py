"""Frozen settings, built once in `__main__` and passed down as plain arguments.

Sources, strongest first: environment variables (prefix `REWRIGHT_`, nesting `__`, so
`REWRIGHT_SCORERS__NLL__MODEL=…`), then the YAML file that `REWRIGHT_CONFIG` names. Unknown keys are refused in both.
No torch here, no instance at import, and nothing else in the service reads the environment.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import yaml
from pydantic import Field, SecretStr, ValidationError, create_model, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as SourceError

from rewright.service.core.redaction import redacted_text
from rewright.service.errors import SettingsError
from rewright.service.scorers.registry import BUILT_IN, specs_of
from rewright.service.scorers.spec import Block, ScorerSettings, ScorerSpec, split_commas

PREFIX = "REWRIGHT_"
CONFIG_VARIABLE = "REWRIGHT_CONFIG"
LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def _scorers_block(specs: Sequence[ScorerSpec]) -> type[Block]:
    fields: dict[str, Any] = {s.name: (s.settings, Field(default_factory=s.settings)) for s in specs}
    return create_model("ScorersSettings", __base__=Block, **fields)


if TYPE_CHECKING:

    class ScorersSettings(Block):
        """One block per scorer, under the scorer's name (`ScorerSpec.settings`)."""

        def __getattr__(self, name: str) -> Any: ...

else:
    ScorersSettings = _scorers_block(BUILT_IN)


class LimitSettings(Block):
    body_mb: int = Field(128, ge=1, description="Request body, MiB; a step of 512 × 10 at the token cap is about 70.")
    groups: int = Field(8_192, ge=1, description="Groups per request.")
    candidates: int = Field(65_536, ge=1, description="Candidates per request, all groups together.")
    characters: int = Field(134_217_728, ge=1, description="Characters per request, all texts together.")
    waiting_mb: int = Field(512, ge=1, description="Bodies of all requests inside, MiB; more are refused (429).")


class CacheSettings(Block):
    entries: int = Field(100_000, ge=0, description="Scores that each local scorer remembers; 0 turns that off.")
    redis_url: SecretStr | None = Field(
        None, description="redis://…, shared by all pods and gateways; without an answer from it, each works by itself."
    )


class RendezvousSettings(Block):
    deadline_s: float = Field(
        100.0,
        gt=0,
        le=86_400,
        allow_inf_nan=False,
        description="A group whose members come one a call is settled so long after its first, whole or not.",
    )
    members: int = Field(65_536, ge=1, description="Members that wait for their groups; more are refused (429).")
    remembered: int = Field(
        200_000, ge=0, description="Settled groups kept for repeated calls; of keys that come again, members."
    )
    remember_s: float = Field(900.0, ge=0, le=86_400, allow_inf_nan=False, description="How long each is kept.")


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    specs: ClassVar[tuple[ScorerSpec, ...]] = BUILT_IN
    """The scorers that these settings have blocks for, in gate order."""

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65_535)
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (), description="Bearer keys, comma-separated; several at once for rotation."
    )
    api_keys_file: Path | None = Field(None, description="More keys, one a line; read again when the file changes.")
    allow_unauthenticated: bool = Field(False, description="Allow other addresses than loopback without a key.")
    ui: bool = Field(False, description="Serve a page for looking at groups, at /ui.")
    deadline_s: float = Field(120.0, gt=0, description="A request's deadline unless X-Deadline-Ms gives a shorter one.")
    grace_s: float | None = Field(
        None,
        gt=0,
        description="After SIGTERM accepted work may take so long; no deadline is longer. Absent: deadline_s.",
    )
    leave_s: float = Field(
        1.0, ge=0, description="After SIGTERM callers are turned away for so long before the port closes."
    )
    overlap: Literal["auto", "on", "off"] = Field(
        "auto", description="Start the NLL while the judge is out; auto: where the judge's model runs elsewhere."
    )
    otlp_endpoint: str | None = Field(None, description="OTLP/HTTP endpoint for traces, such as http://collector:4318.")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    probe_after_s: float = Field(30.0, gt=0, description="A scorer idle for longer is probed when readiness is asked.")
    limits: LimitSettings = Field(default_factory=LimitSettings)
    cache: CacheSettings = Field(default_factory=CacheSettings)
    rendezvous: RendezvousSettings = Field(default_factory=RendezvousSettings)
    only: str | None = Field(
        None,
        description="A scorer that works here alone, as in a pod of its own; the others' blocks then count as off.",
    )
    scorers: ScorersSettings = Field(default_factory=ScorersSettings)

    @field_validator("api_keys", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return split_commas(value)

    @field_validator("api_keys")
    @classmethod
    def _none_is_empty(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for place, key in enumerate(keys, start=1):
            if not key.get_secret_value().strip():
                raise ValueError(f"key number {place} is empty, and would let anybody in; write a key or leave it out")
        return keys

    @model_validator(mode="before")
    @classmethod
    def _one_scorer_alone(cls, values: dict[str, Any]) -> dict[str, Any]:
        name, blocks = values.get("only"), values.get("scorers", {})
        if not name or not isinstance(blocks, Mapping):
            return values
        names = [spec.name for spec in cls.specs]
        if name not in names:
            raise ValueError(f"only: {name!r} is no scorer; choose one of {', '.join(names)}")
        mine = blocks.get(name) or {}
        if not isinstance(mine, Mapping):
            return values
        # Pods and gateway may share one file: where it sends the gateway, this process is.
        mine = {key: value for key, value in mine.items() if key != "url"}
        return {**values, "scorers": {other: {"where": "off"} for other in names} | {name: {**mine, "where": "local"}}}

    @model_validator(mode="after")
    def _open_to_others_only_with_a_key(self) -> Self:
        if self.host not in LOOPBACK and not (self.api_keys or self.api_keys_file or self.allow_unauthenticated):
            raise ValueError(
                f"host {self.host} is open to other machines but api_keys is empty; set {PREFIX}API_KEYS, "
                f"or {PREFIX}ALLOW_UNAUTHENTICATED=true where the network already keeps strangers out"
            )
        return self

    @property
    def longest_s(self) -> float:
        """The longest deadline that a request may have: what was accepted is done before the process must go."""
        return self.deadline_s if self.grace_s is None else min(self.deadline_s, self.grace_s)

    @property
    def overlaps(self) -> bool:
        """Whether the NLL of candidates starts while the judge is out."""
        return self.overlap == "on" or (self.overlap == "auto" and self.block("judge").elsewhere)

    def block(self, scorer: str) -> ScorerSettings:
        """The scorer's own settings."""
        block: ScorerSettings = getattr(self.scorers, scorer)
        return block

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # The YAML file arrives as init arguments and must yield to the environment.
        return env_settings, init_settings


def load(config: Path | None = None) -> Settings:
    """Settings from the environment and a YAML file: `config`, else the one that `REWRIGHT_CONFIG` names.

    Plug-ins that either of them names under `scorers` are among `specs`. Raises `SettingsError` whose message lists
    every wrong key with its fix.
    """
    _refuse_unknown_variables()
    path = config or os.environ.get(CONFIG_VARIABLE)
    content = _read_yaml(Path(path)) if path else {}
    try:
        return _settings_of(specs_of(_scorers_named(content)))(**content)
    except ValidationError as error:
        raise SettingsError("\n".join(_line(e) for e in error.errors(include_input=False))) from None
    except SourceError as error:
        # A block in one variable, such as REWRIGHT_SCORERS='{"nll": …}'. What it says goes on with the value.
        raise SettingsError(f"{redacted_text(str(error))}; write it as JSON, or one variable a setting") from None


def _settings_of(specs: tuple[ScorerSpec, ...]) -> type[Settings]:
    if specs == BUILT_IN:
        return Settings
    block: Any = _scorers_block(specs)
    made = create_model("Settings", __base__=Settings, scorers=(block, Field(default_factory=block)))
    made.specs = specs
    return made


def _scorers_named(content: Mapping[str, Any]) -> Iterator[str]:
    """Names under `scorers`, in the file and in the environment, and the one of `only`."""
    blocks, only = content.get("scorers"), os.environ.get(f"{PREFIX}ONLY", content.get("only"))
    yield from (str(name) for name in (blocks if isinstance(blocks, Mapping) else ()))
    if only:
        yield str(only)
    for variable, value in os.environ.items():
        first, _, rest = variable.removeprefix(f"{PREFIX}SCORERS").partition("__")
        if not variable.startswith(f"{PREFIX}SCORERS") or first:
            continue
        yield from [rest.split("__")[0].lower()] if rest else _keys(value)


def _keys(text: str) -> list[str]:
    """Keys of a JSON object; none of anything else, which is refused with its place later."""
    try:
        content = json.loads(text)
    except ValueError:
        return []
    return list(content) if isinstance(content, dict) else []


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read the settings file {path} ({CONFIG_VARIABLE} or --config): {error}") from None
    except yaml.YAMLError as error:
        # The place alone: what YAML says of it quotes the line, and with it keys.
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark is not None else "an unknown place"
        raise SettingsError(f"the settings file {path} is not valid YAML at {place}; fix it there") from None
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise SettingsError(f"the settings file {path} must hold a mapping of setting names")
    return content


def _refuse_unknown_variables() -> None:
    known = {PREFIX + field.upper() for field in Settings.model_fields} | {CONFIG_VARIABLE}
    for variable in os.environ:
        if variable.startswith(PREFIX) and variable.split("__")[0] not in known:
            raise SettingsError(f"{variable} is no setting; known are {', '.join(sorted(known))}")


def _line(error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"])
    said = redacted_text(str(error["msg"]))
    return f"{place}: {said}" if place else said
