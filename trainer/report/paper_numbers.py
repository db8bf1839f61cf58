"""What arXiv 2602.11220v1 prints in its tables, to stand beside our own numbers (CC BY 4.0).

As printed, table by table, in percent. Where its tables disagree, each keeps its own number: see `DISAGREEMENTS`.
"""

from typing import NamedTuple

LLAMA_1B, LLAMA_3B, MISTRAL_7B = "Llama-3.2-1B-Instruct", "Llama-3.2-3B-Instruct", "Mistral-7B-Instruct-v0.3"
BACKBONES = (LLAMA_1B, LLAMA_3B, MISTRAL_7B)
METHODS = ("base", "sft", "sdft", "mind_the_gap", "agent")


class Main(NamedTuple):
    """A row of Table 1. math_up, gen_down: percent of the base's average; None for the base."""

    math: float
    math_up: float | None
    general: float
    gen_down: float | None
    overall: float


class Ablation(NamedTuple):
    """A row of Tables 3 and 5."""

    math: float
    general: float
    task_yield: float


class Construction(NamedTuple):
    """A row of Table 4."""

    rows: int
    math: float
    general: float


TABLE_1 = {
    LLAMA_1B: {
        "base": Main(12.42, None, 27.34, None, 19.88),
        "sft": Main(15.40, 23.99, 22.60, 17.34, 19.00),
        "sdft": Main(13.80, 11.11, 23.80, 12.95, 18.80),
        "mind_the_gap": Main(12.92, 4.03, 24.41, 10.72, 18.67),
        "agent": Main(15.10, 21.58, 25.92, 5.19, 20.51),
    },
    LLAMA_3B: {
        "base": Main(18.90, None, 45.21, None, 32.06),
        "sft": Main(21.81, 15.40, 37.26, 17.58, 29.54),
        "sdft": Main(19.84, 4.97, 40.32, 10.82, 30.08),
        "mind_the_gap": Main(20.30, 7.41, 40.44, 10.55, 30.37),
        "agent": Main(21.12, 11.75, 43.17, 4.51, 32.15),
    },
    MISTRAL_7B: {
        "base": Main(10.61, None, 40.53, None, 25.57),
        "sft": Main(16.36, 54.19, 32.76, 19.17, 24.56),
        "sdft": Main(13.77, 29.78, 35.36, 12.76, 24.57),
        "mind_the_gap": Main(14.60, 37.61, 34.43, 15.05, 24.52),
        "agent": Main(16.47, 55.23, 37.55, 7.35, 27.01),
    },
}
TABLE_2 = {
    "sdft": dict(zip(BACKBONES, (53.39, 66.33, 69.28), strict=True)),
    "mind_the_gap": dict(zip(BACKBONES, (53.47, 67.42, 69.74), strict=True)),
    "agent": dict(zip(BACKBONES, (60.19, 74.96, 77.43), strict=True)),
}
"""Task-consistency yield."""
TABLE_3 = {
    "full": Ablation(21.12, 43.14, 74.96),
    "no_dist": Ablation(20.73, 39.37, 74.58),
    "no_div": Ablation(20.18, 40.93, 75.34),
    "task_only": Ablation(20.07, 39.23, 78.25),
}
TABLE_4 = {"fallback": Construction(50000, 21.12, 43.17), "success_only": Construction(37483, 20.30, 43.70)}
TABLE_5 = {"full": Ablation(21.12, 43.14, 74.96), "soft": Ablation(19.52, 42.96, 71.58)}
BENCHMARKS = ("AMC23", "AGIEval-Math", "IMO-AnswerBench", "Math500", "MinervaMath", "MMLU", "MMLU-Pro",
              "AGIEval-nonmath")  # fmt: skip
"""Columns of Tables 6 and 7, in our names."""
TABLE_6 = {
    LLAMA_1B: {
        "base": (15.00, 19.55, 2.63, 22.00, 2.94, 38.08, 17.55, 26.39),
        "sft": (17.50, 26.82, 5.26, 23.40, 4.04, 33.92, 12.51, 21.37),
        "sdft": (17.50, 21.36, 3.51, 23.20, 3.44, 34.02, 14.21, 23.17),
        "mind_the_gap": (15.00, 20.18, 3.51, 22.60, 3.31, 34.83, 15.09, 23.32),
        "agent": (17.50, 25.45, 4.39, 24.20, 3.94, 36.68, 15.94, 25.14),
    },
    LLAMA_3B: {
        "base": (17.50, 30.36, 5.70, 33.20, 7.72, 61.07, 35.11, 39.45),
        "sft": (25.00, 32.72, 5.70, 36.80, 8.82, 48.26, 31.06, 32.45),
        "sdft": (20.00, 32.27, 5.82, 33.00, 8.09, 55.19, 31.02, 34.75),
        "mind_the_gap": (22.50, 31.09, 6.41, 33.40, 8.09, 54.12, 31.53, 35.68),
        "agent": (22.50, 33.18, 6.65, 35.00, 8.25, 58.51, 33.44, 38.75),
    },
    MISTRAL_7B: {
        "base": (10.00, 22.73, 3.95, 11.20, 5.15, 52.14, 29.52, 39.95),
        "sft": (10.00, 31.82, 5.26, 22.40, 7.35, 38.83, 23.52, 35.94),
        "sdft": (12.50, 24.55, 5.14, 20.40, 6.25, 44.77, 24.10, 37.21),
        "mind_the_gap": (15.00, 25.00, 5.26, 20.20, 7.56, 43.71, 23.18, 36.41),
        "agent": (12.50, 32.45, 7.45, 21.40, 8.56, 47.68, 26.86, 38.12),
    },
}
TABLE_7 = {
    "full": (22.50, 33.18, 6.65, 35.00, 8.25, 58.51, 33.44, 38.75),
    "no_dist": (22.50, 32.86, 6.15, 34.20, 7.93, 53.14, 31.20, 33.76),
    "no_div": (20.00, 32.17, 6.43, 34.00, 8.31, 55.13, 32.13, 35.54),
    "task_only": (20.00, 32.46, 6.12, 33.60, 7.84, 53.10, 30.42, 34.19),
    "soft": (17.25, 32.14, 6.01, 34.24, 7.94, 58.34, 32.81, 37.72),
    "success_only": (22.50, 31.09, 6.41, 33.40, 8.08, 58.82, 33.53, 38.75),
}
"""Tables 3, 4, 5 and 7 and Figures 3 and 4 are on Llama-3.2-3B-Instruct."""
DISAGREEMENTS = (
    "Mistral-7B SFT: MathAvg is 16.36 in Table 1; the mean of its row in Table 6 is 15.37.",
    "Llama-3.2-3B agent: GeneralAvg is 43.17 in Tables 1 and 4, 43.14 in Tables 3 and 5; the mean of its row in "
    "Tables 6 and 7 is 43.57.",
    "Task only, Llama-3.2-3B: MathAvg is 20.07 in Table 3; the mean of its row in Table 7 is 20.00.",
)
CASE_STUDY = {"reference": 0.74, "direct rewrite": 0.63, "agent": 0.44}
"""Appendix F: the loss of one problem's three solutions, nats per token."""


def like(model: str) -> str | None:
    """The paper's backbone that a model's name names; None where it has none like it."""
    return next((name for name in BACKBONES if name.lower() in model.lower()), None)
