"""What gateways hand over: money in transit comes to the bank, less their price, each payment once."""

from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.urls import reverse

from machnuoc.billing import ledger, payments, settlements, statements
from machnuoc.billing.models import Account, BankLine, BankStatement, GatewaySettlement
from machnuoc.billing.payments import NotPossible
from machnuoc.billing.statements import StatementError
from machnuoc.billing.tests.fixtures_money import account_vnd, issue, pay
from machnuoc.billing.tests.world import NOW, TODAY, make_person, make_world
from machnuoc.core import files

pytestmark = pytest.mark.django_db
LATER = NOW + timedelta(days=2)


@pytest.fixture
def paid(world):
    """Three payments by VNPAY of 100,000 each, and one by MoMo."""
    home = world.connection()
    issue(world, home, 250_000)
    found = [pay(home, 100_000, method="vnpay", external_id=f"VN{number}") for number in range(3)]
    pay(home, 40_000, method="momo", external_id="MM1")
    return found


def hand_over(world, net_vnd, **about):
    return settlements.record(
        world.operator,
        **{
            "gateway": "vnpay", "until_date": TODAY, "paid_date": TODAY, "net_vnd": net_vnd, "document": "DS-01",
            "now": LATER, "by": world.clerk, **about,
        },
    )  # fmt: skip


def bank_line(world, amount_vnd, text="VNPAY QUYET TOAN"):
    stored = files.store(b"a,b\n1,2\n", name="sao-ke.csv", by=world.clerk, kinds=statements.KINDS)
    statement = BankStatement.objects.create(
        operator=world.operator, file=stored, bank="VCB", imported_at=NOW, layout={"text": "a"}
    )
    return BankLine.objects.create(
        statement=statement,
        operator=world.operator,
        row=1,
        booked_at=LATER,
        amount_vnd=amount_vnd,
        text=text,
        bank_reference="VCB:77",
    )


def test_money_of_a_gateway_comes_to_the_bank_less_its_price(world, paid):
    assert account_vnd(Account.TRANSIT) == 340_000

    made = hand_over(world, 297_000)

    assert (made.gross_vnd, made.fee_vnd, made.items.count()) == (300_000, 3_000, 3)
    assert account_vnd(Account.TRANSIT) == 40_000  # MoMo's
    assert (account_vnd(Account.BANK), account_vnd(Account.GATEWAY_FEE)) == (297_000, 3_000)
    assert [(row.label, row.amount_vnd) for row in settlements.sum_up_held([world.operator])] == [("MoMo", 40_000)]
    assert ledger.verify().problems == []


def test_a_payment_is_handed_over_once(world, paid):
    hand_over(world, 300_000)

    with pytest.raises(NotPossible, match="không thể là phí cổng"):
        hand_over(world, 300_000, document="DS-02")
    assert GatewaySettlement.objects.count() == 1


@pytest.mark.parametrize("net_vnd", [300_001, 269_999, 0, -5])
def test_a_hand_over_that_cannot_be_the_gateways_is_refused_with_its_figures(world, paid, net_vnd):
    with pytest.raises(NotPossible, match="Kiểm tra ngày, số tiền"):
        hand_over(world, net_vnd)
    assert account_vnd(Account.TRANSIT) == 340_000


def test_a_document_is_recorded_once_and_must_be_named(world, paid):
    hand_over(world, 100_000, without=[paid[1].pk, paid[2].pk])

    with pytest.raises(NotPossible, match="đã được ghi trước đó"):
        hand_over(world, 200_000)
    with pytest.raises(NotPossible, match="Ghi số bảng kê"):
        hand_over(world, 200_000, document="  ")
    with pytest.raises(NotPossible, match="không ở tương lai"):
        hand_over(world, 200_000, document="X", paid_date=TODAY + timedelta(days=9))


def test_a_payment_taken_back_before_the_hand_over_is_not_in_it_and_one_after_is_deducted_from_the_next(world, paid):
    payments.reverse_payment(paid[0], reason="Nhầm", now=NOW, by=world.clerk)
    first = hand_over(world, 200_000)
    payments.reverse_payment(paid[1], reason="Khách khiếu nại", now=LATER, by=world.clerk)
    assert account_vnd(Account.TRANSIT) == 40_000 - 100_000
    more = pay(paid[0].connection, 150_000, method="vnpay", external_id="VN9", now=LATER)

    (held,) = [row for row in settlements.sum_up_held([world.operator]) if row.gateway == "vnpay"]
    second = hand_over(
        world, 50_000, document="DS-02", until_date=TODAY + timedelta(days=2), paid_date=TODAY + timedelta(days=2)
    )

    assert first.items.count() == 2
    assert (held.amount_vnd, held.back_vnd) == (150_000, 100_000)
    assert dict(second.items.values_list("payment_id", "amount_vnd")) == {more.pk: 150_000, paid[1].pk: -100_000}
    assert account_vnd(Account.TRANSIT) == 40_000
    assert ledger.verify().problems == []


def test_a_bank_transfer_of_a_gateway_settles_and_is_no_payment_of_a_customer(world, paid):
    line = bank_line(world, 295_000)

    made = hand_over(world, 1, bank_line=line, paid_date=TODAY + timedelta(days=2))

    line.refresh_from_db()
    assert (made.net_vnd, made.fee_vnd, line.match) == (295_000, 5_000, BankLine.Match.SETTLED)
    with pytest.raises(StatementError, match="đã được ghi nhận"):
        statements.confirm_line(line, paid[0].connection, now=LATER, by=world.clerk)
    with pytest.raises(StatementError, match="đã được ghi nhận"):
        statements.ignore_line(line, by=world.clerk)
    with pytest.raises(StatementError, match="đã được ghi nhận"):
        hand_over(world, 1, bank_line=line, document="DS-02")


def test_a_transfer_of_another_operator_or_one_that_is_a_payment_settles_nothing(world, paid):
    other = make_world("khac")
    foreign = bank_line(other, 295_000)
    with pytest.raises(StatementError, match="đơn vị cấp nước khác"):
        hand_over(world, 1, bank_line=foreign)


def test_a_hand_over_is_recorded_on_its_page_after_a_look_at_its_sums(world, paid):
    client = Client()
    client.force_login(world.clerk)
    line = bank_line(world, 295_000)
    address = f"{reverse('billing:settlement_add')}?line={line.pk}"
    said = {"gateway": "vnpay", "document": "DS-09", "until_date": "2026-08-01", "without": ""}

    asked = client.post(address, said)
    lead = asked.context["lead"]
    assert "3 khoản thu" in lead
    assert "1,67\xa0%" in lead
    assert not GatewaySettlement.objects.exists()
    pay(paid[0].connection, 1_000, method="vnpay", external_id="VN8")  # meanwhile
    again = client.post(address, {**said, "confirmed": lead})
    assert "4 khoản thu" in again.context["lead"]
    assert not GatewaySettlement.objects.exists()
    done = client.post(address, {**said, "confirmed": again.context["lead"]})

    made = GatewaySettlement.objects.get()
    assert done.url == reverse("billing:settlement_detail", args=[made.pk])
    assert "DS-09" in client.get(done.url).content.decode()
    assert "DS-09" in client.get(reverse("billing:settlement_list")).content.decode()
    assert "VN0" in b"".join(client.get(f"{done.url}?export=csv").streaming_content).decode()


def test_a_price_that_cannot_be_is_refused_before_anything_is_offered_for_confirmation(world, paid):
    client = Client()
    client.force_login(world.clerk)
    said = {
        "operator": world.operator.pk, "gateway": "vnpay", "document": "DS-09", "until_date": "2026-08-01",
        "paid_date": "2026-08-01", "net_vnd": "999.999.999", "without": "",
    }  # fmt: skip

    answer = client.post(reverse("billing:settlement_add"), said)

    assert answer.status_code == 422
    assert "không thể là phí cổng" in answer.content.decode()
    assert "Đúng, ghi vào sổ" not in answer.content.decode()


def test_hand_overs_are_for_who_bills_the_whole_operator(world, paid):
    made = hand_over(world, 300_000)
    client = Client()
    of_one_station = make_person("lap.tram", "DEPARTMENT", world.work.subject)
    for person, status in (
        (of_one_station, 404), (make_world("khac").clerk, 404), (world.cashier, 403), (world.leader, 200),
    ):  # fmt: skip
        client.force_login(person)
        assert client.get(reverse("billing:settlement_detail", args=[made.pk])).status_code == status, person


def test_the_page_of_gateways_says_that_its_documents_were_not_compared(world):
    client = Client()
    client.force_login(world.clerk)

    assert "chưa đối chiếu văn bản" in client.get(reverse("billing:gateway_list")).content.decode()


def test_a_hand_over_recorded_by_mistake_is_taken_back_by_opposite_postings_and_recorded_anew(world, paid):
    line = bank_line(world, 295_000)
    wrong = hand_over(world, 1, bank_line=line, paid_date=TODAY + timedelta(days=2))

    settlements.reverse(wrong, reason="Nhầm bảng kê", now=LATER, by=world.leader)

    line.refresh_from_db()
    assert (account_vnd(Account.TRANSIT), account_vnd(Account.BANK), account_vnd(Account.GATEWAY_FEE)) == (
        340_000, 0, 0,
    )  # fmt: skip
    there, back = [], []
    for row in settlements.list_postings(wrong):
        (there if row.source == "SETTLEMENT" else back).append((row.debit, row.credit, row.amount_vnd))
    assert sorted(there) == sorted((credit, debit, amount) for debit, credit, amount in back)
    assert wrong.reversal.by == world.leader
    assert line.match == BankLine.Match.NONE
    assert [row.amount_vnd for row in settlements.sum_up_held([world.operator])] == [40_000, 300_000]
    again = hand_over(world, 1, bank_line=line, paid_date=TODAY + timedelta(days=2))  # the same document and transfer
    assert (again.net_vnd, account_vnd(Account.TRANSIT)) == (295_000, 40_000)
    assert ledger.verify().problems == []


def test_the_transfer_of_a_hand_over_taken_back_may_turn_out_to_be_a_customers(world, paid):
    line = bank_line(world, 295_000)
    settlements.reverse(
        hand_over(world, 1, bank_line=line, paid_date=TODAY + timedelta(days=2)), reason="Của khách", now=LATER,
        by=world.clerk,
    )  # fmt: skip

    line.refresh_from_db()
    statements.confirm_line(line, paid[0].connection, now=LATER, by=world.clerk)

    line.refresh_from_db()
    assert line.payment.amount_vnd == 295_000
    assert ledger.verify().problems == []


def test_a_hand_over_is_taken_back_once_and_not_without_a_reason(world, paid):
    made = hand_over(world, 300_000)

    with pytest.raises(NotPossible, match="Ghi lý do"):
        settlements.reverse(made, reason="  ", now=LATER, by=world.clerk)
    settlements.reverse(made, reason="Nhầm", now=LATER, by=world.clerk)
    with pytest.raises(NotPossible, match="đã được đảo trước đó"):
        settlements.reverse(made, reason="Nhầm", now=LATER, by=world.clerk)

    assert account_vnd(Account.TRANSIT) == 340_000


def test_a_hand_over_whose_payment_a_later_one_deducts_is_taken_back_after_that_one(world, paid):
    first = hand_over(world, 300_000)
    payments.reverse_payment(paid[1], reason="Khách khiếu nại", now=LATER, by=world.clerk)
    pay(paid[0].connection, 150_000, method="vnpay", external_id="VN9", now=LATER)
    day = TODAY + timedelta(days=2)
    second = hand_over(world, 50_000, document="DS-02", until_date=day, paid_date=day)

    with pytest.raises(NotPossible, match="Đảo bảng kê DS-02 trước"):
        settlements.reverse(first, reason="Nhầm", now=LATER, by=world.clerk)
    settlements.reverse(second, reason="Nhầm", now=LATER, by=world.clerk)
    settlements.reverse(first, reason="Nhầm", now=LATER, by=world.clerk)

    (held,) = [row for row in settlements.sum_up_held([world.operator]) if row.gateway == "vnpay"]
    assert (held.amount_vnd, held.back_vnd) == (350_000, 0)  # what was taken back before it came is not held
    assert account_vnd(Account.TRANSIT) == 390_000
    assert ledger.verify().problems == []


def test_a_hand_over_is_taken_back_on_its_page_which_then_tells_why_and_by_what_postings(world, paid):
    line = bank_line(world, 295_000)
    made = hand_over(world, 1, bank_line=line, paid_date=TODAY + timedelta(days=2))
    client = Client()
    client.force_login(world.clerk)
    address = reverse("billing:settlement_reverse", args=[made.pk])

    assert "chờ khớp" in client.get(address).content.decode()
    assert client.post(address, {"reason": ""}).status_code == 422
    done = client.post(address, {"reason": "Ghi nhầm bảng kê tháng trước"})

    shown = client.get(done.url).content.decode()
    assert "Ghi nhầm bảng kê tháng trước" in shown
    assert "Đảo lần cổng chuyển về" in shown
    assert address not in shown
    assert "đã đảo" in client.get(reverse("billing:settlement_list")).content.decode()
    listed = b"".join(client.get(f"{reverse('billing:settlement_list')}?export=csv").streaming_content).decode()
    assert "Ghi nhầm bảng kê tháng trước" in listed
    lines = client.get(reverse("billing:statement_detail", args=[line.statement_id])).content.decode()
    assert f"?line={line.pk}" in lines  # it can be matched again
    assert client.post(address, {"reason": "Lần nữa"}).status_code == 422


def test_taking_a_hand_over_back_is_for_who_bills_the_whole_operator(world, paid):
    made = hand_over(world, 300_000)
    client = Client()
    of_one_station = make_person("lap.tram", "DEPARTMENT", world.work.subject)
    address = reverse("billing:settlement_reverse", args=[made.pk])
    for person, status in (
        (of_one_station, 404), (make_world("khac").clerk, 404), (world.cashier, 403), (world.station, 403),
        (world.leader, 302),
    ):  # fmt: skip
        client.force_login(person)
        assert client.post(address, {"reason": "Nhầm"}).status_code == status, person


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE billing_gatewaysettlement SET is_reversed = NOT is_reversed",
        "UPDATE billing_gatewaysettlement SET net_vnd = net_vnd - 1, fee_vnd = fee_vnd + 1",
        "UPDATE billing_settlementitem SET is_reversed = NOT is_reversed",
        "UPDATE billing_settlementreversal SET reason = 'khác'",
        "DELETE FROM billing_settlementreversal",
        "DELETE FROM billing_gatewaysettlement",
    ],
)
def test_a_hand_over_taken_back_does_not_come_back_to_life_and_is_never_changed(world, paid, sql):
    settlements.reverse(hand_over(world, 300_000), reason="Nhầm", now=LATER, by=world.clerk)

    with pytest.raises(DatabaseError, match="không được sửa"), transaction.atomic():
        connection.cursor().execute(sql)
