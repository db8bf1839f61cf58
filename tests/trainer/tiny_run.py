"""A recipe of a run that takes seconds: a random model of a few thousand weights in a folder, problems in a file."""

import json
from pathlib import Path
from typing import Any

import yaml

from tests.service.scorers.tiny_models import TRIMS_AND_PRINTS_THE_DATE, tiny_model, tiny_tokenizer


def write_backbone(folder: Path) -> Path:
    tiny_model("llama").save_pretrained(folder)
    tiny_tokenizer(TRIMS_AND_PRINTS_THE_DATE).save_pretrained(folder)
    return folder


def write_problems(file: Path, count: int = 40) -> Path:
    rows = [
        {"id": f"p{n}", "problem": f"What is {n} plus {n}?", "solution": f"It is \\boxed{{{2 * n}}}.", "answer": 2 * n}
        for n in range(count)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def write_parts(folder: Path, url: str) -> dict[str, Any]:
    """What `write_recipe` needs beside an output, for the service at url."""
    return {
        "model": write_backbone(folder / "model"),
        "problems": write_problems(folder / "problems.jsonl"),
        "url": url,
    }


def write_recipe(file: Path, *, model: Path, problems: Path, url: str, output: Path, **blocks: Any) -> Path:
    content: dict[str, Any] = {
        "backbone": {"model": str(model), "device": "cpu", "precision": "float32"},
        "corpus": {"sources": [{"path": str(problems), "answer": "answer"}]},
        "prompt": {"file": "rewrite-small-v1", "max_tokens": 400},
        "lora": {"r": 4, "alpha": 8},
        "reward": {"base_urls": [url], "patience_s": 30},
        "rollouts": {"max_tokens": 6},
        "training": {
            "group_size": 4, "prompts_per_step": 2, "micro_batch": 4, "learning_rate": 1e-3, "max_steps": 4,
            "gradient_checkpointing": False,
        },
        "watch": {"every": 2, "problems": 2},
        "keeping": {"output": str(output), "save_steps": 1, "checkpoints": 20},
    }  # fmt: skip
    for name, changes in blocks.items():
        content[name] = content[name] | changes
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file
