"""`rewright evaluate`: joins the command line by an entry point. Nothing heavy is imported before it runs.

Exit status: 0 results are there; 1 the service stayed away (every generation is kept); 2 something to fix.
"""

import argparse
from typing import TYPE_CHECKING

from rewright.trainer.commands.exit_status import run_reporting

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_SHORT = {
    "model": ("backbone.model", "MODEL", "hub name, folder (of a full fine-tuning, too), .gguf or `embedded`"),
    "adapter": ("adapter", "DIR", "a LoRA adapter on top of it"),
    "data": ("data", "FILE", "JSONL: benchmark, subject, question, options, answer"),
    "base": ("base", "DIR", "an evaluation of the base model, for Math↑, Gen↓ and drift"),
    "url": ("service.base_urls", "URL", "the reward service"),
    "output": ("output", "DIR", "folder of generations, verdicts and results; the same command goes on in it"),
}


def add(commands: "Commands") -> None:
    parser = commands.add_parser(
        "evaluate",
        help="answer benchmarks, have the answers verified, report accuracy and drift",
        description="Evaluate a model on a JSONL file of questions. Options override the recipe.",
    )
    parser.add_argument(
        "--config", default="evaluate-paper", metavar="FILE", help="a recipe (YAML), or a shipped one's name"
    )
    for name, (key, metavar, what) in _SHORT.items():
        parser.add_argument(f"--{name}", metavar=metavar, help=f"{what} ({key})")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a key, for instance per_benchmark=50"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    def work() -> object:
        from rewright.trainer.recipes.evaluate import load_evaluate_recipe

        short = [
            f"{key}={given}" for name, (key, *_) in _SHORT.items() if (given := getattr(options, name)) is not None
        ]
        recipe = load_evaluate_recipe(options.config, [*short, *options.set])
        from rewright.trainer.evaluate.evaluate import evaluate

        return evaluate(recipe)

    return run_reporting(work)
