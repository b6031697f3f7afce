"""What stands between a message and its content. This file holds the errors of reading by a schema."""


class Unreadable(Exception):
    """Say why one message cannot be read: it is set aside."""


class RegistryUnavailable(Exception):
    """Say that no Schema Registry answered for as long as we were willing to wait; no message is to blame."""


class RegistryRefused(RegistryUnavailable):
    """Say that the Schema Registry does not let us in: settings, not time, help."""


class RegistryUnusable(Exception):
    """Say why there can be no client of a Schema Registry here: packages or settings are wanting."""
