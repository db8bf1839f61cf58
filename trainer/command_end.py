"""A command's end: what it gives is printed, and trouble becomes a line and an exit status, never a traceback.

0 it is done; 1 the service gave no scores any more (what was there is kept); 2 something to mend.
"""

import logging
import sys
from collections.abc import Callable

DONE, NO_SCORES, MISTAKE = 0, 1, 2


def run_reporting(run: Callable[[], object]) -> int:
    """Run it, print what it gives, and turn trouble into a line and an exit status."""
    from trainer.errors import ServiceTrouble, TrainerError

    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    for chatty in ("httpx", "httpcore", "matplotlib", "transformers"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        print(run())
    except ServiceTrouble as error:
        return _say(error, NO_SCORES)
    except TrainerError as error:
        return _say(error, MISTAKE)
    except ModuleNotFoundError as error:
        return _say(f"{error}; pip install 'rewright[trainer]'", MISTAKE)
    return DONE


def _say(what: object, status: int) -> int:
    print(f"rewright: {what}", file=sys.stderr)
    return status
