"""Options that several commands share, and what they mean."""

import argparse
from pathlib import Path

from rewright.clients.cli.group_rows import Columns
from rewright.clients.rows.layouts import LAYOUTS
from rewright.service.errors import InvalidRequest
from rewright.service.schema import Rule

DEFAULT_URL = "http://127.0.0.1:8000"


def add_api_key_file(parser: argparse.ArgumentParser) -> None:
    """The option that `api_key_of` reads."""
    parser.add_argument(
        "--api-key-file",
        type=Path,
        metavar="FILE",
        help="file whose first line is the service's key (a file, so that the key shows in no process list)",
    )


def api_key_of(options: argparse.Namespace) -> str | None:
    """The service's key, or None where no file is named. Raises `InvalidRequest` for a file that holds none."""
    if options.api_key_file is None:
        return None
    try:
        lines = options.api_key_file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"--api-key-file: {error}") from None
    if not lines or not lines[0].strip():
        raise InvalidRequest(f"--api-key-file: {options.api_key_file} holds no key in its first line")
    return str(lines[0].strip())


def add_rule(parser: argparse.ArgumentParser) -> None:
    """The options that `rule_of` reads."""
    rule = parser.add_argument_group("reward rule (eq. 3)")
    rule.add_argument("--variant", choices=["full", "no_dist", "no_div", "task_only", "soft"], default="full")
    rule.add_argument("--lambda-dist", type=float, default=1.0, metavar="X", help="weight of r_dist (default 1)")
    rule.add_argument("--lambda-div", type=float, default=1.0, metavar="X", help="weight of r_div (default 1)")
    rule.add_argument(
        "--weights",
        type=_weight,
        action="append",
        default=[],
        metavar="NAME=X",
        help="count a further scorer of one number per candidate with this weight; repeat for several",
    )
    rule.add_argument(
        "--reasoning",
        choices=["judge", "checks", "off"],
        default="judge",
        help="who decides v_rea: the judge (default), certain checks without a model, or nobody",
    )
    rule.add_argument(
        "--dist",
        choices=["mean", "sum", "tail"],
        default="mean",
        help="which NLL r_dist compares: the mean (eq. 6, default), the sum, or the mean of the worst 20 %% of tokens",
    )
    rule.add_argument(
        "--min-std", type=float, default=0.0, metavar="X", help="floor of the group's NLL deviation (default 0)"
    )


def add_columns(parser: argparse.ArgumentParser) -> None:
    """Options that say where groups are in data of another layout."""
    columns = parser.add_argument_group("data of another layout (columns are dotted paths: generations, meta.gold)")
    columns.add_argument("--layout", choices=sorted(LAYOUTS), help="a published layout")
    columns.add_argument("--problem", metavar="COLUMN")
    columns.add_argument("--reference", metavar="COLUMN")
    columns.add_argument("--answer", metavar="COLUMN")
    columns.add_argument(
        "--candidates", metavar="COLUMN", default="candidates", help="a list of texts or of message lists, or one text"
    )
    columns.add_argument("--group-by", metavar="COLUMN", help="one candidate a row: rows of one value are a group")
    columns.add_argument("--split", default="train", help="of a folder or hub data set (default train)")


def columns_of(options: argparse.Namespace) -> Columns:
    """What `add_columns` was told."""
    return Columns(**{name: getattr(options, name) for name in Columns.__dataclass_fields__})


def rule_of(options: argparse.Namespace) -> Rule:
    """The rule of eq. 3 that the options describe. Raises pydantic's `ValidationError` for numbers that it refuses."""
    return Rule(
        variant=options.variant,
        lambda_dist=options.lambda_dist,
        lambda_div=options.lambda_div,
        dist=options.dist,
        min_std=options.min_std,
        reasoning=options.reasoning,
        weights=dict(options.weights),
    )


def _weight(text: str) -> tuple[str, float]:
    name, equals, weight = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError("must look like NAME=0.1")
    return name, float(weight)


def positive(text: str) -> float:
    """An option's number above 0. Raises what argparse shows as a mistake of the user."""
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError("must be above 0")
    return value


def positive_count(text: str) -> int:
    """An option's whole number from 1 on. Raises what argparse shows as a mistake of the user."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value
