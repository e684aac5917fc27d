"""A connection that passes to another customer: money, debts and transfers stay with whom they are of."""

from datetime import date, timedelta

import pytest
from django.test import Client
from django.urls import reverse

from machnuoc.billing import (
    collectors,
    corrections,
    debt_queries,
    debts,
    gateway_orders,
    ledger,
    payment_queries,
    payments,
    reference,
    statements,
)
from machnuoc.billing.models import BankLine, BankStatement, DebtCase, GatewayOrder
from machnuoc.billing.tests.fixtures_money import GATEWAYS, assert_every_dong_has_its_place, issue, pay
from machnuoc.billing.tests.test_runs import bill_all
from machnuoc.billing.tests.world import AUGUST, JULY, JUNE, NOW
from machnuoc.core import files
from machnuoc.core.periods import local_date
from machnuoc.customers import connection_operations
from machnuoc.customers.connection_operations import CustomerFacts
from machnuoc.customers.models import Connection, Route
from machnuoc.places import access

pytestmark = pytest.mark.django_db
TODAY = local_date(NOW)
LATE = date(2026, 7, 10)


def pass_on(world, home: Connection, name: str = "Trần Thị Chủ Mới") -> Connection:
    connection_operations.transfer(
        home, to=CustomerFacts(name=name, kind="HOUSEHOLD", phone="0905999888"), number="HD-MOI",
        signed_date=date(2026, 7, 20), version=None, by=None, now=NOW,
    )  # fmt: skip
    return Connection.objects.select_related("customer").get(pk=home.pk)


@pytest.fixture
def home(world):
    """A connection whose former holder owes June, and whose new one owes July."""
    one = world.connection()
    old = issue(world, one, 60_000, month=JUNE, due=LATE)
    one = pass_on(world, one)
    one.former, one.old = old.customer, old
    one.new = issue(world, one, 100_000, month=JULY, due=LATE + timedelta(days=1))
    return one


def test_money_of_the_new_holder_pays_no_bill_of_the_former_one(world, home):
    pay(home, 130_000)

    assert ledger.owed_by_bill(home.old) == 60_000
    assert ledger.owed_by_bill(home.new) == 0
    assert payment_queries.account_of(home, TODAY).advance_vnd == 30_000
    assert_every_dong_has_its_place(home)


def test_what_the_former_holder_paid_ahead_stays_theirs_and_pays_no_bill_of_the_new_one(world):
    home = world.connection()
    former = home.customer
    paid = pay(home, 50_000)
    home = pass_on(world, home)
    bill = issue(world, home, 40_000)

    made = payments.apply_advances([home.pk], NOW, None)

    assert (paid.customer, made, ledger.owed_by_bill(bill)) == (former, 0, 40_000)
    assert payments.unallocated([paid.pk]) == {paid.pk: 50_000}
    assert payment_queries.account_of(home, TODAY).advance_vnd == 0


def test_the_former_holder_pays_by_reference_after_the_transfer(world, home):
    paid = pay(home, 70_000, bill_ids=[home.old.pk])

    assert paid.customer == home.former
    assert ledger.owed_by_bill(home.old) == 0
    assert ledger.owed_by_bill(home.new) == 100_000  # 10,000 too much are the former holder's own
    assert payment_queries.account_of(home, TODAY, home.former.pk).advance_vnd == 10_000
    assert_every_dong_has_its_place(home)


def test_a_transfer_that_names_bills_of_both_holders_pays_both(world, home):
    pay(home, 160_000, bill_ids=[home.new.pk, home.old.pk])

    assert (ledger.owed_by_bill(home.old), ledger.owed_by_bill(home.new)) == (0, 0)
    assert_every_dong_has_its_place(home)


def test_a_decrease_of_the_former_holder_lowers_no_bill_of_the_new_one(world, home):
    pay(home, 60_000, bill_ids=[home.old.pk])
    issue(world, home, -20_000, month=JUNE, corrects=home.old, customer=home.former)

    payments.apply_advances([home.pk], NOW, None)

    assert ledger.owed_by_bill(home.new) == 100_000
    assert_every_dong_has_its_place(home)


def test_debts_are_listed_by_who_owes_them(world, home):
    found = {debt.customer_id: debt for debt in debt_queries.list_debts(None, today=TODAY)}

    assert {pk: debt.total_vnd for pk, debt in found.items()} == {home.former.pk: 60_000, home.customer_id: 100_000}
    assert debt_queries.overdue_of([home.pk], TODAY) == {home.pk: 100_000}
    page = debt_queries.get_page(debt_queries.DebtFilters(), TODAY, offset=0, limit=50)
    assert (page.totals.connections, page.totals.total_vnd) == (2, 160_000)


def test_the_page_of_debts_names_the_former_holder_and_the_new_one(world, home):
    client = Client()
    client.force_login(world.clerk)

    shown = client.get(reverse("billing:debt_list")).content.decode()

    assert home.former.name in shown
    assert "chủ cũ" in shown
    assert home.customer.name in shown


def test_the_new_holder_gets_a_case_of_their_own_that_their_own_payment_ends(world):
    home = world.connection()
    issue(world, home, 60_000, month=JUNE, due=LATE)
    first = debts.open_case(home, now=NOW, by=world.clerk)
    home = pass_on(world, home)
    issue(world, home, 100_000, month=JULY, due=LATE)

    second = debts.open_case(home, now=NOW, by=world.clerk)
    pay(home, 100_000)

    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.state, second.state) == (DebtCase.State.OPEN, DebtCase.State.SETTLED)
    assert second.customer == home.customer
    assert not debt_queries.standing_of(DebtCase.objects.get(pk=first.pk), TODAY).may_cut_off
    assert debt_queries.overdue_of_case(first, TODAY) == 60_000


def test_a_gateway_order_without_named_bills_asks_for_what_the_present_holder_owes(world, home, settings):
    settings.VNPAY = GATEWAYS["VNPAY"]

    order, _ = gateway_orders.begin(
        home, gateway=GatewayOrder.Gateway.VNPAY, now=NOW, by=None, client_ip="127.0.0.1", site_url="http://x"
    )

    assert order.amount_vnd == 100_000
    assert list(order.bills.all()) == [home.new]


def test_a_collector_gets_the_bills_of_who_lives_there_now(world, home):
    route = Route.objects.create(work=world.work, code="T1", name="Tuyến 1")
    Connection.objects.filter(pk=home.pk).update(route=route)

    sheet = collectors.make_sheet(route, collector=world.station, now=NOW, by=world.station)

    assert list(sheet.bills.all()) == [home.new]


def line_of(world, text: str, amount_vnd: int) -> BankLine:
    stored = files.store(b"a,b\n1,2\n", name="sao-ke.csv", by=world.clerk, kinds=statements.KINDS)
    statement = BankStatement.objects.create(
        operator=world.operator, file=stored, bank="VCB", imported_at=NOW, layout={"text": "a"}
    )
    line = BankLine.objects.create(
        statement=statement,
        operator=world.operator,
        row=1,
        booked_at=NOW,
        amount_vnd=amount_vnd,
        text=text,
        bank_reference=f"VCB:{amount_vnd}",
    )
    statements.match_lines(statement, now=NOW, by=None)
    line.refresh_from_db()
    return line


def test_a_bank_transfer_with_the_reference_of_the_former_holders_bill_pays_that_bill(world, home):
    line = line_of(world, f"TT {reference.make(home.old.pk)}", 60_000)

    assert line.match == BankLine.Match.EXACT
    assert line.payment.customer == home.former
    assert ledger.owed_by_bill(home.old) == 0


def test_a_transfer_in_the_name_of_the_former_holder_is_proposed_and_confirmed_for_their_bills(world, home):
    line = line_of(world, f"{home.former.name} nop tien nuoc", 60_000)
    client = Client()
    client.force_login(world.clerk)

    assert (line.match, line.proposed_id, line.proposed_customer) == (BankLine.Match.PROPOSED, home.pk, home.former)
    client.post(reverse("billing:line_act", args=[line.pk, "ghi"]), {"code": home.code})

    assert ledger.owed_by_bill(home.old) == 0
    assert ledger.owed_by_bill(home.new) == 100_000


def test_a_clerk_names_the_former_holder_by_the_code_of_the_customer_and_nobody_elses(world, home):
    stranger = world.connection()
    line = line_of(world, "khong ro", 60_000)
    client = Client()
    client.force_login(world.clerk)

    client.post(reverse("billing:line_act", args=[line.pk, "ghi"]), {"code": f"{home.code} {stranger.customer.code}"})
    line.refresh_from_db()
    assert line.payment is None
    client.post(reverse("billing:line_act", args=[line.pk, "ghi"]), {"code": f"{home.code} {home.former.code}"})

    assert ledger.owed_by_bill(home.old) == 0


def test_the_cashier_takes_money_of_the_former_holder_for_their_own_bills(world, home):
    client = Client()
    client.force_login(world.station)
    client.post(reverse("billing:till_list"), {"operator": world.operator.pk, "opening_vnd": 0})
    address = reverse("billing:counter_connection", args=[home.code])

    shown = client.get(address).content.decode()
    client.post(address, {"amount_vnd": "60000", "holder": str(home.former.pk), "key": "k1"})

    assert "Trả cho hóa đơn của" in shown
    assert access.may(world.station, "collect")
    assert (ledger.owed_by_bill(home.old), ledger.owed_by_bill(home.new)) == (0, 100_000)


def test_what_the_new_holder_paid_of_the_former_ones_bill_pays_its_replacement_too(world):
    home = world.connection({JUNE: 100, JULY: 125})
    bill_all(world)
    old = home.bills.select_related("connection", "series").get()
    home = pass_on(world, home)
    new = issue(world, home, 10_000)
    pay(home, 217_000, bill_ids=[new.pk, old.pk])
    wish = corrections.ask(
        old, way="REPLACE", facts=corrections.Facts(20_000, "SH", 1, 0), reason="Sai số", by=world.clerk, now=NOW
    )

    made = corrections.approve(wish, by=world.leader, now=NOW)

    assert (ledger.owed_by_bill(made), ledger.owed_by_bill(new)) == (0, 0)
    assert_every_dong_has_its_place(home)


def test_a_replacement_keeps_the_day_on_which_the_bill_was_due(world):
    home = world.connection({JUNE: 100, JULY: 125})
    bill_all(world)
    bill = home.bills.select_related("connection", "series").get()
    wish = corrections.ask(
        bill, way="REPLACE", facts=corrections.Facts(20_000, "SH", 1, 0), reason="Sai số", by=world.clerk, now=NOW
    )

    made = corrections.approve(wish, by=world.leader, now=NOW + timedelta(days=40))

    assert made.due_date == bill.due_date
    assert made.period_start_date < AUGUST
