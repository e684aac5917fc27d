"""Pages of tasks: list and filters, board without and with htmx, debts, timeline, forms, uploads, API."""

import re
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from machnuoc.core import tokens
from machnuoc.core.models import Person
from machnuoc.places.models import Organisation
from machnuoc.planning import task_operations, task_panels, task_queries
from machnuoc.planning.models import Campaign, Meeting, Plan, Task, TaskProgress
from machnuoc.planning.plan_forms import TargetForm
from machnuoc.planning.task_queries import Filters

pytestmark = pytest.mark.usefixtures("demo_data", "db")
NOW = datetime(2026, 11, 22, 9, 0, tzinfo=ZoneInfo("Asia/Ho_Chi_Minh"))
ALL_STATIONS = "qn.79-2026.phu-luc-2.2"


def sign_in(username: str) -> Client:
    client = Client()
    client.force_login(Person.objects.get(username=username), backend="django.contrib.auth.backends.ModelBackend")
    return client


def text_of(answer) -> str:
    return answer.content.decode()


def station(name: str = "binh-chanh") -> Organisation:
    return Organisation.objects.select_related("subject").get(subject__key=f"org.qn.tram-{name}")


def report(key: str, state: str, name: str = "binh-chanh") -> None:
    task_operations.add_progress(
        Task.objects.get(key=key), organisation=station(name), state=state, text="Đã làm",
        by=Person.objects.get(username=f"qn.{name.replace('-', '')}"), now=NOW,
    )  # fmt: skip


def test_the_list_is_searched_without_diacritics_and_keeps_its_filters_in_the_address():
    client = sign_in("qn.khkt")

    found = text_of(client.get("/nhiem-vu/", {"q": "chuyen doi so trong quan ly", "state": "NOT_STARTED"}))

    assert "Triển khai các nhiệm vụ chuyển đổi số" in found
    assert "Kiểm soát, giám sát chất lượng nước" not in found
    assert "?q=chuyen+doi+so+trong+quan+ly&amp;state=NOT_STARTED&amp;export=xlsx" in found


def test_filters_narrow_by_unit_due_and_what_is_mine():
    today = NOW.date()
    person = Person.objects.get(username="qn.binhchanh")
    Task.objects.filter(key=ALL_STATIONS).update(due_on=today.replace(day=1))

    def keys(**wanted) -> set[str]:
        found = task_queries.select(person, Filters(**wanted), today=today)
        return set(found.values_list("key", flat=True))

    assert keys(due="overdue") == {ALL_STATIONS}
    assert keys(mine=True) == keys(unit=station().pk) - {"qn.79-2026.phu-luc-2.5", "qn.79-2026.phu-luc-2.7"}
    assert ALL_STATIONS in keys(mine=True)
    assert keys(timing="BY_DATE") == {"qn.79-2026.phu-luc-2.3"}


def test_the_list_goes_out_as_csv_with_its_units():
    answer = sign_in("qn.khkt").get("/nhiem-vu/", {"export": "csv"})
    lines = b"".join(answer.streaming_content).decode("utf-8-sig").splitlines()

    assert lines[0].startswith("Mã,Kế hoạch,Mục,Số,Nội dung,Đơn vị chủ trì")
    assert any("Các Trạm cấp nước (29 đơn vị)" in line for line in lines)
    assert len(lines) == 1 + 21


def test_silence_is_not_shown_as_nothing_done():
    client = sign_in("qn.binhchanh")
    assert "Chưa có báo cáo" in text_of(client.get(f"/nhiem-vu/{ALL_STATIONS}/"))

    report(ALL_STATIONS, "DOING")

    assert "Đang thực hiện" in text_of(client.get(f"/nhiem-vu/{ALL_STATIONS}/"))


# --- the board


def test_a_button_of_the_board_moves_the_stations_part_without_javascript():
    client = sign_in("qn.binhchanh")
    page = text_of(client.get("/nhiem-vu/bang/"))
    address = reverse("planning:task_move", args=[ALL_STATIONS])
    assert f'action="{address}"' in page

    answer = client.post(address, {"state": "DOING", "unit": station().pk, "back": "/nhiem-vu/bang/?due=undated"})

    assert (answer.status_code, answer["Location"]) == (302, "/nhiem-vu/bang/?due=undated")
    task = Task.objects.get(key=ALL_STATIONS)
    assert task.state == "DOING"
    assert task.units.get(organisation=station(), role="LEAD").state == "DOING"
    assert TaskProgress.objects.get().text == "Chuyển sang «đang thực hiện» trên bảng."


def test_with_htmx_the_board_comes_back_moved():
    client = sign_in("qn.binhchanh")

    answer = client.post(
        reverse("planning:task_move", args=[ALL_STATIONS]), {"state": "DOING", "back": "/nhiem-vu/bang/"}, follow=True,
        headers={"HX-Request": "true"},
    )  # fmt: skip

    columns = {column.state: column for column in answer.context["columns"]}
    assert [row.task.key for row in columns["DOING"].rows] == [ALL_STATIONS]
    assert columns["NOT_STARTED"].total == 20


def test_who_reports_for_many_units_is_led_to_the_form():
    answer = sign_in("qn.khkt").post(reverse("planning:task_move", args=[ALL_STATIONS]), {"state": "DONE"})

    assert answer["Location"] == reverse("planning:task_progress", args=[ALL_STATIONS])
    assert not TaskProgress.objects.exists()


@pytest.mark.parametrize("username", ["qn.sonnmt", "doitac", "quantri"])
def test_who_acts_for_no_unit_moves_nothing(username):
    answer = sign_in(username).post(reverse("planning:task_move", args=[ALL_STATIONS]), {"state": "DONE"})

    assert answer.status_code == 403


def test_the_board_never_leads_to_another_site():
    answer = sign_in("qn.binhchanh").post(
        reverse("planning:task_move", args=[ALL_STATIONS]), {"state": "DOING", "back": "https://evil.example/"}
    )

    assert answer["Location"] == reverse("planning:task_detail", args=[ALL_STATIONS])


def test_the_board_of_very_many_tasks_shows_the_most_urgent_and_leads_to_the_rest():
    subject = Organisation.objects.get(subject__key="org.qn.trung-tam").subject
    Task.objects.bulk_create(
        Task(key=f"x.{n}", content=f"Việc {n}", subject=subject, timing="AD_HOC") for n in range(90)
    )

    person = Person.objects.get(username="qn.khkt")
    tasks = task_queries.select(person, Filters(), today=NOW.date())
    columns = task_queries.board(tasks, task_queries.count(tasks, NOW.date()).states, person, today=NOW.date())

    assert (len(columns[0].rows), columns[0].total) == (30, 111)
    assert columns[0].rows[0].task.due_on is not None


# --- who owes what, the timeline


def test_a_station_that_is_done_owes_nothing_though_the_task_of_all_stations_is_open():
    report(ALL_STATIONS, "DONE")
    leader = Person.objects.get(username="qn.lanhdao")

    rows = {row.key: row for row in task_queries.list_owing(leader, Filters(), today=NOW.date())}

    assert len(rows) == 29 + 3  # stations, two departments, the centre's directors
    own, other = rows["org.qn.tram-binh-chanh"], rows["org.qn.tram-binh-hai"]
    assert (own.open, own.done) == (other.open - 1, 1)
    assert Task.objects.get(key=ALL_STATIONS).state == "DOING"


def test_a_station_sees_what_it_owes_and_not_what_others_do():
    report(ALL_STATIONS, "DONE", "nghia-phu")
    person = Person.objects.get(username="qn.binhchanh")

    rows = task_queries.list_owing(person, Filters(), today=NOW.date())
    page = task_queries.read_task(Task.objects.get(key=ALL_STATIONS), person, today=NOW.date())

    assert [row.key for row in rows] == ["org.qn.tram-binh-chanh"]
    assert page.progress == []
    assert page.hidden_units == 28


def test_the_timeline_draws_dated_tasks_of_the_year():
    page = sign_in("qn.khkt").get("/nhiem-vu/dong-thoi-gian/", {"year": "2026"})

    assert [bar.row.task.key for bar in page.context["timeline"].bars] == [
        "qn.79-2026.phu-luc-2.3", "qn.79-2026.phu-luc-2.4", "qn.79-2026.phu-luc-2.6",
    ]  # fmt: skip
    assert 'style="' not in text_of(page)


# --- forms


def test_a_phone_reports_with_a_picture_and_only_who_sees_the_unit_gets_it():
    client = sign_in("qn.binhchanh")
    picture = SimpleUploadedFile("anh.png", b"\x89PNG\r\n\x1a\n" + b"0" * 64, "image/png")

    answer = client.post(
        reverse("planning:task_progress", args=[ALL_STATIONS]),
        {"unit": station().pk, "state": "DOING", "share_pct": "40", "text": "Đấu nối 12 hộ", "evidence": picture},
        follow=True,
    )  # fmt: skip

    page = text_of(answer)
    assert "Đấu nối 12 hộ" in page
    stored = TaskProgress.objects.get().files.get()
    address = reverse("planning:task_file", args=[ALL_STATIONS, stored.pk])
    assert address in page
    assert client.get(address).status_code == 200
    assert sign_in("qn.nghiaphu").get(address).status_code == 404


def test_a_wrong_file_and_a_wrong_share_are_told_and_nothing_is_kept():
    client = sign_in("qn.binhchanh")
    said = {"unit": station().pk, "state": "DOING", "text": "Đã làm"}
    program = SimpleUploadedFile("anh.png", b"MZ\x90", "image/png")

    wrong_file = client.post(reverse("planning:task_progress", args=[ALL_STATIONS]), said | {"evidence": program})
    wrong_share = client.post(reverse("planning:task_progress", args=[ALL_STATIONS]), said | {"share_pct": "140"})

    assert (wrong_file.status_code, wrong_share.status_code) == (422, 422)
    assert "không phải là PNG" in text_of(wrong_file)
    assert not TaskProgress.objects.exists()


def form_of(client: Client, address: str) -> dict[str, object]:
    form = client.get(address).context["form"]
    return {name: value for name in form.fields if (value := form[name].value()) not in (None, "")}


def test_of_two_who_edit_one_task_the_second_is_told_in_the_form():
    client = sign_in("qn.khkt")
    address = reverse("planning:task_edit", args=[ALL_STATIONS])
    first = form_of(client, address)

    saved = client.post(address, first | {"content": "Phát triển khách hàng"})
    late = client.post(address, first | {"content": "Nội dung khác"})

    assert (saved.status_code, late.status_code) == (302, 409)
    assert "vừa được người khác sửa" in text_of(late)
    task = Task.objects.get(key=ALL_STATIONS)
    assert task.content == "Phát triển khách hàng"
    assert task.units.filter(role="LEAD", organisation__isnull=False).count() == 29
    assert task.units.filter(role="LEAD", organisation__isnull=True).get().name_as_printed == "Các Trạm cấp nước"


def test_a_task_is_added_handed_over_closed_and_opened_again_by_forms():
    client = sign_in("qn.khkt")
    centre = Organisation.objects.get(subject__key="org.qn.trung-tam")
    added = client.post(
        reverse("planning:task_add"),
        {"subject": centre.pk, "content": "Thay đồng hồ tổng", "timing": "BY_DATE", "due_on": "2026-12-20",
         "leads": [station().pk], "leads_printed": "", "cooperating_printed": "Công an xã"},
    )  # fmt: skip
    task = Task.objects.get(content="Thay đồng hồ tổng")
    assert added["Location"] == reverse("planning:task_detail", args=[task.key])

    hand_over = reverse("planning:task_hand_over", args=[task.key])
    client.post(hand_over, form_of(client, hand_over) | {"to": station("nghia-phu").pk, "reason": "Gần hơn"})
    client.post(reverse("planning:task_decide", args=[task.key]), {"state": "CANCELLED", "reason": "Hết cần"})
    task.refresh_from_db()
    assert task.state == "CANCELLED"
    client.post(reverse("planning:task_decide", args=[task.key]), {"state": "DOING", "reason": "Cần lại"})

    task.refresh_from_db()
    assert task.state == "NOT_STARTED"
    page = text_of(client.get(reverse("planning:task_detail", args=[task.key])))
    assert "Trạm Bình Chánh → Trạm Nghĩa Phú" in page
    assert "Hết cần" in page


def test_a_meeting_is_recorded_and_its_conclusion_given_out():
    client = sign_in("qn.lanhdao")
    centre = Organisation.objects.get(subject__key="org.qn.trung-tam")
    client.post(
        reverse("planning:meeting_add"),
        {"kind": "MEETING", "title": "Giao ban quý IV", "host": centre.pk, "subject": centre.pk,
         "held_on": "2026-11-20", "new_conclusions": "- Rà soát van\n\nBáo cáo lại"},
    )  # fmt: skip
    meeting = Meeting.objects.get()
    first = meeting.conclusions.first()
    assert [row.text for row in meeting.conclusions.all()] == ["Rà soát van", "Báo cáo lại"]

    client.post(
        reverse("planning:conclusion_task", args=[meeting.pk, first.pk]),
        {"content": first.text, "leads": [station().pk], "due_on": "2026-12-05"},
    )

    page = text_of(client.get(reverse("planning:meeting_detail", args=[meeting.pk])))
    assert "Nhiệm vụ đã giao" in page
    assert "05/12/2026" in page
    assert "Giao ban quý IV" in text_of(client.get("/hop-kiem-tra/", {"q": "giao ban quy"}))


def test_a_campaign_of_a_station_lies_where_the_station_is_and_adds_up():
    client = sign_in("qn.binhchanh")
    client.post(
        reverse("planning:campaign_add"),
        {"kind": "COMMUNICATION", "title": "Vận động đấu nối", "organisation": station().pk, "from_date": "2026-11-01",
         "to_date": "2026-11-02", "audience": "hộ dân", "expected_count": "100", "reached_count": "80"},
    )  # fmt: skip

    assert Campaign.objects.get().subject_id == station().pk
    page = text_of(client.get("/tuyen-truyen-tap-huan/"))
    assert "80 người tham gia" in page
    assert "80,0 % dự kiến" in page.replace("\u00a0", " ")
    assert "Vận động đấu nối" not in text_of(sign_in("qn.nghiaphu").get("/tuyen-truyen-tap-huan/"))


# --- panels and the API


def test_the_overview_tells_a_unit_what_is_due_and_the_organisations_page_its_tasks():
    Task.objects.filter(key=ALL_STATIONS).update(due_on=timezone.localdate())
    person = Person.objects.get(username="qn.binhchanh")

    overview = {panel.title: panel for panel in task_panels.later_overview(person, "now")}
    subject = {panel.title: panel for panel in task_panels.for_subject(person, station().subject)}

    assert overview["Việc của đơn vị tôi"].context["counts"].soon == 1
    assert subject["Nhiệm vụ chủ trì"].context["counts"].total == 8
    assert task_panels.later_overview(Person.objects.get(username="doitac"), "now") == []


def test_a_program_reports_once_under_one_idempotency_key():
    _, raw = tokens.create_token(
        person=Person.objects.get(username="qn.binhchanh"), name="thử", now=timezone.now(), can_write=True
    )
    headers = {"Authorization": f"Bearer {raw}", "Idempotency-Key": "bao-cao-1"}
    body = {"organisation_key": "org.qn.tram-binh-chanh", "state": "DONE", "text": "Đã đấu nối"}

    answers = [
        Client().post(f"/api/v1/tasks/{ALL_STATIONS}/progress", body, "application/json", headers=headers)
        for _ in range(2)
    ]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    assert answers[0].json()["task_share_pct"] == 3  # one of 29 stations
    assert TaskProgress.objects.count() == 1
    other = body | {"organisation_key": "org.qn.tram-nghia-phu"}
    refused = Client().post(
        f"/api/v1/tasks/{ALL_STATIONS}/progress", other, "application/json",
        headers={"Authorization": f"Bearer {raw}"},
    )  # fmt: skip
    assert refused.status_code == 404


def test_a_program_finds_tasks_by_plan_unit_and_words():
    _, raw = tokens.create_token(
        person=Person.objects.get(username="qn.khkt"), name="thử", now=timezone.now(), can_write=False
    )
    headers = {"Authorization": f"Bearer {raw}"}

    found = Client().get(
        "/api/v1/tasks?plan_key=qn.79-2026&unit_key=org.qn.tram-binh-chanh&q=khach+hang", headers=headers
    )

    assert ALL_STATIONS in [task["key"] for task in found.json()["items"]]
    leads = [unit for unit in found.json()["items"][0]["units"] if unit["role"] == "LEAD"]
    assert len(leads) == 30


def test_a_long_column_of_the_board_unfolds(client):
    client.force_login(Person.objects.get(username="qn.lanhdao"))

    page = client.get(reverse("planning:task_board")).content.decode()

    first, _, rest = page.partition('<details class="board-rest">')
    assert first.count('<li class="task-card') == 8
    assert rest.count('<li class="task-card') == Task.objects.filter(plan__key="qn.79-2026").count() - 8
    assert "Xem thêm" in rest


def test_the_form_of_a_target_offers_each_place_once():
    leader = Person.objects.get(username="qn.lanhdao")
    plan = Plan.objects.select_related("territory").get(key="qn.79-2026")
    part = plan.targets.select_related("subject").filter(parent__isnull=False).first()

    for form in (TargetForm(None, person=leader, plan=plan), TargetForm(None, person=leader, plan=plan, target=part)):
        offered = re.findall(r'value="(\d+)"', str(form["subject"]))
        assert len(offered) == len(set(offered)) > 1
