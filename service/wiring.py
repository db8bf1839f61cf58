"""Settings → opened scorers. The only room that knows concrete scorers; heavy imports happen inside its builders."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from service.errors import RewrightError, SettingsError
from service.health import probe
from service.schema import DiversityGroup, Failed, GroupScores, JudgeGroup, NllGroup, VerifyGroup
from service.scorers.contract import DiversityScorer, JudgeScorer, NllScorer, Scorer, Scorers, VerifyScorer
from service.settings import (
    EMBEDDED,
    DiversitySettings,
    JudgeSettings,
    NllSettings,
    RemoteSettings,
    ScorersSettings,
    Settings,
    VerifySettings,
)

if TYPE_CHECKING:
    from service.scorers.backbone import Backbone
    from service.scorers.remote import RemoteScorer

GroupResult = TypeVar("GroupResult", bound=GroupScores[Any])
log = logging.getLogger(__name__)


@asynccontextmanager
async def opened_scorers(settings: Settings) -> AsyncIterator[Scorers]:
    """The scorers that the settings ask for, open and warm; closed again at the end.

    Raises `SettingsError` where a model or a prompt cannot be loaded.
    """
    scorers = _build(settings)
    async with AsyncExitStack() as stack:
        for scorer in scorers:
            log.info("opening %s", scorer.name)
            stack.push_async_callback(scorer.close)
            await scorer.open()
            log.info("opened %s: %s", scorer.name, scorer.describe())
        for scorer in scorers:
            if scorer.name in scorers.local:
                await _warm_up(scorer)
            elif scorer is scorers.judge:
                # Beside the start: a judge elsewhere that is down must not keep the service from answering.
                probing = asyncio.create_task(_warm_up(scorer))
                stack.callback(probing.cancel)
        for warning in warnings(scorers):
            log.warning(warning)
        yield scorers


@asynccontextmanager
async def opened_judge(settings: Settings) -> AsyncIterator[JudgeScorer]:
    """The judge alone, as configured. Raises `SettingsError` where it is off or cannot be loaded."""
    judge = _judge(settings.scorers.judge, _Devices())
    if judge is None:
        raise SettingsError("scorers.judge.where is 'off'; set it to 'local' or 'remote' to measure the judge")
    await judge.open()
    try:
        yield judge
    finally:
        await judge.close()


def warnings(scorers: Scorers) -> list[str]:
    """What an operator must know of the scorers in use, in plain words."""
    if scorers.judge is not None and scorers.judge.describe().get("stand_in"):
        return [
            "the judge is the embedded stand-in, which is too small to judge reasoning: v_rea is noise. "
            "Set REWRIGHT_SCORERS__JUDGE__MODEL, or BACKEND=openai with BASE_URLS, to a model that can."
        ]
    return []


async def _warm_up(scorer: Scorer[Any]) -> None:
    try:
        (result,) = await scorer.score([probe()])
    except RewrightError as trouble:
        log.error("%s could not score its warm-up: %s", scorer.name, trouble.message)
        return
    item = result.candidates[0]
    if isinstance(item, Failed):
        log.error("%s could not score its warm-up: %s", scorer.name, item.error.message)
    elif getattr(item, "verdict", None) == "no_verdict":
        log.error("the judge gave no verdict on its warm-up: its model and scorers.judge.prompt do not fit")


def _hide_progress_bars() -> None:
    """Loading bars would stand between the JSON lines of the log."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]


class _Devices:
    """What scorers of one process share: loaded models, and the turn on a CPU, where two at once only slow both."""

    def __init__(self) -> None:
        self.cpu_turn = threading.Lock()
        self._backbones: dict[tuple[str, str, str], Backbone] = {}
        self._loading = threading.Lock()

    def turn(self, device: str) -> AbstractContextManager[object] | None:
        import torch

        _hide_progress_bars()
        on_cpu = device == "cpu" or (device == "auto" and not torch.cuda.is_available())
        return self.cpu_turn if on_cpu else None

    def backbone(self, setting: str, model: str, precision: str, device: str) -> "Backbone":
        from service.scorers.backbone import load_backbone

        with self._loading:
            key = (model, precision, device)
            if key not in self._backbones:
                self._backbones[key] = load_backbone(model, precision=precision, device=device, setting=setting)
            return self._backbones[key]

    def loader(self, name: str, s: NllSettings | JudgeSettings) -> "Callable[[], Backbone]":
        return partial(self.backbone, f"scorers.{name}", s.model, s.precision, s.device)


def _build(settings: Settings) -> Scorers:
    s = settings.scorers
    devices = _Devices()
    return Scorers(
        verify=_verify(s.verify),
        judge=_judge(s.judge, devices),
        nll=_nll(s.nll, devices),
        diversity=_diversity(s.diversity, devices),
        local=_local(s),
    )


def _local(s: ScorersSettings) -> frozenset[str]:
    local = {name for name in ScorersSettings.model_fields if getattr(s, name).where == "local"}
    return frozenset(local - ({"judge"} if s.judge.backend == "openai" else set()))


def _remote(name: str, result: type[GroupResult], s: RemoteSettings) -> "RemoteScorer[GroupResult]":
    from service.scorers.remote import RemoteScorer

    return RemoteScorer(name, result, url=s.url or "", timeout_s=s.timeout_s)


def _verify(s: VerifySettings) -> VerifyScorer | None:
    if s.where == "off":
        return None
    if s.where == "remote":
        return _remote("verify", VerifyGroup, s)
    from service.scorers.verify import AnswerVerifier

    return AnswerVerifier(workers=s.workers, cpu_s=s.cpu_s, memory_mb=s.memory_mb, queue=s.queue)


def _judge(s: JudgeSettings, devices: _Devices) -> JudgeScorer | None:
    if s.where == "off":
        return None
    if s.where == "remote":
        return _remote("judge", JudgeGroup, s)
    from service.scorers.judge_prompt import JudgePrompt

    # The stand-in cannot judge: it should at least not shut the gate on every candidate of a demonstration.
    prompt = JudgePrompt.load(s.prompt or ("label-v1" if s.model == EMBEDDED else "label-v2"))
    if s.backend == "openai":
        from service.scorers.judge_openai import OpenAIJudge

        return OpenAIJudge(
            base_urls=s.base_urls,
            model=s.model,
            api_key=s.api_key.get_secret_value() if s.api_key else None,
            prompt=prompt,
            threshold=s.threshold,
            both_orders=s.both_orders,
            samples=s.samples,
            concurrency=s.concurrency,
            call_timeout_s=s.call_timeout_s,
        )
    from service.scorers.judge_transformers import TransformersJudge

    return TransformersJudge(
        load=devices.loader("judge", s),
        prompt=prompt,
        threshold=s.threshold,
        both_orders=s.both_orders,
        batch_tokens=s.batch_tokens,
        queue_tokens=s.queue_tokens,
        turn=devices.turn(s.device),
    )


def _nll(s: NllSettings, devices: _Devices) -> NllScorer | None:
    if s.where == "off":
        return None
    if s.where == "remote":
        from service.scorers.remote import RemoteNll

        return RemoteNll("nll", NllGroup, url=s.url or "", timeout_s=s.timeout_s)
    from service.scorers.nll import BackboneNll

    engine: dict[str, Any] = {"load": devices.loader("nll", s)}
    if s.backend == "vllm":
        from service.scorers.vllm_engine import VllmBackbone, VllmScorer

        load = partial(VllmBackbone.load, s.model, precision=s.precision, device=s.device, max_tokens=s.max_tokens)
        engine = {"load": partial(load, batch_tokens=s.batch_tokens, engine_args=s.engine_args), "scorer": VllmScorer}
    return BackboneNll(
        **engine,
        score_end_of_turn=s.score_end_of_turn,
        template_date=s.template_date,
        template_args=s.template_args,
        max_tokens=s.max_tokens,
        batch_tokens=s.batch_tokens,
        queue_tokens=s.queue_tokens,
        turn=devices.turn(s.device),
    )


def _diversity(s: DiversitySettings, devices: _Devices) -> DiversityScorer | None:
    if s.where == "off":
        return None
    if s.where == "remote":
        return _remote("diversity", DiversityGroup, s)
    from service.scorers.diversity import EmbeddingDiversity

    return EmbeddingDiversity(
        model=s.model,
        precision=s.precision,
        device=s.device,
        batch_tokens=s.batch_tokens,
        queue_tokens=s.queue_tokens,
        turn=devices.turn(s.device),
    )
