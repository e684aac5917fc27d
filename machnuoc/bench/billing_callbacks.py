"""Callbacks of a payment gateway over HTTP, with the server killed (−9) in the middle: how many a second, none lost.

The sender does as VNPAY does: what was not answered is sent again, and now and then what was answered too.
"""

import hashlib
import hmac
import http.client
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from machnuoc.bench import common
from machnuoc.bench.common import Result

ORDERS_MOST, ORDERS_LEAST = 4_000, 400
ORDERS_A_CONNECTION = 10
SENDERS = 8
AMOUNT_VND = 10_000
REPEAT_EVERY = 10  # one callback of so many is sent again though it was answered
_TMN, _SECRET = "BENCH001", "khoa-cua-phep-do"
_START_WITHIN_S = 60
_WAIT_MOST_S = 600
_FINAL = frozenset({"00", "02"})


@dataclass
class _Sent:
    """What the senders saw. answered: references that the server said it took, or had taken."""

    waiting: "queue.Queue[str]"
    total: int
    answered: set[str] = field(default_factory=set)
    times_s: list[float] = field(default_factory=list)
    at_s: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    unanswered: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


def measure(connections: int = 0) -> list[Result]:
    """Return callbacks a second beside bare commits of one row, and what was lost or doubled by the kill (0).

    connections: of the whole benchmark; a tenth as many orders are paid, within bounds.
    """
    from django.db import connection

    on = connection.vendor
    orders = max(ORDERS_LEAST, min(ORDERS_MOST, connections // 10))
    references = _fill(orders)
    bare_s = _bare_commits(200) / 200
    connection.close()
    sent = _Sent(queue.Queue(), len(references))
    for reference in references:
        sent.waiting.put(reference)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    killed_at_s, up_again_s = _send_all(sent, port)
    lost, doubled = _check(references, sent)
    before = [at for at in sent.at_s if at < killed_at_s]
    rate = len(before) / (max(before) - min(before)) if len(before) > 1 else 0.0
    if lost or doubled or sent.wrong:
        raise common.BenchFailed(f"Sau kill −9: mất {lost}, trùng {doubled}, trả lời sai {sent.wrong[:3]}.")
    return [
        Result(f"callbacks_per_s_{on}", rate, "1/s", "ghi một dòng, một giao dịch có fsync", rate * bare_s,
               note=f"{SENDERS} luồng gửi, qua HTTP tới máy chủ thật"),
        Result(f"callback_p95_ms_{on}", common.percentile(sent.times_s, 0.95) * 1000, "ms"),
        Result(f"callbacks_lost_{on}", float(lost), "", "kill −9 khi mới nhận một nửa", float(lost), 0.0,
               f"{orders} giao dịch; {sent.unanswered} lần không được trả lời, gửi lại"),
        Result(f"callbacks_doubled_{on}", float(doubled), "", "một phần mười gửi hai lần", float(doubled), 0.0),
        Result(f"callbacks_back_after_s_{on}", up_again_s, "s", note="từ lúc bị kill đến khi trả lời lại"),
    ]  # fmt: skip


def _fill(orders: int) -> list[str]:
    """Make connections that owe, and orders for them; return the references."""
    from django.utils import timezone

    from machnuoc.bench import filling, filling_customers
    from machnuoc.billing import ledger
    from machnuoc.billing.models import Bill, GatewayOrder, InvoiceSeries, Tariff
    from machnuoc.customers.models import Connection
    from machnuoc.places.models import AdministrativeUnit

    if not AdministrativeUnit.objects.exists():
        filling.make_places(10)
    provider = filling_customers.make_provider("cong", 1)
    filling_customers.add_connections(provider, -(-orders // ORDERS_A_CONNECTION), first=95_000_000)
    now = timezone.now()
    month = filling_customers.MONTHS[1]
    series = InvoiceSeries.objects.get(operator=provider.operator, is_active=True)
    tariff = Tariff.objects.get(scope=provider.operator.subject)
    homes = list(Connection.objects.filter(work__operator=provider.operator).order_by("pk"))
    bills = Bill.objects.bulk_create([
        Bill(
            series=series, number=number, operator=provider.operator, connection=home, customer_id=home.customer_id,
            period_start_date=month, from_date=month, to_date=month + timedelta(days=30), group=home.group,
            tariff=tariff, volume_l=10_000, net_vnd=100_000, vat_vnd=5_000, fee_vnd=0, total_vnd=105_000,
            due_date=month + timedelta(days=60), issued_at=now,
        )
        for number, home in enumerate(homes, start=1)
    ])  # fmt: skip
    ledger.post(move for bill in bills for move in ledger.bill_moves(bill, now))
    made = [
        GatewayOrder(
            gateway="vnpay", reference=f"{number}-{hashlib.sha256(str(number).encode()).hexdigest()[:12]}",
            connection=homes[number // ORDERS_A_CONNECTION], amount_vnd=AMOUNT_VND, created_at=now,
            expires_at=now + timedelta(hours=1),
        )
        for number in range(orders)
    ]  # fmt: skip
    GatewayOrder.objects.bulk_create(made, batch_size=1_000)
    return [order.reference for order in made]


def _bare_commits(count: int) -> float:
    """Return the seconds of so many transactions that write one row each."""
    from django.db import transaction
    from django.utils import timezone

    from machnuoc.billing.models import Callback

    begun_s = time.perf_counter()
    for _ in range(count):
        with transaction.atomic():
            Callback.objects.create(gateway="momo", received_at=timezone.now(), body="", verdict="MALFORMED")
    return time.perf_counter() - begun_s


@contextmanager
def _server(port: int) -> Iterator["subprocess.Popen[bytes]"]:
    environment = {**os.environ, "MACHNUOC_VNPAY": f"vnpay://{_TMN}:{_SECRET}@sandbox.vnpayment.vn"}
    command = [sys.executable, "-m", "machnuoc", "web", "--port", str(port)]
    server = subprocess.Popen(  # noqa: S603 - our own program
        command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        _wait_until_up(server, port)
        yield server
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()


def _wait_until_up(server: "subprocess.Popen[bytes]", port: int) -> None:
    deadline_s = time.monotonic() + _START_WITHIN_S
    while time.monotonic() < deadline_s and server.poll() is None:
        try:
            asked = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            asked.request("GET", "/healthz")
            if asked.getresponse().status == http.HTTPStatus.OK:
                return
        except OSError:
            time.sleep(0.05)
    raise common.BenchFailed("Máy chủ của phép đo không trả lời; xem lỗi ở trên.")


def _send_all(sent: _Sent, port: int) -> tuple[float, float]:
    """Send everything until it is answered; kill the server once half is. Returns (when, seconds until up again)."""
    threads = [threading.Thread(target=_sender, args=(sent, port), daemon=True) for _ in range(SENDERS)]
    deadline_s = time.monotonic() + _WAIT_MOST_S
    with _server(port) as server:
        for thread in threads:
            thread.start()
        while len(sent.answered) < sent.total // 2 and time.monotonic() < deadline_s:
            time.sleep(0.005)
        killed_at_s = time.perf_counter()
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
    with _server(port):
        up_again_s = time.perf_counter() - killed_at_s
        while len(sent.answered) < sent.total and time.monotonic() < deadline_s:
            time.sleep(0.01)
        for _ in threads:
            sent.waiting.put("")
        for thread in threads:
            thread.join(30)
    if len(sent.answered) < sent.total:
        raise common.BenchFailed(f"Chỉ {len(sent.answered)}/{sent.total} giao dịch được trả lời.")
    return killed_at_s, up_again_s


def _sender(sent: _Sent, port: int) -> None:
    """Send what waits; what is not answered, because the server is gone, waits again."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    while reference := sent.waiting.get():
        begun_s = time.perf_counter()
        try:
            connection.request("GET", _address(reference))
            answer = connection.getresponse()
            code = str(json.loads(answer.read()).get("RspCode", answer.status))
        except (OSError, http.client.HTTPException, ValueError):
            connection.close()
            with sent.lock:
                sent.unanswered += 1
            sent.waiting.put(reference)
            time.sleep(0.05)
            continue
        now_s = time.perf_counter()
        with sent.lock:
            if code in _FINAL:
                is_first = reference not in sent.answered
                sent.answered.add(reference)
                sent.times_s.append(now_s - begun_s)
                sent.at_s.append(now_s)
                again = is_first and _number(reference) % REPEAT_EVERY == 0
            else:
                again = code == "99"  # the gateway calls again
                if not again:
                    sent.wrong.append(f"{reference}: {code}")
                    sent.answered.add(reference)
        if again:
            sent.waiting.put(reference)
    connection.close()


def _number(reference: str) -> int:
    return int(reference.partition("-")[0])


def _address(reference: str) -> str:
    fields = {
        "vnp_Amount": str(AMOUNT_VND * 100), "vnp_BankCode": "NCB", "vnp_OrderInfo": "Thanh toan tien nuoc",
        "vnp_PayDate": "20260801090312", "vnp_ResponseCode": "00", "vnp_TmnCode": _TMN,
        "vnp_TransactionNo": str(10_000_000 + _number(reference)), "vnp_TransactionStatus": "00",
        "vnp_TxnRef": reference,
    }  # fmt: skip
    text = urlencode(sorted(fields.items()))
    signature = hmac.new(_SECRET.encode(), text.encode(), hashlib.sha512).hexdigest()
    return f"/thanh-toan/vnpay/bao/?{text}&vnp_SecureHash={signature}"


def _check(references: list[str], sent: _Sent) -> tuple[int, int]:
    """Return how many answered orders have no payment, and how many have more than one or money of more."""
    from django.db.models import Count, Sum

    from machnuoc.billing import ledger
    from machnuoc.billing.models import GatewayOrder, Payment, Posting

    paid: dict[str, Any] = dict(
        Payment.objects.filter(order__reference__in=references)
        .values_list("order__reference").annotate(count=Count("pk")).order_by()
    )  # fmt: skip
    lost = sum(reference not in paid for reference in sent.answered)
    doubled = sum(count > 1 for count in paid.values())
    operators = GatewayOrder.objects.filter(reference__in=references[:1]).values("connection__work__operator")
    posted = Posting.objects.filter(operator__in=operators, source="PAYMENT").aggregate(a=Sum("amount_vnd"))["a"] or 0
    doubled += abs(posted - len(paid) * AMOUNT_VND) // AMOUNT_VND
    problems = ledger.verify(operators[0]["connection__work__operator"]).problems
    if problems:
        raise common.BenchFailed(f"Sổ cái không cân sau kill −9: {problems[0]}")
    return lost, doubled
