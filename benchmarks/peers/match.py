"""One broker and one store, on which one after the other runs. This file prepares them, and checks what was stored."""

import time
from functools import cache

import redis

from benchmarks.end_to_end import ceiling, score
from benchmarks.generator import events
from benchmarks.peers.agreement import Standing, compare, sample, standings
from benchmarks.peers.catalogue import HERE, Peer
from benchmarks.peers.process import run_peer
from benchmarks.peers.servers import Servers
from flows.dev.embedded import create_topics
from flows.dev.generator import CLICKSTREAM, ORDERS
from flows.dev.load import Loader
from flows.dev.stack import PARTITIONS

JOB = HERE.parent / "job.yaml"
WARM_SHARE = 0.25
TOPIC_CONFIG = {"retention.ms": "604800000"}
"""Quix Streams asks for it, and the embedded broker knows only what a topic was created with."""
Figures = dict[str, float]


class Match:
    """Who runs on it gets a store without a key, and topics that hold as many events as its share says."""

    def __init__(self, servers: Servers, count: int, users: int, locality: str = "uniform") -> None:
        self._servers, self._count, self._users, self._locality = servers, count, users, locality
        self._sample = sample(users)
        self._end_ms = time.time_ns() // 1_000_000
        self._turns = 0
        self._ours: dict[float, tuple[Figures, list[Standing]]] = {}
        self.topics = cache(self._topics)

    def events_of(self, share: float) -> int:
        """Answer how many events a share is."""
        return int(self._count * share)

    def ceiling(self) -> Figures:
        """Measure what a consumer alone could deliver."""
        return ceiling(self._servers, self._count, self.topics(1))

    def new_round(self) -> None:
        """Measure our worker anew from here on."""
        self._ours.clear()

    def ours(self, share: float = 1) -> Figures:
        """Measure our worker, once in a round on each share."""
        if share not in self._ours:
            topics, prefix = self.topics(share), self._fresh("ours")
            figures = score(self._servers, prefix, self.events_of(share), JOB, topics)
            stored = standings(self._servers.valkey.url, prefix, self._sample, "tier.score")
            self._ours[share] = figures, stored
        return self._ours[share][0]

    def our_standings(self, share: float = 1) -> list[Standing]:
        """Answer what our worker stores of this share."""
        self.ours(share)
        return self._ours[share][1]

    def theirs(self, peer: Peer) -> Figures:
        """
        Measure a peer, tell what our worker took for the same events, and check what it stored.

        Raises:
            PeerMissing, ChildFailed: it is not to be had here.
            Disagreement: it stored something else than our worker.
        """
        ours, reference = self.ours(peer.share), self.our_standings(peer.share)
        count, prefix = self.events_of(peer.share), self._fresh("peer")
        create_topics(self._servers.kafka.bootstrap, [f"{prefix}.changes"], PARTITIONS)
        figures = run_peer(
            peer, self._servers, prefix, self.topics(peer.share), count, int(count * WARM_SHARE)
        )
        stored = standings(self._servers.valkey.url, prefix, self._sample, "score")
        apart = compare(reference, stored, self._sample)
        our_cpu_s = ours["cpu_s"] * figures["messages"] / ours["messages"]
        return {**figures, "scores_apart": apart, "our_cpu_s": our_cpu_s}

    def _topics(self, share: float) -> tuple[str, str]:
        count = self.events_of(share)
        names = f"{CLICKSTREAM}-{count}", f"{ORDERS}-{count}"
        create_topics(self._servers.kafka.bootstrap, names, PARTITIONS, TOPIC_CONFIG)
        renamed = dict(zip((CLICKSTREAM, ORDERS), names, strict=True))
        Loader(
            self._servers.kafka.bootstrap,
            events(count, self._users, self._end_ms, self._locality),
            topics=renamed,
        ).run()
        return names

    def _fresh(self, name: str) -> str:
        """Empty the store, and answer a prefix nobody had."""
        with redis.Redis.from_url(self._servers.valkey.url) as store:
            store.flushall()
        self._turns += 1
        return f"{name}{self._turns}"
