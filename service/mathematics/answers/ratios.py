r"""Colons: times of day and ratios, which are no divisions.

Policy
- What has `am` or `pm`, or minutes with a leading zero (2:05), is a time; so is what may be one (6:15, 10:20) beside
  another such. Three parts without a leading zero are a ratio. A time equals the same time, on a clock of 12 hours
  or of 24, and no quotient.
- Else it is a ratio: of two parts it equals their quotient as well, of more parts only a ratio in the same proportions.
  `3 \text{ to } 4` is a ratio beside a colon alone.
"""

import math
import re
from collections.abc import Callable

from rewright.service.mathematics.answers.structure import split

_CLOCK = re.compile(r"([0-9]{1,2})(?::([0-5][0-9]))?(?::([0-5][0-9]))? ?([ap]m)?")
_QUOTIENT = re.compile(r"\\frac\{([0-9]+)\}\{([0-9]+)\}|([0-9]+)/([0-9]+)")
_TO = re.compile(r"^([0-9.]{1,30})(?:\\text\{to\}| to )([0-9.]{1,30})$")


def same_time(gold: str, prediction: str) -> bool | None:  # noqa: PLR0911 - one certainty each
    """Whether two different texts are the same time of day; None where they need not be times."""
    if not (gold[-1:] == "m" or prediction[-1:] == "m" or ":" in gold or ":" in prediction):
        return None
    mine, yours = _CLOCK.fullmatch(gold), _CLOCK.fullmatch(prediction)
    clocks = [clock for clock in (mine, yours) if clock and (clock[2] or clock[4])]
    if not clocks:
        return None
    if mine and yours:
        if mine[3] and yours[3] and not (_is_time(mine) or _is_time(yours)):
            return None  # 5:12:13 and 10:24:26: what is proportional in three parts is a ratio
        if len(clocks) == 1 and (clocks[0][2] is None or not _is_time(clocks[0])):
            return None  # `8 am` and 8: a unit on one side
        return _minute(mine) == _minute(yours) and _same_hour(mine, yours)
    clock = clocks[0]
    if clock[4] or _is_time(clock):
        return False
    other = prediction if mine else gold
    quotient = _QUOTIENT.fullmatch(other)
    if quotient is None:
        return None if ":" in other or "\\text" in other else False
    over, below = quotient[1] or quotient[3], quotient[2] or quotient[4]
    written = (clock[1], clock[2]) == (over, below) and clock[3] is None and math.gcd(int(over), int(below)) == 1
    return None if written else False


def _is_time(clock: re.Match[str]) -> bool:
    return clock[4] is not None or "0" in (str(clock[2])[:1], str(clock[3])[:1])


def _minute(clock: re.Match[str]) -> tuple[int, int]:
    return int(clock[2] or 0), int(clock[3] or 0)


def _same_hour(mine: re.Match[str], yours: re.Match[str]) -> bool:
    if mine[4] and yours[4] and mine[4] != yours[4]:
        return False
    hours = [int(clock[1]) % 12 + 12 * (clock[4] == "pm") if clock[4] else int(clock[1]) for clock in (mine, yours)]
    faces = int(mine[1]) == int(yours[1]) and not (mine[4] and yours[4] and mine[4] != yours[4])
    return hours[0] == hours[1] or faces


def ratios(gold: str, prediction: str) -> tuple[str, str]:
    """Both texts, `3 to 4` with a colon where the other has one."""
    if ":" in gold:
        return gold, _TO.sub(r"\1:\2", prediction)
    return (_TO.sub(r"\1:\2", gold), prediction) if ":" in prediction else (gold, prediction)


def same_ratio(gold: str, prediction: str, leaf: Callable[[str, str], bool | None]) -> bool | None:
    """Whether two texts are the same ratio, where one of them has a colon; asks `leaf` where none has."""
    mine, yours = split(gold, ":"), split(prediction, ":")
    if len(mine) == len(yours) == 1:
        return leaf(gold, prediction)
    if {len(mine), len(yours)} == {1, 2}:
        # 2:3 is 2/3; a quotient is written out on both sides then.
        mine, yours = (parts if len(parts) == 2 else [parts[0], "1"] for parts in (mine, yours))
    if len(mine) != len(yours) or not (all(mine) and all(yours)):
        return False
    if any(part.strip("0") == "" for part in (*mine, *yours)):
        verdicts = [leaf(a, b) for a, b in zip(mine, yours, strict=True)]
    else:
        verdicts = [leaf(_over(a, mine[-1]), _over(b, yours[-1])) for a, b in zip(mine[:-1], yours[:-1], strict=True)]
    return False if False in verdicts else None if None in verdicts else True


def _over(part: str, last: str) -> str:
    return f"\\frac{{{part}}}{{{last}}}"
