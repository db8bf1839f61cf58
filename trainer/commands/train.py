"""`rewright train grpo` and `rewright train sft`: join the command line by the entry-point group `rewright.commands`.

Loaded for every `rewright --help`, so nothing heavy is imported before a command runs.
Exit status: 0 the run is done; 1 the service gave no rewards any more (a checkpoint is there); 2 something to fix.
"""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from rewright.trainer.commands.exit_status import run_reporting

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add(commands: "Commands") -> None:
    """Add `train` to the command line."""
    train = commands.add_parser("train", help="train a rewriter (Stage I), or fine-tune on a built dataset (Stage II)")
    methods = train.add_subparsers(metavar="METHOD", required=True)
    add_grpo(methods)
    add_sft(methods)


def add_grpo(methods: "Commands") -> None:
    parser = methods.add_parser(
        "grpo",
        help="GRPO with LoRA on the service's gated reward",
        description="Train the rewriting agent. The service must be up: see reward.base_urls of the recipe, or "
        "--serve. "
        "On several GPUs: torchrun --nproc-per-node N -m rewright.trainer grpo --config FILE",
    )
    add_recipe(parser, example="training.group_size=4")
    parser.add_argument(
        "--serve",
        action="store_true",
        help="start a reward service for this run on this machine, with the recipe's backbone as π0, and end it with "
        "the run; what the environment sets (REWRIGHT_…) it takes. Its log is OUTPUT.service.log",
    )
    parser.set_defaults(run=run_grpo)


def add_sft(methods: "Commands") -> None:
    parser = methods.add_parser(
        "sft",
        help="supervised fine-tuning on a built dataset, loss on the response alone",
        description="Fine-tune on what `rewright build` wrote; full parameters, or LoRA where the recipe has a block "
        "lora. On several GPUs: torchrun --nproc-per-node N -m rewright.trainer sft --config FILE",
    )
    add_recipe(parser, example="data.path=build/dataset.jsonl")
    parser.add_argument(
        "--llama-factory", metavar="FILE", help="write the same run as a LLaMA-Factory YAML there, and train nothing"
    )
    parser.add_argument(
        "--llama-factory-template", metavar="NAME", help="its chat template, where the model's is unknown"
    )
    parser.set_defaults(run=run_sft)


def add_recipe(parser: argparse.ArgumentParser, *, example: str) -> None:
    """What every training command takes."""
    parser.add_argument("--config", required=True, metavar="FILE", help="a recipe (YAML), or a shipped one's name")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help=f"override a key, for instance {example} (repeatable)",
    )
    parser.add_argument(
        "--resume",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="go on with the run that the output folder holds (default); --no-resume refuses a used folder",
    )


def run_grpo(options: argparse.Namespace) -> int:
    def run() -> object:
        from rewright.trainer.recipes.grpo import load_recipe

        recipe = load_recipe(options.config, options.set)
        from rewright.trainer.grpo.train import train

        if not options.serve:
            return train(recipe, resume=options.resume)
        from rewright.trainer.runs.own_service import own_service, settings_for

        log_file = Path(f"{Path(recipe.keeping.output).expanduser()}.service.log")
        with own_service(log_file, settings_for(recipe)) as url:
            return train(recipe.served_at(url), resume=options.resume)

    return run_reporting(run)


def run_sft(options: argparse.Namespace) -> int:
    def run() -> object:
        from rewright.trainer.recipes.sft import load_sft_recipe

        recipe = load_sft_recipe(options.config, options.set)
        if options.llama_factory is not None:
            from rewright.trainer.sft.llama_factory import write_llama_factory

            ranks = int(os.environ.get("WORLD_SIZE", "1"))
            file = Path(options.llama_factory)
            return write_llama_factory(recipe, file, template=options.llama_factory_template, ranks=ranks)
        from rewright.trainer.sft.train import train_sft

        return train_sft(recipe, resume=options.resume)

    return run_reporting(run)
