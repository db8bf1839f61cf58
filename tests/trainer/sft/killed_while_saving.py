"""`python -m rewright.trainer`, killed by SIGKILL in the middle of saving its third checkpoint."""

import os
import runpy
import signal
from typing import Any

from transformers import Trainer

_save_optimizer = Trainer._save_optimizer_and_scheduler


def _killed_at_the_third(self: Any, folder: str) -> None:
    if self.state.global_step == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    _save_optimizer(self, folder)


if __name__ == "__main__":
    Trainer._save_optimizer_and_scheduler = _killed_at_the_third  # type: ignore[method-assign]
    runpy.run_module("rewright.trainer", run_name="__main__", alter_sys=True)
