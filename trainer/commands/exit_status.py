"""A command's end: what it gives is printed, and trouble becomes a line and an exit status, never a traceback.

0 it is done; 1 the service gave no scores any more; 2 something to fix; 143 SIGTERM came. After 1 and 143 what was
there is kept.
"""

import logging
import sys
from collections.abc import Callable

DONE, NO_SCORES, MISTAKE, STOPPED = 0, 1, 2, 143


def run_reporting(run: Callable[[], object]) -> int:
    """Run it, print what it gives, and turn trouble into a line and an exit status."""
    from rewright.trainer.errors import ServiceTrouble, Stopped, TrainerError

    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    for chatty in ("httpx", "httpcore", "matplotlib", "transformers"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        print(run())
    except ServiceTrouble as error:
        return _say(error, NO_SCORES)
    except Stopped as error:
        return _say(error, STOPPED)
    except TrainerError as error:
        return _say(error, MISTAKE)
    except ModuleNotFoundError as error:
        return _say(f"{error}; pip install 'rewright[trainer]'", MISTAKE)
    return DONE


def _say(what: object, status: int) -> int:
    print(f"rewright: {what}", file=sys.stderr)
    return status
