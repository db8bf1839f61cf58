"""A built dataset as the builder writes it: dataset.jsonl and build.json."""

import json
from pathlib import Path


def write_dataset(folder: Path, count: int = 24, **build: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "id": f"p{n}",
            "prompt": [{"role": "user", "content": f"What is {n} plus {n}?"}],
            "completion": [{"role": "assistant", "content": f"It is \\boxed{{{2 * n}}}."}],
            "origin": "rewrite" if n % 3 else "reference",
        }
        for n in range(count)
    ]
    file = folder / "dataset.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "build.json").write_text(json.dumps({"method": "sdft", "yield": 2 / 3, **build}), encoding="utf-8")
    return file
