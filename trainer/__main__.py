"""`python -m rewright.trainer grpo …` and `sft …`: as `rewright train …`, in the shape that torchrun and accelerate
start.
"""

import argparse
import sys

from rewright.trainer.commands.train import add_grpo, add_sft


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m rewright.trainer")
    methods = parser.add_subparsers(metavar="METHOD", required=True)
    add_grpo(methods)
    add_sft(methods)
    options = parser.parse_args()
    return int(options.run(options))


if __name__ == "__main__":
    sys.exit(main())
