"""Processes that run at once: forked from an interpreter that has imported torch and all that is slow to import.

What runs is a module, as `python -m MODULE` would run it: with arguments, environment, working directory and output of
its own, and by itself, so that it can be killed. Tests of the start itself use `subprocess`.

As a program this module is that interpreter: it forks for every line of JSON on its standard input.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SLOW_IMPORTS = (
    "torch",
    "transformers.models.auto.modeling_auto",
    "transformers.models.llama.modeling_llama",
    "sentence_transformers",
    "trl.trainer.grpo_trainer",
    "trl.trainer.sft_trainer",
    "matplotlib.pyplot",
    "uvicorn",
    "rewright.service.http.app",
)


class WarmProcess:
    """`subprocess.Popen`, as far as tests need it."""

    def __init__(
        self,
        module: str,
        *arguments: object,
        environment: Mapping[str, str] | None = None,
        folder: Path = ROOT,
        output: Path | None = None,
    ) -> None:
        """environment: the whole of it (default: that of the tests). output: a file that both streams are added to."""
        order = {
            "module": module,
            "arguments": [str(argument) for argument in arguments],
            "environment": dict(os.environ if environment is None else environment),
            "folder": str(folder),
            "output": str(output or os.devnull),
        }
        self._interpreter = _interpreter()
        self.pid: int = self._interpreter.ask(order)
        self._ended = os.pidfd_open(self.pid)
        self.returncode: int | None = None

    def poll(self) -> int | None:
        return self._status(0.0)

    def wait(self, timeout: float | None = None) -> int:
        status = self._status(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _status(self, seconds: float | None) -> int | None:
        if self.returncode is None and select.select([self._ended], [], [], seconds)[0]:
            self.returncode = self._interpreter.ask({"status_of": self.pid})
            os.close(self._ended)
        return self.returncode


class _Interpreter:
    """The warm interpreter and the pipes to it. It ends with the tests, by the end of its standard input."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        command = [sys.executable, "-m", "tests.warm_process"]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ
        )
        atexit.register(self._process.terminate)

    def ask(self, order: Mapping[str, Any]) -> int:
        assert self._process.stdin is not None and self._process.stdout is not None
        with self._turn:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            return int(self._process.stdout.readline())


_interpreter = cache(_Interpreter)


def _forked(order: Mapping[str, Any]) -> int:
    """The child's process id; in the child 0, with everything as the order says."""
    if (pid := os.fork()) != 0:
        return pid
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["folder"])
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream, end in ((0, nothing), (1, output), (2, output)):
        os.dup2(end, stream)
    os.close(nothing)
    os.close(output)
    sys.stdin, sys.stdout = os.fdopen(0, closefd=False), os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    return 0


def _run(module: str, arguments: Sequence[str]) -> None:
    sys.argv = [module, *arguments]
    sys.path[0] = os.getcwd()
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def main() -> None:
    for name in SLOW_IMPORTS:
        importlib.import_module(name)
    gc.freeze()  # children that looked at what was imported here would copy its memory
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    orders, answers = sys.stdin, sys.stdout
    while line := orders.readline():
        order = json.loads(line)
        if "status_of" in order:
            answer = os.waitstatus_to_exitcode(os.waitpid(order["status_of"], 0)[1])
        elif (answer := _forked(order)) == 0:
            return _run(order["module"], order["arguments"])
        answers.write(f"{answer}\n")
        answers.flush()
    return None


if __name__ == "__main__":
    main()
