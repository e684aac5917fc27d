"""Pages of works: who may open and change what, and what they show."""

import csv
import io
from datetime import date

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from machnuoc.core import panels
from machnuoc.core.models import Person
from machnuoc.indicators.models import Metric, Value
from machnuoc.places import operations as places
from machnuoc.places.models import Containment, Grant, Organisation, Subject
from machnuoc.works import search_entries
from machnuoc.works.models import Capacity, ServiceArea, TreatmentTrain, Work, WorkOperator

pytestmark = pytest.mark.usefixtures("demo_data", "db")

STATION = "work.qn.binh-minh"
LISTS = ("works:list", "works:map", "works:chart")
CHANGES = ("edit", "hand_over", "set_status", "record_capacity", "set_service_areas", "add_alias", "add_part")
MANAGERS = {"quantri", "qn.lanhdao", "qn.khkt", "qn.hcth"}
READERS = {"qn.sonnmt", "doitac"}
STRANGERS = {"qn.binhchanh", "qn.nghiaphu", "cb.soxaydung", "cb.capnuoc", "cb.baolac", "cb.phuchoa"}


def sign_in(username: str) -> Client:
    client = Client()
    person = Person.objects.get(username=username)
    client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
    return client


def get_work(key: str = STATION) -> Work:
    return Work.objects.select_related("subject", "operator__subject").get(subject__key=key)


def address(name: str, key: str = STATION) -> str:
    return reverse(f"works:{name}", args=[key])


def text_of(response) -> str:
    return response.content.decode()


def number_of(metric: str, year: int) -> int:
    return Value.objects.get(
        metric__key=metric, subject__key=STATION, period_kind="Y", period_start=date(year, 1, 1), scenario="A"
    ).number


# --- rights


@pytest.mark.parametrize("username", sorted(MANAGERS | READERS | STRANGERS))
def test_everyone_signed_in_opens_the_list_of_their_scope(username):
    client = sign_in(username)

    for name in LISTS:
        assert client.get(reverse(name)).status_code == 200


def test_a_stranger_is_asked_to_sign_in():
    for url in (reverse("works:list"), address("detail"), address("edit"), reverse("works:add")):
        response = Client().get(url)
        assert response.status_code == 302
        assert "/dang-nhap/" in response["Location"]


@pytest.mark.parametrize("username", sorted(MANAGERS | READERS | STRANGERS))
def test_the_page_of_a_work_out_of_scope_does_not_exist(username):
    status = sign_in(username).get(address("detail")).status_code

    assert status == (404 if username in STRANGERS else 200)


@pytest.mark.parametrize("username", sorted(MANAGERS | READERS | STRANGERS))
@pytest.mark.parametrize("name", CHANGES)
def test_only_those_who_manage_a_work_open_its_forms(username, name):
    expected = 404 if username in STRANGERS else 403 if username in READERS else 200
    client = sign_in(username)

    assert client.get(address(name)).status_code == expected
    answer = client.post(address(name), {})
    assert answer.status_code == (422 if expected == 200 else expected)


@pytest.mark.parametrize("username", sorted(MANAGERS | READERS | STRANGERS))
def test_only_those_who_manage_somewhere_may_add_a_work(username):
    status = sign_in(username).get(reverse("works:add")).status_code

    assert status == (200 if username in MANAGERS else 403)


def test_a_station_sees_its_work_but_has_no_buttons_to_change_it():
    page = text_of(sign_in("qn.binhchanh").get(address("detail", "work.qn.binh-chanh")))

    assert "Trạm Bình Chánh" in page
    assert address("edit", "work.qn.binh-chanh") not in page


def test_partners_see_neither_contacts_nor_who_changed_what():
    Work.objects.filter(subject__key=STATION).update(contact_name="Nguyễn Thị Hạnh", contact_phone="0255 000 111")

    client = sign_in("doitac")

    assert "Nguyễn Thị Hạnh" not in text_of(client.get(address("detail")))
    assert client.get(address("history")).status_code == 403
    assert "Nguyễn Thị Hạnh" in text_of(sign_in("qn.khkt").get(address("detail")))


def test_a_grant_for_one_field_manages_only_works_of_that_field():
    person = Person.objects.get(username="cb.soxaydung")
    scope = Subject.objects.get(key="vn.cao-bang")
    places.give_grant(person=person, role=Grant.Role.LEADER, scope=scope, field="RURAL", by=None)

    assert sign_in("cb.soxaydung").get(address("edit", "work.cb.nuoc-hai")).status_code == 403
    places.give_grant(person=person, role=Grant.Role.LEADER, scope=scope, field="URBAN", by=None)
    assert sign_in("cb.soxaydung").get(address("edit", "work.cb.nuoc-hai")).status_code == 200


# --- the list


def test_the_list_shows_the_sums_of_the_plan_as_links_to_their_provenance():
    response = sign_in("qn.khkt").get(reverse("works:list"))
    page = text_of(response)

    total = Value.objects.get(
        metric__key="works.households_connected", subject__key="org.qn.trung-tam", period_kind="Y",
        period_start=date(2025, 1, 1), scenario="A",
    )  # fmt: skip
    assert f'href="{reverse("indicators:value", args=[total.pk])}" title="Xem nguồn gốc số liệu">25.330</a>' in page
    for figure in ("34.657", "26.930", "1.600", "6,32", "73,1"):
        assert f">{figure}</a>" in page


def test_tabs_keep_the_filters_and_the_order():
    page = text_of(sign_in("qn.khkt").get(reverse("works:list") + "?q=binh&sort=-planned&page=2"))

    assert "/cong-trinh/ban-do/?q=binh&amp;sort=-planned" in page
    assert "/cong-trinh/bieu-do/?q=binh&amp;sort=-planned" in page


def test_map_chart_and_list_speak_of_the_same_selection():
    client = sign_in("qn.khkt")
    query = "?warning=planned_above_design"

    for name in LISTS:
        page = text_of(client.get(reverse(name) + query))
        assert "Trạm Đức Thắng" in page
        assert "Trạm Bình Minh" not in page


def test_the_map_says_that_its_points_are_centres_of_communes():
    assert "tâm xã, phường" in text_of(sign_in("qn.khkt").get(reverse("works:map")))


def test_a_selection_without_works_says_what_to_do():
    client = sign_in("qn.khkt")

    assert "Không có công trình nào khớp" in text_of(client.get(reverse("works:list") + "?q=khong-co-dau"))
    Grant.objects.filter(person__username="qn.khkt").delete()
    assert "Chưa có công trình nào trong phạm vi" in text_of(client.get(reverse("works:list")))


@pytest.mark.parametrize(
    "query", ["?province=abc", "?operator=999999999999999999999", "?plan_year=-1", "?sort=drop", "?page=x", "?kind=%27"]
)
def test_an_odd_address_shows_a_list_and_no_error(query):
    assert sign_in("qn.khkt").get(reverse("works:list") + query).status_code == 200


def test_the_export_holds_what_is_on_screen_and_its_sums():
    response = sign_in("qn.khkt").get(reverse("works:list") + "?q=nghia phu&export=csv")

    body = b"".join(response.streaming_content).decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(body)))
    assert [row["Công trình"].strip() for row in rows] == ["Trạm Nghĩa Phú", "Cổ Lũy Làng Cá", "Cộng"]
    assert [row["Đấu nối 2025, gồm phân hệ (hộ)"] for row in rows] == ["702", "277", "702"]
    assert [row["Đấu nối 2025, dòng riêng (hộ)"] for row in rows] == ["425", "277", ""]


def test_the_export_is_offered_inside_the_part_that_filters_renew():
    page = text_of(sign_in("qn.khkt").get(reverse("works:list") + "?q=duc"))

    assert page.index('id="works"') < page.index("?q=duc&amp;export=csv")


def test_the_export_as_a_workbook_works_from_every_tab():
    client = sign_in("qn.khkt")

    for name in LISTS:
        response = client.get(reverse(name) + "?export=xlsx")
        assert b"".join(response.streaming_content)[:2] == b"PK"


def make_many_works(count: int) -> None:
    """Enter stations under the centre with figures, past the operations: only their number matters."""
    centre = Organisation.objects.get(subject__key="org.qn.trung-tam")
    province = Subject.objects.get(key="vn.quang-ngai")
    commune = Subject.objects.get(unit__parent_id=province.pk, unit__code="21040")
    subjects = Subject.objects.bulk_create(
        Subject(kind="WORK", key=f"work.many.{number}", name=f"Trạm số {number}") for number in range(count)
    )
    Work.objects.bulk_create(
        Work(subject=subject, kind="STATION", sector="RURAL", operator=centre, status="RUNNING") for subject in subjects
    )
    Containment.objects.bulk_create(
        Containment(ancestor_id=above, descendant=subject)
        for subject in subjects
        for above in (subject.pk, centre.pk, province.pk, commune.pk)
    )
    ServiceArea.objects.bulk_create(ServiceArea(work_id=subject.pk, place=commune) for subject in subjects)
    metrics = {metric.key: metric for metric in Metric.objects.all()}
    Value.objects.bulk_create(
        Value(
            metric=metrics[key], subject=subject, period_kind="Y", period_start=date(year, 1, 1), number=100, state=2,
            computed_at=timezone.now(),
        )
        for subject in subjects
        for key, year in (
            ("works.households_connected", 2025), ("works.households_design", 2025), ("works.households_planned", 2026)
        )
    )  # fmt: skip


@pytest.mark.parametrize("name", LISTS)
def test_a_thousand_works_take_no_more_queries_than_a_few(name):
    client = sign_in("qn.khkt")
    url = reverse(name) + "?sort=-connected&q=tram"
    with CaptureQueriesContext(connection) as few:
        client.get(url)
    make_many_works(1_000)
    for work in Work.objects.filter(subject__key__startswith="work.many.").select_related("subject", "operator")[:60]:
        search_entries.put_work(work)

    with CaptureQueriesContext(connection) as many:
        response = client.get(url)

    assert response.context["totals"].works > 80
    assert len(many) == len(few)
    own = [query for query in many if "core_notice" not in query["sql"] and "submission" not in query["sql"]]
    assert len(own) <= 12


# --- the page of a work


def test_the_page_of_nghia_phu_shows_own_line_sub_scheme_and_whole():
    page = text_of(sign_in("qn.nghiaphu").get(address("detail", "work.qn.nghia-phu")))

    assert "Cổ Lũy Làng Cá" in page
    for figure in ("425", "277", "702", "950", "73,9"):
        assert figure in page
    assert "phu-luc-1.10" in page


def test_the_page_of_nuoc_hai_says_that_it_is_apparently_hoa_an():
    page = text_of(sign_in("cb.capnuoc").get(address("detail", "work.cb.nuoc-hai")))

    assert page.count("Có vẻ là một với «trạm cấp nước Hòa An»") == 1
    assert "có vẻ là một" in page
    assert "chưa có số liệu" in page


def test_scan_errors_stand_beside_the_true_name():
    page = text_of(sign_in("qn.khkt").get(address("detail", "work.qn.pho-thuan")))

    assert "«Trạm Phở Thuận»" in page


def test_the_page_warns_of_a_work_above_its_design():
    page = text_of(sign_in("qn.khkt").get(address("detail", "work.qn.duc-chanh")))

    assert "2.149 hộ, thiết kế 1.400 hộ (vượt 749 hộ)" in page


def test_an_operator_out_of_scope_is_named_without_a_link_that_leads_nowhere():
    url = reverse("places:organisation", args=["org.qn.trung-tam"])
    key = "work.qn.binh-chanh"

    assert "Trung tâm Nước sạch" in text_of(sign_in("qn.binhchanh").get(address("detail", key)))
    assert url not in text_of(sign_in("qn.binhchanh").get(address("detail", key)))
    assert url in text_of(sign_in("qn.khkt").get(address("detail", key)))


def test_treatment_steps_are_shown_with_their_source():
    Work.objects.filter(subject__key=STATION).update(treatment=TreatmentTrain.objects.get(key="train.surface"))

    page = text_of(sign_in("qn.khkt").get(address("detail")))

    assert "phản ứng keo tụ" in page
    assert "#ii.4.nuoc-mat" in page


def test_the_page_of_a_work_has_a_fixed_number_of_queries():
    client = sign_in("qn.khkt")
    make_many_works(3)
    parts = Work.objects.filter(subject__key__startswith="work.many.")
    parts.filter(pk=parts.earliest("pk").pk).update(kind="SUBSCHEME", parent=get_work())
    client.get(address("detail"))
    with CaptureQueriesContext(connection) as short:
        client.get(address("detail"))
    parts.update(kind="SUBSCHEME", parent=get_work())

    with CaptureQueriesContext(connection) as long:
        page = text_of(client.get(address("detail")))

    assert "Trạm số 2" in page
    assert len(long) == len(short)


def test_places_and_organisations_show_their_works():
    person = Person.objects.get(username="quantri")

    def shown(key: str) -> list[str]:
        found = panels.list_later_for_subject(person, Subject.objects.select_related("unit").get(key=key))
        return [row.name for panel in found if panel.template.startswith("works/") for row in panel.context["rows"]]

    assert shown("org.cb.bao-lac") == ["Nhà máy nước Bảo Lạc"]
    assert shown("urban.cb.ta-lung-cu") == ["Nhà máy nước Tà Lùng"]
    assert len(shown("vn.cao-bang")) >= 10
    assert shown("org.cb.so-xay-dung") == []


def test_the_overview_is_for_the_role():
    def titles(username: str) -> list[str]:
        found = panels.list_later_overview(Person.objects.get(username=username), "standing")
        return [panel.title for panel in found if panel.template.startswith("works/")]

    assert titles("qn.binhchanh") == ["Công trình của tôi"]
    assert titles("qn.lanhdao") == ["Vượt công suất thiết kế", "Tăng khách hàng nhiều nhất theo kế hoạch 2026"]
    assert titles("doitac") == []


# --- changing a work


def form_of(client: Client, name: str, key: str = STATION) -> dict[str, object]:
    """Return what the form of the page holds when nobody has typed anything."""
    form = client.get(address(name, key)).context["form"]
    return {field: value for field, value in form.initial.items() if value not in (None, [], "")}


def test_a_new_design_is_confirmed_then_stored_and_the_figures_computed_anew():
    client = sign_in("qn.khkt")
    told = {
        **form_of(client, "record_capacity"), "kind": "DESIGN", "basis": "HOUSEHOLDS", "amount": "800",
        "from_date": "2026-01-01",
    }  # fmt: skip

    question = client.post(address("record_capacity"), told)
    assert "800 hộ từ ngày 01/01/2026, thay cho 600 hộ" in text_of(question)
    assert Capacity.objects.filter(work=get_work()).count() == 1

    done = client.post(address("record_capacity"), {**told, "confirmed": "1"}, follow=True)

    assert "Đã ghi công suất" in text_of(done)
    assert number_of("works.utilisation_planned_pct", 2026) == 375
    assert number_of("works.utilisation_households_pct", 2025) == 142
    assert Capacity.objects.get(work=get_work(), valid_to=None).recorded_by.username == "qn.khkt"


@pytest.mark.parametrize(
    ("amount", "told"),
    [("1,288.5", "không phải số"), ("10,5", "số nguyên"), ("-", "Chưa có số"), ("99999999999999", "10 chữ số")],
)
def test_a_capacity_that_is_no_number_is_refused_at_its_field(amount, told):
    client = sign_in("qn.khkt")

    response = client.post(
        address("record_capacity"),
        {**form_of(client, "record_capacity"), "kind": "DESIGN", "basis": "HOUSEHOLDS", "amount": amount},
    )

    assert response.status_code == 422
    assert told in " ".join(response.context["form"].errors["amount"])


def test_thousands_are_read_as_the_plans_write_them():
    client = sign_in("qn.khkt")
    told = {**form_of(client, "record_capacity"), "kind": "DESIGN", "basis": "HOUSEHOLDS", "from_date": "2026-01-01"}

    client.post(address("record_capacity"), {**told, "amount": "1.600", "confirmed": "1"})

    assert Capacity.objects.get(work=get_work(), valid_to=None).amount == 1600


def test_one_who_saves_after_another_is_told_and_overwrites_nothing():
    mine, theirs = sign_in("qn.khkt"), sign_in("qn.lanhdao")
    my_form, their_form = form_of(mine, "edit"), form_of(theirs, "edit")

    assert mine.post(address("edit"), {**my_form, "name": "Trạm Bình Minh mới"}).status_code == 302
    answer = theirs.post(address("edit"), {**their_form, "note": "Ghi chú của người thứ hai"})

    assert answer.status_code == 409
    assert "vừa được người khác sửa" in text_of(answer)
    work = get_work()
    assert work.subject.name == "Trạm Bình Minh mới"
    assert "người thứ hai" not in work.note


@pytest.mark.parametrize("name", CHANGES)
def test_every_form_notices_that_the_work_was_changed_meanwhile(name):
    client = sign_in("qn.khkt")
    told = {
        **form_of(client, name), "name": "x", "text": "x", "certainty": "stated", "status": "STOPPED",
        "kind": "STATION" if name == "edit" else "DESIGN", "basis": "HOUSEHOLDS", "amount": "800",
        "from_date": "2026-01-01", "confirmed": "1",
    }  # fmt: skip
    places.touch(get_work().subject)

    assert client.post(address(name), told).status_code == 409
    assert Capacity.objects.filter(work=get_work()).count() == 1
    assert get_work().status == "RUNNING"


def test_saving_the_record_keeps_where_the_work_lies_and_leaves_a_trace():
    client = sign_in("qn.khkt")

    client.post(address("edit"), {**form_of(client, "edit"), "contact_name": "Trần Văn Bình", "latitude": "15,25",
                                  "longitude": "108.76"})  # fmt: skip

    work = get_work()
    assert (work.contact_name, work.subject.latitude, work.subject.longitude) == ("Trần Văn Bình", 15.25, 108.76)
    assert [link.parent.key for link in work.subject.parent_links.filter(reason="TERRITORY", valid_to=None)]
    history = text_of(client.get(address("history")))
    assert "lưu hồ sơ công trình Trạm Bình Minh" in history
    assert "Phòng Kế hoạch" in history


def test_half_a_position_is_refused():
    client = sign_in("qn.khkt")
    told = {name: value for name, value in form_of(client, "edit").items() if name not in {"latitude", "longitude"}}

    response = client.post(address("edit"), {**told, "latitude": "15,25"})

    assert "Cần cả vĩ độ và kinh độ" in text_of(response)


def hand_over_form(client: Client, operator: Organisation, **more: str) -> dict[str, object]:
    form = {name: value for name, value in form_of(client, "hand_over").items() if name != "team"}
    return {**form, "operator": operator.pk, "from_date": "2026-03-01", **more}


@pytest.fixture
def cooperative() -> Organisation:
    province = Organisation.objects.get(subject__key="org.qn.trung-tam").territory
    return places.put_organisation(key="org.test.htx", name="Hợp tác xã Bình Minh", kind="OPERATOR", territory=province)


def test_a_hand_over_is_confirmed_and_keeps_the_history(cooperative):
    client = sign_in("quantri")
    told = hand_over_form(client, cooperative)

    question = text_of(client.post(address("hand_over"), told))
    assert "Từ ngày 01/03/2026" in question
    assert "thay «Trung tâm Nước sạch" in question

    page = text_of(client.post(address("hand_over"), {**told, "confirmed": "1"}, follow=True))
    assert "Hợp tác xã Bình Minh" in page
    assert "đến trước 01/03/2026" in page


def test_one_who_thinks_again_gets_the_form_back_as_it_was(cooperative):
    client = sign_in("quantri")

    answer = client.post(address("hand_over"), {**hand_over_form(client, cooperative), "again": "1"})

    assert 'value="2026-03-01"' in text_of(answer)
    assert WorkOperator.objects.filter(work=get_work()).count() == 1


def test_a_hand_over_that_overlaps_or_lies_ahead_is_refused(cooperative):
    client = sign_in("quantri")
    ahead = hand_over_form(client, cooperative, from_date="2199-01-01", confirmed="1")
    assert "chưa tới" in text_of(client.post(address("hand_over"), ahead))
    client.post(address("hand_over"), hand_over_form(client, cooperative, confirmed="1"))
    centre = Organisation.objects.get(subject__key="org.qn.trung-tam")

    answer = client.post(address("hand_over"), hand_over_form(client, centre, from_date="2026-02-01", confirmed="1"))

    assert "sau ngày đơn vị này bắt đầu" in text_of(answer)
    assert get_work().operator == cooperative


def test_a_team_of_another_operator_is_refused(cooperative):
    client = sign_in("quantri")
    team = Organisation.objects.get(subject__key="org.qn.tram-binh-chanh")

    answer = client.post(address("hand_over"), hand_over_form(client, cooperative, team=team.pk))

    assert "không trực thuộc" in text_of(answer)


def test_a_planner_hands_works_only_to_organisations_of_their_scope(cooperative):
    client = sign_in("qn.khkt")
    Containment.objects.filter(descendant_id=cooperative.pk, ancestor__key="org.qn.trung-tam").delete()

    answer = client.post(address("hand_over"), hand_over_form(client, cooperative, confirmed="1"))

    assert answer.status_code == 422
    assert get_work().operator.subject.key == "org.qn.trung-tam"


def test_status_names_sub_schemes_and_served_places_are_changed_on_their_pages():
    client = sign_in("qn.khkt")
    commune = Subject.objects.get(unit__parent__subject__key="vn.quang-ngai", unit__code="21040")

    def post(act: str, **told: object) -> str:
        answer = client.post(address(act), {**form_of(client, act), **told, "confirmed": "1"}, follow=True)
        assert answer.status_code == 200
        return text_of(answer)

    assert "Dừng cấp nước" in post("set_status", status="STOPPED", from_date="2026-02-01", reason="Sửa giếng khoan")
    assert "«Hệ Bình Minh»" in post("add_alias", text="Hệ Bình Minh", certainty="uncertain")
    assert commune.unit.full_name in post("set_service_areas", served=[commune.pk], from_date="2026-02-01")
    assert "Phân hệ Thôn Đông" in post("add_part", name="Phân hệ Thôn Đông", status="RUNNING")
    assert "Sửa giếng khoan" in text_of(client.get(address("detail")))


def test_a_sub_scheme_has_no_sub_schemes():
    client = sign_in("qn.khkt")
    key = "work.qn.co-luy-lang-ca"

    answer = client.post(
        address("add_part", key), {**form_of(client, "add_part", key), "name": "x", "status": "RUNNING"}
    )

    assert "đã là một phân hệ" in text_of(answer)


def test_a_planner_adds_a_work_of_their_centre():
    client = sign_in("qn.khkt")
    centre = Organisation.objects.get(subject__key="org.qn.trung-tam")
    told = {"name": "Trạm Ba Tơ", "kind": "STATION", "sector": "RURAL", "status": "BUILDING"}

    refused = client.post(reverse("works:add"), told)
    assert "Chọn đơn vị vận hành trong phạm vi" in text_of(refused)
    made = client.post(reverse("works:add"), {**told, "operator": centre.pk}, follow=True)

    assert "Đã thêm công trình «Trạm Ba Tơ»" in text_of(made)
    assert "Trạm Ba Tơ" in text_of(client.get(reverse("works:list") + "?q=tram ba to"))


def test_who_manages_the_country_chooses_the_province_first():
    client = sign_in("quantri")

    assert "Chọn tỉnh" in text_of(client.get(reverse("works:add")))
    assert "Tỉnh Cao Bằng" in text_of(client.get(reverse("works:add") + "?province=vn.cao-bang"))


# --- urban works: no households, but losses


def test_the_list_of_urban_works_shows_losses_and_status_instead_of_empty_household_columns():
    html = text_of(sign_in("cb.soxaydung").get(reverse("works:list")))

    assert "Thất thoát 2025" in html and "Tình trạng" in html
    assert "trên 15" in html and "Thấp" in html
    assert "Đấu nối 2025" not in html and "Kế hoạch 2026" not in html
    assert "Chưa có số hộ của các công trình này" in html


def test_a_list_with_rural_and_urban_works_shows_households_and_losses():
    html = text_of(sign_in("quantri").get(reverse("works:list")))

    assert "Đấu nối 2025" in html and "Thất thoát 2025" in html


def test_the_list_of_rural_works_has_no_column_of_losses():
    assert "Thất thoát 2025" not in text_of(sign_in("qn.lanhdao").get(reverse("works:list")))


def test_chart_map_and_export_tell_the_losses_of_urban_works():
    client = sign_in("cb.soxaydung")

    chart = client.get(reverse("works:chart"))
    points = client.get(reverse("works:map"))
    table = client.get(reverse("works:list"), {"export": "csv"})

    data = chart.context["losses_data"]
    assert dict(zip(data["categories"], data["series"][0]["values"], strict=True)) == {
        "≤\u00a015\u00a0%": 7, "trên 15\u00a0%": 7, "chưa có số liệu": 1,
    }  # fmt: skip
    assert "thất thoát trên 15" in text_of(points)
    text = b"".join(table.streaming_content).decode("utf-8-sig")
    assert "Thất thoát 2025" in text and "trên 15" in text


# --- the map of all


def test_works_in_scope_are_a_layer_of_the_map():
    def titles(username, **asked):
        shown = sign_in(username).get(reverse("places:map"), asked).context["layers"]
        return {point["title"] for layer in shown if layer.key == "works" for point in layer.points}

    assert "Trạm Bình Chánh" in titles("qn.lanhdao", province="vn.quang-ngai")
    assert titles("qn.lanhdao", province="vn.cao-bang") == set()
    assert "Nhà máy nước Tà Lùng" in titles("cb.soxaydung")
    assert "Trạm Bình Chánh" not in titles("cb.soxaydung")
