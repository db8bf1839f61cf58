"""Who is let in: bounds, measured rates, deadlines that cannot be kept, and the closed door. Time is a number here."""

import pytest

from rewright.service.core.admission import Admission, Load
from rewright.service.errors import Overloaded, ScorerUnavailable


def admission(bound=1000, waiting_bytes=100):
    return Admission({"nll": bound, "verify": bound}, waiting_bytes=waiting_bytes)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def busy_load(clock, *, rate=100, inside=400, bound=1000):
    """A load that was measured at `rate` while `inside` candidates were there."""
    load = Load(bound, clock=clock)
    load.enter(inside)
    load.requests = 1
    for _ in range(20):
        clock.now += 0.1
        load.leave(rate // 10, scored=True)
        load.enter(rate // 10)
    return load


def test_a_full_scorer_refuses_and_an_empty_one_takes_anything():
    door = admission(bound=100)
    with door.admit(["nll"], 5000, seconds=10) as ticket:
        with pytest.raises(Overloaded, match=r"scorers\.nll\.waiting") as refused:
            door.admit(["nll"], 1, seconds=10)
        assert refused.value.retry_after >= 1
        with door.admit(["verify"], 1, seconds=10):
            pass
        ticket.answered(4990)
        assert door.loads["nll"].inside == 10
        with door.admit(["nll"], 80, seconds=10):
            pass
    assert door.loads["nll"].inside == door.loads["nll"].requests == 0


def test_the_last_of_the_room_is_kept_for_small_requests():
    door = admission(bound=1000)
    with door.admit(["nll"], 895, seconds=10):
        with pytest.raises(Overloaded):
            door.admit(["nll"], 20, seconds=10)
        with door.admit(["nll"], 10, seconds=10):
            pass


def test_what_a_request_leaves_behind_is_nothing_even_when_it_fails():
    door = admission()
    with pytest.raises(ValueError), door.admit(["nll", "verify"], 10, seconds=10) as ticket:
        ticket.answered(3)
        raise ValueError
    assert [load.inside for load in door.loads.values()] == [0, 0]


def test_the_rate_is_measured_under_load_and_tells_how_long_to_wait():
    clock = Clock()
    load = busy_load(clock)
    assert load.rate == pytest.approx(100, rel=0.05)
    assert load.seconds_for(400) == pytest.approx(8, rel=0.1)
    # A small request waits for its share, not for everything that is there.
    assert load.seconds_for(10) < 1
    assert load.seconds_until(300) == pytest.approx(3, rel=0.05)


def test_an_idle_measurement_never_lowers_the_rate_and_an_old_one_refuses_nobody():
    clock = Clock()
    load = busy_load(clock)
    load.leave(400, scored=False)
    load.enter(10)
    clock.now += 5
    load.leave(10, scored=True)
    assert load.rate == pytest.approx(100, rel=0.05)
    clock.now += 60
    assert load.seconds_for(400) is None


def test_work_far_beyond_what_was_measured_is_tried():
    load = busy_load(Clock(), inside=50)
    assert load.seconds_for(5000) is None


def test_a_deadline_that_cannot_be_kept_is_refused_at_once():
    door = admission(bound=10_000)
    clock = Clock()
    door.loads["nll"] = busy_load(clock, inside=400, bound=10_000)
    with pytest.raises(Overloaded, match="allowed") as refused:
        door.admit(["nll"], 200, seconds=3)
    assert refused.value.retry_after >= 1
    with door.admit(["nll"], 10, seconds=3):
        pass


def test_what_is_too_large_for_its_deadline_even_alone_is_let_in_while_its_turn_comes_in_time():
    """It gets what is finished by then; refused, it would be as large at the next try."""
    door = admission(bound=10_000)
    clock = Clock()
    door.loads["nll"] = busy_load(clock, inside=400, bound=10_000)  # 100 a second
    with pytest.raises(Overloaded):
        door.admit(["nll"], 390, seconds=3.5)
    with door.admit(["nll"], 600, seconds=5):
        pass
    door.loads["nll"].leave(400, scored=False)
    with door.admit(["nll"], 600, seconds=1):
        pass


def test_bodies_are_bounded_together_but_one_alone_always_fits():
    door = admission(waiting_bytes=100)
    door.hold(500, own=0)
    door.hold(500, own=500)
    with pytest.raises(Overloaded, match=r"limits\.waiting_mb"):
        door.hold(1, own=0)
    door.release(1000)
    door.hold(50, own=0)


def test_a_closed_door_says_to_come_again():
    door = admission()
    door.closing = True
    with pytest.raises(ScorerUnavailable, match="shutting down") as refused:
        door.admit(["nll"], 1, seconds=1)
    assert refused.value.retryable
