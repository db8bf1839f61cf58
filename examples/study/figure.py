"""Yield, general accuracy and arithmetic of each method as one picture, with 95 % intervals against the base.

python -m examples.study.figure RESULTS.json OUT.png [METHOD ...]
"""

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def draw(results: Path, picture: Path, only: Sequence[str] = ()) -> Path:
    """Of the last part of results.json: all seeds together, or the only one. only: methods from the top; empty: all."""
    *_, numbers = json.loads(results.read_text(encoding="utf-8")).values()
    methods: dict[str, Any] = {name: m for name, m in numbers["methods"].items() if name != "base"}
    names = list(only or methods)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 0.45 * len(names) + 1.6), sharey=True, layout="constrained")
    left.barh(names, [100 * methods[n].get("yield", math.nan) for n in names], color="#7a9cc6")
    left.set_xlabel("rewrites that passed, % of problems")
    for key, colour, label, shift in (
        ("general_change", "#c0504d", "general", 0.12),
        ("gain", "#4f8f4f", "arithmetic", -0.12),
    ):
        means, widths = ([100 * methods[n][key][place] for n in names] for place in (0, 1))
        places = [place + shift for place in range(len(names))]
        right.errorbar(means, places, xerr=widths, fmt="o", color=colour, capsize=3, label=label)
    right.axvline(0, color="black", linewidth=0.8)
    right.set_xlabel("questions right after SFT, points against the base")
    right.legend()
    left.invert_yaxis()
    figure.savefig(picture, dpi=110)
    plt.close(figure)
    return picture


if __name__ == "__main__":
    print(draw(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
