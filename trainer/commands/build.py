"""`rewright build` and `rewright merge`, joined to the command line by entry points. Nothing heavy before one runs.

Exit status: 0 the dataset is there; 1 the service gave no scores any more (what is written is kept); 2 something to
fix.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rewright.trainer.commands.exit_status import run_reporting

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

METHODS = ("sft", "sdft", "mind_the_gap", "mind_the_gap_guided", "agent", "select")


def add(commands: "Commands") -> None:
    """Add `build` to the command line."""
    parser = commands.add_parser(
        "build",
        help="build a rewritten SFT dataset (Stage II)",
        description="Generate, verify, fall back. The service must be up: see service.base_urls of the recipe. The "
        "same command goes on where it was stopped.",
    )
    parser.add_argument("--config", required=True, metavar="FILE", help="a recipe (YAML), or a shipped one's name")
    parser.add_argument("--method", choices=METHODS, help="overrides the recipe's")
    parser.add_argument(
        "--success-only", action="store_true", help="leave out the rows that fell back to the reference"
    )
    parser.add_argument("--adapter", metavar="FOLDER", help="methods agent and select: adapter/ of a Stage I run")
    parser.add_argument("--corpus", metavar="FOLDER", help="a finished corpus in place of the recipe's sources")
    parser.add_argument("--out", metavar="FOLDER", help="overrides keeping.output")
    parser.add_argument("--shard", metavar="I/N", help="build part I (from 0) of N, into OUT/shards/I-of-N")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a key (repeatable)")
    parser.set_defaults(run=run_build)


def add_merge(commands: "Commands") -> None:
    """Add `merge` to the command line."""
    parser = commands.add_parser(
        "merge",
        help="put the shards of a build together",
        description="Merges OUT/shards/* into OUT; all must be done.",
    )
    parser.add_argument("folder", type=Path, metavar="OUT", help="the output folder that the shards were built into")
    parser.set_defaults(run=run_merge)


def run_build(options: argparse.Namespace) -> int:
    def work() -> Path:
        from rewright.trainer.recipes.build import Shard, load_build_recipe

        shard = Shard.parse(options.shard) if options.shard is not None else None
        recipe = load_build_recipe(options.config, overrides(options))
        from rewright.trainer.build.build import build

        return build(recipe, shard=shard)

    return run_reporting(work)


def run_merge(options: argparse.Namespace) -> int:
    def work() -> Path:
        from rewright.trainer.build.merge import merge

        return merge(options.folder.expanduser())

    return run_reporting(work)


def overrides(options: argparse.Namespace) -> list[str]:
    """The flags as overrides of the recipe; they stand last, so that they win."""
    import json

    found = list(options.set)
    if options.method is not None:
        found.append(f"method={options.method}")
    if options.success_only:
        found.append("success_only=true")
    if options.adapter is not None:
        found.append(f"adapter={json.dumps(options.adapter)}")
    if options.corpus is not None:
        found += ["corpus=null", f"corpus_folder={json.dumps(options.corpus)}"]
    if options.out is not None:
        found.append(f"keeping.output={json.dumps(options.out)}")
    return found
