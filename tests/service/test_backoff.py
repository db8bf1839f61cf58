"""Retry-After in every spelling that servers use, and pauses within their bounds."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewright.service.backoff import LONGEST_ASKED_S, Backoff, retry_after_s

BACKOFF = Backoff(first_s=0.5, longest_s=4.0, longest_asked_s=60.0)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("86400", LONGEST_ASKED_S),
        ("9" * 400, LONGEST_ASKED_S),
        (None, 0.0),
        ("", 0.0),
        ("-5", 0.0),
        ("1e3", 0.0),
        ("1_000", 0.0),
        ("٣", 0.0),
        ("nan", 0.0),
        ("inf", 0.0),
        ("soon", 0.0),
        ("5 seconds", 0.0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 0.0),
        ("Sun Nov  6 08:49:37 1994", 0.0),
        ("Sun, 06 Nov 99999 08:49:37 GMT", 0.0),
        ("Sun, 06 Nov 2094 08:49:37 +" + "9" * 30, 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_ASKED_S),
    ],
)
def test_a_header_is_seconds_from_now_or_nothing(header: str | None, seconds: float) -> None:
    assert retry_after_s(header) == seconds


@pytest.fixture
def elsewhere(request: pytest.FixtureRequest) -> Iterator[None]:
    """Local time of another place."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize("zone", ["GMT", "-0000", ""], ids=["GMT", "no zone known", "no zone"])
@pytest.mark.parametrize("elsewhere", ["UTC", "Asia/Tokyo"], indirect=True)
@pytest.mark.usefixtures("elsewhere")
def test_a_date_is_read_as_utc_wherever_this_runs(zone: str) -> None:
    date = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=900)
    header = format_datetime(date, usegmt=True).replace("GMT", zone)
    earliest = date.timestamp() - time.time()
    asked = retry_after_s(header)
    assert date.timestamp() - time.time() <= asked <= earliest


@given(st.one_of(st.text(), st.text("0123456789 +-:,.GMTSunNov"), st.from_regex(r"\d{1,2} Nov \d{1,5} \d+:\d+(:\d+)?")))
def test_no_header_raises_or_asks_for_the_impossible(header: str) -> None:
    assert 0 <= retry_after_s(header) <= LONGEST_ASKED_S


@given(st.integers(1, 10**9))
def test_pauses_double_up_to_the_longest_and_keep_callers_apart(failures: int) -> None:
    whole = min(4.0, 0.5 * 2.0 ** min(failures - 1, 20))
    pauses = [BACKOFF.pause(failures) for _ in range(50)]
    assert all(whole / 2 <= pause <= whole for pause in pauses) and len(set(pauses)) > 1


@given(st.floats(0.001, LONGEST_ASKED_S), st.integers(1, 100))
def test_what_a_server_asks_is_kept_up_to_a_bound(asked_s: float, failures: int) -> None:
    kept = min(60.0, asked_s)
    pauses = [BACKOFF.pause(failures, asked_s=asked_s) for _ in range(50)]
    assert all(kept <= pause <= 1.1 * kept for pause in pauses) and len(set(pauses)) > 1
