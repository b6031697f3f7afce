"""This file names every key and field in Redis and says how values are written in them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

PROFILE_VERSION = "1"
ABSENT_MS = 2**63 - 1

# Fields of a profile that every user has, next to those of the ladders.
USER_FIELDS = (
    "as_of_ms",
    "seq",
    "policy",
    "v",
    "shard",
    "first_seen_ms",
    "last_seen_ms",
    "orders",
    "spend",
    "tags",
)

TOKEN = b"token"
EARLIER_TOKENS = b"earlier_tokens"
NUMBER = b"number"
WATERMARK_MS = b"watermark_ms"
COLD = b"cold"
POLICY = b"policy"
LAYOUT = b"layout"
SALT = b"salt"
PARTITIONS = b"partitions"
OFFSET = b"offset:"
MARK = b"mark:"
TAIL = b"tail:"
TOPIC_ID = b"topic_id:"

POINTS_PLACES = 6
POINTS_SCALE = 10**POINTS_PLACES
# From here on a float has no six decimals to show.
POINTS_MAX = 2.0**53 / POINTS_SCALE
_POINTS_CEILING = 9e18

_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIME_MS_MIN = -62_135_596_800_000
TIME_MS_MAX = 253_402_300_799_999


@dataclass(frozen=True, slots=True)
class Keyspace:
    """Spell the keys under one prefix."""

    prefix: str

    def user(self, user_id: str | bytes) -> bytes:
        """Answer the key of a user's profile."""
        return self.user_prefix + (user_id.encode() if isinstance(user_id, str) else user_id)

    @property
    def user_prefix(self) -> bytes:
        """Answer what stands before the user id in a profile's key."""
        return f"{self.prefix}:user:".encode()

    def audience(self, ladder: str, rung: str) -> bytes:
        """Answer the key of the set of users on a rung (for a tag: on the rung `on`)."""
        return f"{self.prefix}:audience:{ladder}:{rung}".encode()

    def rows(self, partition: int) -> bytes:
        """Answer the key of the hash from user id to row bytes, of users whom time can change."""
        return self._shard(partition, "rows")

    def cold(self, partition: int) -> bytes:
        """Answer the key of the same of the others; a user is in one of the two."""
        return self._shard(partition, "cold")

    def meta(self, partition: int) -> bytes:
        """Answer the key of the hash with the shard's owner, offsets and watermark."""
        return self._shard(partition, "meta")

    def outbox(self, partition: int) -> bytes:
        """Answer the key of the stream of entries that are still to be published."""
        return self._shard(partition, "outbox")

    def erase_requests(self, partition: int) -> bytes:
        """Answer the key of the set of user ids that the shard's owner is asked to erase."""
        return self._shard(partition, "erase")

    def erased(self, partition: int) -> bytes:
        """Answer the key of the hash from digest to marker of the users who were erased."""
        return self._shard(partition, "erased")

    def probe(self, partition: int) -> bytes:
        """Answer the key that a claim uses for a moment, to find out what the store takes."""
        return self._shard(partition, "probe")

    def _shard(self, partition: int, part: str) -> bytes:
        return f"{self.prefix}:shard:{{{partition:02d}}}:{part}".encode()


def ladder_fields(ladder: str) -> tuple[str, ...]:
    """Answer every profile field a ladder may have; the last three are absent at times."""
    return (
        ladder,
        f"{ladder}.rank",
        f"{ladder}.since_ms",
        f"{ladder}.score",
        f"{ladder}.next",
        f"{ladder}.to_next",
        f"{ladder}.falls_at_ms",
    )


def points_rounded(points: float) -> float:
    """Round points or a feature value to six decimals, the way the profile is written."""
    if abs(points) >= POINTS_MAX:
        return points
    return round(points * POINTS_SCALE) / POINTS_SCALE + 0.0


def points_text(points: float) -> str:
    """Write points with at most six decimals, no trailing zeros, no exponent and no negative zero."""
    if abs(points) >= POINTS_MAX:
        return str(round(max(-_POINTS_CEILING, min(_POINTS_CEILING, points))))
    text = decimal_text(round(points * POINTS_SCALE), POINTS_PLACES)
    return text.rstrip("0").rstrip(".")


def decimal_text(units: int, places: int) -> str:
    """Write an integer of the smallest unit with a fixed number of decimals: (1234, 2) is 12.34."""
    if places == 0:
        return str(units)
    whole, part = divmod(abs(units), 10**places)
    return f"{'-' if units < 0 else ''}{whole}.{part:0{places}d}"


def time_text(time_ms: int) -> str:
    """Write Unix milliseconds as RFC 3339 in UTC; years beyond 1 to 9999 are cut to their ends."""
    time_ms = max(TIME_MS_MIN, min(TIME_MS_MAX, time_ms))
    day, rest = divmod(time_ms, 86_400_000)
    seconds, millis = divmod(rest, 1000)
    minutes, second = divmod(seconds, 60)
    return f"{_date_text(day)}T{minutes // 60:02d}:{minutes % 60:02d}:{second:02d}.{millis:03d}Z"


@lru_cache(4096)
def _date_text(day: int) -> str:
    return (_UNIX_EPOCH + timedelta(days=day)).date().isoformat()
