"""This file mutates messages as JSON: members, keys, values, nesting and white space; then writes them as bytes."""

from __future__ import annotations

import json

from tests.mutation.dice import Dice
from tests.mutation.values import FIELDS, STRINGS, accepted_value, doubtful_value, quoted

Members = list[tuple[bytes, bytes]]
"""Keys with their quotes, and values, as JSON text."""

KEY = {field: f'"{field}"'.encode() for field in FIELDS}
SPACES = (b"", b" ", b"\n", b"\r\n\t ", b"  ")
NO_SPACES = (b"\x0b", b"\x00", b"\xc2\xa0", b"\xef\xbb\xbf", b"/**/", b"\x0c")
LONG = b"9" * 4400  # Python reads whole numbers of up to 4300 digits.
UNKNOWN_KEYS = quoted(
    *(b"x", b"", b"a_key_of_16_byte", b"fifteen_bytes_k", b"event_Id", b"event_id ", b"event_i"),
    *(b"event_idx", b"\\u0000", "鞋".encode(), b"discount_amoun", b"discount_amountt", b"USER_ID"),
    *(b"type\\u0000", b'x\\"', b"\\\\"),
)  # fmt: skip
UNKNOWN_VALUES = [
    *(b"1.5e300", b"-7", b"true", b"false", b"null", b'{"a":[1,{"b":null}],"":"\\\\"}', b"[]", b"{}"),
    *(b'[[["x"]]]', b'{"type":"order_paid","user_id":{"event_id":[]}}', b'"\\ud83d\\ude00"', b"0.5E-7"),
    *(b'[ 1 , "a\\"]" ]', b'"}"', LONG),
    *(b"[" * depth + b"]" * depth for depth in (31, 32, 33, 34, 500, 511, 512, 600)),
    *(b'{"a":' * depth + b"1" + b"}" * depth for depth in (32, 33, 511, 512)),
]  # fmt: skip
BROKEN_VALUES = [
    *(b"01", b"-", b"1.", b"1e", b"tru", b"nulL", b"[1,]", b"[,1]", b"[1 2]", b"{1:2}", b'{"a":1,}'),
    *(b'{"a" 1}', b"[}", b"{]", b'{"a":1}}', b"[1]]", b"[", b'{"a"', b"'x'", b"undefined", b"NaN"),
    *(b"[1e400,-Infinity]", b"[" * 3000, b'{"a":1 "b":2}', b"[nul]", b'["\\ud800"]', b'{"\\udc00":1}'),
    *(b'{"\xff":1}', b'["\x01"]', b"[1,\x00]", b"truefalse", b"0e", b"-01", b"1 1"),
    *(b'{"a":"\\ud800","a":' + LONG + b"}", b'{"a":"\\"},"b":' + LONG, b"0" + LONG, b"[-" + LONG + b",NaN]"),
]  # fmt: skip


def members_of(message: bytes) -> Members:
    """Take a good message apart."""
    return [
        (json.dumps(key).encode(), json.dumps(value, ensure_ascii=len(message) % 2 == 0).encode())
        for key, value in json.loads(message).items()
    ]


def kept(members: Members, dice: Dice) -> Members:
    """Write another message that is as good: other values and another order, more and fewer members."""
    members = list(members)
    for _ in range(dice.below(4)):
        at, kind = dice.below(len(members)), dice.below(6)
        if kind == 0:
            other = dice.below(len(members))
            members[at], members[other] = members[other], members[at]
        elif kind == 1:
            members.insert(at, (dice.one(UNKNOWN_KEYS), dice.one(UNKNOWN_VALUES[:14])))
        else:
            field = dice.one(FIELDS)
            place = next((n for n, (key, _) in enumerate(members) if key == KEY[field]), None)
            value = accepted_value(field, dice)
            if place is None:
                members.append((KEY[field], value))
            else:
                members[place] = KEY[field], value
    return members


def doubtful(members: Members, dice: Dice) -> Members:
    """Change one or two members into what may or may not be an event's."""
    members = list(members)
    for _ in range(1 + dice.percent(30)):
        at, kind = dice.below(len(members)), dice.below(16)
        key, value = members[at]
        if kind == 0 and len(members) > 1:
            del members[at]
        elif kind == 1:
            members.insert(dice.below(len(members)), (escaped(key, dice) if dice.percent(30) else key, value))
        elif kind == 2:
            members.append((key, doubtful_value(dice.one(FIELDS), dice)))
        elif kind == 3:
            members[at] = dice.one((escaped(key, dice), key, dice.one(UNKNOWN_KEYS))), value
        elif kind == 4:
            members[at] = (
                key,
                dice.one((b"[%b]", b'{"x":%b}', b" %b\t", b"%b%b", b'"%b"')).replace(b"%b", value),
            )
        elif kind == 5:
            members.insert(at, (dice.one(STRINGS), dice.one(UNKNOWN_VALUES)))
        elif kind == 6:
            members.insert(at, (dice.one(UNKNOWN_KEYS), dice.one(BROKEN_VALUES)))
        elif kind == 7:
            members[at] = key, escaped(value, dice)
        else:
            field = dice.one(FIELDS)
            changed = [(k, v) for k, v in members if k != KEY[field]]
            changed.insert(dice.below(len(changed) + 1), (KEY[field], doubtful_value(field, dice)))
            members = changed
    return members


def escaped(text: bytes, dice: Dice) -> bytes:
    """Write one ASCII character of a string as an escape, which means the same."""
    if len(text) < 3 or text[:1] != b'"' or b"\\" in text:
        return text
    at = 1 + dice.below(len(text) - 2)
    return text if text[at] >= 128 else text[:at] + b"\\u%04x" % text[at] + text[at + 1 :]


def written(members: Members, dice: Dice) -> bytes:
    """Write the members as one object."""
    if dice.percent(70):
        return b"{" + b",".join([key + b":" + value for key, value in members]) + b"}"
    spaces = NO_SPACES if dice.percent(4) else SPACES
    colon, comma = dice.one(spaces) + b":" + dice.one(SPACES), dice.one(SPACES) + b"," + dice.one(spaces)
    body = comma.join([key + colon + value for key, value in members])
    return dice.one(SPACES) + b"{" + dice.one(SPACES) + body + dice.one(spaces) + b"}" + dice.one(SPACES)
