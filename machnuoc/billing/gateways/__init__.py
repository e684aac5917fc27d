"""What the payment gateways have in common: what a server callback says, and what is answered. No Django, no network.

Each gateway is a module with the same functions. Schemes as VNPAY 2.1.0, MoMo v2 and ZaloPay v2 document them; what was
written from memory is told in docs/algorithms/payment_gateways.md and shown as «chưa đối chiếu văn bản».
"""

import enum
import hashlib
import hmac
from dataclasses import dataclass

BODY_MAX_BYTES = 8 * 1024  # a true callback has under 2 kB


class Outcome(enum.Enum):
    PAID = "PAID"
    FAILED = "FAILED"
    PENDING = "PENDING"  # the gateway has not decided yet: asked again later


class Refusal(enum.Enum):
    """Why a callback was not taken; each gateway has its own word for it."""

    MALFORMED = "MALFORMED"
    FORGED = "FORGED"
    UNKNOWN_ORDER = "UNKNOWN_ORDER"
    WRONG_AMOUNT = "WRONG_AMOUNT"
    REPEATED = "REPEATED"
    OUR_FAULT = "OUR_FAULT"  # the database was away: the gateway shall call again


class Unreadable(ValueError):
    """It is no message of this gateway."""


class WrongSignature(ValueError):
    """It is not from the gateway, or was changed on the way."""


@dataclass(frozen=True)
class Told:
    """What a gateway told of one order, its signature verified. amount_vnd in đồng; transaction: the gateway's id."""

    reference: str
    amount_vnd: int
    transaction: str
    outcome: Outcome
    paid_at_ms: int | None = None
    detail: str = ""  # its own code, as «00», for the record


@dataclass(frozen=True)
class Reply:
    """What the gateway's server is answered."""

    status: int
    body: str
    content_type: str = "application/json"


def sign(algorithm: str, key: str, text: str) -> str:
    """Return the HMAC of a text in lower-case hex.

    >>> sign("sha256", "key", "The quick brown fox jumps over the lazy dog")[:16]
    'f7bc83f430538424'
    """
    # JSON may hold halves of a character, which no encoding has: what is signed with them is merely wrong.
    return hmac.new(key.encode(), text.encode(errors="surrogatepass"), getattr(hashlib, algorithm)).hexdigest()


def is_signature(expected: str, found: object) -> bool:
    """Compare in constant time. found: what the message says, whatever it is."""
    return isinstance(found, str) and hmac.compare_digest(
        expected.encode(), found.lower().encode(errors="surrogatepass")
    )


def whole(value: object) -> int:
    """Return a number that came as text or as a JSON number, without a fraction. Raises Unreadable."""
    if isinstance(value, bool):
        raise Unreadable("no whole number")
    if isinstance(value, int):
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18:
        return int(value)
    raise Unreadable("no whole number")


def short(value: object, length: int = 80) -> str:
    """Return a text of a message, not empty. Raises Unreadable."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not text or len(text) > length or not text.isprintable():
        raise Unreadable("a text is missing or too long")
    return text
