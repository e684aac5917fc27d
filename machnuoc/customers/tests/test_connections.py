"""What is done to connections: made, changed, given to somebody else, stopped, ended."""

import threading
from datetime import date, timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connections

from machnuoc.core.models import AuditEntry
from machnuoc.core.periods import Period
from machnuoc.customers import connection_operations, connection_queries, meters
from machnuoc.customers.connection_operations import ChangedMeanwhile, ConnectionFacts, CustomerFacts, RecordError
from machnuoc.customers.models import Connection, Contract, Customer, Route
from machnuoc.customers.tests.world import NOW, TODAY, make_centre

pytestmark = pytest.mark.django_db


def test_a_connection_comes_with_customer_contract_norm_event_and_audit(centre):
    one = centre.connection("Nguyễn Văn An", phone="+84 905 123 456", contract_number="12/HĐ", persons=4)

    assert one.customer.phone == "0905123456"
    assert one.contracts.get().number == "12/HĐ"
    assert one.norms.get().persons == one.persons == 4
    assert one.events.get().kind == "CREATED"
    entries = AuditEntry.objects.filter(action__startswith="customers.")
    assert {entry.action for entry in entries} == {"customers.customer.created", "customers.connection.created"}
    assert not any("An" in str(entry.detail) or "0905" in str(entry.detail) for entry in entries)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"phone": "12345"}, "không phải số điện thoại"), ({"name": "  "}, "họ tên"),
        ({"code": "có dấu"}, "không dùng được"), ({"address": ""}, "địa chỉ"),
        ({"connected_date": TODAY + timedelta(days=1)}, "tương lai"), ({"connected_date": None}, "ngày đấu nối"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_its_reason(centre, said, why):
    with pytest.raises(RecordError, match=why):
        centre.connection(**said)
    assert not Connection.objects.exists() or said.get("code")


def test_a_code_and_a_contract_number_are_given_once(centre):
    centre.connection(code="BC-1", contract_number="1/HĐ")
    with pytest.raises(RecordError, match="Đã có đấu nối mang mã BC-1"):
        centre.connection(code="bc-1")
    with pytest.raises(RecordError, match="Đã có hợp đồng số 1/HĐ"):
        centre.connection(contract_number="1/HĐ")


def test_a_transfer_ends_one_contract_and_begins_the_next(centre):
    one = centre.connection("Nguyễn Văn An", contract_number="1/HĐ", persons=4)
    before = one.customer

    made = connection_operations.transfer(
        one, to=CustomerFacts("Trần Thị Bình"), number="2/HĐ", signed_date=date(2026, 7, 1), version=1,
        by=centre.clerk, now=NOW,
    )  # fmt: skip

    one.refresh_from_db()
    assert one.customer.name == "Trần Thị Bình" and one.persons == 0
    assert before.contracts.get().ended_date == date(2026, 7, 1) == made.signed_date
    assert one.norms.get().valid_to == date(2026, 7, 1)
    with pytest.raises(RecordError, match="phải ký sau"):
        connection_operations.transfer(
            one, to=CustomerFacts("Ai Đó"), number="3/HĐ", signed_date=date(2026, 7, 1), version=None,
            by=centre.clerk, now=NOW,
        )  # fmt: skip


def test_who_edits_what_somebody_else_has_changed_is_told(centre):
    one = centre.connection()
    connection_operations.edit_connection(one, ConnectionFacts("Thôn 2"), version=1, by=centre.clerk, now=NOW)

    with pytest.raises(ChangedMeanwhile, match="người khác sửa"):
        connection_operations.edit_connection(one, ConnectionFacts("Thôn 3"), version=1, by=centre.clerk, now=NOW)
    one.refresh_from_db()
    assert one.address == "Thôn 2" and one.version == 2


@pytest.mark.django_db(transaction=True)
def test_of_two_transfers_at_once_one_wins(clean_store):
    centre = make_centre()
    one = centre.connection(contract_number="1/HĐ")
    start, outcomes = threading.Barrier(2), []

    def give(number: int) -> None:
        start.wait()
        try:
            connection_operations.transfer(
                one, to=CustomerFacts(f"Người {number}"), number=f"MỚI-{number}", signed_date=date(2026, 7, 1),
                version=1, by=centre.clerk, now=NOW,
            )  # fmt: skip
            outcomes.append("done")
        except ChangedMeanwhile:
            outcomes.append("told")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=give, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["done", "told"]
    assert Contract.objects.filter(ended_date__isnull=True).count() == 1
    assert Customer.objects.count() == 2  # the loser's customer went with its transaction


def test_it_stops_opens_and_ends_in_the_order_of_days(centre):
    one = centre.connection(contract_number="1/HĐ")
    said = {"by": centre.clerk, "now": NOW, "reason": "khách hàng đề nghị"}

    with pytest.raises(RecordError, match="không thể trước ngày đó"):
        connection_operations.suspend(one, on_date=date(2025, 12, 31), **said)
    with pytest.raises(RecordError, match="tương lai"):
        connection_operations.suspend(one, on_date=TODAY + timedelta(days=1), **said)
    with pytest.raises(RecordError, match="lý do"):
        connection_operations.suspend(one, on_date=TODAY, **said | {"reason": " "})
    connection_operations.suspend(one, on_date=date(2026, 5, 1), **said)
    with pytest.raises(RecordError, match="không tạm ngừng được"):
        connection_operations.suspend(one, on_date=date(2026, 5, 2), **said)
    with pytest.raises(RecordError, match="đã có «Tạm ngừng»"):
        connection_operations.reopen(one, on_date=date(2026, 4, 30), **said)
    connection_operations.reopen(one, on_date=date(2026, 6, 1), **said)

    meters.fit(one, at=NOW - timedelta(days=1), by=centre.clerk, serial="A1", now=NOW)
    with pytest.raises(RecordError, match="còn đồng hồ"):
        connection_operations.close(one, on_date=TODAY, **said)
    one.fittings.update(removed_at=NOW, removed_index_l=0)
    closed = connection_operations.close(one, on_date=TODAY, **said)
    assert (closed.status, closed.closed_date) == ("CLOSED", TODAY)
    assert one.contracts.get().ended_date == TODAY
    assert list(one.events.values_list("kind", flat=True))[:3] == ["CLOSED", "REOPENED", "SUSPENDED"]


def test_a_station_changes_nothing_of_another_station(centre):
    one = centre.connection(work=centre.nghia_phu)
    for act in (
        lambda: connection_operations.suspend(one, on_date=TODAY, reason="thử", by=centre.station, now=NOW),
        lambda: connection_operations.set_norm(one, persons=3, valid_from=TODAY, by=centre.station, now=NOW),
        lambda: connection_operations.edit_customer(
            one.customer, CustomerFacts("Khác"), version=None, by=centre.station, now=NOW
        ),
    ):
        with pytest.raises(PermissionDenied):
            act()


def test_a_norm_and_shares_run_from_a_day_on(centre):
    one = centre.connection(persons=2)
    connection_operations.set_norm(one, persons=5, valid_from=date(2026, 7, 1), by=centre.clerk, now=NOW)
    assert list(one.norms.values_list("persons", "valid_from", "valid_to")) == [
        (2, date(2026, 1, 10), date(2026, 7, 1)), (5, date(2026, 7, 1), None),
    ]  # fmt: skip
    with pytest.raises(RecordError, match="phải bắt đầu sau"):
        connection_operations.set_norm(one, persons=1, valid_from=date(2026, 6, 1), by=centre.clerk, now=NOW)

    with pytest.raises(RecordError, match="90 %"):
        connection_operations.set_shares(
            one, {"SH": 60, "KDDV": 30}, valid_from=date(2026, 7, 1), by=centre.clerk, now=NOW
        )
    connection_operations.set_shares(one, {"SH": 60, "KDDV": 40}, valid_from=date(2026, 7, 1), by=centre.clerk, now=NOW)
    connection_operations.set_shares(one, {}, valid_from=date(2026, 8, 1), by=centre.clerk, now=NOW)
    assert set(one.shares.values_list("group", "share_pct", "valid_to")) == {
        ("SH", 60, date(2026, 8, 1)), ("KDDV", 40, date(2026, 8, 1)),
    }  # fmt: skip


def test_growth_counts_new_connections_by_month_and_leaves_out_what_was_handed_over(centre):
    centre.connection(connected_date=date(2026, 1, 31))
    centre.connection(connected_date=date(2026, 2, 1))
    centre.connection(connected_date=date(2026, 2, 28), work=centre.nghia_phu)
    centre.connection(connected_date=date(2026, 2, 5), origin="HANDOVER")
    centre.connection(connected_date=date(2026, 2, 5), origin="EXISTING")

    found = connection_queries.new_connections(Period.parse("2026"), [centre.binh_chanh.pk])

    assert (found.month, found.connections) == ([date(2026, 1, 1), date(2026, 2, 1)], [1, 1])
    assert sum(connection_queries.new_connections(Period.parse("2026-02")).connections) == 2


def test_the_page_of_a_connection_tells_one_number_of_persons(centre, browser_of):
    one = centre.connection()
    home = f"/khach-hang/{one.code}/"
    assert "chưa đăng ký số người" in browser_of(centre.clerk).get(home).content.decode()
    Connection.objects.filter(pk=one.pk).update(persons=6)

    shown = browser_of(centre.clerk).get(home).content.decode()

    assert "6 người tính định mức" in shown and "chưa đăng ký số người" not in shown


def test_every_page_of_a_connection_opens_and_takes_what_it_asks_for(centre, browser_of):
    one = centre.connection(contract_number="1/HĐ")
    browser, home = browser_of(centre.clerk), f"/khach-hang/{one.code}/"
    for page in (
        "", "sua/", "khach-hang/", "chuyen-ten/", "tinh-trang/tam-ngung/", "dinh-muc/", "muc-dich/", "hop-dong/",
        f"hop-dong/{one.contracts.get().pk}/", "ho-ngheo/", "du-lieu-ca-nhan/", "ban-sao/", "xoa-du-lieu/",
    ):  # fmt: skip
        assert browser.get(home + page).status_code == 200, page
    assert browser.get("/khach-hang/them/").status_code == 200

    for page, said in (
        ("dinh-muc/", {"persons": "4", "valid_from": "2026-07-01"}),
        ("muc-dich/", {"share_SH": "70", "share_KDDV": "30", "valid_from": "2026-07-01"}),
        ("ho-ngheo/", {"year": "2026", "kind": "POOR", "decision": "1/QĐ"}),
        ("khach-hang/", {"name": "Nguyễn Văn Ân", "kind": "HOUSEHOLD", "version": "1"}),
        ("tinh-trang/tam-ngung/", {"on_date": "2026-07-01", "reason": "đi vắng"}),
    ):
        assert browser.post(home + page, said).status_code == 302, page
    one.refresh_from_db()
    assert (one.persons, one.status, one.customer.name) == (4, "SUSPENDED", "Nguyễn Văn Ân")

    stale = browser.post(home + "khach-hang/", {"name": "Ai", "kind": "HOUSEHOLD", "version": "1"})
    assert stale.status_code == 409 and "Tải bản mới" in stale.content.decode()
    assert browser.post(home + "tinh-trang/tam-ngung/", {"on_date": "2026-07-01", "reason": "x"}).status_code == 422


def test_a_new_connection_is_entered_by_its_form(centre, browser_of):
    said = {
        "work": str(centre.binh_chanh.pk), "origin": "EXISTING", "connected_date": "2025-05-01", "name": "Lê Thị Lan",
        "kind": "HOUSEHOLD", "address": "Thôn 3", "group": "SH", "households": "1", "consent": "on",
        "contract_number": "9/HĐ", "persons": "3",
    }  # fmt: skip
    answer = browser_of(centre.station).post("/khach-hang/them/", said)

    assert answer.status_code == 302
    one = Connection.objects.get()
    assert one.customer.consents.get().how == "hợp đồng số 9/HĐ"
    said["work"] = str(centre.nghia_phu.pk)  # not theirs
    assert browser_of(centre.station).post("/khach-hang/them/", said).status_code == 422


def test_a_new_house_is_the_last_of_the_walk_unless_it_says_its_place(centre):
    route = Route.objects.create(work=centre.binh_chanh, code="BC-01", name="Tuyến 1", read_day=20)
    first, second = centre.connection(route=route), centre.connection(route=route)
    Connection.objects.filter(pk=second.pk).update(route_order=7)

    assert (first.route_order, centre.connection(route=route).route_order) == (1, 8)
    assert centre.connection().route_order == 0  # of no route
