"""Each kind of report on the loaded plans: what it says, that nothing is invented, that it freezes and replays."""

from datetime import date
from decimal import Decimal

import pytest

from machnuoc.core.figures import NO_FIGURE
from machnuoc.core.models import Person
from machnuoc.core.periods import Period
from machnuoc.indicators import operations as indicators
from machnuoc.indicators.models import Metric, State
from machnuoc.places.models import Grant, Organisation
from machnuoc.planning.duty_forms import REPORT_KINDS
from machnuoc.reports import kinds, layout, operations, replay, snapshot
from machnuoc.reports.models import Report
from machnuoc.reports.tests.conftest import NOW

pytestmark = pytest.mark.usefixtures("demo_data", "db")

CASES = [
    ("qn_monthly", "org.qn.trung-tam", "2026-10"),
    ("qn_quarterly", "org.qn.trung-tam", "2026-Q3"),
    ("cb_annual", "org.cb.so-xay-dung", "2026"),
    ("commune_indicators", "org.ct.ubnd-xa-cam-tan", "2026"),
    ("safe_water_half", "org.lc.so-xay-dung", "2026-H1"),
    ("safe_water_annual", "org.lc.so-xay-dung", "2026"),
    ("ntm_quarterly", "org.kh.so-xay-dung", "2025-Q3"),
]


def prepare(kind: str, organisation: str, period: str) -> Report:
    unit = Organisation.objects.select_related("subject", "parent__subject").get(subject__key=organisation)
    return operations.prepare(kind, unit, Period.parse(period), by=None, now=NOW)


def person_of(report: Report, role: str, username: str) -> Person:
    person = Person.objects.create(username=username, full_name=username)
    Grant.objects.create(person=person, role=role, scope=report.organisation.subject, valid_from=date(2020, 1, 1))
    return person


def sign(report: Report) -> snapshot.Snapshot:
    writer, director = person_of(report, "DEPARTMENT", "người viết"), person_of(report, "LEADER", "người ký")
    for section in report.sections.all():
        operations.save_section(section, section.suggestion or "Không có.", version=section.version, by=writer, now=NOW)
    receiver = report.to_organisation
    if receiver is not None and receiver.subject.valid_to is not None:
        report.refresh_from_db()
        operations.save_details(report, version=report.version, by=writer, now=NOW, to_as_printed="Cơ quan kế nhiệm")
    operations.submit(report, by=writer, now=NOW)
    return operations.approve(report, by=director, now=NOW)


def test_every_kind_that_a_duty_may_ask_for_is_there():
    assert {kind.key for kind in kinds.list_kinds()} == {key for key, _ in REPORT_KINDS if key}


@pytest.mark.parametrize(("kind", "organisation", "period"), CASES)
def test_a_report_of_each_kind_is_signed_frozen_and_replayed(kind, organisation, period):
    report = prepare(kind, organisation, period)

    taken = sign(report)

    assert replay.replay(snapshot.read(taken)).is_same
    assert snapshot.compare_with_today(taken, today=NOW.date()).is_same
    document = layout.from_data(snapshot.read(taken)["document"])
    assert document.header.type_name == "BÁO CÁO"
    assert list(document.list_tables())


@pytest.mark.parametrize(("kind", "organisation", "period"), CASES)
def test_every_figure_has_a_value_or_a_source_or_says_that_it_is_missing(kind, organisation, period):
    for figure in prepare(kind, organisation, period).figures.all():
        known = figure.value_id is not None or figure.source
        assert known or figure.display in {NO_FIGURE, "Chưa có số liệu"}, figure.key


def test_the_tables_of_cao_bang_hold_what_the_text_says_and_nothing_else():
    report = prepare("cb_annual", "org.cb.so-xay-dung", "2026")
    shown = {figure.key: figure.display for figure in report.figures.all()}

    assert shown["losses/total/before"].startswith("17,9")
    assert shown["coverage/total/before"].startswith("81,9")
    assert shown["planned/total/plan"].startswith("87,4")
    assert shown["losses/work.cb.song-bang/before"] == "≤\u00a015\u00a0% (Thấp)"
    assert shown["coverage/urban.cb.tinh-tuc/before"] == "Chưa có dịch vụ"
    assert {text for key, text in shown.items() if key.startswith("capacity/")} == {NO_FIGURE}
    assert "trên 15" in report.sections.get(key="losses").suggestion


def test_a_band_colours_its_cell_and_is_named_in_it():
    document = operations.document_of(prepare("cb_annual", "org.cb.so-xay-dung", "2026"))
    (table,) = [table for table in document.list_tables() if table.key == "losses"]

    coloured = [cell for row in table.rows for cell in row.cells if cell.severity]
    assert coloured
    assert all("(" in cell.text for cell in coloured)


def test_late_data_of_a_province_leave_its_report_and_are_told_by_the_comparison():
    report = prepare("cb_annual", "org.cb.so-xay-dung", "2026")
    taken = sign(report)

    indicators.state_fact(
        metric=Metric.objects.get(key="coverage.urban_pct"), subject=report.subject, period=Period.parse("2025"),
        number=Decimal("82.4"), state=State.APPROVED, now=NOW,
    )  # fmt: skip
    indicators.recompute_dirty(NOW)

    assert replay.replay(snapshot.read(taken)).is_same
    changed = {change.key: change.after for change in snapshot.compare_with_today(taken, today=NOW.date()).changes}
    assert changed["coverage/total/before"].startswith("82,4")


def test_a_commune_gets_its_percentages_from_what_it_entered():
    commune = Organisation.objects.get(subject__key="org.ct.ubnd-xa-cam-tan")
    for key, number in (("rural.households", 1000), ("rural.households_hygienic", 960)):
        indicators.state_fact(
            metric=Metric.objects.get(key=key), subject=commune.territory.subject, period=Period.parse("2026"),
            number=Decimal(number), state=State.APPROVED, now=NOW,
        )  # fmt: skip
    indicators.recompute_dirty(NOW)

    report = prepare("commune_indicators", "org.ct.ubnd-xa-cam-tan", "2026")

    assert report.figures.get(key="indicators/rural.hygienic_pct/now").display.startswith("96")
    assert "96" in report.sections.get(key="indicators").suggestion
    assert replay.replay(snapshot.read(sign(report))).is_same


def test_rooms_that_do_not_exist_yet_are_told_as_missing():
    report = prepare("safe_water_annual", "org.lc.so-xay-dung", "2026")

    for key in ("plans", "quality", "incidents", "rationing", "spots", "drills"):
        assert NO_FIGURE in report.sections.get(key=key).suggestion


def test_the_ntm_report_shows_printed_totals_beside_what_could_be_read():
    report = prepare("ntm_quarterly", "org.kh.so-xay-dung", "2025-Q3")
    shown = {figure.key: figure.display for figure in report.figures.all()}

    assert (shown["roadmap/basic/printed"], shown["roadmap/advanced/printed"]) == ("76", "39")
    assert shown["roadmap/model/printed"] == "11"
    assert "Sở Xây dựng" in report.sections.get(key="gaps").suggestion


def test_the_quarter_counts_the_tasks_of_each_unit():
    report = prepare("qn_quarterly", "org.qn.trung-tam", "2026-Q3")

    total = report.figures.get(key="units/total/tasks")
    assert total.raw == report.figures.get(key="tasks_total").raw
    assert report.title.endswith("quý III năm 2026")


@pytest.mark.usefixtures("september")
def test_growth_is_told_in_the_unit_of_each_target():
    report = prepare("qn_quarterly", "org.qn.trung-tam", "2026-Q3")
    added, base = (Decimal(report.figures.get(key=f"growth/total/{column}").raw) for column in ("added", "base"))
    reached = report.figures.filter(key__startswith="targets/", key__endswith="/reached").exclude(raw="")

    shown = {figure.raw: figure.display for figure in reached}
    assert str(added) in shown
    share = (100 * added / base).quantize(Decimal("0.01"))
    assert shown[str(share)].startswith(f"{share}".replace(".", ",") + "\u00a0%")
    assert replay.replay(snapshot.read(sign(report))).is_same
