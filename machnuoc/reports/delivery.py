"""How a report leaves: handed over as a file, by e-mail, or pushed from machine to machine with a signed receipt.

A push is the frozen content as canonical JSON, signed by HMAC-SHA256 with a key that both sides hold. The receiver
answers with the hash of what it got and its own signature over it; only such an answer counts as a receipt.
"""

import hashlib
import hmac
import http.client
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage
from django.core.validators import validate_email

from machnuoc.core import files, outgoing
from machnuoc.reports.errors import ReportsError
from machnuoc.reports.models import Delivery, Report, Snapshot

TIMEOUT_S = 30
ANSWER_MAX_BYTES = 64 * 1024


class NotDelivered(ReportsError):
    """The report did not get there; the text says why."""


def clean_address(channel: str, to: str) -> str:
    """Return where a report goes. Raises ReportsError for a channel that is not set up or an address that cannot be."""
    to = " ".join(to.split())
    match channel:
        case Delivery.Channel.FILE:
            if not to:
                raise ReportsError("Ghi nơi nhận của lần gửi này.")
            return to[:300]
        case Delivery.Channel.EMAIL:
            if not settings.EMAIL_HOST:
                raise ReportsError("Chưa gửi được thư: máy chủ chưa đặt MACHNUOC_EMAIL_URL. Báo quản trị hệ thống.")
            try:
                validate_email(to)
            except ValidationError:
                raise ReportsError(f"«{to}» không phải địa chỉ thư điện tử. Nhập như ten@tinh.gov.vn.") from None
            return to
        case Delivery.Channel.PUSH:
            # The address is the operator's choice, not the sender's: a form must not make the server call anywhere.
            if not settings.REPORT_PUSH_URL or not settings.REPORT_PUSH_KEY:
                raise ReportsError(
                    "Chưa gửi máy – máy được: chưa đặt MACHNUOC_REPORT_PUSH_URL và MACHNUOC_REPORT_PUSH_KEY."
                )
            return str(settings.REPORT_PUSH_URL)
    raise ReportsError(f"Không có cách gửi «{channel}».")


def send_email(row: Delivery, taken: Snapshot) -> None:
    """Send the report's files by e-mail. Raises NotDelivered."""
    report = row.report
    mark = "[MÔ PHỎNG] " if report.is_simulated else ""
    message = EmailMessage(
        subject=" ".join(f"{mark}Báo cáo số {report.number}: {report.title}"[:200].split()),  # one line, as headers are
        body=(
            f"Kính gửi {report.to_as_printed or row.to},\n\n{report.organisation.subject.name} gửi báo cáo số "
            f"{report.number} ngày {report.issued_on:%d/%m/%Y}: {report.title}.\n\n"
            f"Mã băm (SHA-256) của nội dung đã đóng băng: {taken.content_hash}\n"
        ),
        to=[row.to],
    )
    for stored in (taken.signed_pdf or taken.pdf, taken.docx, taken.xlsx):
        if stored is not None:
            with files.open_file(stored) as stream:
                message.attach(stored.name, stream.read(), stored.media_type)
    try:
        message.send()
    except OSError as reason:
        raise NotDelivered(f"Máy chủ thư không nhận: {reason}. Kiểm tra MACHNUOC_EMAIL_URL rồi gửi lại.") from None


@dataclass(frozen=True)
class Receipt:
    """What the receiver answered and signed."""

    text: str
    received_at: str


def is_signed(content: bytes, key: str, signature: str) -> bool:
    return hmac.compare_digest(outgoing.sign(content, key), signature)


def make_receipt(content: bytes, *, number: str, key: str, now: datetime) -> bytes:
    """Return what a receiver answers to a push: number in its book, hash of what it got, moment, all signed."""
    body: dict[str, Any] = {
        "receipt": number, "content_sha256": hashlib.sha256(content).hexdigest(), "received_at": now.isoformat(),
    }  # fmt: skip
    body["signature"] = outgoing.sign(_canonical(body), key)
    return _canonical(body)


def _canonical(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def read_receipt(answer: bytes, content: bytes, key: str) -> Receipt:
    """Return the receipt. Raises NotDelivered if it is not signed by the receiver, or is about other content."""
    try:
        body = json.loads(answer)
        signature = body.pop("signature")
        receipt = Receipt(str(body["receipt"]), str(body["received_at"]))
        about = body["content_sha256"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise NotDelivered("Nơi nhận trả lời không đúng mẫu xác nhận. Liên hệ nơi nhận để kiểm tra.") from None
    if not isinstance(signature, str) or not is_signed(_canonical(body), key, signature):
        raise NotDelivered("Xác nhận của nơi nhận không đúng chữ ký: có thể khóa hai bên khác nhau. Đối chiếu khóa.")
    if about != hashlib.sha256(content).hexdigest():
        raise NotDelivered("Nơi nhận xác nhận một nội dung khác với nội dung đã gửi. Gửi lại, và báo nơi nhận.")
    return receipt


def push(row: Delivery, taken: Snapshot) -> Receipt:
    """Post the frozen content, signed, and return the verified receipt. Raises NotDelivered."""
    with files.open_file(taken.content) as stream:
        content = stream.read()
    key = settings.REPORT_PUSH_KEY
    request = urllib.request.Request(  # noqa: S310 https, or this machine: see settings
        settings.REPORT_PUSH_URL,
        data=content,
        headers={
            "Content-Type": "application/json; charset=utf-8", outgoing.SIGNATURE: outgoing.sign(content, key),
            "Idempotency-Key": f"{taken.content_hash[:32]}-{row.pk}",
        },
        method="POST",
    )  # fmt: skip
    try:
        with outgoing.opener(may_be_local=True).open(request, timeout=TIMEOUT_S) as response:
            answer = response.read(ANSWER_MAX_BYTES)
    except urllib.error.HTTPError as reason:
        raise NotDelivered(f"Nơi nhận từ chối (HTTP {reason.code}). Liên hệ nơi nhận rồi gửi lại.") from None
    except (OSError, http.client.HTTPException) as reason:
        raise NotDelivered(f"Không kết nối được nơi nhận: {reason}. Kiểm tra mạng rồi gửi lại.") from None
    return read_receipt(answer, content, key)


def final_snapshot(report: Report) -> Snapshot:
    """Return what is sent: the newest snapshot. Raises ReportsError if nothing was frozen."""
    taken = report.snapshots.select_related("content", "docx", "xlsx", "pdf", "signed_pdf").first()
    if taken is None:
        raise ReportsError(f"«{report.title}» chưa được ký duyệt nên chưa có bản đóng băng để gửi.")
    return taken
