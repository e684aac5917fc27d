"""Bills, payments and e-invoices for programs: whose they are, masked or not, page by page."""

import pytest
from django.utils import timezone

from machnuoc.billing import payments
from machnuoc.billing.models import Bill, EInvoice
from machnuoc.billing.tests.fixtures_money import pay
from machnuoc.billing.tests.test_runs import bill_all
from machnuoc.billing.tests.world import JULY, JUNE, NOW, make_person, make_world
from machnuoc.core import files, tokens
from machnuoc.customers.models import DataAccess

pytestmark = pytest.mark.django_db


@pytest.fixture
def ask(client):
    """Ask the API as a person: path and parameters in, status and content out."""

    def call(person, path, **query):
        _, raw = tokens.create_token(person=person, name="thử", now=timezone.now())
        answer = client.get(f"/api/v1/{path}", query, headers={"Authorization": f"Bearer {raw}"})
        return answer.status_code, answer.json()

    return call


@pytest.fixture
def bills(world) -> list[Bill]:
    for number in range(3):
        world.connection({JUNE: 100, JULY: 125 + number})
    bill_all(world)
    return list(Bill.objects.order_by("pk"))


def test_bills_come_page_by_page_with_what_is_open_and_names_to_who_serves(world, bills, ask):
    pay(bills[0].connection, 200_000)

    status, first = ask(world.clerk, "bills", limit=2, period="2026-07")
    _, second = ask(world.clerk, "bills", limit=2, cursor=first["next_cursor"])

    assert status == 200
    assert [row["id"] for row in first["items"] + second["items"]] == [bill.pk for bill in bills]
    assert first["items"][0]["open_vnd"] == 7_000
    assert (first["items"][0]["name"], first["items"][0]["is_masked"]) == ("Nguyễn Văn Thử 1", False)
    assert second["next_cursor"] is None
    assert DataAccess.objects.filter(person=world.clerk, purpose="API").count() == 2
    assert ask(world.clerk, "bills", connection_code=bills[1].connection.code)[1]["items"][0]["id"] == bills[1].pk
    assert ask(world.clerk, "bills", period="2026-06")[1]["items"] == []


def test_who_only_views_gets_names_masked(world, bills, ask):
    viewer = make_person("so.xem", "AGENCY", world.operator.subject)

    status, found = ask(viewer, "bills")
    _, one = ask(viewer, f"bills/{bills[0].pk}")

    assert status == 200
    assert {row["is_masked"] for row in found["items"]} == {True}
    assert bills[0].customer.name not in str(found) + str(one)
    assert ask(viewer, "payments")[0] == 403
    assert not DataAccess.objects.filter(person=viewer).exists()


def test_one_bill_comes_with_its_lines(world, bills, ask):
    status, found = ask(world.clerk, f"bills/{bills[0].pk}")

    assert status == 200
    assert sum(line["amount_vnd"] for line in found["lines"]) == found["net_vnd"]
    assert [line["order"] for line in found["lines"]] == [1, 2, 3]


def test_a_payment_tells_what_it_pays_and_what_is_left_but_not_who_paid(world, bills, ask):
    paid = pay(bills[0].connection, 250_000, payer="Bà Người Nộp", note="riêng tư")
    gone = pay(bills[1].connection, 1_000)
    payments.reverse_payment(gone, reason="Nhầm", now=NOW, by=world.clerk)

    status, one = ask(world.clerk, f"payments/{paid.pk}")
    _, listed = ask(world.clerk, "payments", method="BANK", from_date="2026-08-01", to_date="2026-08-01")

    assert status == 200
    assert (one["left_vnd"], one["bills"]) == (43_000, [{"bill_id": bills[0].pk, "amount_vnd": 207_000}])
    assert [(row["id"], row["is_reversed"]) for row in listed["items"]] == [(paid.pk, False), (gone.pk, True)]
    assert "Người Nộp" not in str(one) + str(listed)
    assert ask(world.clerk, "payments", from_date="2026-08-02")[1]["items"] == []


def test_an_e_invoice_tells_where_it_stands(world, bills, ask):
    stored = files.store(b"a,b\n1,2\n", name="hd.csv", by=world.clerk, kinds=frozenset({"csv"}))
    EInvoice.objects.create(bill=bills[0], xml=stored, signed_at=NOW, state="ACCEPTED", authority_code="M1-26")

    status, one = ask(world.clerk, f"einvoices/{bills[0].pk}")

    assert status == 200
    assert (one["state"], one["authority_code"], one["xml_sha256"]) == ("ACCEPTED", "M1-26", stored.sha256)
    assert len(ask(world.clerk, "einvoices", period="2026-07", state="ACCEPTED")[1]["items"]) == 1
    assert ask(world.clerk, "einvoices", state="SENT")[1]["items"] == []
    assert ask(world.cashier, "einvoices")[0] == 403


@pytest.mark.parametrize("role", ["READER", "PARTNER", "CASHIER"])
def test_nobody_gets_what_is_another_operators_by_its_number(world, bills, ask, role):
    other = make_world("khac")
    stranger = make_person(f"ngoai.{role.lower()}", role, other.operator.subject)
    paid = pay(bills[0].connection, 1_000)

    assert ask(stranger, f"bills/{bills[0].pk}")[0] == 404
    assert ask(stranger, f"payments/{paid.pk}")[0] in (403, 404)
    assert ask(stranger, f"einvoices/{bills[0].pk}")[0] in (403, 404)
    assert ask(stranger, "bills")[1].get("items", []) == []


@pytest.mark.parametrize(
    "path",
    [
        "bills/0", "bills/99999999999999999999", "payments/-1", "payments/99999999999999999999",
        "einvoices/99999999999999999999", "bills?period=0000-01", "einvoices?period=0000-01",
        "payments?from_date=0001-01-01", "bills?cursor=x", "bills?group=KHAC",
    ],
)  # fmt: skip
def test_odd_questions_are_answered_and_break_nothing(world, bills, ask, path):
    assert ask(world.clerk, path)[0] in (200, 400, 404, 422)
