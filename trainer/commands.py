"""`rewright train grpo`: joins the command line through the entry-point group `rewright.commands`.

Loaded for every `rewright --help`, so nothing heavy is imported before a command runs.
Exit status: 0 the run is done; 1 the service gave no rewards any more (a checkpoint is there); 2 something to mend.
"""

import argparse
import logging
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

DONE, NO_REWARDS, MISTAKE = 0, 1, 2


def add(commands: "Commands") -> None:
    """Add `train` to the command line."""
    train = commands.add_parser("train", help="train a rewriter (Stage I)")
    add_grpo(train.add_subparsers(metavar="METHOD", required=True))


def add_grpo(methods: "Commands") -> None:
    parser = methods.add_parser(
        "grpo",
        help="GRPO with LoRA on the service's gated reward",
        description="Train the rewriting agent. The service must be up: see reward.base_urls of the recipe. "
        "On several GPUs: torchrun --nproc-per-node N -m trainer grpo --config FILE",
    )
    parser.add_argument("--config", required=True, metavar="FILE", help="a recipe (YAML), or a shipped one's name")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a key, for instance training.group_size=4 (repeatable)",
    )
    parser.add_argument(
        "--resume",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="go on with the run that the output folder holds (default); --no-resume refuses a used folder",
    )
    parser.set_defaults(run=run_grpo)


def run_grpo(options: argparse.Namespace) -> int:
    from trainer.errors import ServiceTrouble, TrainerError

    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    for chatty in ("httpx", "httpcore", "matplotlib"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        from trainer.recipe import load_recipe

        recipe = load_recipe(options.config, options.set)
        from trainer.grpo import train

        adapter = train(recipe, resume=options.resume)
    except ServiceTrouble as error:
        return _say(error, NO_REWARDS)
    except TrainerError as error:
        return _say(error, MISTAKE)
    except ModuleNotFoundError as error:
        return _say(f"{error}; pip install 'rewright[trainer]'", MISTAKE)
    print(adapter)
    return DONE


def _say(what: object, status: int) -> int:
    print(f"rewright: {what}", file=sys.stderr)
    return status
