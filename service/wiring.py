"""Settings → opened scorers. The only room that knows concrete scorers; heavy imports happen inside its builders."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

from pydantic import SecretStr

from rewright.service.errors import RewrightError, SettingsError
from rewright.service.models.defaults import EMBEDDED
from rewright.service.schema import (
    DiversityGroup,
    Failed,
    GroupScores,
    JudgeGroup,
    JudgeScored,
    NllGroup,
    NllScored,
    VerifyGroup,
)
from rewright.service.scorers.base import DiversityScorer, JudgeScorer, NllScorer, Scorer, Scorers, VerifyScorer
from rewright.service.scorers.probe import probe
from rewright.service.settings import (
    CacheSettings,
    DiversitySettings,
    JudgeSettings,
    NllSettings,
    RemoteSettings,
    ScorersSettings,
    Settings,
    VerifySettings,
)

if TYPE_CHECKING:
    from rewright.service.models.backbone import Backbone
    from rewright.service.scorers.caching.store import SharedStore
    from rewright.service.scorers.remote.scorer import RemoteScorer

GroupResult = TypeVar("GroupResult", bound=GroupScores[Any])
log = logging.getLogger(__name__)

MOST_EMBEDDINGS = 10_000
"""A vector is some kilobytes where a score is some bytes."""


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
    judge = _judge(settings.scorers.judge, settings.api_keys, _Devices())
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
        from rewright.service.models.backbone import load_backbone

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
    remembering = _Remembering(settings.cache)
    return Scorers(
        verify=_verify(s.verify, settings.api_keys),
        judge=remembering.judge(_judge(s.judge, settings.api_keys, devices), s.judge),
        nll=remembering.nll(_nll(s.nll, settings.api_keys, devices), s.nll),
        diversity=_diversity(s.diversity, settings.api_keys, devices, settings.cache.entries),
        local=_local(s),
    )


class _Remembering:
    """Puts a cache before the scorers of this process; pods remember for themselves, so a gateway holds no state."""

    def __init__(self, s: CacheSettings) -> None:
        self._s = s

    def judge(self, judge: JudgeScorer | None, s: JudgeSettings) -> JudgeScorer | None:
        from rewright.service.scorers.caching.scorer import CachedScorer

        if judge is None or not self._wanted(s):
            return judge
        return CachedScorer(judge, JudgeGroup, JudgeScored, entries=self._s.entries, shared=self._shared())

    def nll(self, nll: NllScorer | None, s: NllSettings) -> NllScorer | None:
        from rewright.service.scorers.caching.scorer import CachedNll

        if nll is None or not self._wanted(s):
            return nll
        return CachedNll(nll, NllGroup, NllScored, entries=self._s.entries, shared=self._shared())

    def _wanted(self, s: RemoteSettings) -> bool:
        return s.where == "local" and self._s.entries > 0

    def _shared(self) -> "SharedStore | None":
        from rewright.service.scorers.caching.store import SharedStore

        return SharedStore(self._s.redis_url.get_secret_value()) if self._s.redis_url is not None else None


def _local(s: ScorersSettings) -> frozenset[str]:
    local = {name for name in ScorersSettings.model_fields if getattr(s, name).where == "local"}
    return frozenset(local - ({"judge"} if s.judge.backend == "openai" else set()))


class _Pods(TypedDict):
    urls: list[str]
    timeout_s: float
    connection_age_s: float
    api_key: str | None


def _pods(s: RemoteSettings, keys: Sequence[SecretStr]) -> _Pods:
    """How to reach the pods. They are told this process's own first key unless they have one of theirs."""
    key = s.api_key or next(iter(keys), None)
    return {
        "urls": s.urls,
        "timeout_s": s.timeout_s,
        "connection_age_s": s.connection_age_s,
        "api_key": key.get_secret_value() if key is not None else None,
    }


def _remote(
    name: str, result: type[GroupResult], s: RemoteSettings, keys: Sequence[SecretStr]
) -> "RemoteScorer[GroupResult]":
    from rewright.service.scorers.remote.scorer import RemoteScorer

    return RemoteScorer(name, result, **_pods(s, keys))


def _verify(s: VerifySettings, keys: Sequence[SecretStr]) -> VerifyScorer | None:
    if s.where == "off":
        return None
    if s.where == "remote":
        return _remote("verify", VerifyGroup, s, keys)
    from rewright.service.scorers.verify.scorer import AnswerVerifier

    return AnswerVerifier(workers=s.workers, cpu_s=s.cpu_s, memory_mb=s.memory_mb, queue=s.queue)


def _judge(s: JudgeSettings, keys: Sequence[SecretStr], devices: _Devices) -> JudgeScorer | None:
    if s.where == "off":
        return None
    if s.where == "remote":
        return _remote("judge", JudgeGroup, s, keys)
    from rewright.service.scorers.judge.prompt import JudgePrompt

    # The stand-in cannot judge: it should at least not shut the gate on every candidate of a demonstration.
    prompt = JudgePrompt.load(s.prompt or ("label-v1" if s.model == EMBEDDED else "label-v2"))
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
            concurrency=s.concurrency,
            call_timeout_s=s.call_timeout_s,
        )
    from rewright.service.scorers.judge.transformers_backend import TransformersJudge

    return TransformersJudge(
        load=devices.loader("judge", s),
        prompt=prompt,
        threshold=s.threshold,
        both_orders=s.both_orders,
        batch_tokens=s.batch_tokens,
        queue_tokens=s.queue_tokens,
        turn=devices.turn(s.device),
    )


def _nll(s: NllSettings, keys: Sequence[SecretStr], devices: _Devices) -> NllScorer | None:
    if s.where == "off":
        return None
    if s.where == "remote":
        from rewright.service.scorers.remote.scorer import RemoteNll

        return RemoteNll("nll", NllGroup, **_pods(s, keys), sticky=True)
    from rewright.service.scorers.nll import BackboneNll

    engine: dict[str, Any] = {"load": devices.loader("nll", s)}
    if s.backend == "vllm":
        from rewright.service.models.forward.vllm import VllmBackbone, VllmScorer

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


def _diversity(
    s: DiversitySettings, keys: Sequence[SecretStr], devices: _Devices, remembered: int
) -> DiversityScorer | None:
    if s.where == "off":
        return None
    if s.where == "remote":
        return _remote("diversity", DiversityGroup, s, keys)
    from rewright.service.scorers.diversity.scorer import EmbeddingDiversity

    return EmbeddingDiversity(
        model=s.model,
        precision=s.precision,
        device=s.device,
        batch_tokens=s.batch_tokens,
        queue_tokens=s.queue_tokens,
        remembered=min(remembered, MOST_EMBEDDINGS),
        turn=devices.turn(s.device),
    )
