"""How often a judge gives no verdict: a judge that does so often is misconfigured, and every v_rea of it is 0.

Promises: one warning in the log when the share of the last `WINDOW` answers passes `ALARM`, and none again before it
has fallen below. An answer that was cut off before its verdict counts: a judge that thinks first has every one cut off,
and nothing is ever scored. The metric `rewright_verdicts_total` counts the same for an alarm outside.
"""

import logging
from collections import deque

from rewright.service.scorers.judge.verdicts import CUT_OFF, JudgeItem

log = logging.getLogger(__name__)

WINDOW = 200
FEWEST = 20
"""Answers before a share means anything."""
ALARM = 0.1


class NoVerdictAlarm:
    def __init__(self) -> None:
        self._without: deque[bool] = deque(maxlen=WINDOW)
        self._alarmed = False

    @property
    def share(self) -> float:
        """Of the last answers, those without a verdict; 0 before there is any."""
        return sum(self._without) / len(self._without) if self._without else 0.0

    def note(self, item: JudgeItem) -> None:
        if item.status == "failed" and item.error.code != CUT_OFF:
            return
        self._without.append(item.status == "failed" or item.verdict == "no_verdict")
        often = len(self._without) >= FEWEST and self.share > ALARM
        if often and not self._alarmed:
            log.warning(
                "the judge gave no verdict in %.0f %% of its last %d answers: its model and scorers.judge.prompt may "
                "not fit, or it thinks before it answers (scorers.judge.template_args can switch that off)",
                100 * self.share,
                len(self._without),
            )
        self._alarmed = often
