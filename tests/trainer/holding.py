"""A run folder held by another process, which can be killed."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_HOLDS = """
import sys
from importlib import import_module
from pathlib import Path

module, _, name = sys.argv[1].rpartition(".")
with getattr(import_module(module), name)(Path(sys.argv[2])).lock():
    print("held", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def held_elsewhere(kind: type, path: Path) -> Iterator["subprocess.Popen[str]"]:
    """kind: the folder's class. The process lets go when a line comes, or when it is killed, as it is in the end."""
    command = [sys.executable, "-c", _HOLDS, f"{kind.__module__}.{kind.__qualname__}", str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()
