"""The pages of criteria programmes on the loaded plan of Khánh Hòa: what they say, to whom, in how many queries."""

from datetime import date

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from machnuoc.core.models import Person
from machnuoc.places import operations as places
from machnuoc.places.models import Grant, Organisation, Subject, Succession
from machnuoc.planning import programme_operations, programme_panels, programme_queries, rural_indicators
from machnuoc.planning.models import Assessment, Programme, RoadmapEntry, SubIndicator

pytestmark = pytest.mark.usefixtures("demo_data", "db")

PLAN = "kh.1355-2024"
PLACE = "vn.khanh-hoa-cu.khanh-son-huyen.son-binh-xa"
MOST_OF_A_PAGE = 12


@pytest.fixture
def programme() -> Programme:
    return Programme.objects.get(plan__key=PLAN)


def _client(username: str) -> Client:
    client = Client()
    client.force_login(Person.objects.get(username=username), backend="django.contrib.auth.backends.ModelBackend")
    return client


def _officer_of(key: str, role: str = Grant.Role.COMMUNE) -> Client:
    person = Person.objects.create_user(f"nguoi.{key[-12:]}", full_name="Người thử")
    places.give_grant(
        person=person, role=role, scope=Subject.objects.get(key=key), field="ALL", valid_from=date(2026, 1, 1), by=None
    )
    client = Client()
    client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
    return client


def _count(client: Client, address: str, **query: str) -> int:
    client.get(address)
    with CaptureQueriesContext(connection) as asked:
        assert client.get(address, query).status_code == 200
    return len(asked)


@pytest.mark.parametrize("name", ["detail", "matrix", "agencies", "roadmap", "mergers"])
def test_a_page_of_the_programme_asks_the_database_seldom_however_many_places_it_shows(name):
    client = _client("quantri")
    around = _count(client, reverse("planning:criteria_sets")) - 1  # what the side bar and the top bar ask

    count = _count(client, reverse(f"planning:programme_{name}", args=[PLAN]), show="all")

    assert count - around <= MOST_OF_A_PAGE


def test_the_matrix_shows_the_named_communes_with_symbol_and_words(programme):
    answer = _client("quantri").get(reverse("planning:programme_matrix", args=[PLAN])).content.decode()

    assert "Sơn Bình" in answer
    assert 'aria-label="Sơn Bình, tiêu chí 17: chưa đạt"' in answer
    assert "✗" in answer


def test_the_matrix_is_filtered_by_district_and_agency(programme):
    client = _client("quantri")
    district = Subject.objects.get(key="vn.khanh-hoa-cu.khanh-son-huyen")

    matrix = client.get(
        reverse("planning:programme_matrix", args=[PLAN]), {"district": district.pk, "agency": 4}
    ).context["matrix"]

    assert {row.district for row in matrix.rows} == {"Huyện Khánh Sơn"}
    assert {one.number for one in matrix.criteria} == {"3", "17"}  # Chi cục Thủy lợi: criterion 3 and 17.1


def test_the_matrix_goes_out_as_a_sheet(programme):
    answer = _client("quantri").get(reverse("planning:programme_matrix", args=[PLAN]), {"export": "csv"})

    lines = b"".join(answer.streaming_content).decode("utf-8-sig").splitlines()
    assert lines[0].startswith('"Xã, huyện"')
    assert any(line.startswith("Sơn Bình") for line in lines)


def test_a_cell_opens_as_a_panel_beside_the_matrix(programme):
    part = programme_operations.get_sub_indicator("xa-ntm-2021-2025", "17.1")
    address = reverse("planning:programme_cell", args=[PLAN, PLACE, part.criterion_id])

    panel = _client("quantri").get(address, headers={"HX-Request": "true"}).content.decode()

    assert "<html" not in panel
    assert "≥20% (≥10% từ hệ thống cấp nước tập trung)" in panel


def test_the_agency_sees_what_it_has_to_appraise_where_and_when(programme):
    answer = _client("kh.nongnghiep").get(reverse("planning:programme_agency", args=[PLAN, 4]))

    tasks = {(task.unit.name, task.row.number) for task in answer.context["tasks"]}
    assert ("Sơn Bình", "17.1") in tasks
    assert "muộn nhất 24/09/2024" in answer.content.decode()  # «trước ngày 25/9»


def test_a_commune_of_today_sees_the_former_communes_it_took_in_and_no_others(programme):
    former = Subject.objects.get(key=PLACE)
    today = Succession.objects.get(predecessor_id=former.pk).successor
    client = _officer_of(today.subject.key)

    assert client.get(reverse("planning:programme_unit", args=[PLAN, PLACE])).status_code == 200
    matrix = client.get(reverse("planning:programme_matrix", args=[PLAN]), {"show": "all"}).context["matrix"]
    own = set(today.predecessors.values_list("predecessor_id", flat=True))
    assert {row.unit.pk for row in matrix.rows} <= own
    other = programme.units.filter(unit__level="COMMUNE").exclude(pk__in=own).first()
    assert client.get(reverse("planning:programme_unit", args=[PLAN, other.key])).status_code == 404


def test_another_province_sees_nothing_of_the_programme():
    client = _client("qn.lanhdao")

    assert client.get(reverse("planning:programme_detail", args=[PLAN])).status_code == 404
    assert PLAN not in client.get(reverse("planning:programme_list")).content.decode()


def test_the_form_takes_parts_and_shows_the_share_that_it_computes(programme):
    part = programme_operations.get_sub_indicator("xa-ntm-2021-2025", "17.1")
    address = reverse("planning:programme_assess", args=[PLAN, PLACE, part.criterion_id]) + f"?year=2025&part={part.pk}"
    client = _client("quantri")

    form = client.get(address).content.decode()
    answer = client.post(address, {"numerator": "210", "denominator": "1000", "version": "0", "result": ""})

    assert "Tử số: số hộ dùng nước sạch" in form
    assert answer.status_code == 302
    row = Assessment.objects.get(programme=programme, unit__key=PLACE, sub_indicator=part, year=2025)
    assert (row.measured, row.result, row.assessed_by.username) == (21, "MET", "quantri")


def test_the_second_of_two_people_at_one_cell_gets_409_and_a_way_out(programme):
    part = programme_operations.get_sub_indicator("xa-ntm-2021-2025", "17.3")
    address = reverse("planning:programme_assess", args=[PLAN, PLACE, part.criterion_id]) + f"?year=2025&part={part.pk}"
    client = _client("quantri")
    client.post(address, {"result": "MET", "version": "0"})

    answer = client.post(address, {"result": "NOT_MET", "version": "0"})

    assert answer.status_code == 409
    assert "Tải bản mới" in answer.content.decode()
    assert Assessment.objects.get(programme=programme, unit__key=PLACE, sub_indicator=part, year=2025).result == "MET"


def test_the_roadmap_tells_of_what_each_printed_share_was_taken(programme):
    roadmap = programme_queries.read_roadmap(programme, "BASIC")

    bases = {year.figures.year: year.figures.base for year in roadmap.years}
    assert (bases[2014], bases[2020]) == (94, 92)
    assert roadmap.count == roadmap.total_printed.count == 76


def test_a_frozen_roadmap_is_changed_on_the_page_only_with_a_decision(programme):
    entry = RoadmapEntry.objects.filter(programme=programme, tier="BASIC", year=2024).first()
    address = reverse("planning:programme_roadmap_entry", args=[PLAN, entry.pk])
    client = _client("quantri")
    said = {"to_year": "2025", "reason": "Thiếu vốn", "version": entry.version}

    refused = client.post(address, said)
    done = client.post(address, said | {"decision": "Văn bản thử 1"})

    assert refused.status_code == 422
    assert "Lộ trình đã chốt" in refused.content.decode()
    assert done.status_code == 302
    page = client.get(reverse("planning:programme_roadmap", args=[PLAN])).content.decode()
    assert "2024 → 2025" in page and "sau khi chốt" in page


def test_the_page_of_mergers_says_what_became_of_each_commune(programme):
    rows = programme_queries.list_mergers(programme)

    communes = [row for row in rows if row.unit.unit.level == "COMMUNE"]
    assert communes and all(row.became for row in communes)
    assert next(row for row in rows if row.unit.key == PLACE).became[0].unit_name == "Xã Khánh Sơn"


def test_the_page_of_a_commune_of_today_shows_what_it_took_in():
    answer = _client("quantri").get("/dia-ban/vn.khanh-hoa.khanh-son-xa/")

    assert answer.status_code == 200


def test_the_empty_set_of_2026_is_completed_by_hand(programme):
    criterion = programme_operations.get_criterion("xa-ntm-2026-2030", "8")
    client = _client("quantri")

    client.post(
        reverse("planning:sub_indicator_form", args=[criterion.pk]),
        {"number": "8.1", "name": "Tỷ lệ hộ dùng nước sạch", "unit": "%", "entry": "RATIO", "is_verified": "on"},
    )
    part = SubIndicator.objects.get(criterion=criterion)
    client.post(
        reverse("planning:threshold_form", args=[part.pk]),
        {"comparator": "GE", "amount": "65", "commune_group": "2", "source": "thử", "valid_from": "2026-02-15"},
    )

    assert part.thresholds.get().amount == 65


def test_the_commune_officer_of_cam_tan_finds_the_sheet_of_the_six_indicators():
    organisation = Organisation.objects.get(subject__key="org.ct.ubnd-xa-cam-tan")
    client = _client("ct.camtan")

    page = client.get(reverse("indicators:forms")).content.decode()

    assert organisation.entry_forms.get().key == rural_indicators.FORM_KEY
    assert "Bộ chỉ số theo dõi - đánh giá nước sạch nông thôn" in page


def test_the_api_gives_sets_and_assessments_in_scope():
    inside, outside = _client("kh.nongnghiep"), _client("cb.phuchoa")

    found = inside.get(f"/api/v1/programmes/{PLAN}/assessments?result=NOT_MET&limit=5").json()

    assert len(found["items"]) == 5 and found["items"][0]["result"] == "NOT_MET"
    assert outside.get(f"/api/v1/programmes/{PLAN}/assessments").status_code == 404
    whole = outside.get("/api/v1/criteria-sets/xa-ntm-2021-2025").json()
    assert len(whole["criteria"]) == 19


def test_a_manager_gives_a_commune_its_group_and_the_threshold_of_that_group_holds():
    part = SubIndicator.objects.filter(criterion__criteria_set__key="xa-ntm-2021-2025", number="17.1").get()
    for group, amount in ((2, 61), (3, 42)):
        programme_operations.put_threshold(part, amount=amount, commune_group=group, valid_from=date(2026, 2, 15))
    commune = Subject.objects.get(key="vn.quang-ngai.binh-chuong-xa")

    answer = _client("quantri").post(
        reverse("planning:unit_profile", args=[commune.key]),
        {"region": "", "commune_group": "3", "valid_from": "2026-03-01", "is_verified": "on"},
    )

    assert answer.status_code == 302
    assert programme_operations.required_of(part, commune, 2026).amount == 42
    [panel] = programme_panels.for_subject(Person.objects.get(username="quantri"), commune)
    assert panel.context["said"] == ["nhóm xã 3, từ ngày 01/03/2026"]


def test_a_group_before_what_is_recorded_is_refused_and_nothing_changes():
    commune = Subject.objects.get(key="vn.quang-ngai.binh-chuong-xa")
    programme_operations.put_profile(commune, commune_group=2, valid_from=date(2026, 6, 1))

    answer = _client("quantri").post(
        reverse("planning:unit_profile", args=[commune.key]), {"commune_group": "1", "valid_from": "2026-01-01"}
    )

    assert answer.status_code == 422
    assert "đã có vùng, nhóm xã ghi từ ngày 01/06/2026" in answer.content.decode()
    assert [row.commune_group for row in programme_queries.list_profiles(commune)] == [2]


@pytest.mark.parametrize("username", ["kh.nongnghiep", "cb.phuchoa", "doitac"])
def test_who_manages_nothing_there_may_not_set_a_group(username):
    assert _client(username).get(reverse("planning:unit_profile", args=[PLACE])).status_code == 403
