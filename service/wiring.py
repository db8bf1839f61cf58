"""Settings → opened scorers: builds what the registered specs say, here or as a client of pods, and warms it up."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from rewright.service.core.logs import exception_location
from rewright.service.core.redaction import redacted
from rewright.service.errors import RewrightError, SettingsError
from rewright.service.models.sharing import SharedModels
from rewright.service.schema import Failed
from rewright.service.scorers.base import Scorer, Scorers, warnings
from rewright.service.scorers.probe import probe
from rewright.service.scorers.registry import BUILT_IN, told
from rewright.service.scorers.spec import Building, ScorerSettings, ScorerSpec
from rewright.service.settings import Settings

if TYPE_CHECKING:
    from rewright.service.scorers.caching.store import SharedStore

log = logging.getLogger(__name__)


@asynccontextmanager
async def opened_scorers(settings: Settings) -> AsyncIterator[Scorers]:
    """The scorers that the settings ask for, open and warm; closed again at the end.

    Raises `SettingsError` where a model or a prompt cannot be loaded.
    """
    build = _builder(settings)
    local = {s.name for s in settings.specs if (b := settings.block(s.name)).where == "local" and not b.elsewhere}
    checked = frozenset(spec.name for spec in BUILT_IN)
    scorers = Scorers(**{spec.name: build(spec) for spec in settings.specs}, local=frozenset(local), checked=checked)
    async with AsyncExitStack() as stack:
        for scorer in scorers:
            log.info("opening %s", scorer.name)
            stack.push_async_callback(scorer.close)
            with _named(settings, scorer.name):
                await scorer.open()
            log.info("opened %s: %s", scorer.name, redacted(scorer.describe()))
        for scorer in scorers:
            if scorer.name in scorers.local:
                await _warm_up(scorer)
            elif settings.block(scorer.name).where == "local":
                # Beside the start: a model elsewhere that is down must not keep the service from answering.
                probing = asyncio.create_task(_warm_up(scorer))
                stack.callback(probing.cancel)
        for warning in warnings(scorers):
            log.warning(warning)
        yield scorers


@asynccontextmanager
async def opened_scorer(settings: Settings, name: str) -> AsyncIterator[Scorer[Any]]:
    """That scorer alone, as configured. Raises `SettingsError` where it is off or cannot be loaded."""
    (spec,) = (spec for spec in settings.specs if spec.name == name)
    scorer = _builder(settings)(spec)
    if scorer is None:
        raise SettingsError(f"scorers.{name}.where is 'off'; set it to 'local' or 'remote' to measure the {name}")
    await scorer.open()
    try:
        yield scorer
    finally:
        await scorer.close()


@asynccontextmanager
async def opened_store(settings: Settings) -> "AsyncIterator[SharedStore | None]":
    """What this process shares with others beside scores, closed again at the end; None where that is nothing."""
    store = _shared(settings)
    try:
        yield store
    finally:
        if store is not None:
            await store.close()


def _shared(settings: Settings) -> "SharedStore | None":
    from rewright.service.scorers.caching.store import SharedStore

    url = settings.cache.redis_url
    return SharedStore(url.get_secret_value()) if url is not None else None


def _builder(settings: Settings) -> Callable[[ScorerSpec], Scorer[Any] | None]:
    """Makes a scorer of a spec; None where it is off. Scorers of one builder share loaded models."""
    models = SharedModels()

    def build(spec: ScorerSpec) -> Scorer[Any] | None:
        block = settings.block(spec.name)
        if block.where == "off":
            return None
        if block.where == "remote":
            return _remote(spec, block, settings)
        with _named(settings, spec.name):
            scorer = spec.build(Building(block, models, remembered=settings.cache.entries))
        return _remembering(spec, scorer, settings) if spec.cacheable and settings.cache.entries else scorer

    return build


def _remote(spec: ScorerSpec, block: ScorerSettings, settings: Settings) -> Scorer[Any]:
    """A client of the pods, which are told this process's own first key unless they have one of theirs."""
    from rewright.service.scorers.remote.scorer import RemoteScorer

    key = block.api_key or next(iter(settings.api_keys), None)
    return RemoteScorer(
        spec.name,
        spec.group,
        urls=block.urls,
        timeout_s=block.timeout_s,
        connection_age_s=block.connection_age_s,
        api_key=key.get_secret_value() if key is not None else None,
        sticky=spec.sticky,
    )


def _remembering(spec: ScorerSpec, scorer: Scorer[Any], settings: Settings) -> Scorer[Any]:
    """A cache before a scorer of this process; pods remember for themselves, so a gateway holds no state."""
    from rewright.service.scorers.caching.scorer import CachedScorer

    own = settings.block(spec.name).model_dump(mode="json", exclude=set(ScorerSettings.model_fields))
    # A plug-in may forget to describe what its numbers depend on; built-in scorers do not, and their settings of speed
    # must not divide what pods share.
    about = {} if spec in BUILT_IN else {"version": spec.version, "settings": own}
    return CachedScorer(scorer, spec, entries=settings.cache.entries, shared=_shared(settings), about=about)


@contextmanager
def _named(settings: Settings, name: str) -> Iterator[None]:
    """Whatever a plug-in raises at the start is a `SettingsError` that names it. A built-in scorer's bug stays one."""
    try:
        yield
    except RewrightError:
        raise
    except Exception as error:
        (spec,) = (spec for spec in settings.specs if spec.name == name)
        if spec in BUILT_IN:
            raise
        raise SettingsError(f"scorers.{name}: the plug-in of {spec.version} cannot start: {told(error)}") from error


async def _warm_up(scorer: Scorer[Any]) -> None:
    try:
        (result,) = await scorer.score([probe()])
    except RewrightError as trouble:
        log.error("%s could not score its warm-up: %s", scorer.name, trouble.message)
        return
    except Exception as error:
        log.error("%s could not score its warm-up: it raised %s", scorer.name, exception_location(error))
        return
    item = result.candidates[0]
    if isinstance(item, Failed):
        log.error("%s could not score its warm-up: %s", scorer.name, item.error.message)
    elif getattr(item, "verdict", None) == "no_verdict":
        name = scorer.name
        log.error("the %s gave no verdict on its warm-up: its model and scorers.%s.prompt do not fit", name, name)
