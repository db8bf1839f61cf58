"""The judge's spec: in this process, or behind any OpenAI-compatible server."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import NoDecode

from rewright.service.models.defaults import EMBEDDED
from rewright.service.models.rendering import Prompting
from rewright.service.schema import JudgeGroup, JudgeScored
from rewright.service.scorers.base import Scorer
from rewright.service.scorers.judge.verdicts import LABEL_FLOOR
from rewright.service.scorers.spec import Building, DeviceSettings, ScorerSpec, split_commas


class JudgeSettings(Prompting, DeviceSettings):
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
    label_floor: float = Field(
        LABEL_FLOOR,
        ge=0,
        le=1,
        description="Both labels together must have this probability, else there is no verdict: the judge was about to "
        "say something else.",
    )
    both_orders: bool = Field(False, description="Ask in both orders of the labels; the score is their mean.")
    calibration: str | None = Field(
        None,
        description="A file of `rewright judge-fit`: the score is what was fitted there. It belongs to one model and "
        "prompt, and is refused with another.",
    )
    samples: int = Field(1, ge=1, le=64, description="openai, rationale prompts: answers drawn; score is their mean.")
    tokenizer: str | None = Field(
        None,
        description="openai: hub name or folder of the served model's tokenizer: its control tokens are broken up in "
        "texts, to the letter. Absent: whatever looks like one.",
    )
    concurrency: int = Field(64, ge=1, description="openai: calls under way at once.")
    call_timeout_s: float = Field(60.0, gt=0, description="openai: one call's deadline, retries included.")

    @property
    def elsewhere(self) -> bool:
        return self.where == "remote" or (self.where == "local" and self.backend == "openai")

    @field_validator("base_urls", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return split_commas(value)

    @model_validator(mode="after")
    def _backend_fits(self) -> Self:
        if any("@" in url for url in self.base_urls):
            raise ValueError("base_urls holds a password; put the key into api_key")
        if self.where != "local":
            return self
        if self.calibration is not None and (self.both_orders or self.samples > 1):
            raise ValueError("a calibration asks what it was fitted on; leave both_orders and samples out")
        if self.backend == "openai" and not self.base_urls:
            raise ValueError("backend is 'openai' but base_urls is empty; name at least one …/v1 endpoint")
        if self.backend == "openai" and self.model == EMBEDDED:
            raise ValueError("backend is 'openai' but model is not set; name the model that the endpoint serves")
        if self.backend == "transformers" and self.base_urls:
            raise ValueError("base_urls is set but backend is 'transformers'; set backend to 'openai'")
        if self.backend == "transformers" and self.tokenizer is not None:
            raise ValueError("tokenizer is set but backend is 'transformers', whose model brings its own; leave it out")
        return self


def _build(building: Building) -> Scorer[Any]:
    from rewright.service.scorers.judge.calibration import Calibration
    from rewright.service.scorers.judge.prompt import JudgePrompt

    s: JudgeSettings = building.settings
    # The stand-in cannot judge: it should at least not shut the gate on every candidate of a demonstration.
    prompt = JudgePrompt.load(s.prompt or ("label-v1" if s.model == EMBEDDED else "label-v2"))
    calibration = Calibration.load(s.calibration) if s.calibration is not None else None
    if s.backend == "openai":
        from rewright.service.scorers.judge.openai_backend import OpenAIJudge

        return OpenAIJudge(
            base_urls=s.base_urls,
            model=s.model,
            api_key=s.api_key.get_secret_value() if s.api_key else None,
            prompt=prompt,
            threshold=s.threshold,
            both_orders=s.both_orders,
            samples=s.samples,
            label_floor=s.label_floor,
            tokenizer=s.tokenizer,
            calibration=calibration,
            # Not every server knows the field: it is sent where somebody asked for it.
            chat_template_kwargs=s.template_args if "template_args" in s.model_fields_set else None,
            concurrency=s.concurrency,
            call_timeout_s=s.call_timeout_s,
        )
    from rewright.service.scorers.judge.transformers_backend import TransformersJudge

    return TransformersJudge(
        load=building.models.loader("scorers.judge", s.model, precision=s.precision, device=s.device),
        prompt=prompt,
        threshold=s.threshold,
        label_floor=s.label_floor,
        prompting=s.prompting,
        both_orders=s.both_orders,
        calibration=calibration,
        **building.batching(),
    )


SPEC = ScorerSpec(
    name="judge",
    summary="v_rea (eq. 4): is the reasoning sound?",
    build=_build,
    settings=JudgeSettings,
    item=JudgeScored,
    group=JudgeGroup,
    needs=("problem", "reference"),
    cacheable=True,
)
