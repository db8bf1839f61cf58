"""`python -m rewright.service` (or `rewright serve`): parse settings, open the scorers, run uvicorn."""

import asyncio
import math
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rewright.service.core.redaction import redacted_text
from rewright.service.errors import SettingsError

if TYPE_CHECKING:
    from rewright.service.settings import Settings

CANNOT_START = 2


def main(config: Path | None = None) -> int:
    """Exit status: 0 after a clean stop, 2 where a setting or a model makes a start impossible.

    config: a YAML file of settings; None: the one that `REWRIGHT_CONFIG` names, if any. Raises `ModuleNotFoundError`
    where the distribution was installed without its extra `service`.
    """
    from rewright.service.settings import load

    try:
        settings = load(config)
    except SettingsError as error:
        return _cannot_start(error)
    import uvloop

    # Tokenizers' own threads would fight with the batchers', and warn at every fork.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings))
    except SettingsError as error:
        return _cannot_start(error)
    return 0


def _cannot_start(error: SettingsError) -> int:
    print(f"rewright: {redacted_text(error.message)}", file=sys.stderr)
    return CANNOT_START


async def _serve(settings: "Settings") -> None:
    import uvicorn

    from rewright.service.core import tracing
    from rewright.service.core.logs import log_as_json
    from rewright.service.http.app import create_app
    from rewright.service.http.connections import bounded, connections_that_fit, raise_descriptor_limit
    from rewright.service.http.shutdown import GracefulServer
    from rewright.service.wiring import opened_scorers, opened_store

    log_as_json(settings.log_level)
    raise_descriptor_limit()
    if settings.otlp_endpoint is not None:
        tracing.configure(settings.otlp_endpoint)
    # While models load nothing was accepted that could be lost, and a pod that is told to go must not use up its grace
    # period. The default would not do: the first process of a container has none for SIGTERM.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    async with opened_scorers(settings) as scorers, opened_store(settings) as store:
        app = create_app(settings, scorers, store)
        config = uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            server_header=False,
            http=bounded(connections_that_fit()),
            # The app has none; uvicorn's own end of it is a traceback where a second signal ends the process.
            lifespan="off",
            # Whatever was let in is done, or past its deadline, by then.
            timeout_graceful_shutdown=math.ceil(settings.longest_s) + 1,
        )
        await GracefulServer(config, app.state.admission, leave_s=settings.leave_s).run_until_signal()
    tracing.flush()


def _as_program() -> int:
    try:
        return main()
    except ModuleNotFoundError as missing:
        # A module of ours that is not there is a bug, or half an installation, which no extra repairs.
        if (missing.name or "rewright").startswith("rewright"):
            raise
        fix = "pip install 'rewright[service]'"
        return _cannot_start(SettingsError(f"the service needs more than is installed ({missing}); {fix}"))


if __name__ == "__main__":
    sys.exit(_as_program())
