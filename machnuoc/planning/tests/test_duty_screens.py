"""The pages of report duties as people meet them, on the loaded plans. Days are those of today."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from machnuoc.core.models import Person
from machnuoc.places.models import Subject
from machnuoc.planning import duty_operations, duty_queries
from machnuoc.planning.models import Duty, DutyInstance, FeedToken

pytestmark = pytest.mark.usefixtures("demo_data", "db")


def sign_in(username: str) -> Client:
    client = Client()
    client.force_login(Person.objects.get(username=username), backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def opened() -> None:
    """Open what falls due as of today: the demonstration was loaded on another day."""
    duty_operations.open_instances(timezone.localdate())


def make_instance(duty_key: str, *, days: int, organisation: str = "") -> DutyInstance:
    """Ask a unit of the duty for a report due so many days from today."""
    duty = Duty.objects.get(key=duty_key)
    units = duty.units.select_related("organisation__subject")
    unit = units.get(organisation__subject__key=organisation) if organisation else units[0]
    today = timezone.localdate()
    return duty_operations.add_ad_hoc(
        duty, organisations=[unit.organisation], due_on=today + timedelta(days=days), reason="Công văn thử", today=today
    )[0]


@pytest.mark.parametrize("username", ["quantri", "qn.khkt", "qn.binhchanh", "cb.soxaydung", "cb.phuchoa", "doitac"])
@pytest.mark.parametrize("name", ["duty_calendar", "duty_list", "duty_index", "duty_units", "duty_feed"])
@pytest.mark.usefixtures("opened")
def test_the_pages_open_for_everybody_who_owes_or_reads(username, name):
    answer = sign_in(username).get(reverse(f"planning:{name}"))

    assert answer.status_code == 200
    assert "Lịch" in answer.content.decode()


@pytest.mark.usefixtures("opened")
def test_the_calendar_shows_a_months_reports_with_their_last_lawful_day():
    shown = sign_in("cb.soxaydung").get("/lich-bao-cao/?month=2026-11").content.decode()

    assert "Tháng 11/2026" in shown
    cell = re.search(r'<span class="duty-number">14</span>.*?</td>', shown, re.DOTALL)
    assert cell and "Báo cáo kết quả thực hiện Kế hoạch cấp nước đô thị năm 2026" in cell[0] and "10 đơn vị" in cell[0]


@pytest.mark.usefixtures("opened")
def test_the_list_keeps_its_filters_in_the_address_and_exports_what_is_on_screen():
    client = sign_in("cb.soxaydung")
    duty = Duty.objects.get(key="duty.cb.nam")

    shown = client.get(f"/lich-bao-cao/danh-sach/?duty={duty.pk}&q=bao lac").content.decode()
    sheet = client.get(f"/lich-bao-cao/danh-sach/?duty={duty.pk}&export=csv")

    assert "kỳ báo cáo" in shown
    text = b"".join(sheet.streaming_content).decode("utf-8-sig")
    assert text.count("Báo cáo kết quả thực hiện Kế hoạch cấp nước đô thị năm 2026") == 10
    assert "14/11/2026" in text or "2026-11-14" in text


def test_the_page_of_a_duty_says_rule_edge_source_and_next_dates():
    shown = sign_in("qn.binhchanh").get("/lich-bao-cao/nghia-vu/duty.qn.thang/").content.decode()

    assert "chậm nhất ngày 14 hằng tháng" in shown
    assert "thời hạn báo cáo chậm nhất ngày 14 hằng tháng và ngày 14 của tháng cuối quý" in shown
    assert "IV.3, gạch đầu dòng thứ 5" in shown


def test_a_recipient_that_is_no_more_is_named_and_a_successor_asked_for():
    manager = sign_in("quantri")
    duty = Duty.objects.get(key="duty.ct.bo-chi-so")
    address = reverse("planning:duty_detail", args=[duty.key])

    before = manager.get(address).content.decode()
    chosen = Duty.objects.get(key="duty.cb.tong-hop").to_organisation
    manager.post(
        reverse("planning:duty_recipient", args=[duty.key]), {"organisation": chosen.pk, "version": duty.version}
    )
    after = manager.get(address).content.decode()

    assert "Nơi nhận không còn hoạt động" in before and "01/07/2025" in before
    assert "Nơi nhận không còn hoạt động" not in after
    duty.refresh_from_db()
    assert duty.to_organisation_id == chosen.pk


def test_the_rule_editor_shows_ten_dates_in_words_before_saving():
    manager = sign_in("qn.khkt")

    shown = manager.post(
        reverse("planning:duty_preview"),
        {"timing": "RECURRING", "rule": "FREQ=MONTHLY;BYMONTH=3,6,9,12;BYMONTHDAY=28", "edge": "EXCLUSIVE"},
    ).content.decode()

    assert "trước ngày 28 tháng cuối quý" in shown
    assert shown.count("<li>") == 10
    assert len(re.findall(r"(?:thứ \w+|Chủ nhật), 27/(?:03|06|09|12)/", shown)) >= 10


def test_the_rule_editor_says_why_a_rule_cannot_be_kept():
    shown = sign_in("qn.khkt").post(
        reverse("planning:duty_preview"), {"timing": "RECURRING", "rule": "FREQ=MONTHLY;BYMONTHDAY=31"}
    ).content.decode()  # fmt: skip

    assert "Quy tắc chưa dùng được" in shown and "kỳ đó sẽ bị mất" in shown


def test_a_manager_adds_a_duty_and_its_dates_are_on_the_calendar():
    manager = sign_in("qn.lanhdao")
    centre = Duty.objects.get(key="duty.qn.thang").units.get().organisation
    today = timezone.localdate()

    answer = manager.post(
        reverse("planning:duty_add"),
        {
            "name": "Báo cáo tuần sản lượng", "subject": centre.pk, "timing": "RECURRING",
            "rule": "FREQ=WEEKLY;BYDAY=MO", "edge": "INCLUSIVE", "shift": "NONE", "grace_days": "1",
            "opens_days_before": "3", "covers": "NONE", "units": [centre.pk], "is_active": "on",
            "starts_on": today.isoformat(),
        },
    )  # fmt: skip

    duty = Duty.objects.get(name="Báo cáo tuần sản lượng")
    assert answer.status_code == 302 and answer.url == reverse("planning:duty_detail", args=[duty.key])
    days = list(duty.instances.values_list("last_day", flat=True))
    assert len(days) in (57, 58) and {day.weekday() for day in days} == {0}


def test_two_people_editing_one_duty_do_not_overwrite_each_other():
    manager = sign_in("quantri")
    duty = Duty.objects.get(key="duty.qn.dot-xuat")
    data = {
        "name": "Tên của người thứ nhất", "subject": duty.subject_id, "timing": "AD_HOC", "edge": "INCLUSIVE",
        "shift": "NONE", "grace_days": "0", "opens_days_before": "14", "covers": "NONE", "is_active": "on",
        "version": duty.version,
    }  # fmt: skip
    address = reverse("planning:duty_edit", args=[duty.key])

    first = manager.post(address, data)
    second = manager.post(address, {**data, "name": "Tên của người thứ hai"})

    assert first.status_code == 302
    assert "vừa được người khác sửa" in second.content.decode()
    duty.refresh_from_db()
    assert duty.name == "Tên của người thứ nhất"


def test_a_unit_says_that_it_sent_and_the_page_keeps_who_and_when():
    instance = make_instance("duty.qn.tram-dot-xuat", days=5, organisation="org.qn.tram-binh-chanh")
    station = sign_in("qn.binhchanh")
    today = timezone.localdate()

    answer = station.post(
        reverse("planning:duty_submit", args=[instance.pk]), {"submitted_on": today.isoformat(), "note": "12/BC-BC"}
    )
    shown = station.get(reverse("planning:duty_instance", args=[instance.pk])).content.decode()

    assert answer.status_code == 302
    assert "Đã gửi đúng hạn, sớm 5 ngày" in shown and "12/BC-BC" in shown and "Trạm Bình Chánh (dùng thử)" in shown


def test_a_submission_in_the_future_is_refused_in_words_and_nothing_is_lost():
    instance = make_instance("duty.qn.tram-dot-xuat", days=5, organisation="org.qn.tram-binh-chanh")
    day = timezone.localdate() + timedelta(days=1)

    answer = sign_in("qn.binhchanh").post(
        reverse("planning:duty_submit", args=[instance.pk]), {"submitted_on": day.isoformat(), "note": "12/BC-BC"}
    )

    assert answer.status_code == 422
    shown = answer.content.decode()
    assert "chưa tới" in shown and "12/BC-BC" in shown


def test_another_unit_sees_neither_the_instance_nor_how_punctual_its_neighbour_is():
    instance = make_instance("duty.qn.tram-dot-xuat", days=5, organisation="org.qn.tram-binh-chanh")
    neighbour = sign_in("qn.nghiaphu")

    assert neighbour.get(reverse("planning:duty_instance", args=[instance.pk])).status_code == 404
    assert neighbour.get("/lich-bao-cao/don-vi/org.qn.tram-binh-chanh/").status_code == 404
    assert neighbour.get("/lich-bao-cao/nghia-vu/duty.qn.tram-dot-xuat/").status_code == 200


def test_who_receives_a_report_sees_it_but_does_not_say_that_it_was_sent():
    instance = make_instance("duty.cb.nam", days=5, organisation="org.cb.bao-lac")
    agency = sign_in("cb.soxaydung")

    assert agency.get(reverse("planning:duty_instance", args=[instance.pk])).status_code == 200
    refused = agency.post(
        reverse("planning:duty_submit", args=[instance.pk]),
        {"submitted_on": timezone.localdate().isoformat(), "note": "x"},
    )
    assert refused.status_code == 403


def test_a_report_can_be_waived_and_reopened_with_reasons_that_stay():
    instance = make_instance("duty.qn.tram-dot-xuat", days=5, organisation="org.qn.tram-binh-chanh")
    leader = sign_in("quantri")
    page = reverse("planning:duty_instance", args=[instance.pk])

    leader.post(reverse("planning:duty_waive", args=[instance.pk]), {"reason": "Trạm dừng sửa chữa"})
    waived = leader.get(page).content.decode()
    leader.post(reverse("planning:duty_reopen", args=[instance.pk]), {"reason": "Trạm đã chạy lại"})
    reopened = leader.get(page).content.decode()

    assert "Được miễn" in waived and "Trạm dừng sửa chữa" in waived
    assert "Trạm đã chạy lại" in reopened and "Còn 5 ngày" in reopened


def test_an_instance_offers_the_report_that_a_higher_room_makes():
    instance = make_instance("duty.qn.tram-dot-xuat", days=5, organisation="org.qn.tram-binh-chanh")

    def link(row):
        return ("Lập báo cáo thử", f"/bao-cao/thu/{row.pk}/") if row.pk == instance.pk else None

    duty_queries._report_links.insert(0, link)
    try:
        shown = sign_in("qn.binhchanh").get(reverse("planning:duty_instance", args=[instance.pk])).content.decode()
    finally:
        duty_queries._report_links.remove(link)

    assert f'href="/bao-cao/thu/{instance.pk}/"' in shown and "Lập báo cáo thử" in shown


def test_the_overview_and_the_page_of_the_organisation_say_what_is_due():
    make_instance("duty.qn.tram-dot-xuat", days=2, organisation="org.qn.tram-binh-chanh")
    station = sign_in("qn.binhchanh")

    unit = Subject.objects.get(key="org.qn.tram-binh-chanh")

    assert "Sắp đến hạn báo cáo" in station.get(reverse("core:later_overview", args=["now"])).content.decode()
    assert "Báo cáo phải gửi" in station.get(reverse("places:later_panels", args=[unit.pk])).content.decode()


# The calendar feed


def test_a_feed_gives_its_owners_reports_and_no_others():
    make_instance("duty.qn.tram-dot-xuat", days=4, organisation="org.qn.tram-binh-chanh")
    make_instance("duty.cb.nam", days=4, organisation="org.cb.bao-lac")
    import icalendar

    shown = sign_in("qn.binhchanh").post(reverse("planning:duty_feed"), {"act": "make"}).content.decode()
    address = re.search(r'value="(http[^"]+\.ics)"', shown)[1]
    answer = Client().get(address.replace("http://testserver", ""))

    assert answer.status_code == 200 and answer["Content-Type"].startswith("text/calendar")
    events = icalendar.Calendar.from_ical(answer.content).walk("VEVENT")
    assert [str(event["summary"]) for event in events] == [
        "Hạn: Trạm báo cáo đột xuất theo yêu cầu của Trung tâm (Trạm Bình Chánh)"
    ]
    assert events[0].decoded("dtstart") == timezone.localdate() + timedelta(days=4)
    assert len({str(event["uid"]) for event in events}) == len(events)


def test_the_secret_of_a_feed_is_not_kept_and_can_be_revoked():
    station = Person.objects.get(username="qn.binhchanh")
    token = duty_operations.make_feed(station, timezone.now())
    address = reverse("planning:duty_ics", args=[token])

    assert token not in FeedToken.objects.get(person=station).token_hash
    assert Client().get(address).status_code == 200
    sign_in("qn.binhchanh").post(reverse("planning:duty_feed"), {"act": "revoke"})
    assert Client().get(address).status_code == 404


def test_a_new_address_ends_the_old_one_and_a_stopped_account_has_none():
    station = Person.objects.get(username="qn.binhchanh")
    old = duty_operations.make_feed(station, timezone.now())
    new = duty_operations.make_feed(station, timezone.now())

    assert Client().get(reverse("planning:duty_ics", args=[old])).status_code == 404
    Person.objects.filter(pk=station.pk).update(is_active=False)
    assert Client().get(reverse("planning:duty_ics", args=[new])).status_code == 404


# The API


def test_the_api_lists_duties_and_takes_a_submission_once():
    instance = make_instance("duty.qn.tram-dot-xuat", days=5, organisation="org.qn.tram-binh-chanh")
    station = sign_in("qn.binhchanh")
    address = f"/api/v1/duty-instances/{instance.pk}/submit"
    body = {"submitted_on": timezone.localdate().isoformat(), "note": "12/BC-BC"}

    duties = station.get("/api/v1/duties?plan_key=qn.79-2026").json()["items"]
    first = station.post(address, body, content_type="application/json", headers={"Idempotency-Key": "a1"})
    again = station.post(address, body, content_type="application/json", headers={"Idempotency-Key": "a1"})
    other = station.post(address, body, content_type="application/json")

    assert {row["key"] for row in duties} >= {"duty.qn.thang", "duty.qn.tram-dot-xuat"}
    assert next(row for row in duties if row["key"] == "duty.qn.thang")["words"] == "chậm nhất ngày 14 hằng tháng"
    assert (first.status_code, first.json()["state"]) == (200, "ON_TIME")
    assert again.content == first.content
    assert other.status_code == 409 and "đã ghi nhận gửi" in other.json()["detail"]
    listed = station.get("/api/v1/duty-instances?state=ON_TIME").json()["items"]
    assert [row["id"] for row in listed] == [instance.pk]


@pytest.mark.parametrize("state", [*duty_queries.State])
@pytest.mark.usefixtures("opened")
def test_the_database_and_the_rules_agree_where_an_instance_stands(state):
    for offset in (-40, 0, 10):
        today = timezone.localdate() + timedelta(days=offset)
        rows = DutyInstance.objects.all()
        filtered = set(rows.filter(duty_queries.in_state(state, today)).values_list("pk", flat=True))

        assert filtered == {row.pk for row in rows if duty_queries.standing_of(row, today).state == state}
