"""Access tokens of the API. The token itself is shown once; we keep its hash."""

import hashlib
import secrets
from datetime import datetime

from django.db import transaction
from django.db.models import Q, QuerySet

from machnuoc.core import audit
from machnuoc.core.models import ApiToken, Person

MARK = "mn_"  # how a leaked token is recognised
_LIVE_MAX = 20

audit.describe("core.token.created", "tạo mã truy cập API")
audit.describe("core.token.revoked", "thu hồi mã truy cập API")


class TooManyTokens(ValueError):
    """A person holds as many live tokens as one may."""


def hash_token(raw: str) -> str:
    """Return the SHA-256 of a token in hexadecimal, 64 characters.

    A plain hash is enough: the token has 256 random bits, so that nobody can try them all.
    """
    return hashlib.sha256(raw.encode()).hexdigest()


@transaction.atomic
def create_token(
    *, person: Person, name: str, now: datetime, can_write: bool = False, expires_at: datetime | None = None
) -> tuple[ApiToken, str]:
    """Make a token and return it with its text, which cannot be had again. Raises TooManyTokens."""
    if list_live(person, now=now).count() >= _LIVE_MAX:
        raise TooManyTokens(
            f"Chưa tạo được mã “{name}”: tài khoản đã có {_LIVE_MAX} mã còn hiệu lực. "
            "Thu hồi mã không dùng nữa rồi tạo lại."
        )
    raw = MARK + secrets.token_urlsafe(32)
    token = ApiToken.objects.create(
        person=person,
        name=name,
        token_hash=hash_token(raw),
        prefix=raw[:8],
        can_write=can_write,
        created_at=now,
        expires_at=expires_at,
    )
    audit.record("core.token.created", actor=person, target=token, can_write=can_write)
    return token, raw


@transaction.atomic
def revoke_token(token: ApiToken, *, by: Person, now: datetime) -> None:
    """End the token now. One that has ended already stays as it is."""
    if ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=now):
        audit.record("core.token.revoked", actor=by, target=token)


def list_live(person: Person, *, now: datetime) -> QuerySet[ApiToken]:
    """Return the person's tokens that still open doors."""
    return ApiToken.objects.filter(_is_live(now), person=person)


def find_token(raw: str, *, now: datetime) -> ApiToken | None:
    """Return the live token with this text, of a person who may still sign in, or None."""
    tokens = ApiToken.objects.select_related("person").filter(_is_live(now), person__is_active=True)
    return tokens.filter(token_hash=hash_token(raw)).first()


def _is_live(now: datetime) -> Q:
    return Q(revoked_at=None) & (Q(expires_at=None) | Q(expires_at__gt=now))
