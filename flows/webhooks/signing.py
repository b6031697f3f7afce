"""This file makes the headers of a webhook, as the Standard Webhooks specification wants them."""

import base64
import hmac
from collections.abc import Sequence
from urllib.parse import quote

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"


def webhook_id(ce_id: str) -> str:
    """
    Answer the id of a change as a webhook bears it.

    It is `ce_id`, in which what no header can hold is percent-encoded. So are dots, of which a signed id must
    have none: they divide it from the time, and users may choose their own names.
    """
    return quote(ce_id, safe=":@+*=,;!$'()").replace(".", "%2E")


def signed_headers(secrets: Sequence[bytes], message_id: str, now_s: int, body: bytes) -> dict[str, str]:
    """
    Sign one attempt, once with each secret.

    Args:
        now_s: Unix time of this attempt, not of the change: receivers refuse what is old.
    """
    signed = b"%b.%d.%b" % (message_id.encode(), now_s, body)
    signatures = [base64.b64encode(hmac.digest(secret, signed, "sha256")).decode() for secret in secrets]
    return {
        ID: message_id,
        TIMESTAMP: str(now_s),
        SIGNATURE: " ".join(f"v1,{signature}" for signature in signatures),
    }
