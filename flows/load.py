"""From a claim to a shard in memory. This file loads stored rows, also into a changed policy."""

from collections.abc import Callable, Sequence

from config.policy_file import parse_policy
from flows.log import log
from scoring.commit_plan import COLD, WARM, ColdCount
from scoring.erasure import ErasedUsers
from scoring.migration import migrate, refuse
from scoring.policy import Policy
from scoring.row_codec import fingerprint_of
from scoring.shard import Shard
from scoring.tables import PolicyTables, compile_policy
from scoring.user_rows import RowMisread
from sinks.claim import Claim
from sinks.erasure import markers_from
from sinks.shard_store import ShardStore


class LayoutRefused(Exception):
    """Say that stored rows cannot be read with these settings, and what to do."""


class ShardLoader:
    """
    Make shards for one policy.

    Args:
        topics: input topics in the order of settings.
        out_of_orderness_ms: how far a shard's watermark stays behind its newest event.
    """

    def __init__(
        self,
        policy: Policy,
        topics: tuple[str, ...],
        *,
        allowed_lateness_ms: int,
        out_of_orderness_ms: int,
        duplicates_per_user: int,
    ) -> None:
        self._topics = topics
        self._allowed_lateness_ms = allowed_lateness_ms
        self._out_of_orderness_ms = out_of_orderness_ms
        self._duplicates_per_user = duplicates_per_user
        self._compiled = self._compile(policy)

    @property
    def layout(self) -> str:
        """Name how the rows are laid out, as it is stored with a shard."""
        return layout_text(self._compiled, self._topics)

    def __call__(self, claim: Claim, store: ShardStore, beat: Callable[[], None]) -> Shard:
        """
        Load the users of the shard whom time can change; `beat` is called now and then.

        Raises:
            PolicyRefused, LayoutRefused: what is stored is not for our policy and settings.
        """
        try:
            if self.former(claim) is None:
                shard = self._resumed(self._compiled, claim, self._cold_of(claim))
                for user_ids, rows in store.load_rows(claim, is_cold=False):
                    shard.restore(user_ids, rows)
                    beat()
            else:
                shard = self._resumed(self._compiled, claim)
                self._take_over(claim, store, shard, beat)
        except RowMisread as error:
            raise LayoutRefused(
                f"shard {claim.partition:02d}: {error}: it was written under a policy whose first commit was not "
                "finished; start once more under that policy, then change it again"
            ) from error
        shard.recall(ErasedUsers(claim.salt, markers_from(store.load_erased(claim), self._topics)))
        return shard

    def _cold_of(self, claim: Claim) -> ColdCount | None:
        """Answer who stays in the store; find out now what would be seen only when one of them comes back."""
        ours = self._compiled.layout.fingerprint
        if claim.cold and claim.cold.users and claim.cold.layout != ours:
            raise RowMisread(f"cold rows have layout {claim.cold.layout:x}, not {ours:x}")
        return claim.cold

    def former(self, claim: Claim) -> Policy | None:
        """Answer the policy that the shard's profiles are worded by, when it is not ours."""
        if claim.layout in (None, self.layout):
            return None
        return parse_policy(claim.policy or {}, f"the policy of shard {claim.partition:02d}")

    def _take_over(self, claim: Claim, store: ShardStore, shard: Shard, beat: Callable[[], None]) -> None:
        """
        Fire what was due under the old policy, then judge every user under ours.

        All of them are in memory for that, also the cold ones. A crash in the middle leaves rows of both: each says
        which, and ours are not judged again.
        """
        policy = self.former(claim)
        assert policy is not None
        refuse(policy, self._compiled.policy)
        before = self._compile(policy)
        if layout_text(before, self._topics) != claim.layout:
            raise LayoutRefused(
                f"shard {claim.partition:02d}: its rows have the layout {claim.layout!r}, these settings "
                f"make it {layout_text(before, self._topics)!r}; go back to the version and the topics "
                "that wrote them, or start anew under another prefix"
            )
        old, ours = self._resumed(before, claim), self._compiled.layout.fingerprint
        for home in (WARM, COLD):
            for user_ids, rows in store.load_rows(claim, is_cold=home == COLD):
                is_ours = [fingerprint_of(row) == ours for row in rows]
                for holder, wanted in ((old, False), (shard, True)):
                    picked = [n for n, one in enumerate(is_ours) if one is wanted]
                    holder.restore([user_ids[n] for n in picked], [rows[n] for n in picked], home)
                beat()
        if claim.watermark_ms is not None:
            old.fire(claim.watermark_ms)
        migrate(old, shard, beat)
        log(
            "info",
            "policy.changed",
            shard=claim.partition,
            users=len(shard.users),
            before=policy.label,
            now=self._compiled.policy.label,
        )

    def _resumed(self, compiled: PolicyTables, claim: Claim, cold: ColdCount | None = None) -> Shard:
        shard = Shard(compiled, claim.partition, self._topics, self._out_of_orderness_ms)
        offsets = [claim.offsets.get(topic) for topic in self._topics]
        shard.resume(offsets, [claim.marks.get(topic) for topic in self._topics], claim.watermark_ms, cold)
        return shard

    def _compile(self, policy: Policy) -> PolicyTables:
        return compile_policy(policy, len(self._topics), self._allowed_lateness_ms, self._duplicates_per_user)


def layout_text(compiled: PolicyTables, topics: Sequence[str]) -> str:
    """Spell a layout: the fingerprint of the rows, and the topics whose offsets stand in them."""
    return f"{compiled.layout.fingerprint:x} {','.join(topics)}"


def topics_of(layout: str) -> tuple[str, ...]:
    """Read the topics back from a stored layout."""
    return tuple(layout.partition(" ")[2].split(","))
