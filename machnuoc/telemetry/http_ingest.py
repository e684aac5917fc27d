"""The door for devices that speak HTTP: a batch in, its counts out, after the commit that stores it.

    POST /api/v1/telemetry/readings
    Authorization: Bearer <token of the device>
    Idempotency-Key: <the sender's own name for this batch>
    Content-Type: application/json (as over MQTT) or text/csv

A batch that was sent again under its key, because the answer got lost, is not stored again: it gets its first answer.
"""

import hashlib
import json
import sqlite3
from datetime import datetime

import psycopg
from django import db
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from machnuoc.core import api, tokens
from machnuoc.telemetry import payloads, receive
from machnuoc.telemetry.models import Credential
from machnuoc.telemetry.payloads import Message

KEY_MAX = 200
RETRY_AFTER_S = 5
_DECODERS = {"application/json": "MQTT", "text/csv": "CSV"}
_DATABASE_AWAY = (sqlite3.OperationalError, psycopg.OperationalError, db.OperationalError, db.InterfaceError)


@csrf_exempt
@login_not_required
def post_readings(request: HttpRequest) -> HttpResponse:
    """Store a batch of the device that the token belongs to."""
    if request.method != "POST":
        response = api.problem(405, "Phương thức không được nhận", "Địa chỉ này chỉ nhận POST.")
        response["Allow"] = "POST"
        return response
    try:
        return _store(request, timezone.now())
    except _DATABASE_AWAY:
        response = api.problem(
            503, "Chưa lưu được", "Cơ sở dữ liệu đang bận hoặc không sẵn sàng. Gửi lại lô này với cùng Idempotency-Key."
        )
        response["Retry-After"] = str(RETRY_AFTER_S)
        return response


def _store(request: HttpRequest, now: datetime) -> HttpResponse:
    received_ms = payloads.to_ms(now)
    raw = request.headers.get("Authorization", "")
    credential = _find_credential(raw.removeprefix("Bearer ").strip()) if raw.startswith("Bearer ") else None
    if credential is None:
        return api.problem(401, "Cần xác thực", "Gửi tiêu đề Authorization: Bearer <mã truy cập của thiết bị>.")
    device = credential.device
    is_over = credential.expires_at is not None and credential.expires_at <= now
    if is_over or credential.revoked_at is not None:
        receive.refuse(device.pk, "expired", f"HTTP, mã tạo ngày {credential.made_at:%d/%m/%Y}", received_ms)
        return api.problem(
            401, "Mã truy cập không còn hiệu lực",
            f"Mã của thiết bị «{device.code}» đã hết hạn hoặc bị thu hồi. Cấp mã mới ở trang thiết bị.",
        )  # fmt: skip
    key = request.headers.get("Idempotency-Key", "")
    if not key or len(key) > KEY_MAX or not key.isprintable():
        return api.problem(
            400, "Thiếu Idempotency-Key",
            f"Gửi tiêu đề Idempotency-Key: tên riêng của lô, 1–{KEY_MAX} ký tự, giữ nguyên khi gửi lại.",
        )  # fmt: skip
    protocol = _DECODERS.get(request.content_type or "")
    if protocol is None:
        return api.problem(
            415, "Không nhận kiểu nội dung này", f"Content-Type phải là một trong: {', '.join(_DECODERS)}."
        )
    if int(request.META.get("CONTENT_LENGTH") or 0) > payloads.MAX_PAYLOAD_BYTES:
        receive.refuse(device.pk, "too_large", f"HTTP, {request.META['CONTENT_LENGTH']} byte", received_ms)
        return api.problem(
            413,
            "Lô quá lớn",
            f"Một lô không quá {payloads.MAX_PAYLOAD_BYTES // 1024 // 1024} MB. Chia nhỏ rồi gửi lại.",
        )
    message = Message("", request.body, received_ms, device.code, protocol)
    digest = hashlib.sha256(request.body).hexdigest()
    answer, is_repeat = receive.take_once(message, key, digest, received_ms, device=device.pk)
    if "conflict" in answer:
        return api.problem(
            422, "Idempotency-Key đã dùng",
            f"Khóa «{key}» đã dùng cho một lô có nội dung khác. Đặt khóa mới cho lô này.",
        )  # fmt: skip
    response = HttpResponse(json.dumps(answer, ensure_ascii=False), content_type="application/json; charset=utf-8")
    if is_repeat:
        response["Idempotency-Replayed"] = "true"
    return response


def _find_credential(raw: str) -> Credential | None:
    """Return the credential of a token, live or not. Found by its hash: how long that takes says nothing of it."""
    return Credential.objects.select_related("device").filter(token_sha256=tokens.hash_token(raw)).first()
