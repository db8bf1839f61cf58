"""A real vLLM server on loopback, in the interpreter that VLLM_PYTHON names; it can be killed and started again."""

import os
import socket
import subprocess
import time
from pathlib import Path

import httpx

START_S = 600


class VllmServer:
    """Serves the folder `model` under the name `judge`. log: where its output goes."""

    def __init__(self, python: str, model: str, log: Path) -> None:
        self._command = [
            *(python, "-m", "vllm.entrypoints.openai.api_server", "--model", model, "--served-model-name", "judge"),
            *("--dtype", "bfloat16", "--enforce-eager", "--max-model-len", "4096", "--max-logprobs", "20"),
        ]
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        """Returns once it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._command, "--host", "127.0.0.1", "--port", str(self.port)],
                env={**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                said = self._log.read_text(encoding="utf-8", errors="replace")[-4000:]
                raise RuntimeError(f"vLLM ended while starting; the end of its log:\n{said}")
            try:
                if httpx.get(f"http://127.0.0.1:{self.port}/health", timeout=2).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(1)
        raise RuntimeError(f"vLLM did not answer within {START_S} s; its log: {self._log}")

    def kill(self) -> None:
        """Without a word, with all its processes."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, 9)
            self._process.wait()
        self._process = None
