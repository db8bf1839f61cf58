"""`python -m trainer grpo …`: the same as `rewright train grpo …`, in the shape that torchrun and accelerate start."""

import argparse
import sys

from trainer.commands import add_grpo


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m trainer")
    add_grpo(parser.add_subparsers(metavar="METHOD", required=True))
    options = parser.parse_args()
    return int(options.run(options))


if __name__ == "__main__":
    sys.exit(main())
