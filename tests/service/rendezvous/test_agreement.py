"""What a gateway tells when another one was first, or the store says nothing; over a store that is a dictionary."""

import asyncio

import pytest

from rewright.service.rendezvous.agreement import Agreement
from rewright.service.rendezvous.room import Settled, digest, shared_of
from rewright.service.schema import ItemError
from rewright.service.schema.member import INCOMPLETE, Alone, Member, MemberAnswer


class Remembering:
    """away: it says nothing."""

    def __init__(self):
        self.values = {}
        self.away = False

    async def get(self, keys):
        return [None if self.away else self.values.get(key) for key in keys]

    async def put_new(self, values, *, kept_s):
        if self.away:
            return None
        if self.values.keys() & values.keys():
            return False
        self.values |= values
        return True


def member(name, *, again=False):
    return Member(group="g", size=2, member=name, problem="p", reference="r", candidate=f"c{name}", again=again)


def settled(*members, whole):
    error = ItemError(code=INCOMPLETE if not whole else "bad_gold", message="as the test says", retryable=False)
    answers = {
        m.member: MemberAnswer(group="g", member=m.member, candidate=Alone(error=error), size=2, feasible=0, failed=2)
        for m in members
    }
    texts = {m.member: digest(m.candidate) for m in members}
    return Settled(shared_of(members[0]), texts, answers, whole=whole)


@pytest.fixture
def store():
    return Remembering()


@pytest.fixture
def agreement(store):
    return Agreement(store, kept_s=60)


def told(agreement, settled, *members):
    return asyncio.run(agreement.settled({m.member: m for m in members}, settled))


@pytest.mark.parametrize("again", [False, True])
def test_the_first_is_found_by_every_member_and_the_second_tells_the_same(agreement, again):
    one, two = member("1", again=again), member("2", again=again)
    first = told(agreement, settled(one, two, whole=True), one, two)
    assert first["1"].agreed and first["1"].answer(one).agreed
    for late in (one, two):
        found = asyncio.run(agreement.found(late))
        assert found.whole and found.answer(late) == first[late.member].answer(late)
    second = told(agreement, settled(one, whole=False), one)
    assert second["1"].whole and second["1"].answer(one) == first["1"].answer(one)


def test_of_a_key_that_comes_again_one_lost_elsewhere_leaves_its_siblings_without_reward(agreement):
    one, two = member("1", again=True), member("2", again=True)
    told(agreement, settled(two, whole=False), two)
    both = told(agreement, settled(one, two, whole=True), one, two)
    assert not both["1"].whole and both["1"].answer(one) is None and both["1"].agreed
    assert both["2"].answer(two).candidate.error.code == INCOMPLETE


def test_a_store_that_says_nothing_or_nonsense_leaves_each_to_itself(agreement, store):
    one, two = member("1"), member("2")
    store.away = True
    assert not told(agreement, settled(one, two, whole=True), one, two)["1"].agreed
    store.away = False
    told(agreement, settled(one, whole=False), one)
    store.values = dict.fromkeys(store.values, b'{"shared": 1}')
    assert asyncio.run(agreement.found(one)) is None
    mine = told(agreement, settled(one, two, whole=True), one, two)["1"]
    assert mine.whole and not mine.agreed


def test_groups_that_differ_in_what_they_ask_do_not_meet_by_their_key(agreement):
    one = member("1")
    told(agreement, settled(one, whole=False), one)
    other = one.model_copy(update={"problem": "another"})
    assert asyncio.run(agreement.found(other)) is None
