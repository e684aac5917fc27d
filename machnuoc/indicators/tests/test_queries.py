"""The figures of the plans, as lists, rankings, series, warnings and changes read them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from machnuoc.core.models import Passage, Person
from machnuoc.core.periods import Period
from machnuoc.indicators import operations, panels, queries
from machnuoc.indicators.models import Fact, Metric, State, Value
from machnuoc.places.models import Subject

pytestmark = pytest.mark.usefixtures("demo_data", "db")
YEAR = Period.parse("2025")
NEXT = Period.parse("2026")


def person(username: str) -> Person:
    return Person.objects.get(username=username)


def value(key: str, subject: str, year: int, scenario: str = "A") -> Value:
    return Value.objects.select_related(*queries.SHOWN).get(
        metric__key=key, subject__key=subject, period_kind="Y", period_start__year=year, scenario=scenario
    )


def text(key: str, subject: str, year: int, scenario: str = "A") -> str:
    found = value(key, subject, year, scenario)
    return queries.as_text(found, found.metric).replace("\u00a0", " ")


@pytest.mark.parametrize(
    ("key", "year", "expected"),
    [
        ("works.households_design", 2025, "34.657 hộ"),
        ("works.households_connected", 2025, "25.330 hộ"),
        ("works.households_planned", 2026, "26.930 hộ"),
        ("works.customer_growth_planned", 2026, "1.600 hộ"),
        ("works.customer_growth_planned_pct", 2026, "6,32 %"),
        ("works.utilisation_households_pct", 2025, "73,1 %"),
        ("works.over_design", 2025, "5"),
        ("works.over_design_planned", 2026, "6"),
    ],
)
def test_the_sums_of_the_centre_come_out_of_its_29_stations(key, year, expected):
    for subject in ("org.qn.trung-tam", "vn.quang-ngai"):
        assert text(key, subject, year) == expected
        assert (value(key, subject, year).parts_present, value(key, subject, year).parts_total) == (29, 29)


def test_the_design_of_nghia_phu_serves_its_own_line_and_its_subscheme():
    assert text("works.households_connected", "work.qn.nghia-phu", 2025) == "702 hộ"
    assert text("works.households_connected", "work.qn.co-luy-lang-ca", 2025) == "277 hộ"
    assert text("works.households_design", "work.qn.nghia-phu", 2025) == "950 hộ"
    assert text("works.utilisation_households_pct", "work.qn.nghia-phu", 2025) == "73,9 %"


@pytest.mark.parametrize(
    ("key", "subject", "year", "scenario", "expected"),
    [
        ("losses.nrw_pct", "vn.cao-bang", 2025, "A", "17,9 %"),
        ("losses.nrw_pct", "vn.cao-bang", 2026, "P", "15,0 %"),
        ("losses.nrw_pct_spread", "vn.cao-bang", 2025, "A", "12–72,5 %"),
        ("losses.nrw_pct", "work.cb.tan-an", 2025, "A", "≤ 15 %"),
        ("losses.nrw_pct", "work.cb.xuan-hoa", 2025, "A", "trên 15 %"),
        ("coverage.urban_pct", "vn.cao-bang", 2025, "A", "81,9 %"),
        ("coverage.urban_pct", "vn.cao-bang", 2026, "P", "87,4 %"),
        ("coverage.urban_pct", "urban.cb.tinh-tuc", 2025, "A", "Chưa có dịch vụ"),
        ("coverage.rural_pct", "vn.quang-ngai", 2025, "A", "62,0 %"),
        ("coverage.rural_pct", "vn.quang-ngai", 2026, "P", "63,6 %"),
    ],
)
def test_figures_of_the_plans_keep_the_form_they_are_given_in(key, subject, year, scenario, expected):
    assert text(key, subject, year, scenario) == expected


def test_a_bound_has_a_band_only_where_it_lies_in_one_entirely():
    low, high = value("losses.nrw_pct", "work.cb.tan-an", 2025), value("losses.nrw_pct", "work.cb.xuan-hoa", 2025)

    assert low.band is not None and low.band.label == "Thấp"
    assert high.band is None
    assert value("losses.nrw_pct", "vn.cao-bang", 2025).band.label == "Trung bình"
    assert value("coverage.urban_pct", "vn.cao-bang", 2025).band.label == "Trung bình"


def test_bands_of_one_province_do_not_colour_another():
    assert not Value.objects.filter(subject__contained_in__ancestor__key="vn.quang-ngai", band__isnull=False).exists()


def test_what_the_text_does_not_print_has_no_figure():
    assert not Value.objects.filter(metric__key="works.utilisation_volume_pct").exists()
    assert queries.list_slices(Metric.objects.get(key="works.utilisation_volume_pct"), person("quantri")) == []


def test_five_stations_are_connected_above_design_and_six_planned():
    warnings = queries.list_warnings(person("qn.lanhdao"))
    connected = {row.value.subject.name for row in warnings if row.kind == "over_design"}
    planned = {row.value.subject.name for row in warnings if row.kind == "over_design_planned"}

    assert connected == {"Trạm Bình Thới", "Trạm Đức Chánh", "Trạm Phổ Vinh", "Trạm Đăk Cấm", "Trạm Ia Chim"}
    assert planned == connected | {"Trạm Đức Thắng"}
    first = next(row for row in warnings if row.value.subject.key == "work.qn.duc-chanh")
    assert first.severity == "danger"
    assert first.sentence.replace("\u00a0", " ") == (
        "Trạm Đức Chánh: 2.149 hộ đấu nối, vượt thiết kế 1.400 hộ (153,5 %, năm 2025)."
    )


def test_warnings_of_cao_bang_name_the_lack_of_service_and_the_bounds_above_the_good_band():
    warnings = queries.list_warnings(person("cb.soxaydung"))

    assert [row.value.subject.name for row in warnings if row.kind == "band"] == ["Tĩnh Túc"]
    assert len([row for row in warnings if row.kind == "bound"]) == 7
    assert not [row for row in warnings if row.kind.startswith("over_design")]


def test_warnings_stay_in_the_scope_of_the_reader():
    assert queries.list_warnings(person("qn.binhchanh")) == []


def test_a_figure_of_some_parts_only_is_told_with_its_coverage():
    fact = Fact.objects.get(metric__key="works.households_connected", subject__key="work.qn.binh-chanh")
    operations.withdraw_fact(fact, reason="nhập nhầm trạm", by=None, now=datetime.now(UTC))
    operations.recompute_dirty(datetime.now(UTC))

    told = [row.sentence for row in queries.list_warnings(person("qn.lanhdao")) if row.kind == "coverage"]

    assert any("mới tính trên 28/29 công trình" in sentence for sentence in told)


def test_provinces_and_the_country_are_open_to_all_and_stations_are_not():
    metric = Metric.objects.get(key="works.households_connected")
    binh_chanh = queries.list_values(metric, YEAR, "A", person("qn.binhchanh"))

    assert {row.subject.key for row in binh_chanh} == {
        "vn", "vn.quang-ngai", "work.qn.binh-chanh", "org.qn.tram-binh-chanh",
    }  # fmt: skip
    assert len(queries.list_values(metric, YEAR, "A", person("quantri"))) == 64


def test_a_ranking_puts_the_best_first_by_the_direction_of_the_metric():
    metric = Metric.objects.get(key="works.households_connected")
    rows = queries.rank(metric, YEAR, "A", person("qn.lanhdao"), level="part")

    assert rows[0].value.subject.name == "Trạm Đức Chánh"
    assert [row.place for row in rows[:3]] == [1, 2, 3]
    assert [row.value.number for row in rows] == sorted((row.value.number for row in rows), reverse=True)


def test_a_ranking_of_losses_keeps_bounds_apart_from_numbers():
    metric = Metric.objects.get(key="losses.nrw_pct")
    rows = queries.rank(metric, YEAR, "A", person("cb.soxaydung"))

    assert rows[0].value.subject.key == "vn.cao-bang" and rows[0].place == 1
    assert {row.place for row in rows[1:]} == {None}


def test_a_ranking_is_filtered_by_province_organisation_band_and_name():
    metric = Metric.objects.get(key="losses.nrw_pct")
    reader = person("quantri")
    low = Value.objects.filter(metric=metric, band__label="Thấp").first().band_id

    assert len(queries.rank(metric, YEAR, "A", reader, level="part", band=str(low))) == 7
    assert len(queries.rank(metric, YEAR, "A", reader, level="part", band="none")) == 7
    assert len(queries.rank(metric, YEAR, "A", reader, level="part", query="trung khanh")) == 2
    quang_ngai = Subject.objects.get(key="vn.quang-ngai")
    assert queries.rank(metric, YEAR, "A", reader, province=quang_ngai) == []
    company = Subject.objects.get(key="org.cb.bao-lac")
    assert len(queries.rank(metric, YEAR, "A", reader, level="part", organisation=company)) == 1


def test_a_ranking_shows_plan_and_previous_period_beside(django_assert_num_queries):
    metric = Metric.objects.get(key="coverage.urban_pct")
    operations.state_fact(
        metric=metric, subject=Subject.objects.get(key="vn.cao-bang"), period=NEXT, number=Decimal("84.0"),
        state=State.APPROVED, now=datetime.now(UTC),
    )  # fmt: skip
    operations.recompute_dirty(datetime.now(UTC))
    reader = person("quantri")
    queries.rank(metric, NEXT, "A", reader)

    with django_assert_num_queries(2):
        rows = queries.rank(metric, NEXT, "A", reader, level="province")

    assert rows[0].change == Decimal("2.1")
    assert rows[0].plan is not None and rows[0].plan.number == 874


def test_the_series_holds_what_was_done_and_what_is_planned():
    metric = Metric.objects.get(key="losses.nrw_pct")
    cao_bang = Subject.objects.get(key="vn.cao-bang")

    found = queries.series(metric, cao_bang, person("qn.binhchanh"))

    assert [(row.period_start.year, row.scenario, row.number) for row in found] == [(2025, "A", 179), (2026, "P", 150)]
    assert queries.series(metric, Subject.objects.get(key="work.cb.tan-an"), person("qn.binhchanh")) == []


def test_the_newest_figures_of_a_subject_come_with_plan_and_former_period(django_assert_num_queries):
    cao_bang = Subject.objects.get(key="vn.cao-bang")

    with django_assert_num_queries(3):
        rows = {row.metric.key: row for row in queries.latest(cao_bang)}

    assert rows["losses.nrw_pct"].value.number == 179
    assert rows["losses.nrw_pct"].plan.number == 150
    assert rows["works.households_connected" if "works.households_connected" in rows else "coverage.urban_pct"]


def test_the_catalogue_shows_the_figure_of_the_own_scope_first():
    groups = queries.list_catalogue(person("qn.binhchanh"))
    rows = {row.metric.key: row for group in groups for row in group.rows}

    assert rows["works.households_connected"].latest.subject.key == "org.qn.tram-binh-chanh"
    assert rows["coverage.rural_pct"].latest.subject.key == "vn.quang-ngai"
    assert rows["coverage.rural_pct"].plan.number is None and rows["coverage.rural_pct"].plan.low == 700
    assert rows["works.utilisation_volume_pct"].latest is None
    assert groups[0].title.startswith("Chỉ tiêu")


@pytest.mark.parametrize(("typed", "found"), [("that thoat", True), ("Thất thoát", True), ("khong co", False)])
def test_the_catalogue_is_searched_without_diacritics(typed, found):
    keys = {row.metric.key for group in queries.list_catalogue(person("quantri"), query=typed) for row in group.rows}

    assert ("losses.nrw_pct" in keys) == found


def test_changes_tell_before_and_after_with_the_reason():
    before = datetime.now(UTC) - timedelta(minutes=1)
    fact = Fact.objects.get(metric__key="works.households_connected", subject__key="work.qn.binh-chanh")
    operations.state_fact(
        metric=fact.metric, subject=fact.subject, period=YEAR, number=Decimal(1300), state=State.STATED,
        passage=Passage.objects.get(pk=fact.passage_id), now=datetime.now(UTC),
    )  # fmt: skip
    operations.recompute_dirty(datetime.now(UTC))

    changes = {row.value.subject.key: row for row in queries.changes_since(person("qn.binhchanh"), before)
               if row.value.metric_id == fact.metric_id}  # fmt: skip

    assert set(changes) == {"work.qn.binh-chanh", "org.qn.tram-binh-chanh"}
    sentence = changes["work.qn.binh-chanh"].sentence.replace("\u00a0", " ")
    assert sentence == "Hộ đấu nối của Trạm Bình Chánh, năm 2025: 1.288 hộ → 1.300 hộ"
    assert "sửa số liệu" in changes["work.qn.binh-chanh"].before.reason


def test_lists_ask_a_fixed_number_of_times(django_assert_num_queries):
    reader = person("quantri")
    queries.list_home_subject_ids(reader)

    with django_assert_num_queries(4):
        queries.list_catalogue(reader)
    with django_assert_num_queries(3):
        queries.list_warnings(reader)
    with django_assert_num_queries(1):
        queries.changes_since(reader, datetime(2020, 1, 1, tzinfo=UTC))


def report(work: str, period: Period) -> None:
    operations.state_fact(
        metric=Metric.objects.get(key="works.households_connected"), subject=Subject.objects.get(key=work),
        period=period, number=Decimal(1_300), state=State.APPROVED, now=datetime(2026, 7, 1, tzinfo=UTC),
    )  # fmt: skip
    operations.recompute_dirty(datetime(2026, 7, 1, tzinfo=UTC))


def test_the_first_station_to_report_a_year_does_not_push_out_the_sum_of_all():
    report("work.qn.binh-chanh", NEXT)
    centre, station = Subject.objects.get(key="org.qn.trung-tam"), Subject.objects.get(key="work.qn.binh-chanh")

    def newest(subject: Subject) -> Value | None:
        return next(row.value for row in queries.latest(subject) if row.metric.key == "works.households_connected")

    assert value("works.households_connected", "org.qn.trung-tam", 2026).number == 1_300
    assert newest(centre).number == 25_330
    assert newest(station).number == 1_300


def test_who_sees_a_part_of_the_country_is_not_shown_its_sum_as_their_figure():
    rows = {row.metric.key: row for group in queries.list_catalogue(person("cb.soxaydung")) for row in group.rows}

    assert rows["works.households_connected"].latest is None
    assert rows["losses.nrw_pct"].latest.subject.key == "vn.cao-bang"


def test_a_figure_of_the_country_says_how_many_of_the_works_known_here_it_is_made_of():
    rows = {row.metric.key: row for group in queries.list_catalogue(person("quantri")) for row in group.rows}

    latest = rows["works.households_connected"].latest

    assert latest.subject.kind == Subject.Kind.COUNTRY
    assert queries.coverage_text(latest) == "29/43 công trình có trong hệ thống"


def test_the_overview_tells_of_a_station_above_its_design_once():
    shown = next(
        panel for panel in panels.later_overview(person("qn.lanhdao"), "now") if panel.title == "Cảnh báo từ số liệu"
    )
    lines = shown.context["warnings"] + shown.context["rest"]
    subjects = [line["value"].subject.name for line in lines]

    assert len(lines) == 6 and len(set(subjects)) == 6
    assert sum(len(line["also"]) for line in lines) == 5
    assert lines[0]["also"][0]["sentence"].startswith("2.149 hộ theo kế hoạch")
