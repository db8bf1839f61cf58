"""π0's spec: packed rows in this process, or vLLM as an engine of its own."""

from functools import partial
from typing import Any, Literal

from pydantic import Field

from rewright.service.models.defaults import EMBEDDED
from rewright.service.models.rendering import Rendering
from rewright.service.schema import NllGroup, NllScored
from rewright.service.scorers.base import Scorer
from rewright.service.scorers.spec import Building, DeviceSettings, ScorerSpec


class NllSettings(Rendering, DeviceSettings):
    backend: Literal["torch", "vllm"] = "torch"
    model: str = Field(EMBEDDED, description="π0: hub name, folder, .gguf or `embedded`.")
    score_end_of_turn: bool = Field(True, description="Count the end-of-turn token among the scored tokens.")
    max_tokens: int | None = Field(None, ge=2, description="Context limit; absent: the model's own.")
    engine_args: dict[str, Any] = Field(
        {}, description="Backend vllm: further arguments of its engine, such as gpu_memory_utilization."
    )


def _build(building: Building) -> Scorer[Any]:
    from rewright.service.scorers.nll.scorer import BackboneNll

    s: NllSettings = building.settings
    load = building.models.loader("scorers.nll", s.model, precision=s.precision, device=s.device)
    engine: dict[str, Any] = {"load": load}
    if s.backend == "vllm":
        from rewright.service.models.forward.vllm import VllmBackbone, VllmScorer

        opened = partial(VllmBackbone.load, s.model, precision=s.precision, device=s.device, max_tokens=s.max_tokens)
        engine = {"load": partial(opened, batch_tokens=s.batch_tokens, engine_args=s.engine_args), "scorer": VllmScorer}
    return BackboneNll(
        **engine,
        score_end_of_turn=s.score_end_of_turn,
        rendering=s.rendering,
        max_tokens=s.max_tokens,
        **building.batching(),
    )


SPEC = ScorerSpec(
    name="nll",
    summary="ℓ_dist (eq. 6): length-normalised NLL under π0 given the problem alone",
    build=_build,
    settings=NllSettings,
    item=NllScored,
    group=NllGroup,
    needs=("problem",),
    reads=("problem",),
    cacheable=True,
    options=("tokens",),
    sticky=True,
)
