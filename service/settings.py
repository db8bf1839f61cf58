"""Frozen settings, built once in `__main__` and passed down as plain arguments.

Sources, strongest first: environment variables (prefix `REWRIGHT_`, nesting `__`, so
`REWRIGHT_SCORERS__NLL__MODEL=…`), then the YAML file that `REWRIGHT_CONFIG` names. Unknown keys are refused in both.
No torch here, no instance at import, and nothing else in the service reads the environment.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from rewright.service.errors import SettingsError
from rewright.service.models.defaults import EMBEDDED, TEMPLATE_ARGS, TEMPLATE_DATE

PREFIX = "REWRIGHT_"
CONFIG_VARIABLE = "REWRIGHT_CONFIG"
LOOPBACK = {"127.0.0.1", "::1", "localhost"}

Where = Literal["off", "local", "remote"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]


class _Block(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RemoteSettings(_Block):
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
        return _split_commas(self.url) if self.url is not None else []

    @model_validator(mode="after")
    def _remote_has_a_url(self) -> Self:
        if self.where == "remote" and not self.urls:
            raise ValueError("where is 'remote' but url is not set; name the pod's base URL")
        if self.where != "remote" and self.url is not None:
            raise ValueError(f"url is set but where is {self.where!r}; set where to 'remote' or leave url out")
        if any("@" in url for url in self.urls):
            raise ValueError("url holds a password; put the key into api_key")
        if wrong := [url for url in self.urls if not url.startswith(("http://", "https://"))]:
            raise ValueError(f"url: {wrong[0]!r} must begin with http:// or https://")
        return self


class VerifySettings(RemoteSettings):
    """Limits of method.md ("Time limits")."""

    workers: int = Field(default_factory=lambda: max(1, min(8, os.cpu_count() or 1)), ge=1)
    cpu_s: float = Field(5.0, gt=0, description="CPU seconds a pair may use; the wall-clock backstop is 3 times this.")
    memory_mb: int = Field(1024, ge=256, description="Address space a worker may grow by, MiB.")
    queue: int = Field(20_000, ge=1, description="Pairs that may wait for a worker.")


class JudgeSettings(RemoteSettings):
    backend: Literal["transformers", "openai"] = "transformers"
    model: str = Field(
        EMBEDDED, description="transformers: hub name, folder, .gguf or `embedded`; openai: the served model's name."
    )
    base_urls: Annotated[list[str], NoDecode] = Field([], description="openai: OpenAI-compatible endpoints, …/v1.")
    prompt: str | None = Field(
        None,
        description="A prompt of service/scorers/judge/prompts, or a file's path: label-… or (openai) rationale-…. "
        "Absent: label-v2, and label-v1 for the embedded stand-in, which says yes to nearly everything there.",
    )
    threshold: float = Field(0.5, ge=0, le=1, description="valid ⇔ score ≥ threshold.")
    both_orders: bool = Field(False, description="Ask in both orders of the labels; the score is their mean.")
    samples: int = Field(1, ge=1, le=64, description="openai, rationale prompts: answers drawn; score is their mean.")
    concurrency: int = Field(64, ge=1, description="openai: calls under way at once.")
    call_timeout_s: float = Field(60.0, gt=0, description="openai: one call's deadline, retries included.")
    precision: Precision = "auto"
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")
    batch_tokens: int = Field(16_384, ge=1)
    queue_tokens: int = Field(20_000_000, ge=1)

    @field_validator("base_urls", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return _split_commas(value)

    @model_validator(mode="after")
    def _backend_fits(self) -> Self:
        if any("@" in url for url in self.base_urls):
            raise ValueError("base_urls holds a password; put the key into api_key")
        if self.where != "local":
            return self
        if self.backend == "openai" and not self.base_urls:
            raise ValueError("backend is 'openai' but base_urls is empty; name at least one …/v1 endpoint")
        if self.backend == "openai" and self.model == EMBEDDED:
            raise ValueError("backend is 'openai' but model is not set; name the model that the endpoint serves")
        if self.backend == "transformers" and self.base_urls:
            raise ValueError("base_urls is set but backend is 'transformers'; set backend to 'openai'")
        return self


class NllSettings(RemoteSettings):
    backend: Literal["torch", "vllm"] = "torch"
    model: str = Field(EMBEDDED, description="π0: hub name, folder, .gguf or `embedded`.")
    precision: Precision = "auto"
    device: str = "auto"
    score_end_of_turn: bool = Field(True, description="Count the end-of-turn token among the scored tokens.")
    template_date: str = Field(TEMPLATE_DATE, description="The date that templates which print today's see (ISO).")
    template_args: dict[str, Any] = Field(TEMPLATE_ARGS, description="Pinned arguments of the chat template.")
    max_tokens: int | None = Field(None, ge=2, description="Context limit; absent: the model's own.")
    batch_tokens: int = Field(16_384, ge=1)
    queue_tokens: int = Field(20_000_000, ge=1)
    engine_args: dict[str, Any] = Field(
        {}, description="Backend vllm: further arguments of its engine, such as gpu_memory_utilization."
    )


class DiversitySettings(RemoteSettings):
    model: str = Field(EMBEDDED, description="Embedder: a sentence-transformers hub name, folder or `embedded`.")
    precision: Precision = "auto"
    device: str = "auto"
    batch_tokens: int = Field(16_384, ge=1)
    queue_tokens: int = Field(20_000_000, ge=1)


class ScorersSettings(_Block):
    verify: VerifySettings = Field(default_factory=VerifySettings)
    judge: JudgeSettings = Field(default_factory=JudgeSettings)
    nll: NllSettings = Field(default_factory=NllSettings)
    diversity: DiversitySettings = Field(default_factory=DiversitySettings)


class LimitSettings(_Block):
    body_mb: int = Field(128, ge=1, description="Request body, MiB; a step of 512 × 10 at the token cap is about 70.")
    groups: int = Field(8_192, ge=1, description="Groups per request.")
    candidates: int = Field(65_536, ge=1, description="Candidates per request, all groups together.")
    characters: int = Field(134_217_728, ge=1, description="Characters a request, all texts together.")
    waiting_mb: int = Field(512, ge=1, description="Bodies of all requests inside, MiB; more are refused (429).")


class CacheSettings(_Block):
    entries: int = Field(100_000, ge=0, description="Scores that each local scorer remembers; 0 turns that off.")
    redis_url: SecretStr | None = Field(
        None, description="redis://…, shared by all pods; without an answer from it, scores are computed."
    )


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65_535)
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (), description="Bearer keys, comma-separated; several at once for rotation."
    )
    api_keys_file: Path | None = Field(None, description="More keys, one a line; read again when the file changes.")
    allow_unauthenticated: bool = Field(False, description="Allow other addresses than loopback without a key.")
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
    scorers: ScorersSettings = Field(default_factory=ScorersSettings)

    @field_validator("api_keys", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return _split_commas(value)

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
        judge = self.scorers.judge
        elsewhere = judge.where == "remote" or (judge.where == "local" and judge.backend == "openai")
        return self.overlap == "on" or (self.overlap == "auto" and elsewhere)

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

    Raises `SettingsError` whose message lists every wrong key with its fix.
    """
    _refuse_unknown_variables()
    path = config or os.environ.get(CONFIG_VARIABLE)
    try:
        return Settings(**(_read_yaml(Path(path)) if path else {}))
    except ValidationError as error:
        raise SettingsError("\n".join(_line(e) for e in error.errors())) from None


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read the settings file {path} ({CONFIG_VARIABLE} or --config): {error}") from None
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
    return f"{place}: {error['msg']}" if place else str(error["msg"])


def _split_commas(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
