"""The e-invoice provider (tổ chức cung cấp giải pháp hóa đơn điện tử) behind three calls.

`HttpProvider` speaks a plain protocol of our own: POST to <address>/invoices, /status and /day, each signed by
HMAC-SHA256 (core/outgoing.py). A provider with another protocol gets a class with the same three calls, or a small
adapter program at that address (docs/operations.md).
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol
from urllib.parse import urlsplit

from django.conf import settings

from machnuoc.billing.errors import BillingError
from machnuoc.core import outgoing

RECEIVED, ACCEPTED, REFUSED = "RECEIVED", "ACCEPTED", "REFUSED"
_STATES = frozenset({RECEIVED, ACCEPTED, REFUSED})
_MOST_PAGES = 2_000


class NoProvider(BillingError):
    """No provider is set up."""


class BadAnswer(outgoing.CannotCall):
    """The provider answered something that cannot be understood; asking again may help."""


@dataclass(frozen=True)
class Fate:
    """What the provider says of one invoice. authority_code: of the tax office (MCCQT), "" while there is none."""

    state: str
    reference: str = ""
    authority_code: str = ""
    error: str = ""


@dataclass(frozen=True)
class Held:
    """One invoice that the provider holds."""

    form: str
    series: str
    number: int
    total_vnd: int
    fate: Fate


class Provider(Protocol):
    """All three raise outgoing.CannotCall; is_final there says that this invoice will never go."""

    def send(self, xml: bytes, *, key: str) -> Fate:
        """Hand in a signed invoice. The same key sent twice is one invoice."""

    def status(self, reference: str) -> Fate:
        """Return what became of an invoice handed in before."""

    def list_day(self, seller_tax_code: str, day: date) -> Iterator[Held]:
        """Yield the invoices of a seller issued on a day."""


@dataclass(frozen=True)
class HttpProvider:
    """url: without a closing slash. key: shared secret that calls are signed with."""

    url: str
    key: str

    def send(self, xml: bytes, *, key: str) -> Fate:
        headers = {"Content-Type": "application/xml; charset=utf-8", "Idempotency-Key": key}
        return _read_fate(self._post("invoices", xml, headers))

    def status(self, reference: str) -> Fate:
        return _read_fate(self._ask("status", {"reference": reference}))

    def list_day(self, seller_tax_code: str, day: date) -> Iterator[Held]:
        cursor = ""
        for _ in range(_MOST_PAGES):
            answer = self._ask("day", {"seller": seller_tax_code, "day": day.isoformat(), "cursor": cursor})
            invoices = answer.get("invoices")
            if not isinstance(invoices, list):
                raise BadAnswer("Nhà cung cấp trả lời không đúng mẫu: thiếu danh sách invoices.")
            for one in invoices:
                yield _read_held(one)
            cursor = str(answer.get("next") or "")
            if not cursor:
                return
        raise BadAnswer("Nhà cung cấp trả về quá nhiều trang.")

    def _ask(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        return self._post(path, json.dumps(body, sort_keys=True).encode(), {"Content-Type": "application/json"})

    def _post(self, path: str, content: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
        signed = {**headers, outgoing.SIGNATURE: outgoing.sign(content, self.key)}
        answer = outgoing.post(f"{self.url}/{path}", content, signed, may_be_local=True)
        try:
            body = json.loads(answer.body)
        except (ValueError, RecursionError):
            raise BadAnswer("Nhà cung cấp trả lời không phải JSON.") from None
        if not isinstance(body, dict):
            raise BadAnswer("Nhà cung cấp trả lời không đúng mẫu.")
        return body


def get() -> Provider:
    """Return the provider of the settings. Raises NoProvider."""
    if not settings.EINVOICE_URL:
        raise NoProvider(
            "Chưa nối nhà cung cấp hóa đơn điện tử: hóa đơn đã ký được giữ lại, chưa gửi. "
            "Người quản trị đặt MACHNUOC_EINVOICE_URL và MACHNUOC_EINVOICE_KEY."
        )
    return HttpProvider(settings.EINVOICE_URL, settings.EINVOICE_KEY)


def is_on_this_machine() -> bool:
    """Return whether the provider is a stand-in here: only that one may get invoices with the test certificate."""
    return urlsplit(settings.EINVOICE_URL).hostname in {"localhost", "127.0.0.1", "::1"}


def _read_fate(body: Mapping[str, Any]) -> Fate:
    state = body.get("state")
    if state not in _STATES:
        raise BadAnswer(f"Nhà cung cấp trả lời tình trạng lạ «{str(state)[:30]}».")
    return Fate(
        str(state),
        str(body.get("reference") or "")[:80],
        str(body.get("authority_code") or "")[:80],
        str(body.get("error") or "")[:300],
    )


def _read_held(body: Any) -> Held:
    try:
        return Held(
            str(body["form"]), str(body["series"]), int(body["number"]), int(body["total_vnd"]), _read_fate(body)
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise BadAnswer("Nhà cung cấp trả về một hóa đơn không đúng mẫu.") from None
