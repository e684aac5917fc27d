"""Made-up water works for benchmarks: operators, works, five years of monthly figures, sheets, people of each role."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from django.db import connection
from django.urls import reverse
from numpy.typing import NDArray

from machnuoc.bench import filling
from machnuoc.core import documents, notices, search
from machnuoc.core.models import Passage, Person
from machnuoc.core.periods import Period
from machnuoc.indicators import catalogue, computing, operations
from machnuoc.indicators.models import (
    EntryForm,
    EntryFormLine,
    Fact,
    FormulaVersion,
    Metric,
    State,
    Submission,
    SubmissionLine,
    Value,
)
from machnuoc.places import operations as places
from machnuoc.places.models import AdministrativeUnit, Containment, Grant, Organisation, ParentLink, Subject
from machnuoc.works import search_entries
from machnuoc.works.models import Capacity, ServiceArea, Work, WorkOperator, WorkStatus

WORKS_AN_OPERATOR = 50
FORM_MONTHS = 3  # how many months of sheets every operator has
_PEOPLE = (Grant.Role.ADMIN, Grant.Role.LEADER, Grant.Role.DEPARTMENT, Grant.Role.AGENCY)

# Measures of a work, as share of its design capacity in households, and whether a year sums its months.
_MEASURES = {
    "works.households_connected": (0.75, False),
    "works.households_design": (1.0, False),
    "works.output_m3d": (45.0, False),  # 0.45 m³ a household and day, two decimals
    "works.capacity_design_m3d": (60.0, False),
    "losses.system_input_m3": (13.0, True),
    "losses.billed_m3": (10.5, True),
}
_PLANNED = "works.households_planned"
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Country:
    """What all works share. communes: spread over the whole country."""

    communes: list[AdministrativeUnit]
    passage: Passage
    form: EntryForm
    operators: list[Organisation]


def make_country(communes: int | None, work_count: int, now: datetime) -> Country:
    """Make places, the catalogue, the operators that so many works need, a form, a document and people."""
    filling.make_places(communes)
    catalogue.load_catalogue(now)
    document = documents.put_document("bench", number="1/KH", title="Kế hoạch của phép đo", issuer="Phép đo")
    passage = documents.put_passage(document, "muc-1", "Mục I", "Nội dung dùng cho phép đo.", 0)
    units = AdministrativeUnit.objects.filter(level="COMMUNE", is_in_force=True).select_related("subject", "parent")
    chosen = list(units.order_by("pk"))
    step = max(1, len(chosen) // work_count)
    operators = [
        places.put_organisation(
            key=f"bench.operator.{number}", name=f"Đơn vị cấp nước {number}", kind=Organisation.Kind.OPERATOR,
            territory=chosen[number * step * WORKS_AN_OPERATOR % len(chosen)].parent, passage=passage,
        )
        for number in range(-(-work_count // WORKS_AN_OPERATOR))
    ]  # fmt: skip
    places.put_urban_area(key="bench.urban", name="Khu vực đô thị của phép đo", commune=chosen[0], passage=passage)
    form = EntryForm.objects.create(
        key="bench", name="Biểu của phép đo", period_kind="M", subject_kind="WORK", due_day=14
    )
    for order, key in enumerate(["works.households_connected", "losses.system_input_m3", "losses.billed_m3"]):
        EntryFormLine.objects.create(form=form, metric=Metric.objects.get(key=key), order=order)
    form.organisations.set(operators)
    operations.put_band_scheme(
        Metric.objects.get(key="works.utilisation_households_pct"), name="Mức của phép đo", levels=filling.BANDS
    )
    country = filling.get_country()
    people = [
        filling.make_person(f"bench.{role.lower()}.{number}", role, country) for role in _PEOPLE for number in (1, 2)
    ]
    people.append(filling.make_person("bench.station.1", Grant.Role.STATION, operators[0].subject))
    people.append(filling.make_person("bench.commune.1", Grant.Role.COMMUNE, chosen[0].subject))
    for number in range(40):
        notices.notify(people, kind="bench", text=f"Thông báo {number} của phép đo")
    return Country(chosen[::step], passage, form, operators)


def list_people() -> list[Person]:
    return list(Person.objects.filter(username__startswith="bench.").order_by("pk"))


def add_works(country: Country, first: int, last: int, years: int, now: datetime) -> None:
    """Add the works numbered first to last - 1 with everything about them, then compute all sums and indicators."""
    made = _make_works(country, first, last)
    draw = np.random.default_rng(filling.SEED + first)
    ids = np.array([work.pk for work in made], np.int64)
    design = draw.integers(200, 4_000, len(ids))
    _make_capacities(country, made, design.tolist())
    year_list = [filling.LAST_YEAR.shift(number - years + 1) for number in range(years)]
    metrics = {metric.key: metric for metric in Metric.objects.all()}
    for year in year_list:
        totals = {key: np.zeros(len(ids), np.int64) for key in _MEASURES}
        for month in year.split("M"):
            for key, (share, is_summed) in _MEASURES.items():
                varied = draw.uniform(0.9, 1.1, len(ids)) if "design" not in key else 1.0
                numbers = (design * share * varied).astype(np.int64)
                totals[key] = totals[key] + numbers if is_summed else numbers
                filling.store(metrics[key].pk, ids, numbers, draw, month, now)
        totals[_PLANNED] = (totals["works.households_connected"] * 1.07).astype(np.int64)
        for key, numbers in totals.items():
            facts = None
            if year == year_list[-1] and metrics[key].source == Metric.Source.ENTERED:
                facts = _make_facts(country, metrics[key], ids, numbers, year, now)
            filling.store(metrics[key].pk, ids, numbers, draw, year, now, fact_ids=facts)
    _sum_wholes([metrics[key] for key in (*_MEASURES, _PLANNED)], now)
    _compute_indicators([period for year in year_list for period in (*year.split("M"), year)], now)
    _make_sheets(country, metrics, now)


def _make_works(country: Country, first: int, last: int) -> list[Work]:
    numbers = range(first, last)
    where = [country.communes[number % len(country.communes)] for number in numbers]
    Subject.objects.bulk_create(
        [
            Subject(
                kind=Subject.Kind.WORK, key=f"bench.work.{number}", name=f"Công trình cấp nước {number}",
                latitude=unit.subject.latitude, longitude=unit.subject.longitude,
            )
            for number, unit in zip(numbers, where, strict=True)
        ],
        batch_size=500,
    )  # fmt: skip
    subjects = {subject.key: subject for subject in Subject.objects.filter(key__startswith="bench.work.")}
    made, links, closure, areas, entries = [], [], [], [], []
    above: dict[int, list[int]] = {}
    wanted = [unit.pk for unit in where] + [operator.pk for operator in country.operators]
    for descendant, ancestor in Containment.objects.filter(descendant_id__in=wanted).values_list(
        "descendant_id", "ancestor_id"
    ):
        above.setdefault(descendant, []).append(ancestor)
    for number, unit in zip(numbers, where, strict=True):
        subject = subjects[f"bench.work.{number}"]
        operator = country.operators[number // WORKS_AN_OPERATOR]
        made.append(
            Work(
                subject=subject, kind=Work.Kind.STATION, status=Work.Status.RUNNING, operator=operator,
                sector=Work.Sector.RURAL if number % 3 else Work.Sector.URBAN, passage=country.passage,
            )
        )  # fmt: skip
        links.append(ParentLink(child=subject, parent_id=unit.pk, reason=ParentLink.Reason.TERRITORY))
        links.append(ParentLink(child=subject, parent_id=operator.pk, reason=ParentLink.Reason.OPERATED_BY))
        ancestors = {subject.pk, *above[unit.pk], *above[operator.pk]}
        closure += [Containment(ancestor_id=ancestor, descendant=subject) for ancestor in ancestors]
        areas.append(ServiceArea(work_id=subject.pk, place_id=unit.pk, passage=country.passage))
        entries.append(
            search.Entry(
                search_entries.WORK, subject.pk, subject.name, reverse("works:detail", args=[subject.key]),
                text=f"{subject.name} {unit.full_name}", subtitle=operator.subject.name, subject_id=subject.pk,
            )
        )  # fmt: skip
    Work.objects.bulk_create(made, batch_size=500)
    ParentLink.objects.bulk_create(links, batch_size=500)
    Containment.objects.bulk_create(closure, batch_size=500)
    ServiceArea.objects.bulk_create(areas, batch_size=500)
    search.put_many(entries)
    WorkStatus.objects.bulk_create([WorkStatus(work=work, status=work.status) for work in made], batch_size=500)
    WorkOperator.objects.bulk_create(
        [WorkOperator(work=work, organisation=work.operator, passage=country.passage) for work in made], batch_size=500
    )
    return made


def _make_capacities(country: Country, made: list[Work], design: list[int]) -> None:
    Capacity.objects.bulk_create(
        [
            Capacity(work=work, kind=Capacity.Kind.DESIGN, basis=basis, amount=amount, passage=country.passage)
            for work, households in zip(made, design, strict=True)
            for basis, amount in ((Capacity.Basis.HOUSEHOLDS, households), (Capacity.Basis.M3D, households * 0.6))
        ],
        batch_size=500,
    )


def _make_facts(
    country: Country, metric: Metric, ids: Ids, numbers: Ids,
    period: Period, now: datetime,
) -> Ids:  # fmt: skip
    facts = [
        Fact(
            metric=metric, subject_id=subject_id, period_kind=period.kind, period_start=period.start_date,
            number=number, state=State.STATED, passage=country.passage, recorded_at=now,
        )
        for subject_id, number in zip(ids.tolist(), numbers.tolist(), strict=True)
    ]  # fmt: skip
    Fact.objects.bulk_create(facts, batch_size=500)
    return np.array([fact.pk for fact in facts], np.int64)


def _sum_wholes(metrics: list[Metric], now: datetime) -> None:
    """Sum the works' measures to operators, provinces and the country, all periods in one statement."""
    kinds = [Subject.Kind.ORGANISATION, Subject.Kind.COUNTRY]
    wholes = Subject.objects.filter(kind__in=kinds) | Subject.objects.filter(unit__level="PROVINCE")
    whole_ids = sorted(
        wholes.filter(contains__descendant__kind=Subject.Kind.WORK).values_list("pk", flat=True).distinct()
    )
    metric_ids = [metric.pk for metric in metrics]
    Value.objects.filter(metric__in=metric_ids, subject__in=whole_ids).delete()
    marks, metric_marks = ",".join(["%s"] * len(whole_ids)), ",".join(["%s"] * len(metric_ids))
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO indicators_value (metric_id, subject_id, period_kind, period_start, scenario, number, "  # noqa: S608
            "low_open, high_open, state, parts_present, parts_total, version, computed_at) "
            "SELECT metric_id, ancestor_id, period_kind, period_start, scenario, CAST(SUM(number) AS BIGINT), FALSE, "
            "FALSE, MAX(state), COUNT(*), COUNT(*), 1, MAX(computed_at) FROM indicators_value "
            "JOIN places_containment ON descendant_id = subject_id "
            f"WHERE ancestor_id IN ({marks}) AND metric_id IN ({metric_marks}) "
            "GROUP BY metric_id, ancestor_id, period_kind, period_start, scenario",
            [*whole_ids, *metric_ids],
        )


def _compute_indicators(periods: list[Period], now: datetime) -> None:
    """Compute all indicators of works anew, as after a change of every measure."""
    wanted = {
        version.metric.key: version.metric
        for version in FormulaVersion.objects.filter(metric__subject_kind=Subject.Kind.WORK).select_related("metric")
    }
    Value.objects.filter(metric__in=wanted.values()).delete()
    for period in periods:
        metrics = [metric for metric in wanted.values() if period.kind in metric.period_kinds]
        computing.compute_indicators(metrics, period, now=now, reason="phép đo")


def _make_sheets(country: Country, metrics: dict[str, Metric], now: datetime) -> None:
    """Give every operator sheets of the last months with all cells: the last one waits for approval."""
    Submission.objects.all().delete()
    person = list_people()[0]
    lines = list(EntryFormLine.objects.filter(form=country.form).select_related("metric"))
    by_operator: dict[int, list[int]] = {}
    for work_id, operator_id in Work.objects.order_by("pk").values_list("pk", "operator_id"):
        by_operator.setdefault(operator_id or 0, []).append(work_id)
    months = filling.list_months(FORM_MONTHS)
    cells = []
    for month in months:
        status = Submission.Status.SUBMITTED if month == months[-1] else Submission.Status.APPROVED
        for operator in country.operators:
            sheet = Submission.objects.create(
                form=country.form, organisation=operator, period_start=month.start_date, status=status,
                created_by=person, submitted_by=person, submitted_at=now,
            )  # fmt: skip
            cells += [
                SubmissionLine(submission=sheet, metric=line.metric, subject_id=work_id, number=1_000)
                for work_id in by_operator.get(operator.pk, [])
                for line in lines
            ]
    SubmissionLine.objects.bulk_create(cells, batch_size=500)
