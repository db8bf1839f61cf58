"""`rewright judge-fit FILE`: calibrate the judge that the settings configure on labelled rows.

The rows are those of `rewright judge-eval`. The judge is asked about every reading of every row that no certain check
decides; what it says is fitted (`rewright.service.commands.judge_fitting`) and written, with its cross-validated
figures, as a file for `scorers.judge.calibration`. Errors name the setting, or say which rows are too few.

Not covered: judges in pods (fit where the model runs, then mount the file into the pods); prompts that ask for a
rationale.
"""

import argparse
import asyncio
from pathlib import Path
from typing import Any

from rewright.service.commands.judge_evaluation import suggested_threshold
from rewright.service.commands.judge_options import add_rows_and_settings
from rewright.service.commands.labelled_rows import labelled_rows
from rewright.service.errors import SettingsError


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command (the protocol of `rewright.clients.cli.main`)."""
    parser = commands.add_parser(
        "judge-fit", help="calibrate the configured judge on a labelled file, cross-validated by problem"
    )
    add_rows_and_settings(parser)
    parser.add_argument(
        "--by",
        choices=("regression", "probe"),
        default="regression",
        help="regression: of the judge's log odds in both orders and for an empty candidate, three questions each; "
        "probe: of its last hidden state, one question, in process only (default regression)",
    )
    parser.add_argument("--output", type=Path, default=Path("judge-calibration.json"), help="the file to write")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    from rewright.service import settings
    from rewright.service.commands.judge_figures import figures, rows_revision, table
    from rewright.service.commands.judge_fitting import fitted
    from rewright.service.commands.judge_looking import look
    from rewright.service.scorers.judge.calibration import Calibration, Model

    rows = labelled_rows(options.file, split=options.split)
    configured = settings.load(options.config)
    _check(configured, options.by)
    looked = asyncio.run(look(configured, rows, probe=options.by == "probe"))
    fit = fitted(looked.seen)
    kept = [seen.row for seen in looked.seen]
    sound, unsound = (
        [score for row, score in zip(kept, fit.scores, strict=True) if row.valid is valid] for valid in (True, False)
    )
    calibration = Calibration(
        kind=options.by,
        belongs_to=Model.of(looked.described),
        features=looked.features,
        tokens=looked.tokens,
        weights=fit.weights,
        bias=fit.bias,
        suggested_threshold=suggested_threshold(sound, unsound),
        labelled=rows_revision(rows),
        cross_validated=figures(kept, fit.scores),
    )
    options.output.write_text(calibration.model_dump_json(indent=1) + "\n", encoding="utf-8")
    certain = sum(not seen.readings for seen in looked.seen)
    print(f"{len(kept)} of {len(rows)} rows scored, {certain} of them by a check that needs no model")
    print(
        table({"plain": figures(kept, [s.plain for s in looked.seen]), "cross-validated": calibration.cross_validated})
    )
    for name, weight in zip(looked.features, fit.weights, strict=False):
        print(f"{name:24s}{weight:+.3f}")
    print(f"scorers.judge.calibration: {options.output} ({calibration.revision})")
    print(f"scorers.judge.threshold: {calibration.suggested_threshold:.3f}")
    return 0


def _check(configured: Any, by: str) -> None:
    judge = configured.scorers.judge
    if judge.where != "local":
        raise SettingsError(f"scorers.judge.where is {judge.where!r}; set it to 'local' where the judge's model runs")
    if judge.calibration is not None:
        raise SettingsError("scorers.judge.calibration is set; leave it out to fit another")
    if judge.both_orders or judge.samples > 1:
        raise SettingsError("scorers.judge.both_orders and samples do not go with a calibration; leave them out")
    if by == "probe" and judge.backend != "transformers":
        raise SettingsError("scorers.judge.backend is 'openai', which shows no hidden states; use --by regression")
