"""Requests passed on to another Open311 GeoReport v2 server, and what that server says became of them.

What goes out is the category, the words and the place; never who sent it. Words are the sender's own and may name
people: passing on is an act of a handler, or a setting that a manager made.
"""

import http.client
import json
import urllib.error
import urllib.request
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from django.db import transaction
from django.db.models import Q

from machnuoc.core import audit, outgoing
from machnuoc.core.models import Person
from machnuoc.customers import request_messages
from machnuoc.customers.errors import CustomersError
from machnuoc.customers.models import Category, Open311Copy, Open311Endpoint, Request, RequestEvent
from machnuoc.customers.request_queries import OPEN_STATES
from machnuoc.places.models import Organisation

MOST_ATTEMPTS = 8
FIRST_RETRY = timedelta(minutes=10)
ASKS_EVERY = timedelta(minutes=30)
AT_ONCE = 100  # copies of one run
State = Open311Copy.State

audit.describe("customers.open311.endpoint_added", "thêm nơi nhận Open311 {target}")
audit.describe("customers.open311.endpoint_retired", "bỏ nơi nhận Open311 {target}")
audit.describe("customers.open311.queued", "chuyển phản ánh {target} qua Open311")


@transaction.atomic
def add_endpoint(
    *, operator: Organisation, name: str, url: str, category: Category | None, service_code: str, jurisdiction: str,
    api_key: str, is_automatic: bool, by: Person, may_be_local: bool = False,
) -> Open311Endpoint:  # fmt: skip
    """Add a server, or bring back one of the same address. Raises CustomersError for an address that may not be called.

    may_be_local: of tests, whose other server runs on this machine.
    """
    url = url.strip().rstrip("/")
    if not may_be_local:
        try:
            outgoing.check_url(url)
        except outgoing.CannotCall as reason:
            raise CustomersError(str(reason)) from None
    fields = {
        "name": name, "service_code": service_code.strip(), "jurisdiction": jurisdiction.strip(), "api_key": api_key,
        "is_automatic": is_automatic, "is_active": True,
    }  # fmt: skip
    row, _ = Open311Endpoint.objects.update_or_create(operator=operator, category=category, url=url, defaults=fields)
    audit.record("customers.open311.endpoint_added", actor=by, target=row, url=url)
    return row


@transaction.atomic
def retire_endpoint(endpoint: Open311Endpoint, *, by: Person) -> None:
    """Stop passing on to a server. What it holds already is not asked for any more."""
    Open311Endpoint.objects.filter(pk=endpoint.pk).update(is_active=False)
    endpoint.copies.exclude(state=State.CLOSED).update(next_at=None)
    audit.record("customers.open311.endpoint_retired", actor=by, target=endpoint)


def list_endpoints(request: Request) -> list[Open311Endpoint]:
    """Return the servers that a request may be passed on to and that do not hold it."""
    rows = Open311Endpoint.objects.filter(operator=request.operator_id, is_active=True)
    rows = rows.filter(Q(category=request.category_id) | Q(category__isnull=True))
    return list(rows.exclude(pk__in=request.copies.values("endpoint_id")))


@transaction.atomic
def queue_copy(request: Request, endpoint: Open311Endpoint, *, by: Person | None, now: datetime) -> Open311Copy:
    """Put a request down to be passed on; twice is once."""
    row, is_new = Open311Copy.objects.get_or_create(
        request=request, endpoint=endpoint, defaults={"made_at": now, "next_at": now}
    )
    if is_new:
        audit.record("customers.open311.queued", actor=by, target=request, endpoint=endpoint.pk)
        RequestEvent.objects.create(
            request=request, kind=RequestEvent.Kind.NOTE, at=now, by=by, text=f"Chuyển cho {endpoint.name} qua Open311."
        )
    return row


def queue_automatic(request: Request, *, now: datetime) -> None:
    """Put a request that has just come down for the servers that get all of its kind."""
    for endpoint in list_endpoints(request):
        if endpoint.is_automatic:
            queue_copy(request, endpoint, by=None, now=now)


# --- the worker's part


def exchange(now: datetime, *, may_be_local: bool = False) -> tuple[int, int, int]:
    """Send what waits and ask after what was sent; return how many were sent, asked after, and did not go."""
    sent = asked = failed = 0
    due = Open311Copy.objects.filter(next_at__lte=now, endpoint__is_active=True).select_related(
        "endpoint", "request__category", "request__handler"
    )
    for copy in due.order_by("next_at")[:AT_ONCE]:
        # Put off first: a worker that dies while calling does not call in a loop, and no other one calls meanwhile.
        pause = FIRST_RETRY * 2 ** min(copy.attempts, 6)
        mine = Open311Copy.objects.filter(pk=copy.pk, next_at=copy.next_at).update(
            next_at=now + pause, attempts=copy.attempts + 1
        )
        if not mine:
            continue
        copy.attempts += 1
        try:
            if copy.state == State.WAITING:
                _send(copy, now, may_be_local)
                sent += 1
            else:
                _ask(copy, now, may_be_local)
                asked += 1
        except outgoing.CannotCall as reason:
            failed += 1
            _note_failure(copy, reason)
    return sent, asked, failed


def _note_failure(copy: Open311Copy, reason: outgoing.CannotCall) -> None:
    changes: dict[str, Any] = {"error": str(reason)[:300]}
    if reason.is_final or copy.attempts >= MOST_ATTEMPTS:
        changes["next_at"] = None
        if copy.state == State.WAITING:
            changes["state"] = State.FAILED
    Open311Copy.objects.filter(pk=copy.pk).update(**changes)


def _send(copy: Open311Copy, now: datetime, may_be_local: bool) -> None:
    endpoint, request = copy.endpoint, copy.request
    said: dict[str, Any] = {
        "service_code": endpoint.service_code or request.category.key, "description": request.text[:4_000],
        "address_string": request.address, "lat": request.latitude, "long": request.longitude,
        "jurisdiction_id": endpoint.jurisdiction, "api_key": endpoint.api_key,
    }  # fmt: skip
    content = urlencode({key: value for key, value in said.items() if value not in (None, "")}).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8", "Accept": "application/json"}
    answer = outgoing.post(f"{endpoint.url}/requests.json", content, headers, may_be_local=may_be_local)
    found = _first(answer.body)
    remote_id, token = str(found.get("service_request_id") or "")[:120], str(found.get("token") or "")[:120]
    if not remote_id and not token:
        raise outgoing.CannotCall("Bên nhận không trả về mã phản ánh (service_request_id).", is_final=True)
    Open311Copy.objects.filter(pk=copy.pk).update(
        state=State.OPEN, remote_id=remote_id, remote_token=token, sent_at=now, next_at=now + ASKS_EVERY, attempts=0,
        error="",
    )  # fmt: skip


def _ask(copy: Open311Copy, now: datetime, may_be_local: bool) -> None:
    """Ask for the status, or first for the id that a token stands for."""
    endpoint = copy.endpoint
    query = {"jurisdiction_id": endpoint.jurisdiction, "api_key": endpoint.api_key}
    tail = urlencode({key: value for key, value in query.items() if value})
    tail = f"?{tail}" if tail else ""
    if not copy.remote_id:
        found = _first(_get(f"{endpoint.url}/tokens/{quote(copy.remote_token, safe='')}.json{tail}", may_be_local))
        remote_id = str(found.get("service_request_id") or "")[:120]
        Open311Copy.objects.filter(pk=copy.pk).update(
            remote_id=remote_id, next_at=now + FIRST_RETRY, attempts=0, error=""
        )
        return
    found = _first(_get(f"{endpoint.url}/requests/{quote(copy.remote_id, safe='')}.json{tail}", may_be_local))
    notes = str(found.get("status_notes") or "")[:1_000]
    is_closed = str(found.get("status") or "").lower() == "closed"
    with transaction.atomic():
        row = Open311Copy.objects.select_for_update(of=("self",)).get(pk=copy.pk)
        is_news = notes != row.status_notes or is_closed != (row.state == State.CLOSED)
        row.state, row.status_notes = (State.CLOSED if is_closed else State.OPEN), notes
        row.next_at, row.attempts, row.error = (None if is_closed else now + ASKS_EVERY), 0, ""
        row.save()
        if is_news:
            word = "đã xong" if is_closed else "đang xử lý"
            text = f"{endpoint.name} {word}{f': {notes}' if notes else '.'}"
            RequestEvent.objects.create(request=copy.request, kind=RequestEvent.Kind.NOTE, at=now, text=text)
            if is_closed and copy.request.handler and copy.request.state in OPEN_STATES:
                request_messages.tell_people(copy.request, [copy.request.handler], f"{endpoint.name} báo đã xong")


def _first(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
        first = found[0] if isinstance(found, list) else found
    except (ValueError, LookupError, RecursionError):
        raise outgoing.CannotCall("Bên nhận trả lời không đúng mẫu Open311.") from None
    if not isinstance(first, dict):
        raise outgoing.CannotCall("Bên nhận trả lời không đúng mẫu Open311.")
    return first


def _get(url: str, may_be_local: bool) -> bytes:
    """Get at most ANSWER_MAX_BYTES. Raises CannotCall."""
    if not may_be_local:
        outgoing.check_url(url.partition("?")[0])
    request = urllib.request.Request(url, headers={"Accept": "application/json"})  # noqa: S310 - checked
    try:
        with outgoing.opener(may_be_local=may_be_local).open(request, timeout=outgoing.TIMEOUT_S) as response:
            return bytes(response.read(outgoing.ANSWER_MAX_BYTES))
    except urllib.error.HTTPError as reason:
        raise outgoing.CannotCall(
            f"Nơi nhận từ chối (HTTP {reason.code}).", is_final=reason.code in {401, 403}
        ) from None
    except (OSError, http.client.HTTPException, ValueError) as reason:
        raise outgoing.CannotCall(f"Không kết nối được nơi nhận: {reason}.") from None
