"""This file writes the values of single fields as JSON text: what is accepted, what is not, and what is close to it."""

from __future__ import annotations

from tests.mutation.dice import Dice

NOW_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
FUTURE_TOLERANCE_MS = 300_000

TEXTS = ("event_id", "user_id", "type", "order_id", "item_id", "category", "channel", "scene", "coupon_id")
TIMES = ("event_time", "item_launch_at")
AMOUNTS = ("amount", "discount_amount")
FIELDS = TEXTS + TIMES + AMOUNTS


def quoted(*texts: bytes) -> list[bytes]:
    """Put each into quotes, as it is."""
    return [b'"' + text + b'"' for text in texts]


WRONG = [
    *(b"null", b"true", b"false", b"[]", b"{}", b"7", b'""', b'[{"type":["x"]}]', b'{"amount":1}'),
    *(b"nul", b""),
]  # fmt: skip
NUMBERS = [
    *(b"0", b"-0", b"-0.0", b"0.0", b"00", b"01", b"1e0", b"1E+2", b"1e-2", b"12e-1", b"1e400", b"-1e400"),
    *(b"1e-400", b"1e99999999999999999999", b"0e99999999999999999999", b"-", b"+1", b".5", b"5.", b"1."),
    *(b"1e", b"1e+", b"1.e1", b"0x10", b"NaN", b"Infinity", b"-Infinity", b"1_000", "１２".encode()),
    *("٣".encode(), b"1 0", b"--1", b"1,5", b"9007199254740993", b"9223372036854775807"),
    *(b"9223372036854775808", b"18446744073709551616", b"9" * 20, b"1" * 4400, b"0." + b"1" * 30),
    *(b"1234567890123456.75", b"100000000000000000", b"0." + b"0" * 40 + b"1", b"-1", b"-0.004", b"-1e-30"),
    *(b"1e15", b"1e13", b"1000000000000e-3", b"999999999999999", b"99999999999999"),
]  # fmt: skip
MONEY = [
    *(b"0.005", b"0.015", b"0.025", b"1.005", b"2.675", b"0.0050000000000000000001", b"0.5", b"1.5", b"2.50"),
    *(b"10", b"9999999999999.99", b"10000000000000", b"10000000000000.00", b"10000000000000.004"),
    *(b"10000000000000.005", b"10000000000000.0051", b"99.95", b"99.949", b"99.945", b"99.9449999"),
    *(b"10.005", b"5.005", b"0.1", b"0.095", b"100000000000", b"100000000000.00005", b"1000000000000000"),
    *(b"1000000000000000.5", b"1000000000000000.51"),
]  # fmt: skip
WHOLE_TIMES = [
    *(b"0", b"1", b"-1", b"253402300799999", b"253402300800000", b"999999999999999", b"1767225600000.0"),
    *(b"1e12", b"1767225600000.5", b"1.7672256e12", b"17672256000000e-1"),
    *(b"0001767225600000", b"1767225600000.000000000001"),
    *(b"%d" % (NOW_MS + FUTURE_TOLERANCE_MS + over) for over in (-1, 0, 1)),
]  # fmt: skip
WRITTEN_TIMES = quoted(
    *(b"2026-01-01T00:05:00Z", b"2026-01-01T00:05:00.000999Z", b"2026-01-01T00:05:00.001Z"),
    *(b"2026-01-01t00:00:00z", b"2025-12-31T19:04:59.9999999-05:00", b"2026-01-01T00:00:00"),
    *(b"2026-01-01T24:00:00Z", b"2026-01-01T23:60:00Z", b"2025-06-30T23:59:60Z", b"2024-02-29T00:00:00Z"),
    *(b"2025-02-29T00:00:00Z", b"2000-02-29T00:00:00Z", b"2100-02-29T00:00:00Z", b"1970-01-01T00:00:00Z"),
    *(b"1970-01-01T00:00:00+00:01", b"1969-12-31T23:59:59-00:01", b"1969-12-31T23:59:59.999Z"),
    *(b"9999-12-31T23:59:59.9999Z", b"9999-12-31T23:59:59-00:01", b"0000-01-01T00:00:00Z"),
    *(b"0000-02-30T00:00:00Z", b"0001-01-01T00:00:00Z", b"2025-00-01T00:00:00Z", b"2025-13-01T00:00:00Z"),
    *(b"2025-04-31T00:00:00Z", b"2025-01-00T00:00:00Z", b"2025-01-01 00:00:00Z", b"2025-01-01T00:00:00,5Z"),
    *(b"2025-01-01T00:00:00.Z", b"2025-01-01T00:00:00+24:00", b"2025-01-01T00:00:00+23:59"),
    *(b"2025-01-01T00:00:00-00:00", b"2025-01-01T00:00:00+0800", b"2025-01-01T00:00:00+08"),
    *(b"2025-01-01T00:00:00+08:60", b" 2025-01-01T00:00:00Z", b"2025-01-01T00:00:00Z "),
    *(b"2025-01-01T00:00:00Z\\n", b"2025-01-01T00:00:00\\u005a", b"1767225600000", b"2025-1-1"),
    *("２025-01-01T00:00:00Z".encode(), b"2025-01-01T00:00:00." + b"9" * 40 + b"Z", b"12025-01-01T00:00:00Z"),
)  # fmt: skip
STRINGS = quoted(
    *(b"a", b"u" * 256, b"u" * 257, "é".encode() * 128, "é".encode() * 129, "用户".encode(), "😀".encode()),
    *(b"shoes", "鞋".encode(), b"app", b"\\u0041", b"\\u00e9", b"\\ud83d\\ude00", b"\\uD83D\\uDE00"),
    *(b"\\n\\t\\/\\\\\\\"\\b\\f\\r", b"\\u0000", b"\x7f", b"\\ud800", b"\\udc00", b"\\ud800\\ud800"),
    *(b"\\udc00\\ud800", b"\\ud83dx", b"\\ud83d\\n", b"\\u12", b"\\u12g4", b"\\x41", b"\\v", b"\\'"),
    *(b"\\U0041", b"\\", b"\x00", b"\x1f", b"\n", b"\t", b"\x80", b"\xff", b"\xc0\x80", b"\xc1\xbf"),
    *(b"\xe0\x80\x80", b"\xe0\x9f\xbf", b"\xed\xa0\x80", b"\xed\x9f\xbf", b"\xee\x80\x80", b"\xef\xbf\xbf"),
    *(b"\xf0\x80\x80\x80", b"\xf0\x8f\xbf\xbf", b"\xf4\x8f\xbf\xbf", b"\xf4\x90\x80\x80"),
    *(b"\xf5\x80\x80\x80", b"\xe2\x82", b"\xf0\x9f\x98", b"\xe2\x80\xa8", b"sh\\u006fes", b"\\u978b", b"sho"),
    *(b"shoes ", b"u" * 6000),
)  # fmt: skip
TYPES = quoted(
    *(b"page_view", b"add_to_cart", b"order_paid", b"order_refunded", b"search", b"Page_view", b"page_vie"),
    *(b"page_views", b"page\\u005fview", b"order_pai\\u0064", b"page_view\\u0000", b""),
)  # fmt: skip


def accepted_value(field: str, dice: Dice) -> bytes:
    """Write a value that the field may have, in one of the ways that senders have."""
    if field == "type":
        return dice.one(TYPES[:5])
    if field in TEXTS:
        return STRINGS[dice.below(2)] if dice.percent(30) else b'"t-%d"' % dice.below(10**6)
    if field in AMOUNTS:
        number = some_money(dice, 12)
        return b'"' + number + b'"' if dice.percent(50) else number
    if dice.percent(50):
        return some_time(dice, 28, 23, 59)
    return b"%d" % (NOW_MS - dice.below(10 ** (1 + dice.below(12))))


def doubtful_value(field: str, dice: Dice) -> bytes:
    """Write a value that the field may or may not have; any field may get what is meant for another."""
    if dice.percent(12):
        return dice.one(WRONG)
    if dice.percent(10):
        field = dice.one(FIELDS)
    if field == "type" and dice.percent(70):
        return dice.one(TYPES)
    if field in TEXTS:
        return dice.one(STRINGS)
    if field in TIMES:
        return dice.one(
            (dice.one(WHOLE_TIMES), dice.one(WRITTEN_TIMES), some_time(dice, 33, 25, 61), dice.one(NUMBERS))
        )
    number = dice.one((dice.one(MONEY), dice.one(NUMBERS), some_money(dice, 18), some_money(dice, 18)))
    return b'"' + number + b'"' if dice.percent(50) else number


def some_money(dice: Dice, whole_digits_max: int) -> bytes:
    """Write a decimal number, often half a minor unit or close to it."""
    text = b"%d" % dice.below(10 ** (1 + dice.below(whole_digits_max)))
    if dice.percent(70):
        text += b".%0*d" % (1 + dice.below(5), dice.below(10 ** (1 + dice.below(5))))
        if dice.percent(40):
            text += dice.one((b"5", b"50", b"500000000000000000001", b"49999999999999999999", b"0" * 20))
    if dice.percent(4):
        text += dice.one((b"e0", b"E3", b"e-3", b"e+12"))
    return text


def some_time(dice: Dice, day_end: int, hour_max: int, minute_max: int) -> bytes:
    """Write a time as RFC 3339 has it, up to the given numbers."""
    year = dice.one((1970, 1999, 2000, 2024, 2025, 2025, 2025, 2025))
    if day_end > 31 and dice.percent(20):
        year = dice.one((0, 1, 1600, 1969, 2026, 2100, 9999))
    text = b'"%04d-%02d-%02dT%02d:%02d:%02d' % (
        *(year, 1 + dice.below(12), 1 + dice.below(day_end)),
        *(dice.below(hour_max + 1), dice.below(minute_max + 1), dice.below(minute_max + 1)),
    )
    if dice.percent(60):
        text += b".%0*d" % (1 + dice.below(9), dice.below(10 ** (1 + dice.below(9))))
    if dice.percent(50):
        return text + b'Z"'
    return text + b'%c%02d:%02d"' % (dice.one(b"+-"), dice.below(hour_max + 1), dice.below(minute_max + 1))
