"""This file is the emit stage: what is durable goes to the change and dead-letter topics."""

from flows.items import Committed, Dropped, Flush, Released, Written
from flows.measure import Measure
from flows.progress import Progress
from sinks.relay import Relay

FLUSH_S = 1.0
"""How long a hand-over waits for the broker; what is not confirmed by then the next owner looks for."""


class Emit:
    """Publish committed batches in order, and note how far the broker has confirmed them."""

    def __init__(self, relay: Relay, progress: Progress, measure: Measure) -> None:
        self._relay = relay
        self._measure = measure
        self._progress = progress

    def __call__(self, item: Written) -> None:
        """Take one item."""
        match item:
            case Committed(partition, batches, published):
                if batches:
                    self._relay.publish(partition, batches, published)
                    self._measure.entries_stored(partition, batches[-1].last_id)
            case Released(partition) | Dropped(partition):
                self._relay.forget(partition)
                self._measure.outbox_left(partition)
            case Flush():
                self._relay.flush(FLUSH_S)
                self.note()

    def note(self) -> None:
        """Hear what the broker has confirmed, and tell the other stages."""
        self._relay.poll()
        for partition, account in self._progress.shards.items():
            account.delivered = self._relay.delivered_to(partition)
            account.tails = self._relay.tails(partition)
            account.pending = self._relay.pending(partition)
        self._measure.published(self._relay.published, self._relay.failures)
