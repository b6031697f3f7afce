"""This file holds one write to a shard on its way: sent, and sent again, until it has happened exactly once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sinks.claim import Claim, refuse_other_state
from sinks.errors import NotCopartitioned, StoreError
from sinks.outbox import OutboxBatch
from sinks.redis_pipe import LINK_ERRORS
from sinks.shard_link import Guard, NotNow, Retry, ShardLink, Transaction

Stamp = tuple[Mapping[str, Any], str]


@dataclass(slots=True)
class ShardWrite:
    """
    Carry one atomic write out over its shard's connection, which is nobody else's until it is finished.

    Attributes:
        number: of the write, one above the shard's last.
        batch: what is to be published of it.
        owned: profiles that no other shard may own, and the prefix of their keys.
        stamp: policy and layout that the shard has behind it; None where it has those it had.
        is_sent: an answer is due.
        is_in_doubt: it was sent and not answered, so it may have happened. A refusal is an answer.
    """

    claim: Claim
    link: ShardLink
    number: int
    transaction: Transaction
    batch: OutboxBatch | None
    owned: tuple[tuple[bytes, ...], bytes]
    stamp: Stamp | None = None
    is_sent: bool = False
    is_in_doubt: bool = False

    def begin(self) -> None:
        """Send it. What hinders that is for `finish`, but for what no further attempt can change; see there."""
        self._step()

    def finish(self, retry: Retry) -> OutboxBatch | None:
        """
        Wait until it is known to have happened exactly once, sending it again where need be; answer its batch.

        Raises:
            StoreFenced, StoreRolledBack: the shard is not ours any more, or not as our last write left it.
            NotCopartitioned: another shard owns one of the profiles.
            StoreUnavailable: the store did not take it for so long.
            StoreError: it never will.
        """
        while (outcome := self._step()) is not True:
            if isinstance(outcome, Exception):
                retry.pause(outcome)
        self.claim.number = self.number
        if self.stamp is not None:
            policy, self.claim.layout = self.stamp
            self.claim.policy = dict(policy)
        return self.batch

    def _step(self) -> bool | Exception:
        """Send it, or hear of it: answer whether it has happened, or the error that may be gone the next time."""
        try:
            return self._hear() if self.is_sent else self._send()
        except NotNow as error:
            self.is_sent = False
            return error
        except LINK_ERRORS as error:
            self.is_in_doubt |= self.is_sent
            self.is_sent = False
            self.link.drop()
            return error
        except StoreError:
            self.link.drop()
            raise

    def _send(self) -> bool:
        """Send it if the shard is as our last write left it; tell whether it had happened before."""
        claim, (keys, _) = self.claim, self.owned
        guard, owners = self.link.look(keys, "shard")
        if self.is_in_doubt and guard == Guard(claim.token, self.number):
            return True
        refuse_other_state(claim, guard)
        self._refuse_other_owner(owners)
        self.is_sent = True
        self.link.send(self.transaction)
        return False

    def _hear(self) -> bool:
        if self.link.receive():
            return True
        raise NotNow("a watched key was changed")

    def _refuse_other_owner(self, owners: list[bytes | None]) -> None:
        partition, (keys, prefix) = self.claim.partition, self.owned
        ours = str(partition).encode()
        for key, owner in zip(keys, owners, strict=True):
            if owner is not None and owner != ours:
                user = key.removeprefix(prefix).decode(errors="replace")
                raise NotCopartitioned(
                    f"{NotCopartitioned.code}: user {user!r} of shard {partition:02d} is owned by shard "
                    f"{owner.decode(errors='replace'):0>2}: its events are spread over several partitions; "
                    'run "tierwise rekey --from TOPIC --to NEW_TOPIC" for each input topic, and score the copies under '
                    "another prefix"
                )
