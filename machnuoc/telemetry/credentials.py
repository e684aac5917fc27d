"""Secrets with which devices speak: made, replaced, revoked. Only hashes are kept; a secret is shown once.

One secret serves as password at the broker (user name: the device's code) and as bearer token over HTTP. The broker
takes the newest that holds; it learns of a change within seconds (broker.LOOK_EVERY_S), HTTP at once.
"""

import hashlib
import secrets
from datetime import datetime

from django.db import transaction

from machnuoc.core import audit
from machnuoc.core.models import Person
from machnuoc.telemetry import broker
from machnuoc.telemetry.models import Credential, Device


class CannotMakeCredential(Exception):
    """The device cannot have a secret; the text says why."""


@transaction.atomic
def make(
    device: Device, by: Person | None, now: datetime, *, expires_at: datetime | None = None
) -> tuple[Credential, str]:
    """Give the device one more secret; return it with its row. Raises CannotMakeCredential."""
    if device.removed_at is not None and device.removed_at <= now:
        raise CannotMakeCredential(f"Thiết bị {device.code} đã tháo nên không cấp được mã truy cập.")
    if not broker.may_be_user(device.code):
        raise CannotMakeCredential(
            f"Mã thiết bị «{device.code}» không dùng được ở máy chủ MQTT: chỉ gồm a–z, 0–9, «-», «_», và không bắt đầu "
            "bằng «machnuoc-». Đổi mã thiết bị rồi cấp lại."
        )
    if expires_at is not None and expires_at <= now:
        raise CannotMakeCredential(f"Hạn của mã truy cập cho {device.code} đã qua. Chọn một ngày sau hôm nay.")
    secret = secrets.token_urlsafe(32)
    credential = Credential.objects.create(
        device=device, broker_hash=broker.hash_password(secret), token_sha256=token_sha256(secret),
        made_at=now, made_by=by, expires_at=expires_at,
    )  # fmt: skip
    audit.record("telemetry.credential.made", actor=by, target=device, credential=credential.pk)
    return credential, secret


@transaction.atomic
def rotate(
    device: Device, by: Person | None, now: datetime, *, expires_at: datetime | None = None
) -> tuple[Credential, str]:
    """Give the device a new secret in place of all that it has. Raises CannotMakeCredential."""
    made, secret = make(device, by, now, expires_at=expires_at)
    for old in device.credentials.filter(revoked_at__isnull=True).exclude(pk=made.pk):
        revoke(old, by, now)
    return made, secret


@transaction.atomic
def revoke(credential: Credential, by: Person | None, now: datetime) -> None:
    """End a secret for good. Once revoked it stays as it was revoked."""
    if Credential.objects.filter(pk=credential.pk, revoked_at__isnull=True).update(revoked_at=now):
        credential.revoked_at = now
        audit.record("telemetry.credential.revoked", actor=by, target=credential.device, credential=credential.pk)


def token_sha256(secret: str) -> str:
    """Return under what a token is looked up."""
    return hashlib.sha256(secret.encode()).hexdigest()


audit.describe("telemetry.credential.made", "cấp mã truy cập cho thiết bị {target}")
audit.describe("telemetry.credential.revoked", "thu hồi mã truy cập của thiết bị {target}")
