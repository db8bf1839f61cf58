"""What every command about a judge is told: labelled rows, and the settings that configure the judge."""

import argparse
from pathlib import Path


def add_rows_and_settings(parser: argparse.ArgumentParser) -> None:
    """`file` and `split` (`labelled_rows`), and `config` (`rewright.service.settings.load`)."""
    parser.add_argument(
        "file",
        help="problem, reference, candidate, valid, and category if known; or ProcessBench, PRM800K, MR-GSM8K. JSON "
        "lines or another kind of file, or hub:owner/name",
    )
    parser.add_argument("--split", default="test", help="of a folder or hub data set (default test)")
    parser.add_argument("--config", type=Path, help="settings file (YAML); else REWRIGHT_CONFIG and the environment")
