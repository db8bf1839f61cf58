"""What each method's data cost, and what the same rollouts would buy: the line of equal compute.

    rollouts    texts written: in Stage I (the agent's training) and in the build
    forward     tokens that a model reads or writes once: Stage I's rollouts twice (written, and read by the update),
                the build's texts, SFT's rows once an epoch
    backward    tokens of updates: Stage I's rollouts, and SFT's rows once an epoch

The line of equal compute: at as many rollouts a problem, `select` would choose among so many candidates and train no
rewriter.

Not covered: what the service computes to score them (each candidate once, whatever the method), prompts of builds, and
the length of texts in FLOPs: attention is left out. A Stage I whose state is not beside its adapter is not known.
"""

from collections.abc import Sequence

from rewright.trainer.report.runs import Run, Runs
from rewright.trainer.report.words import METHOD_ORDER, NAMES, markdown_table

_MISSING = "No runs for this table."


def cost_table(runs: Runs) -> str:
    """A row a build, with the SFT runs on it."""
    builds = sorted(runs.builds, key=lambda run: (run.backbone, METHOD_ORDER.index(run.method), run.folder.name))
    rows = [_row(build, runs.trainings) for build in builds if not build.success_only]
    head = [
        "method", "run", "problems", "rollouts of Stage I", "of the build", "rollouts a problem = K of select",
        "tokens written by the build", "forward tokens", "backward tokens",
    ]  # fmt: skip
    if not rows:
        return _MISSING
    return f"{markdown_table(head, rows)}\n\nForward and backward tokens are those of the models that write and learn."


def _row(build: Run, trainings: Sequence[Run]) -> list[str]:
    said, samples = build.content, build.content["samples"]
    trained = build.method == "agent" or said.get("rewriter") is not None
    stage_one = (said.get("rewriter") or {}).get("stage_one") if trained else {"rollouts": 0, "tokens": 0}
    written = sum(each["written"] for each in said.get("attempts", {}).values())
    tokens = said.get("tokens_written", 0)
    learnt = _sft_tokens(build, trainings)
    rollouts = forward = backward = None
    if stage_one is not None:
        rollouts = stage_one["rollouts"] + written
        if learnt is not None:
            forward, backward = 2 * stage_one["tokens"] + tokens + learnt, stage_one["tokens"] + learnt
    return [
        NAMES[build.method],
        build.folder.name,
        str(samples),
        _count(stage_one["rollouts"] if stage_one is not None else None),
        _count(written),
        f"{rollouts / samples:.1f}" if rollouts is not None and samples else "–",
        _count(tokens),
        _count(forward),
        _count(backward),
    ]


def _sft_tokens(build: Run, trainings: Sequence[Run]) -> int | None:
    """Tokens of the first SFT run on such a build, each once an epoch; None where there is none."""
    for run in trainings:
        same = (run.backbone, run.method, run.variant, run.group_size, run.success_only) == (
            build.backbone, build.method, build.variant, build.group_size, False,
        )  # fmt: skip
        tokens = run.origin.get("data", {}).get("tokens")
        if same and tokens is not None and run.curve:
            return round(int(tokens) * run.curve[-1].get("epoch", 1.0))
    return None


def _count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"
