"""Jobs that real worker processes run in test_worker_pool: good ones and every kind of bad one."""

import os
import signal
import sys
import time
from typing import Any


def work(job: Any) -> Any:
    kind, *args = job
    return JOBS[kind](*args)


def _echo(value: Any) -> Any:
    return value


def _pid() -> int:
    return os.getpid()


def _spin(seconds: float) -> str:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
    return "spun"


def _spin_deaf() -> None:
    """Catches whatever is raised, and never gives up."""
    while True:
        try:
            for _ in range(10**6):
                pass
        except BaseException:  # noqa: S112 - that is the point
            continue


def _in_c() -> int:
    return len(str(9 ** (9**9)))


def _sleep(seconds: float) -> str:
    time.sleep(seconds)
    return "slept"


def _wait_for(file: str) -> str:
    while not os.path.exists(file):
        time.sleep(0.01)
    return "it came"


def _touch(file: str) -> str:
    with open(file, "w"):
        pass
    return "touched"


def _eat() -> int:
    hoard = []
    while True:
        hoard.append(bytearray(16 * 1024 * 1024))


def _eat_quietly() -> str:
    """Runs out of memory as libraries do: caught, and answered all the same."""
    try:
        _eat()
    except Exception:
        return "no trouble"
    return "full"


def _leak(megabytes: int) -> int:
    LEAKED.append(bytearray(megabytes * 1024 * 1024))
    return os.getpid()


def _leaked() -> int:
    return len(LEAKED)


def _die() -> None:
    os._exit(3)


def _die_once(marker: str) -> str:
    if not os.path.exists(marker):
        with open(marker, "w"):
            pass
        os.kill(os.getpid(), signal.SIGKILL)
    return "second try"


def _print(lines: int) -> str:
    for _ in range(lines):
        print("x" * 1000)
        print("x" * 1000, file=sys.stderr)
    return "printed"


def _sockets() -> list[int]:
    return [
        int(fd)
        for fd in os.listdir("/proc/self/fd")
        if os.path.exists(f"/proc/self/fd/{fd}") and os.readlink(f"/proc/self/fd/{fd}").startswith("socket:")
    ]


def _flood() -> None:
    """Writes rubbish into the pipe to the parent."""
    for fd in _sockets():
        for _ in range(1000):
            os.write(fd, b"\x00\x00\x00\x09rubbish" * 1000)


def _half_a_message() -> None:
    for fd in _sockets():
        os.write(fd, b"\x00\x00\x10\x00half")
    time.sleep(60)


def _raise() -> None:
    raise ValueError("secret text")


LEAKED: list[bytearray] = []
JOBS = {
    "echo": _echo,
    "pid": _pid,
    "spin": _spin,
    "spin_deaf": _spin_deaf,
    "in_c": _in_c,
    "sleep": _sleep,
    "wait_for": _wait_for,
    "touch": _touch,
    "eat": _eat,
    "eat_quietly": _eat_quietly,
    "leak": _leak,
    "leaked": _leaked,
    "die": _die,
    "die_once": _die_once,
    "print": _print,
    "flood": _flood,
    "half_a_message": _half_a_message,
    "raise": _raise,
}
