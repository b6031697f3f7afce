"""Write the few messages of a stream that nobody meant to send. This file has one for each way."""

import json

import numpy as np

DAY_MS = 86_400_000
TOO_LARGE_SIZE = 70_000


def rubbish_value(random: np.random.Generator, event_id: str, user_id: str, event_time_ms: int) -> bytes:
    """Write one message that cannot be scored, or is of a type no policy knows."""
    good = {"event_id": event_id, "user_id": user_id, "type": "page_view", "event_time": event_time_ms}
    match int(random.integers(0, 12)):
        case 0:
            return b"<html><body>502 Bad Gateway</body></html>"
        case 1:
            return json.dumps(good)[: int(random.integers(5, 60))].encode()
        case 2:
            return b""
        case 3 | 4:
            del good[("event_id", "user_id", "type", "event_time")[int(random.integers(0, 4))]]
        case 5:
            good["event_time"] = "yesterday"
        case 6:
            good["event_time"] = event_time_ms + DAY_MS
        case 7:
            good |= {"type": "order_paid", "order_id": event_id, "amount": "a lot"}
        case 8:
            good |= {"type": "order_paid", "order_id": event_id, "amount": -12.5}
        case 9:
            good |= {"type": "order_refunded", "order_id": f"{event_id}-unheard-of", "amount": 10}
        case 10:
            good |= {"type": "debug_ping"}
        case 11:
            # Most of these are only late: more blobs of this size would be a load test.
            good |= {"event_time": event_time_ms - 9 * DAY_MS}
            if random.random() < 0.2:
                good |= {"scene": "x" * TOO_LARGE_SIZE}
    return json.dumps(good, separators=(",", ":")).encode()
