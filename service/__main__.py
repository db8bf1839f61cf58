"""`python -m service` (or `rewright serve`): parse settings, open the scorers, run uvicorn."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from service.errors import SettingsError
from service.settings import Settings, load

CANNOT_START = 2


def main(config: Path | None = None) -> int:
    """Exit status: 0 after a clean stop, 2 where a setting or a model makes a start impossible.

    config: a YAML file of settings; None: the one that `REWRIGHT_CONFIG` names, if any.
    """
    try:
        settings = load(config)
    except SettingsError as error:
        print(f"rewright: {error.message}", file=sys.stderr)
        return CANNOT_START
    # Tokenizers' own threads would fight with the batchers', and warn at every fork.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        asyncio.run(_serve(settings))
    except SettingsError as error:
        print(f"rewright: {error.message}", file=sys.stderr)
        return CANNOT_START
    return 0


async def _serve(settings: Settings) -> None:
    import uvicorn

    from service.app import create_app
    from service.telemetry import log_as_json
    from service.wiring import opened_scorers

    log_as_json(settings.log_level)
    # While models load nothing was accepted that could be lost, and a pod that is told to go must not use up its grace
    # period. The default would not do: the first process of a container has none for SIGTERM.
    _on_stop(lambda *_: os._exit(0))
    async with opened_scorers(settings) as scorers:
        # uvicorn takes the signals, drains, and raises them again for whoever had them before. That is here: were it
        # the default, or what stood before, the process would die before its scorers are closed.
        _on_stop(lambda *_: None)
        config = uvicorn.Config(
            create_app(settings, scorers),
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            server_header=False,
        )
        await uvicorn.Server(config).serve()


def _on_stop(handler: Callable[[int, FrameType | None], None]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main())
