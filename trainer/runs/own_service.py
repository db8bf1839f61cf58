"""A reward service for one run on one machine: a process of its own that lives as long as the run.

Promises: the run begins once the service is ready; its log is a file, told from the run's own; Ctrl-C reaches the run
alone, which then ends the service; a run that dies, even by SIGKILL, takes the service with it; a service that dies
ends the run at once with what it said last, where one that somebody else runs would be waited for.
Not covered: several processes of one run, which need a service that is already there. Linux for the last resort.
"""

import ctypes
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from rewright.trainer.errors import RecipeError, ServiceTrouble
from rewright.trainer.recipes.grpo import GrpoRecipe

log = logging.getLogger(__name__)

START_S = 600.0
"""Models are loaded, and unpacked the first time."""
_END_S = 30.0
_AGAIN_S = 5.0
_PR_SET_PDEATHSIG = 1
_LOST = signal.SIGRTMIN
"""Sent to the main thread where the service is lost. Not SIGINT, which a run in a shell's background ignores."""
_QUIET = {"OMP_WAIT_POLICY": "PASSIVE"}
"""Service and trainer take turns on few cores; threads that spin while they wait would hold up the other's work."""


def settings_for(recipe: GrpoRecipe) -> dict[str, str]:
    """What a service must be told to serve this recipe: its π0, and no judge where none is asked.

    Raises `RecipeError` for a run of several processes.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise RecipeError("--serve is for a run of one process; start `rewright serve` first, and name it by base_urls")
    settings = {"REWRIGHT_SCORERS__NLL__MODEL": recipe.backbone.model}
    return settings | ({} if recipe.reward.reasoning == "judge" else {"REWRIGHT_SCORERS__JUDGE__WHERE": "off"})


@contextmanager
def own_service(log_file: Path, settings: Mapping[str, str]) -> Iterator[str]:
    """Its address. settings: environment variables of the service, for what this process's own do not say.

    Raises `ServiceTrouble` where it does not come up, and in place of whatever happens once it has ended by itself.
    """
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    log_file.parent.mkdir(parents=True, exist_ok=True)
    environment = {**_QUIET, **settings, **os.environ, "REWRIGHT_PORT": str(port), "REWRIGHT_HOST": "127.0.0.1"}
    with log_file.open("wb") as out:
        # A session of its own, so that Ctrl-C ends the run first.
        process = subprocess.Popen(
            [sys.executable, "-m", "rewright.service"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            preexec_fn=_ends_with_its_parent,  # noqa: PLW1509 - one system call, which needs no lock of ours
        )
    main = threading.main_thread().ident or 0
    ending = threading.Event()
    lost = threading.Event()

    def watch() -> None:
        process.wait()
        if ending.is_set():
            return
        lost.set()
        # Whatever the run is at, waiting for a reward above all, it must not go on waiting. A signal that comes just
        # before a system call does not interrupt it.
        while not ending.is_set():
            signal.pthread_kill(main, _LOST)
            ending.wait(_AGAIN_S)

    watcher = threading.Thread(target=watch, name="own-service", daemon=True)
    before = signal.signal(_LOST, signal.default_int_handler)
    log.info("starting a reward service of this run's own at %s; its log is %s", url, log_file)
    try:
        _wait_until_ready(url, process)
        watcher.start()
        log.info("the reward service is ready")
        yield url
    except BaseException as error:
        ending.set()
        if lost.is_set() or process.poll() is not None:
            raise ServiceTrouble(
                f"the reward service of this run ended by itself with status {process.returncode}. It said last:\n"
                f"{_last_words(log_file)}\nAll of it: {log_file}. Run the same command again to go on from the last "
                "checkpoint"
            ) from error
        raise
    finally:
        ending.set()
        process.terminate()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if watcher.is_alive():
            watcher.join()
        signal.signal(_LOST, before)


def _wait_until_ready(url: str, process: "subprocess.Popen[bytes]") -> None:
    ends = time.monotonic() + START_S
    while time.monotonic() < ends:
        if process.poll() is not None:
            raise ServiceTrouble("it did not start")
        try:
            if httpx.get(f"{url}/readyz", timeout=30).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise ServiceTrouble(f"the reward service was not ready within {START_S:g} s")


def _last_words(log_file: Path) -> str:
    lines = log_file.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(f"  {line[:500]}" for line in lines[-5:])


def _ends_with_its_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])
