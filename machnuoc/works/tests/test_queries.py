"""The list of works: what is found, in what order, and that its sums are those of the plan."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from machnuoc.core.models import Person
from machnuoc.indicators import operations as indicator_operations
from machnuoc.places.models import Grant, Organisation, Subject
from machnuoc.works import operations, queries
from machnuoc.works.models import Work

pytestmark = pytest.mark.usefixtures("demo_data", "db")
TODAY = date(2026, 6, 2)


def select(username: str = "quantri", sort: str = "", **filters) -> queries.Selection:
    person = Person.objects.get(username=username)
    return queries.select(person, queries.Filters(**filters), sort, today=TODAY)


def names(selection: queries.Selection) -> list[str]:
    return [row.name for row in selection.rows]


def test_the_sums_of_the_plan_come_out_of_the_rows():
    totals = select("qn.khkt").totals

    assert (totals.works, totals.parts) == (29, 1)
    assert (totals.design, totals.connected, totals.planned, totals.growth) == (34_657, 25_330, 26_930, 1_600)
    assert totals.growth_pct == Decimal("6.32")
    assert totals.utilisation_pct == Decimal("73.1")


def test_the_sum_of_a_whole_organisation_is_its_stored_figure():
    selection = select(operator=Organisation.objects.get(subject__key="org.qn.trung-tam").pk)

    assert selection.totals.whole.key == "org.qn.trung-tam"
    stored = {name: value.number for name, value in selection.totals.values.items() if value}
    assert stored["connected"] == 25_330
    assert stored["planned"] == 26_930
    assert stored["growth"] == 1_600
    assert stored["growth_pct"] == 632


def test_the_sum_of_a_part_has_no_stored_figure():
    selection = select("qn.khkt", q="nghĩa")

    assert selection.totals.whole is None
    assert not any(selection.totals.values.values())
    assert selection.totals.connected == sum(row.connected for row in selection.roots)


def test_nghia_phu_counts_its_sub_scheme_in_and_shows_its_own_line():
    selection = select("qn.khkt", q="nghĩa phú")

    (root,) = selection.roots
    (part,) = root.parts
    assert (root.connected, root.connected_own, root.design) == (702, 425, 950)
    assert (part.name, part.connected, part.depth, part.design) == ("Cổ Lũy Làng Cá", 277, 1, None)
    assert root.utilisation_pct == Decimal("73.9")
    assert selection.totals.connected == 702


def test_a_sub_scheme_found_without_its_work_stands_alone():
    selection = select("qn.khkt", kind="SUBSCHEME")

    (row,) = selection.rows
    assert (row.name, row.depth, row.parent_name) == ("Cổ Lũy Làng Cá", 0, "Trạm Nghĩa Phú")


def test_five_stations_are_above_their_design():
    selection = select(warning=queries.ABOVE_DESIGN)

    assert sorted(row.key.removeprefix("work.qn.") for row in selection.roots) == [
        "binh-thoi", "dak-cam", "duc-chanh", "ia-chim", "pho-vinh",
    ]  # fmt: skip


def test_six_are_planned_above_their_design_and_hoa_binh_with_700_of_700_is_not():
    above = {row.name for row in select(warning=queries.ABOVE_DESIGN).roots}
    planned = {row.name for row in select(warning=queries.PLANNED_ABOVE_DESIGN).roots}

    assert planned == above | {"Trạm Đức Thắng"}
    hoa_binh = next(row for row in select().rows if row.name == "Trạm Hòa Bình")
    assert (hoa_binh.planned, hoa_binh.design_planned, hoa_binh.warnings) == (700, 700, ())


@pytest.mark.parametrize("query", ["Nước Hai", "nuoc hai", "NUOC HAI", "hòa an", "hoa an"])
def test_a_work_is_found_with_and_without_diacritics_and_by_its_second_name(query):
    assert "Trạm cấp nước Nước Hai" in names(select(q=query))


def test_filters_narrow_together():
    province = Subject.objects.get(key="vn.cao-bang").pk
    commune = Subject.objects.get(unit__parent_id=province, unit__code="01648").pk

    assert select(province=province).totals.works == 14
    assert select(province=province, kind="PLANT").totals.works == 5
    assert names(select(status="STOPPED")) == ["Công trình cấp nước thị trấn Trà Lĩnh"]
    assert select(sector="URBAN", province=Subject.objects.get(key="vn.quang-ngai").pk).roots == []
    assert {row.key for row in select(commune=commune).roots} == {"work.cb.ta-lung", "work.cb.phuc-hoa"}


def test_people_see_the_works_of_their_scope():
    assert select("qn.binhchanh").visible_count == 1
    assert select("qn.nghiaphu").visible_count == 2
    assert select("cb.baolac").visible_count == 1
    assert select("cb.soxaydung").totals.works == 14
    assert {row.key for row in select("cb.phuchoa").rows} == {"work.cb.ta-lung", "work.cb.phuc-hoa"}


def test_who_has_no_grant_sees_nothing():
    Grant.objects.filter(person__username="qn.khkt").delete()

    assert select("qn.khkt").visible_count == 0


def test_the_list_is_sorted_by_a_figure_and_what_has_none_comes_last():
    down = [row.connected for row in select(sort="-connected").roots]
    up = [row.connected for row in select(sort="connected").roots]

    known = [number for number in down if number is not None]
    assert known == sorted(known, reverse=True)
    assert down[len(known) :] == [None] * (len(down) - len(known))
    assert up[: len(known)] == sorted(known)


def test_names_are_sorted_as_vietnamese_sorts_them():
    found = names(select("qn.khkt", sort="name"))

    assert found.index("Trạm Diên Bình - Đăk Hring") < found.index("Trạm Đăk Cấm")


def test_the_plan_of_another_year_is_asked_for_by_its_year():
    selection = select("qn.khkt", plan_year=2025)

    assert (selection.plan_year, selection.year) == (2025, 2024)
    assert selection.totals.planned is None


def test_a_design_that_changes_in_the_plan_year_warns_only_for_the_plan():
    work = Work.objects.get(subject__key="work.qn.binh-minh")
    operations.record_capacity(work, kind="DESIGN", basis="HOUSEHOLDS", amount=Decimal(200), from_date=date(2026, 1, 1))
    indicator_operations.recompute_dirty(datetime(2026, 6, 2, 3, 0, tzinfo=UTC))

    row = next(row for row in select("qn.khkt").rows if row.pk == work.pk)
    assert (row.design, row.design_planned) == (600, 200)
    assert row.warnings == (queries.PLANNED_ABOVE_DESIGN,)


def test_a_point_in_the_middle_of_a_commune_is_said_to_be_one():
    rows = {row.key: row for row in select().rows}
    queries.mark_centres(rows.values(), Person.objects.get(username="quantri"))

    assert rows["work.qn.nghia-phu"].is_at_centre
    assert not rows["work.cb.song-bang"].is_at_centre


def test_works_of_a_place_lie_there_or_serve_it():
    person = Person.objects.get(username="quantri")
    area = Subject.objects.get(key="urban.cb.ta-lung-cu")

    found = {work.subject.key for work in queries.list_works_of(area, person).select_related("subject")}

    assert found == {"work.cb.ta-lung"}
