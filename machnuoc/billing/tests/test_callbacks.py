"""Callbacks of gateways: forged, replayed, late, doubled, out of order, wrong by one đồng; none counts twice."""

import json
import threading
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from django.db import connection as database
from django.db import connections
from django.test import Client
from django.utils import timezone

from machnuoc.billing import callbacks, gateway_orders, ledger
from machnuoc.billing.gateways import vnpay
from machnuoc.billing.models import Account, Callback, GatewayOrder, Payment
from machnuoc.billing.tests.fixtures_money import (
    GATEWAYS,
    account_vnd,
    assert_every_dong_has_its_place,
    issue,
)
from machnuoc.billing.tests.gateway_stand_in import StandIn
from machnuoc.billing.tests.test_gateways import VNPAY, momo_callback, vnpay_callback, zalopay_callback
from machnuoc.billing.tests.world import make_world
from machnuoc.core.middleware import client_address

VERDICTS = Callback.Verdict
BUILD = {"vnpay": vnpay_callback, "momo": momo_callback, "zalopay": zalopay_callback}


@pytest.fixture(autouse=True)
def _gateways(settings):
    for name, account in GATEWAYS.items():
        setattr(settings, name, account)
    callbacks.forget_bad_ones()


@pytest.fixture
def stand_in():
    """Run a server that answers as the payment gateways do (with the keys of GATEWAYS)."""
    server = StandIn()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def make_order(world, gateway="vnpay", amount_vnd=105_000, reference="7-ab", *, home=None):
    home = home or world.connection()
    bill = issue(world, home, amount_vnd)
    now = timezone.now()
    order = GatewayOrder.objects.create(
        gateway=gateway, reference=reference, connection=home, amount_vnd=amount_vnd, created_at=now,
        expires_at=now + gateway_orders.LIFE,
    )  # fmt: skip
    order.bills.add(bill)
    return order


def call(gateway, message):
    client = Client(enforce_csrf_checks=True)
    address = f"/thanh-toan/{gateway}/bao/"
    if gateway == "vnpay":
        return client.get(f"{address}?{urlencode(message)}")
    return client.post(address, message, content_type="application/json")


def code_of(answer):
    if answer.status_code == 204:
        return "204"
    said = json.loads(answer.content)
    return str(said.get("RspCode", said.get("return_code", answer.status_code)))


TAKEN = {"vnpay": "00", "momo": "204", "zalopay": "1"}
TAKEN_BEFORE = {"vnpay": "02", "momo": "204", "zalopay": "2"}
each_gateway = pytest.mark.parametrize("gateway", sorted(BUILD))


@pytest.mark.django_db
class TestOne:
    @each_gateway
    def test_a_true_callback_pays_the_bill(self, world, gateway):
        order = make_order(world, gateway)

        answer = call(gateway, BUILD[gateway](order.reference))

        assert code_of(answer) == TAKEN[gateway]
        order.refresh_from_db()
        assert order.state == "PAID"
        assert order.payment.amount_vnd == 105_000
        assert order.payment.method == gateway
        assert ledger.owed_by_bill(order.bills.get()) == 0
        assert account_vnd(Account.TRANSIT) == 105_000
        assert [one.verdict for one in Callback.objects.all()] == [VERDICTS.ACCEPTED]
        assert_every_dong_has_its_place(order.connection)

    @each_gateway
    def test_a_replayed_callback_changes_nothing(self, world, gateway):
        order = make_order(world, gateway)
        message = BUILD[gateway](order.reference)

        answers = [code_of(call(gateway, message)) for _ in range(3)]

        assert answers == [TAKEN[gateway], TAKEN_BEFORE[gateway], TAKEN_BEFORE[gateway]]
        assert Payment.objects.count() == 1
        assert Callback.objects.filter(verdict=VERDICTS.REPEATED).count() == 2

    @each_gateway
    def test_an_amount_that_differs_by_one_dong_is_not_taken(self, world, gateway):
        order = make_order(world, gateway)

        answers = [code_of(call(gateway, BUILD[gateway](order.reference, amount))) for amount in (104_999, 105_001)]

        assert answers == [{"vnpay": "04", "momo": "400", "zalopay": "-1"}[gateway]] * 2
        assert not Payment.objects.exists()
        assert set(Callback.objects.values_list("verdict", flat=True)) == {VERDICTS.WRONG_AMOUNT}

    @each_gateway
    def test_an_order_that_nobody_made_is_told_so_and_kept(self, world, gateway):
        answer = call(gateway, BUILD[gateway]("khong-co"))

        assert code_of(answer) == {"vnpay": "01", "momo": "404", "zalopay": "-1"}[gateway]
        assert Callback.objects.get().verdict == VERDICTS.UNKNOWN_ORDER

    @each_gateway
    def test_a_late_callback_is_still_money(self, world, gateway):
        order = make_order(world, gateway)
        GatewayOrder.objects.update(state="EXPIRED", expires_at=timezone.now() - timedelta(days=3))

        assert code_of(call(gateway, BUILD[gateway](order.reference))) == TAKEN[gateway]
        assert Payment.objects.get().order == order

    @each_gateway
    def test_another_number_for_a_paid_order_is_not_counted_but_pointed_out(self, world, gateway):
        order = make_order(world, gateway)
        call(gateway, BUILD[gateway](order.reference))
        other = "99887766" if gateway == "vnpay" else 99887766

        assert code_of(call(gateway, BUILD[gateway](order.reference, transaction=other))) == TAKEN_BEFORE[gateway]
        assert Payment.objects.count() == 1
        assert "mã giao dịch khác" in Callback.objects.first().reply

    def test_a_number_that_paid_another_order_does_not_pay_this_one(self, world):
        first, second = make_order(world), make_order(world, reference="8-cd")
        call("vnpay", vnpay_callback(first.reference))

        assert code_of(call("vnpay", vnpay_callback(second.reference))) == "02"
        assert Payment.objects.get().order == first
        second.refresh_from_db()
        assert second.state == "PENDING"

    @pytest.mark.parametrize("gateway", ["vnpay", "momo"])
    def test_a_success_after_a_failure_counts_and_a_failure_after_a_success_does_not(self, world, gateway):
        bad = {"vnpay": {"response": "24", "status": "02"}, "momo": {"code": 1006}}[gateway]
        order = make_order(world, gateway)

        states = []
        for about in (bad, {}, bad):
            call(gateway, BUILD[gateway](order.reference, **about))
            order.refresh_from_db()
            states.append(order.state)

        assert states == ["FAILED", "PAID", "PAID"]
        verdicts = list(Callback.objects.order_by("pk").values_list("verdict", flat=True))
        assert verdicts == [VERDICTS.FAILED_PAYMENT, VERDICTS.ACCEPTED, VERDICTS.REPEATED]
        assert_every_dong_has_its_place(order.connection)

    def test_what_the_gateway_has_not_decided_leaves_the_order_waiting(self, world):
        order = make_order(world)

        assert code_of(call("vnpay", vnpay_callback(order.reference, response="07", status="07"))) == "00"
        order.refresh_from_db()
        assert order.state == "PENDING"
        assert Callback.objects.get().verdict == VERDICTS.NOT_YET

    @each_gateway
    def test_a_forged_callback_is_refused_and_kept(self, world, gateway):
        order = make_order(world, gateway)
        message = BUILD[gateway](order.reference)
        forged = message | {"vnp_Amount": "10500100"} if gateway == "vnpay" else message.replace(b"105000", b"105001")

        assert code_of(call(gateway, forged)) == {"vnpay": "97", "momo": "400", "zalopay": "-1"}[gateway]
        assert not Payment.objects.exists()
        kept = Callback.objects.get()
        assert (kept.verdict, kept.order) == (VERDICTS.FORGED, None)

    def test_no_secret_is_kept_or_answered(self, world):
        order = make_order(world)
        answer = call("vnpay", vnpay_callback(order.reference))

        assert VNPAY.secret not in Callback.objects.get().body + answer.content.decode()

    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\x00\xff", b'{"data": 1}', b'{"a":' * 1000])
    @pytest.mark.parametrize("gateway", ["momo", "zalopay"])
    def test_what_cannot_be_read_is_kept_as_such(self, world, gateway, body):
        answer = call(gateway, body)

        assert answer.status_code in {200, 400}
        assert Callback.objects.get().verdict == VERDICTS.MALFORMED

    def test_a_huge_body_is_neither_read_nor_kept(self, world):
        for answer in (
            call("momo", b'{"a": "' + b"x" * 9_000 + b'"}'),
            call("vnpay", vnpay_callback() | {"vnp_Bill": "x" * 9_000}),
        ):
            assert answer.status_code == 413
        assert not Callback.objects.exists()

    def test_the_method_is_the_one_that_the_gateway_documents(self, world):
        assert Client().post("/thanh-toan/vnpay/bao/").status_code == 405
        assert Client().get("/thanh-toan/momo/bao/").status_code == 405
        assert Client().get("/thanh-toan/khac/bao/").status_code == 404

    def test_bad_callbacks_of_one_address_do_not_fill_the_table_and_do_not_stop_true_ones(self, world):
        order = make_order(world, "momo")
        for _ in range(callbacks.BAD_MOST + 10):
            call("momo", b"{}")

        assert Callback.objects.count() == callbacks.BAD_MOST
        assert code_of(call("momo", momo_callback(order.reference))) == "204"
        assert Payment.objects.count() == 1

    def test_a_gateway_that_is_not_set_up_takes_nothing(self, world, settings):
        order = make_order(world)
        settings.VNPAY = ()

        assert call("vnpay", vnpay_callback(order.reference)).status_code == 404
        assert not Callback.objects.exists()
        with pytest.raises(gateway_orders.GatewayAway, match="Chưa kết nối cổng VNPAY"):
            begin(order.connection)

    def test_coming_back_never_pays(self, world):
        order = make_order(world)
        address = f"/thanh-toan/vnpay/tro-lai/?{urlencode(vnpay_callback(order.reference))}"

        before = Client().get(address).content.decode()
        order.refresh_from_db()
        assert "Đang chờ xác nhận" in before
        assert order.state == "PENDING"
        assert not Payment.objects.exists()

        call("vnpay", vnpay_callback(order.reference))
        assert "Đã nhận được thanh toán" in Client().get(address).content.decode()

    def test_a_changed_way_back_shows_no_order(self, world):
        order = make_order(world)
        forged = vnpay_callback(order.reference) | {"vnp_ResponseCode": "24"}

        page = Client().get(f"/thanh-toan/vnpay/tro-lai/?{urlencode(forged)}").content.decode()
        assert order.reference not in page
        assert "Không tìm thấy giao dịch" in page

    def test_an_order_at_vnpay_is_stored_before_its_address_is_given(self, world):
        home = world.connection()
        bill = issue(world, home, 105_021)

        order, address = begin(home)

        assert order.amount_vnd == 105_021
        assert list(order.bills.all()) == [bill]
        fields = dict(part.split("=") for part in address.partition("?")[2].split("&"))
        assert fields["vnp_Amount"] == "10502100"
        assert fields["vnp_TxnRef"] == order.reference
        with pytest.raises(Exception, match="không trả qua cổng được"):
            begin(world.connection())


def begin(home, gateway="vnpay"):
    return gateway_orders.begin(
        home, gateway=gateway, now=timezone.now(), by=None, client_ip="10.0.0.1", site_url="https://nuoc.vn"
    )


@pytest.mark.django_db
@pytest.mark.parametrize("gateway", ["momo", "zalopay", "vnpay"])
def test_an_order_is_made_and_asked_about_at_a_server(world, settings, stand_in, gateway):
    name = gateway.upper()
    setattr(settings, name, (stand_in.url, *GATEWAYS[name][1:]))
    home = world.connection()
    issue(world, home, 105_000)

    order, address = begin(home, gateway)
    GatewayOrder.objects.update(created_at=timezone.now() - timedelta(minutes=10))
    stand_in.paid = True
    found = gateway_orders.ask_about_silent(timezone.now())

    order.refresh_from_db()
    assert "tra-tien" in address or gateway == "vnpay"
    assert found == (1, 1)
    assert order.state == "PAID"
    assert Callback.objects.get().reply.startswith("(hỏi cổng)")
    assert gateway_orders.ask_about_silent(timezone.now()) == (0, 0)
    assert_every_dong_has_its_place(home)


@pytest.mark.django_db
def test_a_gateway_that_is_away_leaves_no_order_waiting(world, settings, stand_in):
    settings.MOMO = (stand_in.url, *GATEWAYS["MOMO"][1:])
    stand_in.is_broken = True
    home = world.connection()
    issue(world, home, 105_000)

    with pytest.raises(gateway_orders.GatewayAway, match="chưa nhận giao dịch"):
        begin(home, "momo")
    assert GatewayOrder.objects.get().state == "FAILED"


@pytest.mark.django_db
def test_an_order_of_which_nothing_is_heard_for_a_day_expires(world):
    order = make_order(world)
    GatewayOrder.objects.update(created_at=timezone.now() - timedelta(days=2))

    assert gateway_orders.ask_about_silent(timezone.now()) == (0, 0)
    order.refresh_from_db()
    assert order.state == "EXPIRED"


@pytest.mark.django_db(transaction=True)
@each_gateway
def test_the_same_callback_from_many_threads_is_one_payment(gateway):
    world = make_world()
    order = make_order(world, gateway)
    message = BUILD[gateway](order.reference)
    start, answers = threading.Barrier(6), []

    def once():
        start.wait()
        answers.append(code_of(call(gateway, message)))
        connections.close_all()

    threads = [threading.Thread(target=once) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answers) == sorted([TAKEN[gateway], *[TAKEN_BEFORE[gateway]] * 5])
    assert Payment.objects.count() == 1
    assert Callback.objects.count() == 6
    assert_every_dong_has_its_place(order.connection)


@pytest.mark.django_db(transaction=True)
def test_two_orders_of_one_connection_paid_at_once_are_two_payments():
    world = make_world()
    home = world.connection()
    orders = [make_order(world, reference=f"9-{number}", home=home) for number in range(1)]
    orders += [
        GatewayOrder.objects.create(
            gateway="vnpay", reference=f"8-{number}", connection=home, amount_vnd=105_000, created_at=timezone.now(),
            expires_at=timezone.now(),
        )
        for number in range(3)
    ]  # fmt: skip
    start = threading.Barrier(len(orders))

    def once(number, order):
        start.wait()
        call("vnpay", vnpay_callback(order.reference, transaction=f"7000{number}"))
        connections.close_all()

    threads = [threading.Thread(target=once, args=pair) for pair in enumerate(orders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert Payment.objects.count() == 4
    assert ledger.balance_of(home.pk) == ledger.Balance(0, 315_000)
    assert_every_dong_has_its_place(home)
    assert database.vendor in {"sqlite", "postgresql"}


def test_the_address_of_who_calls_is_read_as_everywhere(rf):
    assert client_address(rf.get("/", REMOTE_ADDR="10.1.1.1")) == "10.1.1.1"
    assert vnpay.VERSION == "2.1.0"
