"""How long to wait before the next try: one Retry-After reader and one backoff, for the client, the pods and the judge.

Nothing here waits or tries; that is up to the caller, as is what may be tried again at all.
Nothing here imports more than the standard library, so that clients can share it.
"""

import random
import re
import time
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

LONGEST_ASKED_S = 3600.0
"""No Retry-After counts for more. Whoever asks for longer is mistaken, or can be asked once an hour all the same."""

_SECONDS = re.compile(r"[0-9]+(?:\.[0-9]+)?")


def retry_after_s(header: str | None) -> float:
    """Seconds that a Retry-After header asks for, in [0, `LONGEST_ASKED_S`].

    The header is a number of seconds (a fraction is read too) or an HTTP date (RFC 9110, 10.2.3), which is taken as UTC
    where it names no zone. 0 where there is no header, for a date that has passed, and for everything else: a negative
    number, infinity, words.
    """
    value = (header or "").strip()
    if _SECONDS.fullmatch(value):
        return min(LONGEST_ASKED_S, float(value))
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return 0.0
    left = (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp() - time.time()
    return min(LONGEST_ASKED_S, max(0.0, left))


@dataclass(frozen=True)
class Backoff:
    """Pauses that double with each failure in a row, with jitter, unless the server says how long.

        pause(n) = min(longest_s, first_s · 2^(n − 1)) · U(1/2, 1)
        pause(n, asked_s) = min(longest_asked_s, asked_s) · U(1, 1.1)    where asked_s > 0

    A server is never asked sooner than it said, up to `longest_asked_s`; the jitter keeps many callers who failed
    together from coming back together.
    """

    first_s: float
    longest_s: float
    longest_asked_s: float = LONGEST_ASKED_S

    def pause(self, failures: int, *, asked_s: float = 0.0) -> float:
        """Seconds until the next try. failures: those in a row, at least 1; asked_s: from Retry-After, 0 for none."""
        if asked_s > 0:
            return min(self.longest_asked_s, asked_s) * random.uniform(1, 1.1)
        # 2.0 ** 1024 is no float.
        return min(self.longest_s, self.first_s * 2.0 ** min(failures - 1, 1000)) * random.uniform(0.5, 1)
