"""A message without headers is told from one with headers by the bytes that a broker sends around its value."""

import numba
import numpy as np
import pytest

from flows.direct.kernels import has_no_headers

SIZES = (1, 2, 63, 64, 127, 128, 8_191, 8_192, 65_536, 1_048_575, 1_048_576, 20_000_000)


@numba.njit
def told(value: int, size: int) -> bool:
    """Call it as a kernel does."""
    return bool(has_no_headers(value, size))


def zigzag(number: int) -> bytes:
    """Write a whole number as record format 2 does: doubled, in groups of seven bits, the lowest first."""
    left, groups = 2 * number, bytearray()
    while left >= 128:
        groups.append(left & 127 | 128)
        left >>= 7
    return bytes([*groups, left])


def is_told(before: bytes, size: int, behind: bytes) -> bool:
    """Put a value between these bytes, and ask."""
    sent = np.frombuffer(before + bytes(size) + behind, np.uint8)
    return bool(told(sent.ctypes.data + len(before), size))


@pytest.mark.parametrize("size", SIZES)
def test_has_no_headers__is_so_in_format_2_when_there_are_none(size: int) -> None:
    """Behind the value stands how many headers there are."""
    key = b"\x10user-key"
    assert is_told(key + zigzag(size), size, b"\0")
    assert not is_told(key + zigzag(size), size, b"\x02\x06key\x02v")


@pytest.mark.parametrize("size", SIZES)
def test_has_no_headers__does_not_guess_in_older_formats(size: int) -> None:
    """There the size stands otherwise, and what is behind a value may be anything, or not be there."""
    assert not is_told(b"\0\0\0\x04user" + size.to_bytes(4, "big"), size, b"\0")


def test_has_no_headers__does_not_guess_without_a_value() -> None:
    """No value, and an empty one, say nothing of the format."""
    assert not told(0, 0)
    assert not is_told(b"\x10user-key\0", 0, b"\0")
