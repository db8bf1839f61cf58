"""`rewright pipeline`: joins the command line by an entry point. Nothing heavy is imported before it runs."""

import argparse
from typing import TYPE_CHECKING

from rewright.trainer.commands.exit_status import run_reporting

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add(commands: "Commands") -> None:
    parser = commands.add_parser(
        "pipeline",
        help="the whole experiment from one recipe, up to the report",
        description="Rewriters, datasets, SFT, evaluation, report. The service must be up. A step is skipped when its "
        "output is there and nothing that it depends on changed; the same command goes on after a kill.",
    )
    parser.add_argument("--config", required=True, metavar="FILE", help="a recipe (YAML), or a shipped one's name")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a key, for instance work=runs/mine (repeatable)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    def work() -> object:
        from rewright.trainer.recipes.pipeline import load_pipeline_recipe

        recipe = load_pipeline_recipe(options.config, options.set)
        from rewright.trainer.pipeline.pipeline import run_pipeline

        return run_pipeline(recipe)

    return run_reporting(work)
