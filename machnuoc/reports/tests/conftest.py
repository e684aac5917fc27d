"""Reports on the loaded plans, for the tests of the flow and of what runs behind it."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from machnuoc.core.models import Person
from machnuoc.core.periods import Period
from machnuoc.indicators import operations as indicators
from machnuoc.indicators.models import Fact, Metric, State
from machnuoc.places.models import Organisation
from machnuoc.reports import operations
from machnuoc.reports.models import Report

NOW = datetime(2026, 11, 12, 3, 0, tzinfo=UTC)


@pytest.fixture
def centre() -> Organisation:
    return Organisation.objects.get(subject__key="org.qn.trung-tam")


@pytest.fixture
def writer(centre) -> Person:
    return Person.objects.get(username="qn.khkt")


@pytest.fixture
def colleague() -> Person:
    return Person.objects.get(username="qn.hcth")


@pytest.fixture
def director() -> Person:
    return Person.objects.get(username="qn.lanhdao")


@pytest.fixture
def september() -> None:
    """Give each station a simulated figure of September: ten households more than a year ago."""
    metric = Metric.objects.get(key="works.households_connected")
    stated = Fact.objects.filter(metric=metric, period_kind="Y", period_start=date(2025, 1, 1), superseded_at=None)
    for fact in stated.select_related("subject"):
        indicators.state_fact(
            metric=metric, subject=fact.subject, period=Period.parse("2026-09"), number=Decimal(fact.number + 10),
            state=State.SIMULATED, now=NOW, recorded_in_bulk=True,
        )  # fmt: skip
    indicators.recompute_dirty(NOW)


@pytest.fixture
def report(september, centre, writer) -> Report:
    return operations.prepare("qn_monthly", centre, Period.parse("2026-10"), by=writer, now=NOW)


@pytest.fixture
def issued(report, writer, director) -> Report:
    for section in report.sections.all():
        operations.save_section(section, section.suggestion or "Không có.", version=section.version, by=writer, now=NOW)
    operations.submit(report, by=writer, now=NOW)
    operations.approve(report, by=director, now=NOW)
    operations.issue(report, number="5/BC-TTNS", issued_on=date(2026, 11, 12), by=writer, now=NOW)
    return Report.objects.get(pk=report.pk)
