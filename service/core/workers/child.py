"""What runs inside one worker process of the pool: read a payload, work within limits, write the result.

The kernel enforces the limits, so that they hold inside C code and against code that catches every exception:
CPU seconds by an interval timer whose signal is left at its deadly default, address space by RLIMIT_AS relative to what
the process has after its imports. Payloads and results are JSON values, so that a child which hostile text has taken
over can answer nonsense but cannot make the parent run code (a pickle could).

A request is a header (length, CPU seconds) and so many bytes of JSON. A reply is a length and the JSON list
`[kind, result, retiring]` with kind `ready` (once, after the imports), `value`, `raised` (result: the exception's type
name) or `out_of_memory` (raised, or nearly all of the cap was used); a retiring child ends after it.
"""

import ctypes
import gc
import importlib
import json
import os
import resource
import signal
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any

REQUEST = struct.Struct(">Id")
REPLY = struct.Struct(">I")
_PR_SET_PDEATHSIG = 1
_MIB = 1024 * 1024
_NEARLY_ALL = 0.75
"""Of the memory cap: integers and lists grow by doubling, so that what fails has often used no more before."""


def serve(connection: socket.socket, target: str, memory_mb: int, recycle_after: int) -> None:
    """Answer payloads until the other end closes, `recycle_after` items are done or memory has leaked away.

    `target` is `module:function`, called with one payload; memory_mb is the growth allowed in MiB.
    """
    _die_with_the_forkserver()
    _close_all_but(connection.fileno())
    _silence()
    # Ctrl-C reaches the whole process group; the parent alone decides when work ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    module, _, name = target.partition(":")
    work: Callable[[Any], Any] = getattr(importlib.import_module(module), name)
    gc.collect()
    gc.freeze()
    used = _address_space()
    limit = used + memory_mb * _MIB
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Told once, so that the parent's clocks start after the imports.
    connection.sendall(_frame("ready", None, retiring=False))
    for done in range(1, recycle_after + 1):
        header = _read_exactly(connection, REQUEST.size)
        if header is None:
            return
        size, cpu_s = REQUEST.unpack(header)
        body = _read_exactly(connection, size)
        if body is None:
            return
        kind, result = _work_within(cpu_s, work, body)
        if _address_space_peak() > used + memory_mb * _MIB * _NEARLY_ALL:
            # Libraries catch MemoryError and go on with half a result, which is not to be trusted.
            kind, result = "out_of_memory", None
        leaked = _address_space() > used + memory_mb * _MIB // 2
        retiring = done == recycle_after or leaked or kind == "out_of_memory"
        connection.sendall(_frame(kind, result, retiring=retiring))
        if retiring:
            return


def _work_within(cpu_s: float, work: Callable[[Any], Any], payload: bytes) -> tuple[str, Any]:
    signal.setitimer(signal.ITIMER_PROF, cpu_s)
    try:
        return "value", work(json.loads(payload))
    except MemoryError:
        return "out_of_memory", None
    except BaseException as error:  # math libraries raise BaseExceptions of their own
        return "raised", type(error).__name__
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _frame(kind: str, result: Any, *, retiring: bool) -> bytes:
    body = json.dumps([kind, result, retiring]).encode()
    return REPLY.pack(len(body)) + body


def _read_exactly(connection: socket.socket, size: int) -> bytes | None:
    """`size` bytes, or None where the other end has closed."""
    parts = bytearray()
    while len(parts) < size:
        part = connection.recv(min(size - len(parts), _MIB))
        if not part:
            return None
        parts += part
    return bytes(parts)


def _die_with_the_forkserver() -> None:
    """The forkserver ends when the service does, even by kill -9; this makes the kernel end the child with it."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent == 1 or os.getppid() != parent:
        os._exit(1)


def _close_all_but(keep: int) -> None:
    """A child inherits the descriptor whose closing tells the forkserver that the service is gone; while children held
    it, neither would ever end."""
    os.closerange(3, keep)
    os.closerange(keep + 1, os.sysconf("SC_OPEN_MAX") if os.sysconf("SC_OPEN_MAX") < 65_536 else 65_536)


def _silence() -> None:
    """A worker that prints forever must fill nobody's disk, log or pipe."""
    with open(os.devnull, "r+b") as nothing:
        for descriptor in (0, 1, 2):
            os.dup2(nothing.fileno(), descriptor)


def _address_space() -> int:
    """Bytes of virtual memory."""
    with open("/proc/self/statm", "rb") as statm:
        return int(statm.read().split()[0]) * resource.getpagesize()


def _address_space_peak() -> int:
    """Bytes of virtual memory at most so far."""
    with open("/proc/self/status", "rb") as status:
        line = next(line for line in status if line.startswith(b"VmPeak:"))
    return int(line.split()[1]) * 1024
