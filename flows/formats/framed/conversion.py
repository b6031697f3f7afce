"""This file converts framed messages: by their schema to JSON, and from there as their format says."""

from flows.formats.cloud_events import Headers
from flows.formats.conversion import Conversion, Converter
from flows.formats.framed.reading import Read
from flows.formats.framed.unreadable import Unreadable

NO_JSON = b"\0"


class FramedConverter:
    """
    Convert messages of one topic.

    Args:
        read: turns a message into JSON.
        converter: of the topic's format; None where it is the native one.
        event_bytes_max: larger messages are left to the decoder.
    """

    def __init__(self, read: Read, converter: Converter | None, event_bytes_max: int) -> None:
        self._read = read
        self._converter = converter
        self._event_bytes_max = event_bytes_max

    @property
    def reads_headers(self) -> bool:
        """Tell whether headers have to be given."""
        return self._converter is not None and self._converter.reads_headers

    def convert(self, value: bytes | None, headers: Headers = (), time_ms: int | None = None) -> Conversion:
        """
        Convert one message.

        Raises:
            RegistryUnavailable: its schema is not to be had now.
        """
        if value is not None and len(value) > self._event_bytes_max:
            return Conversion(value)
        try:
            document = self._read(value) if value else value
        except Unreadable as error:
            return Conversion(NO_JSON, {"value": f"value: {error}"})
        if self._converter is None:
            return Conversion(document)
        return self._converter.convert(document, headers, time_ms, original=value)

    def places_of(self, name: str) -> str:
        """Say for people where a native field is read, if not by its own name."""
        return self._converter.places_of(name) if self._converter else ""
