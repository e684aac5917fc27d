"""Notices to customers: who writes them, who reads them, who gets a message."""

from datetime import date, timedelta
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.test import Client
from django.utils import timezone

from machnuoc.core.models import AuditEntry, Sending
from machnuoc.customers import notice_operations, notice_queries, privacy
from machnuoc.customers.models import Connection, Consent, Customer, Route, ServiceNotice
from machnuoc.customers.notice_operations import NoticeError, NoticeFacts
from machnuoc.customers.tests.world import NOW, Centre, make_person
from machnuoc.places.models import Containment, Subject

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def facts(centre: Centre, **said: Any) -> NoticeFacts:
    given: dict[str, Any] = {
        "kind": "OUTAGE", "title": "Ngừng cấp nước để sửa ống", "text": "Sửa ống trên đường liên xã. Mời trữ nước.",
        "works": [centre.binh_chanh], "starts_at": NOW + 5 * HOUR, "ends_at": NOW + 9 * HOUR,
    }  # fmt: skip
    return NoticeFacts(**{**given, **said})


def publish(centre: Centre, **said: Any) -> ServiceNotice:
    return notice_operations.publish(facts(centre, **said), by=centre.clerk, now=NOW)


def read_by(connection: Connection, now: Any = NOW) -> list[str]:
    return [one.title for one in notice_queries.of_connections([connection], now)]


def test_customers_of_the_works_read_a_notice_and_others_do_not(centre):
    here, there = centre.connection(), centre.connection(work=centre.nghia_phu)

    made = publish(centre)

    assert read_by(here) == [made.title] and read_by(there) == []
    assert list(notice_queries.connections_of(made)) == [here]
    assert AuditEntry.objects.get(action="customers.notice.published").actor == centre.clerk


def test_a_notice_for_a_commune_or_a_route_reaches_those_there_alone(centre):
    commune = Subject.objects.create(key="vn.thu.xa-a", kind="UNIT", name="Xã A")
    village = Subject.objects.create(key="vn.thu.xa-a.thon", kind="UNIT", name="Thôn A1")
    for above, below in [(commune, commune), (village, village), (commune, village)]:
        Containment.objects.create(ancestor=above, descendant=below)
    route = Route.objects.create(code="T-1", name="Tuyến 1", work=centre.binh_chanh)
    in_village, on_route, elsewhere = centre.connection(), centre.connection(), centre.connection()
    Connection.objects.filter(pk=in_village.pk).update(place=village)
    Connection.objects.filter(pk=on_route.pk).update(route=route)
    for one in (in_village, on_route):
        one.refresh_from_db()

    made = publish(centre, places=[commune], routes=[route])

    assert set(notice_queries.connections_of(made)) == {in_village, on_route}
    assert read_by(in_village) and read_by(on_route) and not read_by(elsewhere)


def test_a_notice_is_seen_until_two_days_after_its_end(centre):
    connection, made = centre.connection(), publish(centre)

    assert read_by(connection, made.ends_at + DAY) and not read_by(connection, made.ends_at + 3 * DAY)


def test_a_withdrawn_notice_stays_with_its_reason_for_two_days(centre):
    connection, made = centre.connection(), publish(centre)

    notice_operations.withdraw(made, reason="Lùi lịch sang tuần sau", by=centre.clerk, now=NOW + HOUR)

    page = Client().get("/cong-khai/thong-bao/").content.decode()
    assert read_by(connection, NOW + 2 * HOUR) and not read_by(connection, NOW + HOUR + 3 * DAY)
    assert ServiceNotice.objects.get().withdrawn_by == centre.clerk
    assert "Lùi lịch sang tuần sau" in page or made.title not in page  # of the day on which the tests run
    with pytest.raises(NoticeError, match="đã rút"):
        notice_operations.withdraw(made, reason="Lần nữa", by=centre.clerk, now=NOW + 2 * HOUR)


@pytest.mark.parametrize(
    ("said", "match"),
    [
        ({"kind": "PARTY"}, "loại"), ({"title": "  "}, "tiêu đề"), ({"text": "ngắn"}, "nội dung"),
        ({"works": []}, "công trình"), ({"ends_at": NOW + 5 * HOUR}, "sau lúc bắt đầu"),
        ({"starts_at": NOW - 9 * HOUR, "ends_at": NOW - HOUR}, "đã qua"), ({"ends_at": None}, "có nước lại"),
        ({"ends_at": NOW + 500 * DAY}, "quá xa"), ({"starts_at": NOW - 40 * DAY}, "quá lâu"),
    ],
)  # fmt: skip
def test_a_notice_that_makes_no_sense_is_not_put_out(centre, said, match):
    with pytest.raises(NoticeError, match=match):
        publish(centre, **said)

    assert not ServiceNotice.objects.exists()


def test_a_route_of_another_work_cannot_be_named(centre):
    route = Route.objects.create(code="T-2", name="Tuyến 2", work=centre.nghia_phu)

    with pytest.raises(NoticeError, match="không thuộc các công trình"):
        publish(centre, routes=[route])


def test_a_station_writes_for_its_own_work_alone(centre):
    notice_operations.publish(facts(centre), by=centre.station, now=NOW)

    for work in (centre.nghia_phu, centre.other_work):
        with pytest.raises(PermissionDenied):
            notice_operations.publish(facts(centre, works=[work]), by=centre.station, now=NOW)
    for person in (centre.agency, centre.reader):
        with pytest.raises(PermissionDenied):
            notice_operations.publish(facts(centre), by=person, now=NOW)


def test_a_notice_of_two_works_is_not_withdrawn_by_the_station_of_one(centre):
    made = publish(centre, works=[centre.binh_chanh, centre.nghia_phu])

    assert list(notice_queries.visible(centre.station)) == [made]
    with pytest.raises(PermissionDenied):
        notice_operations.withdraw(made, reason="Không đúng", by=centre.station, now=NOW)


def _agree(connection: Connection, **fields: Any) -> Customer:
    Customer.objects.filter(pk=connection.customer_id).update(**fields)
    privacy.give_consent(connection.customer, Consent.Purpose.NOTICES, how="phiếu", by=None, now=NOW)
    return Customer.objects.get(pk=connection.customer_id)


def test_those_who_agreed_get_one_message_and_nobody_else_does(centre, monkeypatch):
    monkeypatch.setattr(notice_operations, "AT_ONCE", 2)
    agreed = [centre.connection(name=f"Người {number}", phone=f"090500000{number}") for number in range(5)]
    for one in agreed:
        _agree(one)
    silent = centre.connection(phone="0905111222")
    simulated = centre.connection(phone="0905111333")
    _agree(simulated, is_simulated=True)
    elsewhere = centre.connection(work=centre.nghia_phu, phone="0905111444")
    _agree(elsewhere)
    made = notice_operations.publish(facts(centre), by=centre.clerk, now=NOW, is_to_be_sent=True)

    rounds = 1
    while notice_operations.send_some(made.pk, NOW):
        rounds += 1
    notice_operations.send_some(made.pk, NOW)

    made.refresh_from_db()
    assert rounds == 3 and made.sent_count == 5 and made.sent_at == NOW
    told = set(Sending.objects.values_list("key", flat=True))
    assert told == {notice_operations.sending_key(one.customer_id, made.pk) for one in agreed}
    assert silent.customer_id not in {int(key.split(":")[1]) for key in told}
    assert set(Sending.objects.values_list("state", flat=True)) == {"UNCONFIGURED"}  # and it says so


def test_a_withdrawn_notice_is_not_sent_on(centre):
    _agree(centre.connection(phone="0905000001"))
    made = notice_operations.publish(facts(centre), by=centre.clerk, now=NOW, is_to_be_sent=True)
    notice_operations.withdraw(made, reason="Nhầm ngày", by=centre.clerk, now=NOW)

    assert not notice_operations.send_some(made.pk, NOW)
    assert not Sending.objects.exists()


def test_erasing_a_customer_takes_their_number_out_of_messages_of_notices(centre):
    connection = centre.connection(phone="0905000001")
    customer = _agree(connection)
    made = notice_operations.publish(facts(centre), by=centre.clerk, now=NOW, is_to_be_sent=True)
    notice_operations.send_some(made.pk, NOW)
    Connection.objects.filter(pk=connection.pk).update(status="CLOSED", closed_date=date(2026, 8, 1))

    privacy.erase(customer, reason="Theo yêu cầu", by=None, now=NOW)

    assert Sending.objects.get().address == "(đã xóa)"


# --- pages


def _form(centre: Centre, **said: Any) -> dict[str, Any]:
    given = {
        "kind": "INFO", "title": "Đổi giờ trực quầy", "text": "Quầy thu tiền mở thêm sáng thứ bảy.",
        "works": [centre.binh_chanh.pk], "starts_at": f"{timezone.localtime():%Y-%m-%dT%H:%M}", "ends_at": "",
    }  # fmt: skip
    return {**given, **said}


def test_a_clerk_puts_a_notice_out_and_takes_it_back_on_its_page(centre, browser_of):
    client = browser_of(centre.clerk)

    answer = client.post("/thong-bao-khach-hang/moi/", _form(centre))
    page = client.get(answer["Location"]).content.decode()
    client.post(answer["Location"], {"reason": "Sai ngày"})

    assert "Quầy thu tiền mở thêm" in page
    assert ServiceNotice.objects.get().withdrawn_reason == "Sai ngày"
    assert "Đổi giờ trực quầy" in client.get("/thong-bao-khach-hang/?q=quầy&state=withdrawn").content.decode()
    assert "Chưa có" not in client.get("/thong-bao-khach-hang/?kind=OUTAGE").content.decode()


def test_a_form_with_errors_says_what_to_do(centre, browser_of):
    client = browser_of(centre.station)

    for said in ({"works": [centre.nghia_phu.pk]}, {"works": ["9" * 40]}, {"starts_at": "hôm qua"}, {"kind": "OUTAGE"}):
        answer = client.post("/thong-bao-khach-hang/moi/", _form(centre, **said))
        assert answer.status_code == 422, said
    assert not ServiceNotice.objects.exists()


def test_who_serves_nobody_does_not_get_in(centre, browser_of):
    made = publish(centre)
    stranger = make_person("khac.khkt", "DEPARTMENT", centre.other_work.subject)

    assert browser_of(centre.agency).get("/thong-bao-khach-hang/").status_code == 403
    assert browser_of(stranger).get(f"/thong-bao-khach-hang/{made.pk}/").status_code == 404
    assert Client().get("/thong-bao-khach-hang/").status_code == 302
    assert Client().get("/cong-khai/thong-bao/?noi=khong-co").status_code == 200


@pytest.mark.parametrize("address", ["/thong-bao-khach-hang/", "/thong-bao-khach-hang/{pk}/", "/cong-khai/thong-bao/"])
def test_pages_of_notices_ask_the_database_seldom_however_many_there_are(
    centre, browser_of, address, django_assert_max_num_queries
):
    now = timezone.now()
    for number in range(12):
        said = facts(centre, kind="INFO", title=f"Tin số {number}", starts_at=now, ends_at=None)
        made = notice_operations.publish(said, by=centre.clerk, now=now)
    client = browser_of(centre.clerk)
    client.get(address.format(pk=made.pk))

    with django_assert_max_num_queries(15):
        page = client.get(address.format(pk=made.pk))

    assert "Tin số 11" in page.content.decode()


def test_notices_are_given_out_as_a_file(centre, browser_of):
    publish(centre)

    answer = browser_of(centre.clerk).get("/thong-bao-khach-hang/?export=csv")

    assert "Ngừng cấp nước để sửa ống" in b"".join(answer.streaming_content).decode()
