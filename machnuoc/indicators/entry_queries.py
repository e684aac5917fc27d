"""What reads submissions: which rows a form has, what is owed and when, what waits for a decision."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.db.models import Count, F, OuterRef, Prefetch, Q, QuerySet, Subquery, prefetch_related_objects
from django.db.models.functions import Coalesce

from machnuoc.core import figures, units, vietnamese
from machnuoc.core.models import Person
from machnuoc.core.periods import Period, local_date
from machnuoc.indicators import entry_checks
from machnuoc.indicators.models import (
    EntryForm,
    EntryFormLine,
    Fact,
    FormulaVersion,
    LateException,
    Metric,
    Scenario,
    Submission,
    SubmissionEvent,
    SubmissionLine,
)
from machnuoc.places import access
from machnuoc.places.models import Containment, Organisation, Subject

CellKey = tuple[int, int]  # metric id, subject id
# How far back «what I owe» looks for periods that nobody has begun to fill in.
_LOOK_BACK = {"Y": 1, "H": 1, "Q": 2, "M": 3, "W": 4, "D": 7}
_OF_A_TERRITORY = {Subject.Kind.UNIT, Subject.Kind.VILLAGE, Subject.Kind.URBAN_AREA}
_OPEN = {Submission.Status.DRAFT, Submission.Status.RETURNED}
_REOPENING = ("returned", "reopened")  # events that put a sheet back into the hands of its writers


def period_of(submission: Submission) -> Period:
    return Period(submission.form.period_kind, submission.period_start)  # type: ignore[arg-type]


# --- times ----------------------------------------------------------------------------------------------------------


def due_date(form: EntryForm, period: Period) -> date | None:
    """Return the last day on which a submission is in time: the form's day of the month after; None without one."""
    if form.due_day is None:
        return None
    if period.kind in {"W", "D"}:
        return period.end_date + timedelta(days=form.due_day - 1)
    month = Period.containing(period.end_date, "M")
    return min(period.end_date + timedelta(days=form.due_day - 1), month.end_date - timedelta(days=1))


def lock_date(form: EntryForm, period: Period) -> date:
    """Return the first day on which the period is locked."""
    return period.end_date + timedelta(days=form.lock_after_days)


def find_exception(form: EntryForm, organisation: Organisation, period: Period, today: date) -> LateException | None:
    """Return the leave to enter late that still holds (its last day included)."""
    return (
        LateException.objects.filter(
            form=form, organisation=organisation, period_start=period.start_date, until_date__gte=today
        )
        .order_by("-until_date")
        .first()
    )


def is_locked(form: EntryForm, organisation: Organisation, period: Period, today: date) -> bool:
    return today >= lock_date(form, period) and find_exception(form, organisation, period, today) is None


# --- rows -----------------------------------------------------------------------------------------------------------


def list_held_subjects(form: EntryForm, organisation: Organisation) -> QuerySet[Subject]:
    """Return the subjects that the organisation reports in this form, ended ones too.

    It is what the organisation contains (for places: what its territory contains), less what an organisation below it
    reports itself: each subject stands in one organisation's sheet.
    """
    roots = [organisation.pk]
    if form.subject_kind in _OF_A_TERRITORY and organisation.territory_id:
        roots.append(organisation.territory_id)
    subjects = Subject.objects.filter(
        kind=form.subject_kind, pk__in=Containment.objects.filter(ancestor_id__in=roots).values("descendant_id")
    )
    below = (
        form.organisations.filter(subject__contained_in__ancestor_id=organisation.pk)
        .exclude(pk=organisation.pk)
        .values_list("pk", "territory_id")
    )
    taken = {root for pair in below for root in pair[: 2 if form.subject_kind in _OF_A_TERRITORY else 1] if root}
    if taken:
        subjects = subjects.exclude(pk__in=Containment.objects.filter(ancestor_id__in=taken).values("descendant_id"))
    return subjects.order_by("name", "pk")


def is_in_force(subject: Subject, period: Period) -> bool:
    """Return whether the subject existed on some day of the period."""
    begun = subject.valid_from is None or subject.valid_from < period.end_date
    return begun and (subject.valid_to is None or subject.valid_to > period.start_date)


def why_not_in_force(subject: Subject, period: Period) -> str:
    """Return the sentence that refuses a figure for a subject that did not exist in the period."""
    kind = subject.get_kind_display()
    if subject.valid_to is not None and subject.valid_to <= period.start_date:
        return (
            f"{kind} «{subject.name}» đã hết hiệu lực từ {vietnamese.format_date(subject.valid_to)}, nên không nhận số "
            f"liệu {period.label_vi}. Bỏ dòng này, hoặc báo người quản lý nếu ngày hết hiệu lực chưa đúng."
        )
    return (
        f"{kind} «{subject.name}» chưa có hiệu lực trong {period.label_vi} "
        f"(bắt đầu từ {vietnamese.format_date(subject.valid_from)}). Bỏ dòng này hoặc chọn lại kỳ."
    )


# --- the grid -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GridColumn:
    metric: Metric
    is_required: bool
    total: Decimal | None = None  # of the filled cells; None where figures of this kind are not added

    @property
    def unit(self) -> str:
        return units.label(self.metric.unit)

    @property
    def title(self) -> str:
        return f"{self.metric.short_name} ({self.unit})" if self.unit else self.metric.short_name

    @property
    def total_text(self) -> str:
        return "" if self.total is None else vietnamese.format_number(self.total, self.metric.decimals)


@dataclass
class GridCell:
    """One cell: what is typed, and what it is held against. Numbers are in the metric's unit."""

    metric: Metric
    subject: Subject
    is_required: bool
    number: Decimal | None = None
    is_estimated: bool = False
    is_confirmed: bool = False
    note: str = ""
    approved: Decimal | None = None
    previous: Decimal | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def key(self) -> CellKey:
        return (self.metric.pk, self.subject.pk)

    @property
    def name(self) -> str:
        """The input's name in the page's form."""
        return f"{self.metric.pk}-{self.subject.pk}"

    @property
    def label(self) -> str:
        return f"{self.subject.name} · {self.metric.short_name}"

    @property
    def text(self) -> str:
        return "" if self.number is None else vietnamese.format_number(self.number, self.metric.decimals)

    @property
    def previous_text(self) -> str:
        return vietnamese.format_number(self.previous, self.metric.decimals)

    @property
    def change_text(self) -> str:
        """«+5 (+1,2 %)» against the period before; empty without both."""
        if self.number is None or self.previous is None:
            return ""
        change = self.number - self.previous
        text = ("+" if change > 0 else "") + vietnamese.format_number(change, self.metric.decimals)
        if self.previous and change:
            pct = vietnamese.round_half_up(change * 100 / abs(self.previous), 1)
            text += f" ({'+' if pct > 0 else ''}{vietnamese.format_percent(pct)})"
        return text

    @property
    def state(self) -> str:
        """What the cell holds, as one text: the page sends it back, so that only what a person changed is saved."""
        return f"{self.text}|{int(self.is_estimated)}{int(self.is_confirmed)}|{self.note}"


@dataclass
class GridRow:
    subject: Subject
    cells: list[GridCell]
    problem: str = ""  # why the row takes no figures (ended, or no longer held)


@dataclass
class Grid:
    submission: Submission
    period: Period
    columns: list[GridColumn]
    rows: list[GridRow]

    def cells(self) -> dict[CellKey, GridCell]:
        return {cell.key: cell for row in self.rows for cell in row.cells}


def list_cells(submission: Submission) -> Grid:
    """Return the sheet of a submission: rows are the subjects it may state, columns the form's measures.

    Ended subjects stand there only if the submission holds figures for them. Takes the same number of queries whatever
    the number of rows.
    """
    form, organisation, period = submission.form, submission.organisation, period_of(submission)
    form_lines = list(EntryFormLine.objects.filter(form=form).select_related("metric"))
    metrics = [line.metric for line in form_lines]
    stored = {(line.metric_id, line.subject_id): line for line in submission.lines.select_related("subject")}
    held = {subject.pk: subject for subject in list_held_subjects(form, organisation)}
    approved, previous = read_facts(metrics, period, organisation), read_previous(submission, metrics)
    subjects = [s for s in held.values() if is_in_force(s, period) or any(s.pk == key[1] for key in stored)]
    strangers = {line.subject_id: line.subject for line in stored.values() if line.subject_id not in held}
    ratios = _list_ratios({metric.key: metric for metric in metrics})
    rows = []
    for subject in [*subjects, *strangers.values()]:
        row = GridRow(subject, [], problem="")
        if subject.pk in strangers:
            row.problem = (
                f"«{subject.name}» không còn thuộc «{organisation}» trong biểu này. Xóa số ở dòng này rồi lưu lại."
            )
        elif not is_in_force(subject, period):
            row.problem = why_not_in_force(subject, period)
        for form_line in form_lines:
            metric, key = form_line.metric, (form_line.metric_id, subject.pk)
            line = stored.get(key)
            cell = GridCell(
                metric, subject, form_line.is_required, approved=approved.get(key), previous=previous.get(key)
            )
            if line is not None:
                cell.number = None if line.number is None else figures.scale(line.number, metric.decimals)
                cell.is_estimated, cell.is_confirmed, cell.note = line.is_estimated, line.is_confirmed, line.note
            row.cells.append(cell)
        for cell in row.cells:
            cell.warnings = list_warnings(cell)
        _add_ratio_warnings(row, ratios)
        rows.append(row)
    columns = [
        GridColumn(line.metric, line.is_required, _total(line.metric, rows, position))
        for position, line in enumerate(form_lines)
    ]
    return Grid(submission, period, columns, rows)


def _total(metric: Metric, rows: list[GridRow], position: int) -> Decimal | None:
    numbers = [row.cells[position].number for row in rows]
    present = [number for number in numbers if number is not None]
    return sum(present, Decimal(0)) if metric.parts_how == Metric.PartsHow.SUM and present else None


def list_warnings(cell: GridCell) -> list[str]:
    """Return what a person must confirm about a cell before it is sent."""
    return [
        found.text_vi
        for found in check(cell.metric, cell.subject.name, cell.number, cell.previous)
        if not found.blocking
    ]


def check(
    metric: Metric, subject_name: str, number: Decimal | None, previous: Decimal | None
) -> list[entry_checks.EntryWarning]:
    return entry_checks.check_entry(
        number,
        minimum=metric.minimum,
        maximum=metric.maximum,
        previous=previous,
        max_change_pct=metric.max_change_pct,
        name_vi=f"{metric.short_name} của {subject_name}",
        unit_vi=units.label(metric.unit),
    )


def _list_ratios(by_key: dict[str, Metric]) -> list[tuple[int, int]]:
    """Return the pairs (part, whole) of measures in the form of which some indicator takes the percentage.

    Of «whole - part» over «whole», as losses are, the part may not be larger either: more water billed than let in.
    """
    pairs = []
    for version in FormulaVersion.objects.filter(valid_to__isnull=True, factor=100, denominator__in=by_key):
        part = version.numerator.removeprefix(f"{version.denominator} - ").strip()
        if part in by_key:
            pairs.append((by_key[part].pk, by_key[version.denominator].pk))
    return pairs


def _add_ratio_warnings(row: GridRow, ratios: Iterable[tuple[int, int]]) -> None:
    by_metric = {cell.metric.pk: cell for cell in row.cells}
    for part_id, whole_id in ratios:
        part, whole = by_metric[part_id], by_metric[whole_id]
        found = entry_checks.check_parts(
            part.number,
            whole.number,
            numerator_vi=f"{part.metric.short_name} của {row.subject.name}",
            denominator_vi=whole.metric.short_name.lower(),
            unit_vi=units.label(part.metric.unit),
        )
        part.warnings += [warning.text_vi for warning in found]


def read_facts(metrics: Iterable[Metric], period: Period, organisation: Organisation | None) -> dict[CellKey, Decimal]:
    """Return the numbers in force of one period, by cell; of the organisation's subjects, or of all."""
    decimals = {metric.pk: metric.decimals for metric in metrics}
    facts = Fact.objects.filter(
        metric_id__in=decimals, period_kind=period.kind, period_start=period.start_date, scenario=Scenario.ACTUAL,
        superseded_at__isnull=True, number__isnull=False,
    )  # fmt: skip
    if organisation is not None:
        roots = [root for root in (organisation.pk, organisation.territory_id) if root]
        facts = facts.filter(subject_id__in=Containment.objects.filter(ancestor_id__in=roots).values("descendant_id"))
    return {
        (metric_id, subject_id): figures.scale(number, decimals[metric_id])
        for metric_id, subject_id, number in facts.values_list("metric_id", "subject_id", "number")
        if number is not None
    }


def read_previous(submission: Submission, metrics: Iterable[Metric]) -> dict[CellKey, Decimal]:
    """Return the numbers of the period before: those sent and not yet decided, then those in force."""
    metrics = list(metrics)
    decimals = {metric.pk: metric.decimals for metric in metrics}
    before = period_of(submission).previous
    sent = SubmissionLine.objects.filter(
        submission__form=submission.form,
        submission__organisation=submission.organisation,
        submission__period_start=before.start_date,
        submission__status=Submission.Status.SUBMITTED,
        number__isnull=False,
    ).values_list("metric_id", "subject_id", "number")
    found = {
        (metric_id, subject_id): figures.scale(number, decimals[metric_id])
        for metric_id, subject_id, number in sent
        if metric_id in decimals and number is not None
    }
    return {**found, **read_facts(metrics, before, submission.organisation)}


# --- who owes what --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Owed:
    """One sheet of one period that an organisation owes, begun or not."""

    form: EntryForm
    organisation: Organisation
    period: Period
    submission: Submission | None
    due_date: date | None
    lock_date: date
    is_late: bool  # past its day and not sent
    is_locked: bool
    returned_reason: str = ""

    @property
    def status(self) -> str:
        return self.submission.status if self.submission else ""


Fillable = list[tuple[EntryForm, list[Organisation]]]


def list_owed(person: Person, now: datetime, *, fillable: Fillable | None = None) -> list[Owed]:
    """Return the sheets that the person's organisations owe, late ones first: recent periods, and whatever is open.

    fillable: what list_fillable says of the person, where the caller has it already.
    """
    today = local_date(now)
    fillable = list_fillable(person) if fillable is None else fillable
    pairs = [(form, organisation) for form, organisations in fillable for organisation in organisations]
    allowed = {(form.pk, organisation.pk) for form, organisation in pairs}
    known = {
        (row.form_id, row.organisation_id, row.period_start): row
        for row in Submission.objects.filter(form__in={form.pk for form, _ in pairs})
        .select_related("form", "organisation__subject")
        .prefetch_related(Prefetch("events", SubmissionEvent.objects.filter(what__in=_REOPENING)))
        .filter(Q(status__in=[*_OPEN, Submission.Status.SUBMITTED]) | Q(period_start__gte=today - timedelta(days=800)))
        if (row.form_id, row.organisation_id) in allowed
    }
    leaves = set(
        LateException.objects.filter(form__in={form.pk for form, _ in pairs}, until_date__gte=today).values_list(
            "form_id", "organisation_id", "period_start"
        )
    )
    found = []
    for form, organisation in pairs:
        current = Period.containing(today, form.period_kind)  # type: ignore[arg-type]
        wanted = {current.shift(-back) for back in range(_LOOK_BACK[form.period_kind] + 1)}
        wanted |= {
            Period(form.period_kind, start)  # type: ignore[arg-type]
            for (form_id, organisation_id, start), row in known.items()
            if (form_id, organisation_id) == (form.pk, organisation.pk) and row.status in _OPEN
        }
        wanted |= {
            Period(form.period_kind, start)  # type: ignore[arg-type]
            for form_id, organisation_id, start in leaves
            if (form_id, organisation_id) == (form.pk, organisation.pk)
        }
        for period in wanted:
            submission = known.get((form.pk, organisation.pk, period.start_date))
            due, lock = due_date(form, period), lock_date(form, period)
            is_open = submission is None or submission.status in _OPEN
            reason = ""
            if submission is not None and submission.status == Submission.Status.RETURNED:
                reason = next((event.text for event in reversed(submission.events.all())), "")
            found.append(
                Owed(
                    form, organisation, period, submission, due, lock,
                    is_late=is_open and due is not None and today > due,
                    is_locked=is_open
                    and today >= lock
                    and (form.pk, organisation.pk, period.start_date) not in leaves,
                    returned_reason=reason,
                )
            )  # fmt: skip
    return sorted(found, key=_urgency)


def _urgency(owed: Owed) -> tuple[object, ...]:
    is_open = owed.status in {"", *_OPEN}
    rank = 4 if not is_open else 3 if owed.is_locked else 0 if owed.status == "RETURNED" else 1 if owed.is_late else 2
    return (rank, owed.due_date or owed.lock_date, owed.form.name, str(owed.organisation), owed.period.start_date)


def _with_organisations(forms: list[EntryForm]) -> list[EntryForm]:
    if forms:
        prefetch_related_objects(forms, Prefetch("organisations", Organisation.objects.select_related("subject")))
    return forms


def _enterable(person: Person, fields: Iterable[str], action: str = "enter") -> dict[str, set[int]]:
    """Return, for each field, the ids of the organisations on which the person holds the action."""
    scopes = {name: tuple(access.list_scopes(person, action, name)) for name in fields}
    reached = {  # most people hold the same scopes in every field
        roots: set(
            Organisation.objects.filter(
                entry_forms__isnull=False,
                pk__in=Containment.objects.filter(ancestor_id__in=roots).values("descendant_id"),
            ).values_list("pk", flat=True)
        )
        for roots in set(scopes.values())
    }
    return {name: reached[roots] for name, roots in scopes.items()}


def list_fillable(person: Person) -> Fillable:
    """Return the forms that the person may fill in, each with the organisations it is filled in for."""
    forms = _with_organisations(list(EntryForm.objects.order_by("name")))
    reach = _enterable(person, {form.field for form in forms})
    chosen = [
        (form, sorted((o for o in form.organisations.all() if o.pk in reach[form.field]), key=str)) for form in forms
    ]
    return [(form, organisations) for form, organisations in chosen if organisations]


def list_visible(person: Person) -> QuerySet[Submission]:
    return Submission.objects.filter(organisation_id__in=access.visible_subject_ids(person)).select_related(
        "form", "organisation__subject", "submitted_by", "decided_by"
    )


def list_queue(person: Person) -> QuerySet[Submission]:
    """Return what waits for the person's decision, the oldest first, each with how many figures ask for a look.

    warnings: figures that were confirmed in spite of a warning, estimated or left out. figures: cells filled in.
    """
    fields = set(EntryForm.objects.values_list("field", flat=True))
    in_scope = Q(pk__in=[])
    for name in fields:
        in_scope |= Q(form__field=name, organisation_id__in=access.visible_subject_ids(person, "approve", name))
    asks = Q(is_confirmed=True) | Q(is_estimated=True) | Q(number__isnull=True, note__gt="")
    return (
        Submission.objects.filter(in_scope, status=Submission.Status.SUBMITTED)
        .select_related("form", "organisation__subject", "submitted_by")
        .annotate(figures=_count_lines(Q(number__isnull=False)), warnings=_count_lines(asks))
        .order_by(F("submitted_at").asc(nulls_last=True), "pk")
    )


def _count_lines(wanted: Q) -> Coalesce:
    """Count a submission's lines by themselves: joined, each would carry the whole submission through the grouping."""
    lines = SubmissionLine.objects.filter(wanted, submission=OuterRef("pk")).order_by().values("submission")
    return Coalesce(Subquery(lines.annotate(count=Count("pk")).values("count")), 0)


def list_approvers(organisation: Organisation, form: EntryForm) -> list[Person]:
    """Return who may approve what the organisation sends in this form."""
    candidates = (
        Person.objects.filter(is_active=True, grants__scope__contains__descendant_id=organisation.pk)
        .distinct()
        .order_by("full_name")
    )
    return [person for person in candidates if access.may(person, "approve", organisation.pk, form.field)]
