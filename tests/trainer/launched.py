"""Two processes of a run, with the environment that `accelerate launch --config_file …` hands to them.

accelerate's own code reads the configuration file and makes the environment; what torchrun would add (ranks and a
meeting point) is added here, so that both are forked from an interpreter that has imported all that is slow to import.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.live_server import free_port
from tests.warm_process import WarmProcess

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATIONS = ROOT / "trainer" / "recipes" / "accelerate"


def environment_of(configuration: str, *, processes: int) -> dict[str, str]:
    """Of a shipped configuration, on this machine's CPU; nothing of ranks."""
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils.launch import prepare_multi_gpu_env

    file = CONFIGURATIONS / f"{configuration}.yaml"
    asked = ["--config_file", str(file), "--num_processes", str(processes), "-m", "rewright.trainer"]
    before = dict(os.environ)
    try:
        arguments, _, _ = _validate_launch_command(launch_command_parser().parse_args(asked))
        made: dict[str, str] = prepare_multi_gpu_env(arguments)
    finally:
        os.environ.clear()
        os.environ.update(before)
    return {name: value for name, value in made.items() if before.get(name) != value} | {"OMP_NUM_THREADS": "1"}


def launched(
    configuration: str,
    *arguments: Any,
    output: Path,
    module: str = "rewright.trainer",
    environment: Mapping[str, str] | None = None,
) -> list[WarmProcess]:
    """Two processes of `module`; each says what it has to say in `output` with its rank behind."""
    shared = os.environ | environment_of(configuration, processes=2) | dict(environment or {})
    shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    return [
        WarmProcess(
            module,
            *arguments,
            environment=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            output=output.with_name(f"{output.name}-{rank}"),
        )
        for rank in range(2)
    ]
