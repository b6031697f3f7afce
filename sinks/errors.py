"""
This file holds the errors that leave the sinks.

TierwiseError
└── StoreError                 the store answered what it must not: stop
    ├── StoreFenced            another worker owns the shard: drop it
    ├── StoreRolledBack        the store is not where we left it: claim and load the shard again
    ├── StoreRefused           the store does not let us in, or is not the one we trust: settings, not time, help
    ├── StoreUnavailable       no answer, or writes refused, for longer than the retries last
    └── NotCopartitioned       a user's events are spread over several partitions: rekey the topic
"""


class TierwiseError(Exception):
    """Stand at the root of all errors that an operator can act on."""


class StoreError(TierwiseError):
    """Say that Redis answered a command with an error; the message names the command."""


class StoreFenced(StoreError):
    """Say that another worker has claimed the shard; nothing was written."""


class StoreRolledBack(StoreError):
    """Say that the shard's last write in the store is not ours; nothing was written."""


class StoreRefused(StoreError):
    """Say that the login or a certificate was refused, by the store or by us; nothing was written."""


class StoreUnavailable(StoreError):
    """Say that the store could not be reached or refused to write until the retries ran out."""


class NotCopartitioned(StoreError):
    """Say that a user belongs to another shard already; nothing was written."""

    code = "not_copartitioned"
