"""Keeping machines off the public form without asking anybody outside.

A form carries a signed moment at which it was made: one sent back sooner than people type, long after, or without it,
has to answer a small sum; so does one that fills in the field that people do not see, and the third from one network
address within an hour. Beyond the limits of an address nothing is taken; they leave room for a village without water
that shares the address of its mobile operator. Addresses are kept as a hash, for two days.
"""

import hashlib
import hmac
import ipaddress
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.core import signing
from django.http import HttpRequest

from machnuoc.core.middleware import client_address
from machnuoc.customers.models import PublicPost

FASTEST_S = 4
SLOWEST_S = 12 * 3_600
ASKED_FROM = 2  # posts of one address within an hour, from which on the sum is asked
AN_HOUR, A_DAY = 30, 120  # posts that are taken from one address
GUESSES_AN_HOUR = 6  # of the code and phone of a request
_SALT = "machnuoc.customers.public"


@dataclass(frozen=True)
class Stamp:
    nonce: str
    age_s: float


@dataclass(frozen=True)
class Sum:
    """A question that a person answers at a glance."""

    text: str
    stamp: str


def make_stamp(now: datetime) -> str:
    return signing.dumps([secrets.token_hex(16), now.timestamp()], salt=_SALT)


def read_stamp(text: str, now: datetime) -> Stamp | None:
    """Return what the stamp of a form says; None for one that is not ours."""
    try:
        nonce, made = signing.loads(text, salt=_SALT)
        return Stamp(str(nonce), now.timestamp() - float(made))
    except (signing.BadSignature, ValueError, TypeError):
        return None


def make_sum() -> Sum:
    first, second = secrets.randbelow(8) + 2, secrets.randbelow(8) + 2
    nonce = secrets.token_hex(8)
    return Sum(f"{first} + {second}", f"{nonce}.{_sum_hash(nonce, first + second)}")


def is_right(answer: str, stamp: str) -> bool:
    nonce, _, digest = stamp.partition(".")
    text = answer.strip()
    if not text.isascii() or not text.isdigit() or len(text) > 3:
        return False
    return hmac.compare_digest(digest.encode(), _sum_hash(nonce, int(text)).encode())


def _sum_hash(nonce: str, total: int) -> str:
    return _keyed(f"sum:{nonce}:{total}")


def _keyed(text: str) -> str:
    return hmac.new(settings.SECRET_KEY.encode(), f"{_SALT}:{text}".encode(), hashlib.sha256).hexdigest()


def address_hash(request: HttpRequest) -> str:
    """Return what stands for the network address of who asks; of IPv6 its network, since each has billions."""
    address = client_address(request)
    if ":" in address:
        one = ipaddress.IPv6Address(address.partition("%")[0])
        address = str(one.ipv4_mapped or ipaddress.IPv6Network((one, 64), strict=False).network_address)
    return _keyed(f"address:{address}")


def count_posts(address: str, now: datetime) -> tuple[int, int]:
    """Return how many posts of the address came within an hour and within a day."""
    rows = PublicPost.objects.filter(address_hash=address)
    moments = list(rows.filter(at__gt=now - timedelta(days=1)).values_list("at", flat=True)[: A_DAY + 1])
    return sum(at > now - timedelta(hours=1) for at in moments), len(moments)


def is_over(address: str, now: datetime) -> bool:
    hour, day = count_posts(address, now)
    return hour >= AN_HOUR or day >= A_DAY


def has_guessed_enough(address: str, now: datetime) -> bool:
    """Return whether the address may look up no more for a while; requests that it sent are no guesses."""
    tries = PublicPost.objects.filter(address_hash=address, request__isnull=True, at__gt=now - timedelta(hours=1))
    return tries.count() >= GUESSES_AN_HOUR


def needs_sum(stamp: Stamp | None, *, trap: str, address: str, now: datetime) -> bool:
    """Return whether the form has to answer the sum before it is taken."""
    if stamp is None or trap or not FASTEST_S <= stamp.age_s <= SLOWEST_S:
        return True
    return count_posts(address, now)[0] >= ASKED_FROM


def count_try(address: str, now: datetime) -> None:
    """Count something that an address tried, beside what it sent."""
    PublicPost.objects.create(nonce=secrets.token_hex(16), address_hash=address, at=now)
