"""What is read from the rendezvous when metrics are scraped."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class Lobby(Protocol):
    """How full it is, in groups and members, and what became of groups and of late or repeated calls."""

    @property
    def waiting(self) -> int: ...

    @property
    def members(self) -> int: ...

    @property
    def remembered(self) -> int: ...

    @property
    def outcomes(self) -> Mapping[str, int]: ...


class LobbyState(Collector):
    def __init__(self, lobby: Lobby) -> None:
        self._lobby = lobby

    def collect(self) -> Iterable[Metric]:
        """Gauges of what is inside, and counts by outcome."""
        lobby = self._lobby
        yield GaugeMetricFamily("rewright_rendezvous_groups", "Groups not settled yet.", lobby.waiting)
        yield GaugeMetricFamily("rewright_rendezvous_members", "Members that wait in them.", lobby.members)
        yield GaugeMetricFamily(
            "rewright_rendezvous_remembered",
            "Settled groups kept for repeats; of keys that come again, members.",
            lobby.remembered,
        )
        outcomes = CounterMetricFamily(
            "rewright_rendezvous",
            "Groups by outcome (whole, incomplete_group, elsewhere, turned_away, an error); repeated and late calls.",
            labels=["outcome"],
        )
        for outcome, count in lobby.outcomes.items():
            outcomes.add_metric([outcome], count)
        yield outcomes
