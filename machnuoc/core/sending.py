"""Messages that must reach people: an outbox with the state of each, and one adapter a channel.

`queue` writes the row in the transaction that causes the message and wakes the worker; the worker sends. A channel that
nobody has configured says «chưa cấu hình» and never pretends. The same key is told once.
"""

import json
import logging
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import IntegrityError, transaction
from django.db.models import Q

from machnuoc.core import audit, jobs, notices, outgoing
from machnuoc.core.models import Person, Sending

log = logging.getLogger(__name__)

TASK = "core.send_waiting"
MOST_ATTEMPTS = 8
FIRST_RETRY_S = 20
RETRY_AT_MOST_S = 1_800
KEEP_DAYS = 180
NOT_KEPT = "(nội dung không lưu)"
TOO_LATE = "Quá hạn trước khi gửi được, không gửi nữa."
ZALO_URL = "https://business.openapi.zalo.me/message/template"

Channel = Sending.Channel
State = Sending.State


class NotConfigured(Exception):
    """The channel needs a setting that is not there; the text names it."""


def queue(
    *,
    key: str,
    channel: str,
    title: str,
    text: str,
    now: datetime,
    person: Person | None = None,
    address: str = "",
    url: str = "",
    secret: str = "",
    is_secret: bool = False,
    expires_at: datetime | None = None,
) -> Sending | None:
    """Put a message into the outbox, in the current transaction; None if that key was told before.

    key: what it is about, such as "alarm:7:1:23:SMS". address: empty takes the person's own of this channel; a person
    without one gets a row that says so. secret: what a WEBHOOK is signed with. is_secret: the text is for the receiver
    alone: no page shows it, and the row keeps it only until it has gone or failed. expires_at: from when on it is not
    sent any more.
    """
    address = address or _address_of(person, channel)
    row = Sending(
        key=key[:120], channel=channel, person=person, address=address[:300], title=" ".join(title.split())[:200],
        text=text[:600], url=url[:300], secret=secret, is_secret=is_secret, created_at=now,
        next_try_at=now, expires_at=expires_at,
    )  # fmt: skip
    missing = "" if address else "Người nhận chưa khai địa chỉ của kênh này."
    if channel != Channel.IN_APP and not missing:
        try:
            _require_configured(channel)
        except NotConfigured as reason:
            missing = str(reason)
    if missing:
        row.state, row.error, row.next_try_at = State.UNCONFIGURED, missing[:300], None
        row.text = NOT_KEPT if is_secret else row.text
    elif channel == Channel.IN_APP:
        row.state, row.sent_at, row.next_try_at = State.SENT, now, None
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError:
        return None  # told before
    if channel == Channel.IN_APP and person is not None:
        notices.notify([person], kind="alarm", text=f"{row.title}: {row.text}", url=url)
    if row.state == State.QUEUED:
        jobs.enqueue(TASK, schedule=TASK)
    return row


def _address_of(person: Person | None, channel: str) -> str:
    if person is None:
        return ""
    if channel == Channel.IN_APP:
        return person.username
    return person.email if channel == Channel.EMAIL else phone_84(person.phone)


def phone_84(phone: str) -> str:
    """Return a Vietnamese mobile number as gateways want it, empty if it is none: fixed lines (02…) take no messages.

    >>> phone_84("0912 345 678"), phone_84("+84 912.345.678"), phone_84("0255 382 2131"), phone_84("113")
    ('84912345678', '84912345678', '', '')
    """
    digits = re.sub(r"\D", "", phone)
    if digits.startswith("0"):
        digits = "84" + digits[1:]
    return digits if re.fullmatch(r"84[^2]\d{8}", digits) else ""


def phone_channel() -> str:
    """Return by which channel phones are reached: SMS, or Zalo where only that is set up."""
    is_sms = is_configured(Channel.SMS) or not is_configured(Channel.ZALO)
    return Channel.SMS if is_sms else Channel.ZALO


def reach(phone: str, email: str) -> tuple[str, str]:
    """Return by which channel and at which address somebody is told: the phone, e-mail where only that can go.

    The address is empty where there is neither a mobile number nor an e-mail.
    """
    mobile, by_phone = phone_84(phone), phone_channel()
    if mobile and (is_configured(by_phone) or not email):
        return by_phone, mobile
    if email and (is_configured(Channel.EMAIL) or not mobile):
        return Channel.EMAIL, email
    return by_phone, mobile


def with_link(text: str, url: str, channel: str) -> str:
    """Return the text with the address of its page behind it; an e-mail has that below its text already."""
    if channel == Channel.EMAIL or not _setting("SITE_URL"):
        return text
    return f"{text} Xem: {_absolute(url)}"


# --- adapters -------------------------------------------------------------------------------------------------------


def _setting(name: str) -> str:
    return str(getattr(settings, name, "") or "")


_NEEDS: Mapping[str, tuple[tuple[str, str], ...]] = {
    Channel.EMAIL: (("EMAIL_HOST", "MACHNUOC_EMAIL_URL"),),
    Channel.SMS: (("SMS_URL", "MACHNUOC_SMS_URL"),),
    Channel.ZALO: (("ZALO_TOKEN", "MACHNUOC_ZALO_TOKEN"), ("ZALO_TEMPLATE", "MACHNUOC_ZALO_TEMPLATE")),
}


def _require_configured(channel: str) -> None:
    missing = [variable for name, variable in _NEEDS.get(channel, ()) if not _setting(name)]
    if missing:
        raise NotConfigured(f"Chưa cấu hình: máy chủ chưa đặt {', '.join(missing)}.")


def is_configured(channel: str) -> bool:
    """Return whether messages of this channel can leave at all."""
    try:
        _require_configured(channel)
    except NotConfigured:
        return False
    return True


def _send_email(row: Sending) -> None:
    message = EmailMessage(subject=row.title, body=f"{row.text}\n\n{_absolute(row.url)}".strip(), to=[row.address])
    try:
        message.send()
    except OSError as reason:
        raise outgoing.CannotCall(f"Máy chủ thư không nhận: {reason}.") from None


def _send_sms(row: Sending) -> None:
    """Post {"to", "text", "id"} with a bearer token to the operator's gateway."""
    body = {"to": row.address, "text": f"{row.title}: {row.text}"[:300], "id": row.key}
    headers = {"Content-Type": "application/json; charset=utf-8", "Authorization": f"Bearer {_setting('SMS_KEY')}"}
    outgoing.post(_setting("SMS_URL"), _bytes(body), headers, may_be_local=True)


def _send_zalo(row: Sending) -> None:
    """Send a ZNS template message. Zalo answers 200 with an error number of its own; 0 is done."""
    body = {
        "phone": row.address,
        "template_id": _setting("ZALO_TEMPLATE"),
        "template_data": {"tieu_de": row.title[:80], "noi_dung": row.text[:200]},
        "tracking_id": row.key[:48],
    }
    headers = {"Content-Type": "application/json; charset=utf-8", "access_token": _setting("ZALO_TOKEN")}
    answer = outgoing.post(_setting("ZALO_URL") or ZALO_URL, _bytes(body), headers, may_be_local=True)
    try:
        error = json.loads(answer.body)["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise outgoing.CannotCall("Zalo trả lời không đúng mẫu.") from None
    if error != 0:
        raise outgoing.CannotCall(f"Zalo không nhận tin (mã lỗi {error}).", is_final=True)


def _send_webhook(row: Sending) -> None:
    content = _bytes(
        {
            "id": row.key,
            "title": row.title,
            "text": row.text,
            "url": _absolute(row.url),
            "at": row.created_at.isoformat(),
        }
    )
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Idempotency-Key": row.key,
        outgoing.SIGNATURE: outgoing.sign(content, row.secret),
    }
    outgoing.post(row.address, content, headers)


def _bytes(body: Mapping[str, object]) -> bytes:
    return json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _absolute(url: str) -> str:
    site = _setting("SITE_URL").rstrip("/")
    return f"{site}{url}" if url and site else url


_ADAPTERS: Mapping[str, Callable[[Sending], None]] = {
    Channel.EMAIL: _send_email,
    Channel.SMS: _send_sms,
    Channel.ZALO: _send_zalo,
    Channel.WEBHOOK: _send_webhook,
}


# --- the worker's part ----------------------------------------------------------------------------------------------


def send_due(now: datetime, *, limit: int = 200) -> tuple[int, int]:
    """Send what waits and is due; return how many went and how many did not.

    A row is put off before it is tried, so that a worker that dies while sending does not send in a loop; a message may
    then go twice, never be lost.
    """
    due = list(
        Sending.objects.filter(Q(next_try_at__isnull=True) | Q(next_try_at__lte=now), state=State.QUEUED).order_by(
            "pk"
        )[:limit]
    )
    sent = failed = 0
    for row in due:
        pause_s = min(FIRST_RETRY_S * 2**row.attempts, RETRY_AT_MOST_S)
        mine = Sending.objects.filter(pk=row.pk, state=State.QUEUED, attempts=row.attempts).update(
            attempts=row.attempts + 1, next_try_at=now + timedelta(seconds=pause_s)
        )
        if not mine:
            continue  # another worker has it
        row.attempts += 1
        if row.expires_at is not None and row.expires_at <= now:
            _close(row, State.FAILED, TOO_LATE)
            failed += 1
            continue
        try:
            _require_configured(row.channel)
            _ADAPTERS[row.channel](row)
        except NotConfigured as reason:
            _close(row, State.UNCONFIGURED, str(reason))
            failed += 1
        except outgoing.CannotCall as reason:
            if reason.is_final or row.attempts >= MOST_ATTEMPTS:
                _close(row, State.FAILED, str(reason))
            else:
                Sending.objects.filter(pk=row.pk).update(error=str(reason)[:300])
            log.warning("sending %s by %s did not go", row.pk, row.channel)
            failed += 1
        else:
            gone = {"text": NOT_KEPT} if row.is_secret else {}
            Sending.objects.filter(pk=row.pk).update(state=State.SENT, sent_at=now, error="", next_try_at=None, **gone)
            sent += 1
    return sent, failed


def _close(row: Sending, state: str, error: str) -> None:
    gone = {"text": NOT_KEPT} if row.is_secret else {}
    Sending.objects.filter(pk=row.pk).update(state=state, error=error[:300], next_try_at=None, **gone)


class CannotSendAgain(ValueError):
    """The message is on its way, has arrived, or has nowhere to go."""


@transaction.atomic
def send_again(row: Sending, *, by: Person, now: datetime) -> None:
    """Queue a message that did not go, to the address its person has today. Raises CannotSendAgain."""
    row = Sending.objects.select_for_update().get(pk=row.pk)
    if row.state not in {State.FAILED, State.UNCONFIGURED}:
        raise CannotSendAgain(f"Tin #{row.pk} đang chờ gửi hoặc đã gửi, không cần gửi lại.")
    if row.expires_at is not None and row.expires_at <= now:
        raise CannotSendAgain(f"Tin #{row.pk} đã quá hạn. Người nhận tự yêu cầu tin mới.")
    if row.is_secret:
        raise CannotSendAgain(f"Nội dung của tin #{row.pk} không được lưu. Người nhận tự yêu cầu tin mới.")
    row.address = (_address_of(row.person, row.channel) or row.address)[:300]
    try:
        _require_configured(row.channel)
    except NotConfigured as reason:
        raise CannotSendAgain(str(reason)) from None
    if not row.address:
        raise CannotSendAgain("Người nhận chưa khai địa chỉ của kênh này. Bổ sung vào tài khoản rồi gửi lại.")
    row.state, row.attempts, row.next_try_at, row.error = State.QUEUED, 0, now, ""
    row.save(update_fields=["address", "state", "attempts", "next_try_at", "error"])
    audit.record("core.sending.again", actor=by, target=row)
    jobs.enqueue(TASK, schedule=TASK)


audit.describe("core.sending.again", "cho gửi lại tin {target}")


def prune(now: datetime) -> int:
    """Delete messages that ended more than KEEP_DAYS ago, and return how many."""
    ended = Sending.objects.exclude(state=State.QUEUED).filter(created_at__lt=now - timedelta(days=KEEP_DAYS))
    return ended.delete()[0]
