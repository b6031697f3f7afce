"""This file mutates messages as bytes, whatever they mean."""

from __future__ import annotations

from tests.mutation.dice import Dice

STRUCTURE = b'{}[]:,"\\ 0123456789-+.eEntfu'
PIECES = [
    *(b'"', b"\\", b"{", b"}", b"[", b"]", b":", b",", b" ", b"\n", b"\x00", b"\x1f", b"\x7f", b"\x80"),
    *(b'","', b'":"', b"0", b"-", b".", b"e5", b"E-2", b"null", b"true", b"false", b"NaN", b"1e400"),
    *(b"9" * 25, b"00", b"-0", b"1" * 17, b"\\u0041", b"\\ud83d\\ude00", b"\\ud800", b"\\udc00", b'\\"'),
    *(b"\\x", b"\xff", b"\xc0\x80", b"\\u0000", b"\\u", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", "用".encode()),
    *("😀".encode(), b"+08:00", b"Z", b".5", b"{}", b"[[]]", b"60", b"1.", b"\xe2\x82", b"\xef\xbb\xbf"),
    *(b'"type":', b'"amount":1,', b'"user_id":"",', b'"order_id":null,', b"//"),
]  # fmt: skip
AROUND = [
    *((b"\xef\xbb\xbf", b""), (b"[", b"]"), (b"", b"\x00"), (b"\x00", b""), (b"", b" \n"), (b"", b",")),
    *((b'"', b'"'), (b"", b"}"), (b"{", b"}"), (b'{"x":', b"}"), (b"\xff\xfe", b"")),
    *((b"", b"\xef\xbb\xbf"), (b"\x1e", b"\n")),
]  # fmt: skip
SPAN_MAX = 24


def damaged(message: bytes, dice: Dice) -> bytes:
    """Change one to four places."""
    text = bytearray(message)
    for _ in range(dice.one((1, 1, 1, 1, 2, 2, 3, 4))):
        if text:
            damage(text, dice)
    return bytes(text)


def damage(text: bytearray, dice: Dice) -> None:
    """Change one place of a text that is not empty."""
    at, kind, size = dice.below(len(text)), dice.below(14), 1 + dice.below(SPAN_MAX)
    if kind == 0:
        text[at] ^= 1 << dice.below(8)
    elif kind == 1:
        text[at] = dice.below(256)
    elif kind == 2:
        text[at] = dice.one(STRUCTURE)
    elif kind == 3:
        text[at:at] = dice.one(PIECES)
    elif kind == 4:
        text[at : at + 1] = dice.one(PIECES)
    elif kind == 5:
        del text[at]
    elif kind == 6:
        del text[at : at + size]
    elif kind == 7:
        text[at:at] = text[at : at + 1]
    elif kind == 8:
        text[at:at] = text[at : at + size]
    elif kind == 9:
        other = dice.below(len(text))
        text[at], text[other] = text[other], text[at]
    elif kind == 10:
        other = dice.below(len(text))
        text[at : at + size] = text[other : other + size]
    elif kind == 11:
        text[at:at] = bytes([dice.below(256)])
    else:
        one_like_it(text, at, dice)


def one_like_it(text: bytearray, at: int, dice: Dice) -> None:
    """Put a digit for a digit, a letter for a letter, so that most of the message goes on to mean something."""
    byte = text[at]
    if 48 <= byte <= 57:
        text[at] = 48 + dice.below(10)
    elif 97 <= byte <= 122:
        text[at] = 97 + dice.below(26) if dice.percent(70) else byte - 32
    elif byte == 34:
        text[at] = 39
    else:
        text[at] = dice.one(STRUCTURE)


def spliced(one: bytes, other: bytes, dice: Dice) -> bytes:
    """Join the beginning of one message with the end of another, or put one into the other."""
    at, other_at = dice.below(len(one) + 1), dice.below(len(other) + 1)
    return dice.one(
        (one[:at] + other[other_at:], one[:at] + other + one[at:], one + other, one + b"\n" + other)
    )


def wrapped(message: bytes, dice: Dice) -> bytes:
    """Put something around a message that is no JSON, or another JSON value."""
    before, after = dice.one(AROUND)
    return before + message + after
