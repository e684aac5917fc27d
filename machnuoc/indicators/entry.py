"""What writes submissions: an organisation's sheet for one form and period, from draft to approved figures.

Every change of a submission counts its `version` up by one and leaves one event: so the events after a version tell
what another person did meanwhile. Comments change nothing and are not counted.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal

from django.db import transaction
from django.urls import reverse

from machnuoc.core import audit, figures, notices, units, vietnamese
from machnuoc.core.models import Person
from machnuoc.core.periods import Period, local_date
from machnuoc.indicators import entry_queries, operations
from machnuoc.indicators.entry_queries import CellKey, GridCell
from machnuoc.indicators.models import (
    EntryForm,
    Fact,
    LateException,
    Metric,
    State,
    Submission,
    SubmissionEvent,
    SubmissionLine,
)
from machnuoc.places import access
from machnuoc.places.models import Containment, Organisation

_OPEN = {Submission.Status.DRAFT, Submission.Status.RETURNED}
_UNCOUNTED = {"opened", "commented"}  # events that leave the version as it is
_NAMED_AT_MOST = 8  # cells listed one by one in a sentence
_NOTE_MAX = 300


class EntryError(ValueError):
    """An act on a submission that cannot be done; the text says why and what to do."""


class Locked(EntryError):
    """The period is closed for this organisation."""


class ChangedMeanwhile(EntryError):
    """Somebody else saved first; the text says who and what."""


class NotReady(EntryError):
    """The sheet cannot be sent yet. problems: one sentence each."""

    def __init__(self, message: str, problems: Sequence[str]) -> None:
        super().__init__(message)
        self.problems = list(problems)


@dataclass(frozen=True)
class Written:
    """What a cell shall hold. number: in the metric's unit, None is missing."""

    number: Decimal | None
    note: str = ""
    is_estimated: bool = False
    is_confirmed: bool = False
    import_batch_id: int | None = None
    import_cell: str = ""


@dataclass
class SaveResult:
    """saved: how many cells changed. errors, warnings: by cell; a cell with an error keeps what it held."""

    submission: Submission
    saved: int = 0
    errors: dict[CellKey, str] = field(default_factory=dict)
    warnings: dict[CellKey, list[str]] = field(default_factory=dict)


def _name(submission: Submission) -> str:
    period = entry_queries.period_of(submission)
    return f"«{submission.form.name}» {period.label_inside_vi} của «{submission.organisation}»"


def _lock(submission: Submission) -> Submission:
    """Read the submission again; whoever else wants to change it waits here until this transaction commits."""
    return (
        Submission.objects.select_for_update(of=("self",))
        .select_related("form", "organisation__subject", "submitted_by")
        .get(pk=submission.pk)
    )


def _require(person: Person, action: str, submission: Submission) -> None:
    access.require(person, action, submission.organisation_id, submission.form.field)


def _require_open(submission: Submission, today: date) -> None:
    """Raise EntryError if the submission is out of the writer's hands, Locked if its period is closed."""
    if submission.status == Submission.Status.SUBMITTED:
        raise EntryError(f"Biểu {_name(submission)} đang chờ duyệt. Rút lại trước khi sửa.")
    if submission.status == Submission.Status.APPROVED:
        raise EntryError(f"Biểu {_name(submission)} đã được duyệt. Đề nghị người duyệt mở lại nếu cần sửa.")
    require_unlocked(submission.form, submission.organisation, entry_queries.period_of(submission), today)


def lock_to_write(
    submission: Submission, *, by: Person, now: datetime, unsent_since: datetime | None = None
) -> Submission:
    """Return the submission, read again and locked until commit, if the person may write into it now.

    unsent_since: it must not have been sent after this moment either. Call inside a transaction.
    Raises EntryError, Locked, PermissionDenied.
    """
    submission = _lock(submission)
    _require(by, "enter", submission)
    if unsent_since is not None and submission.events.filter(what="submitted", at__gt=unsent_since).exists():
        raise EntryError(
            f"Biểu {_name(submission)} đã được nộp sau đó, nên không hoàn tác được. Sửa trực tiếp trong biểu."
        )
    _require_open(submission, local_date(now))
    return submission


def require_unlocked(form: EntryForm, organisation: Organisation, period: Period, today: date) -> None:
    """Raise Locked, naming the day and whom to ask, if the organisation may no longer enter this period."""
    if not entry_queries.is_locked(form, organisation, period, today):
        return
    approvers = [person.full_name for person in entry_queries.list_approvers(organisation, form)][:3]
    whom = ", ".join(approvers) or "lãnh đạo đơn vị cấp trên"
    locked_from = vietnamese.format_date(entry_queries.lock_date(form, period))
    raise Locked(
        f"{period.label_vi} của «{form.name}» đã khóa từ ngày {locked_from}, nên «{organisation}» không nhập hay nộp "
        f"được nữa. Đề nghị {whom} mở ngoại lệ nhập muộn, có lý do và thời hạn."
    )


def _require_version(submission: Submission, version: int | None) -> None:
    if version is None or submission.version == version:
        return
    counted = submission.events.exclude(what__in=_UNCOUNTED).select_related("person").order_by("pk")
    since = list(counted)[max(0, version - 1) :]
    told = "; ".join(
        f"{event.person.full_name} lúc {vietnamese.format_datetime(event.at)}: {event.text}" for event in since[-3:]
    )
    raise ChangedMeanwhile(
        f"Biểu {_name(submission)} vừa được người khác sửa ({told}). Nội dung của bạn chưa được lưu và không có gì "
        "bị ghi đè; xem lại các ô bên dưới rồi lưu lại."
    )


def _tell(submission: Submission, what: str, text: str, *, by: Person, now: datetime) -> None:
    """Leave an event, counting the version up unless the event changes nothing."""
    shown = text if len(text) <= 500 else text[:499] + "…"
    SubmissionEvent.objects.create(submission=submission, at=now, person=by, what=what, text=shown)
    if what not in _UNCOUNTED:
        submission.version += 1
        submission.save()


def _url(submission: Submission) -> str:
    return reverse("indicators:submission", args=[submission.pk])


def _require_reason(reason: str) -> str:
    reason = " ".join(reason.split())
    if not reason:
        raise EntryError("Cần ghi lý do, để người nhận biết phải làm gì.")
    if len(reason) > _NOTE_MAX:
        raise EntryError(f"Lý do dài quá {_NOTE_MAX} ký tự. Viết ngắn lại.")
    return reason


# --- filling in -----------------------------------------------------------------------------------------------------


@transaction.atomic
def open_submission(
    form: EntryForm,
    organisation: Organisation,
    period: Period,
    by: Person,
    now: datetime,
    *,
    is_simulated: bool = False,
) -> Submission:
    """Return the organisation's sheet for the period, begun now if it is not there yet.

    Raises EntryError (the organisation does not fill in this form, another kind of period, one that has not begun),
    Locked, PermissionDenied.
    """
    access.require(by, "enter", organisation.pk, form.field)
    if not form.organisations.filter(pk=organisation.pk).exists():
        raise EntryError(f"«{organisation}» không được giao nhập «{form.name}». Chọn biểu hoặc đơn vị khác.")
    if period.kind != form.period_kind:
        raise EntryError(
            f"«{form.name}» nhập theo {form.get_period_kind_display().lower()}, không nhập theo kỳ «{period.label_vi}»."
        )
    today = local_date(now)
    if period.start_date > today:
        raise EntryError(
            f"{period.label_vi} chưa bắt đầu (từ {vietnamese.format_date(period.start_date)}). "
            "Chọn kỳ hiện tại hoặc kỳ trước."
        )
    found = (
        Submission.objects.select_related("form", "organisation__subject")
        .filter(form=form, organisation=organisation, period_start=period.start_date)
        .first()
    )
    if found is not None:
        return found
    require_unlocked(form, organisation, period, today)
    submission, is_new = Submission.objects.get_or_create(
        form=form,
        organisation=organisation,
        period_start=period.start_date,
        defaults={"created_by": by, "created_at": now, "is_simulated": is_simulated},
    )
    if is_new:
        _tell(submission, "opened", f"mở biểu {period.label_inside_vi}", by=by, now=now)
        audit.record("indicators.submission.opened", actor=by, target=submission, form=form.key, period=period.key)
    return submission


@transaction.atomic
def save_cells(
    submission: Submission,
    cells: Mapping[CellKey, str],
    *,
    notes: Mapping[CellKey, str] | None = None,
    estimated: Iterable[CellKey] = (),
    confirmed: Iterable[CellKey] = (),
    version: int | None,
    by: Person,
    now: datetime,
) -> SaveResult:
    """Save the good ones of these cells (an empty text is missing) and return what is wrong with the others.

    cells: (metric id, subject id) → text as typed; cells not named stay as they are. confirmed: whose warnings the
    person has seen. version: what the person had on screen.
    Raises ChangedMeanwhile (nothing is saved), EntryError, Locked, PermissionDenied.
    """
    submission = _lock(submission)
    _require(by, "enter", submission)
    _require_version(submission, version)
    _require_open(submission, local_date(now))
    notes, estimated, confirmed = notes or {}, set(estimated), set(confirmed)
    grid = entry_queries.list_cells(submission)
    by_key = grid.cells()
    problems = {row.subject.pk: row.problem for row in grid.rows}
    result = SaveResult(submission)
    good: dict[CellKey, Written] = {}
    for key, text in cells.items():
        cell = by_key.get(key)
        if cell is None:
            result.errors[key] = _refuse_stranger(submission, key)
            continue
        try:
            written = _read_cell(cell, text, notes.get(key, ""), key in estimated, key in confirmed)
            if problems[key[1]] and (written.number is not None or written.note):
                raise EntryError(problems[key[1]])
            good[key] = written
        except (EntryError, vietnamese.NotANumber, operations.IndicatorsError) as reason:
            result.errors[key] = f"{cell.label}: {reason}"
    result.saved = write_cells(submission, by_key, good, by=by, now=now)
    for key, cell in entry_queries.list_cells(submission).cells().items() if good else ():
        if cell.warnings and not cell.is_confirmed:
            result.warnings[key] = cell.warnings
    return result


def _refuse_stranger(submission: Submission, key: CellKey) -> str:
    """Return why a cell is not in the sheet; what lies out of the organisation's reach is not named."""
    period = entry_queries.period_of(submission)
    held = entry_queries.list_held_subjects(submission.form, submission.organisation).filter(pk=key[1]).first()
    if held is not None and not entry_queries.is_in_force(held, period):
        return entry_queries.why_not_in_force(held, period)
    return "Ô này không có trong biểu của đơn vị. Tải lại trang rồi nhập lại."


def _read_cell(cell: GridCell, text: str, note: str, is_estimated: bool, is_confirmed: bool) -> Written:
    """Return what a typed text says. Raises NotANumber, EntryError (beyond the limits), IndicatorsError."""
    number = vietnamese.parse_number(text, integer=cell.metric.decimals == 0)
    return check_written(cell, Written(number, " ".join(note.split()), is_estimated, is_confirmed))


def check_written(cell: GridCell, written: Written) -> Written:
    """Return what the cell shall hold. Raises EntryError or IndicatorsError if it may not."""
    if len(written.note) > _NOTE_MAX:
        raise EntryError(f"ghi chú dài quá {_NOTE_MAX} ký tự. Viết ngắn lại.")
    if written.number is None:
        return replace(written, is_estimated=False, is_confirmed=False)
    operations.scale(written.number, cell.metric)
    found = entry_queries.check(cell.metric, cell.subject.name, written.number, cell.previous)
    blocking = [one.text_vi for one in found if one.blocking]
    if blocking:
        raise EntryError(" ".join(blocking))
    return written


def write_cells(
    submission: Submission,
    before: Mapping[CellKey, GridCell],
    cells: Mapping[CellKey, Written],
    *,
    by: Person,
    now: datetime,
    what: str = "saved",
    prefix: str = "",
) -> int:
    """Store cells that are known to be good, and return how many changed; with an event and an audit row if any did.

    The caller holds the submission's lock. before: the cells as they are.
    """
    lines, emptied, told = [], [], []
    for key, written in cells.items():
        cell = before[key]
        # A confirmation speaks of the number it was given for.
        same_number = written.number == cell.number
        now_held = (written.number, written.note, written.is_estimated, written.is_confirmed)
        if now_held == (cell.number, cell.note, cell.is_estimated, cell.is_confirmed):
            continue
        if not same_number:
            told.append(
                f"{cell.label}: {vietnamese.format_number(cell.number, cell.metric.decimals)} → "
                f"{vietnamese.format_number(written.number, cell.metric.decimals)}"
            )
        else:
            told.append(f"{cell.label}: ghi chú, đánh dấu")
        if written.number is None and not written.note:
            emptied.append(key)
            continue
        lines.append(
            SubmissionLine(
                submission=submission,
                metric_id=key[0],
                subject_id=key[1],
                number=None if written.number is None else operations.scale(written.number, cell.metric),
                is_estimated=written.is_estimated,
                is_confirmed=written.is_confirmed,
                note=written.note,
                import_batch_id=written.import_batch_id,
                import_cell=written.import_cell,
            )
        )
    if not told:
        return 0
    SubmissionLine.objects.bulk_create(
        lines,
        update_conflicts=True,
        unique_fields=["submission", "metric", "subject"],
        update_fields=["number", "is_estimated", "is_confirmed", "note", "import_batch", "import_cell"],
        batch_size=1000,
    )
    if emptied:
        doomed = [
            pk
            for pk, metric_id, subject_id in submission.lines.values_list("pk", "metric_id", "subject_id")
            if (metric_id, subject_id) in set(emptied)
        ]
        for start in range(0, len(doomed), 1000):
            SubmissionLine.objects.filter(pk__in=doomed[start : start + 1000]).delete()
    shown = "; ".join(told[:_NAMED_AT_MOST])
    more = f"; và {len(told) - _NAMED_AT_MOST} ô khác" if len(told) > _NAMED_AT_MOST else ""
    head = prefix or f"sửa {len(told)} ô"
    room = 500 - len(head) - len(more) - 2
    if len(shown) > room:
        shown = shown[: room - 1] + "…"
    _tell(submission, what, f"{head}: {shown}{more}", by=by, now=now)
    audit.record(f"indicators.submission.{what}", actor=by, target=submission, count=len(told))
    return len(told)


@transaction.atomic
def submit(submission: Submission, *, version: int | None, by: Person, now: datetime) -> Submission:
    """Send the sheet to be approved.

    Raises NotReady with all that is missing, out of range or not confirmed; ChangedMeanwhile, Locked, EntryError.
    """
    submission = _lock(submission)
    _require(by, "enter", submission)
    _require_version(submission, version)
    today = local_date(now)
    _require_open(submission, today)
    problems = list_problems(submission)
    if problems:
        raise NotReady(
            f"Chưa nộp được biểu {_name(submission)}: còn {len(problems)} chỗ cần xử lý. Sửa rồi nộp lại.", problems
        )
    due = entry_queries.due_date(submission.form, entry_queries.period_of(submission))
    submission.status = Submission.Status.SUBMITTED
    submission.is_late = due is not None and today > due
    submission.submitted_by, submission.submitted_at = by, now
    submission.decided_by = submission.decided_at = None
    _tell(submission, "submitted", "nộp trễ, chờ duyệt" if submission.is_late else "nộp, chờ duyệt", by=by, now=now)
    audit.record("indicators.submission.submitted", actor=by, target=submission, is_late=submission.is_late)
    approvers = entry_queries.list_approvers(submission.organisation, submission.form)
    notices.notify(
        [person for person in approvers if person.pk != by.pk],
        kind="indicators.submission",
        text=f"Biểu {_name(submission)} đã nộp{' trễ' if submission.is_late else ''}, chờ bạn duyệt.",
        url=_url(submission),
    )
    return submission


def list_problems(submission: Submission) -> list[str]:
    """Return, one sentence each, what keeps the sheet from being sent; an empty list if nothing does."""
    grid = entry_queries.list_cells(submission)
    if not any(not row.problem for row in grid.rows):
        return [
            f"«{submission.organisation}» chưa có đối tượng nào để nhập trong biểu này. Báo người quản lý khai báo."
        ]
    problems = []
    for row in grid.rows:
        if row.problem:
            problems.append(row.problem)
            continue
        for cell in row.cells:
            if cell.number is None:
                if cell.is_required and not cell.note:
                    problems.append(f"{cell.label}: chưa có số. Nhập số, hoặc ghi chú vì sao thiếu.")
                continue
            found = entry_queries.check(cell.metric, cell.subject.name, cell.number, cell.previous)
            problems += [one.text_vi for one in found if one.blocking]
            if cell.warnings and not cell.is_confirmed:
                problems.append(f"{' '.join(cell.warnings)} (Chưa đánh dấu «đã xem lại».)")
    return problems


@transaction.atomic
def withdraw(submission: Submission, *, by: Person, now: datetime) -> Submission:
    """Take the sheet back to be corrected, as long as nobody has decided. Raises EntryError, PermissionDenied."""
    submission = _lock(submission)
    _require(by, "enter", submission)
    _require_submitted(submission)
    submission.status = Submission.Status.DRAFT
    _tell(submission, "withdrawn", "rút lại để sửa", by=by, now=now)
    audit.record("indicators.submission.withdrawn", actor=by, target=submission)
    return submission


@transaction.atomic
def comment(submission: Submission, text: str, *, by: Person, now: datetime) -> None:
    """Leave a remark that everybody who sees the sheet reads. Raises EntryError (empty, too long), PermissionDenied."""
    access.require(by, "view", submission.organisation_id)
    text = " ".join(text.split())
    if not text or len(text) > 500:
        raise EntryError(
            "Ý kiến trống. Viết nội dung rồi gửi." if not text else "Ý kiến dài quá 500 ký tự. Viết ngắn lại."
        )
    SubmissionEvent.objects.create(submission=submission, at=now, person=by, what="commented", text=text)
    audit.record("indicators.submission.commented", actor=by, target=submission)
    involved = [person for person in (submission.submitted_by, submission.created_by, submission.decided_by) if person]
    notices.notify(
        [person for person in involved if person.pk != by.pk],
        kind="indicators.submission",
        text=f"{by.full_name} có ý kiến về biểu {_name(submission)}: {text}",
        url=_url(submission),
    )


# --- deciding -------------------------------------------------------------------------------------------------------


def _require_submitted(submission: Submission) -> None:
    if submission.status == Submission.Status.SUBMITTED:
        return
    decided = submission.decided_by
    if submission.status == Submission.Status.APPROVED and decided is not None:
        raise EntryError(
            f"Biểu {_name(submission)} đã được {decided.full_name} duyệt lúc "
            f"{vietnamese.format_datetime(submission.decided_at)}. Tải lại trang."
        )
    raise EntryError(f"Biểu {_name(submission)} không ở trạng thái chờ duyệt. Tải lại trang để xem trạng thái mới.")


@transaction.atomic
def approve(submission: Submission, *, version: int | None = None, by: Person, now: datetime) -> Submission:
    """Make the sheet's figures count: one fact a filled cell, and everything built on them computed anew.

    Four eyes: who sent it does not approve it. Figures of an earlier approval are superseded; those that were taken
    out of the sheet cease to hold. Raises EntryError, ChangedMeanwhile, PermissionDenied.
    """
    submission = _lock(submission)
    _require(by, "approve", submission)
    _require_submitted(submission)
    _require_version(submission, version)
    if submission.submitted_by_id == by.pk:
        raise EntryError(
            f"Bạn là người nộp biểu {_name(submission)}, nên không tự duyệt được. "
            "Chuyển cho một người có quyền duyệt khác."
        )
    problems = [row.problem for row in entry_queries.list_cells(submission).rows if row.problem]
    if problems:
        raise NotReady(f"Chưa duyệt được biểu {_name(submission)}. Trả lại để đơn vị sửa.", problems)
    stated = _state_facts(submission, by=by, now=now)
    submission.status = Submission.Status.APPROVED
    submission.decided_by, submission.decided_at = by, now
    _tell(submission, "approved", f"duyệt, {stated} số liệu có hiệu lực", by=by, now=now)
    audit.record("indicators.submission.approved", actor=by, target=submission, count=stated)
    operations.recompute_dirty(now)
    _notify_sender(submission, f"Biểu {_name(submission)} đã được {by.full_name} duyệt.", by)
    return submission


def _state_facts(submission: Submission, *, by: Person, now: datetime) -> int:
    period = entry_queries.period_of(submission)
    kept = []
    lines = submission.lines.filter(number__isnull=False).select_related("metric", "subject", "import_batch__file")
    for line in lines.order_by("pk"):
        state = State.ESTIMATED if line.is_estimated else State.APPROVED
        fact = operations.state_fact(
            metric=line.metric,
            subject=line.subject,
            period=period,
            number=figures.scale(line.number or 0, line.metric.decimals),
            state=State.SIMULATED if submission.is_simulated else state,
            note=line.note,
            submission=submission,
            import_file=line.import_batch.file if line.import_batch else None,
            import_cell=line.import_cell,
            by=submission.submitted_by,
            now=now,
            recorded_in_bulk=True,
        )
        kept.append(fact.pk)
    live = Fact.objects.filter(submission=submission, superseded_at__isnull=True).select_related("metric", "subject")
    known = set(kept)
    for fact in live:
        if fact.pk not in known:
            Fact.objects.filter(pk=fact.pk).update(superseded_at=now)
            reason = f"rút khỏi biểu: {operations.describe_place(fact.metric, period)}"
            operations.mark_dirty(fact.metric, subject=fact.subject, period=period, reason=reason)
    return len(kept)


def _notify_sender(submission: Submission, text: str, by: Person) -> None:
    sender = submission.submitted_by
    if sender is not None and sender.pk != by.pk:
        notices.notify([sender], kind="indicators.submission", text=text, url=_url(submission))


@transaction.atomic
def return_for_correction(
    submission: Submission, *, reason: str, version: int | None = None, by: Person, now: datetime
) -> Submission:
    """Send the sheet back with a reason. Raises EntryError, ChangedMeanwhile, PermissionDenied."""
    reason = _require_reason(reason)
    submission = _lock(submission)
    _require(by, "approve", submission)
    _require_submitted(submission)
    _require_version(submission, version)
    submission.status = Submission.Status.RETURNED
    submission.decided_by, submission.decided_at = by, now
    _tell(submission, "returned", reason, by=by, now=now)
    audit.record("indicators.submission.returned", actor=by, target=submission)
    _notify_sender(submission, f"Biểu {_name(submission)} bị trả lại: {reason}", by)
    return submission


@transaction.atomic
def reopen(submission: Submission, *, reason: str, by: Person, now: datetime) -> Submission:
    """Open an approved sheet again. Its figures hold until it is approved anew. Raises EntryError, PermissionDenied."""
    reason = _require_reason(reason)
    submission = _lock(submission)
    _require(by, "approve", submission)
    if submission.status != Submission.Status.APPROVED:
        raise EntryError(f"Biểu {_name(submission)} chưa được duyệt, nên không cần mở lại.")
    submission.status = Submission.Status.RETURNED
    _tell(submission, "reopened", reason, by=by, now=now)
    audit.record("indicators.submission.reopened", actor=by, target=submission)
    _notify_sender(submission, f"Biểu {_name(submission)} được mở lại để sửa: {reason}", by)
    return submission


# --- late entry -----------------------------------------------------------------------------------------------------


def may_give_late_exception(form: EntryForm, organisation: Organisation, by: Person) -> bool:
    """Return whether the person decides or administers above the organisation: nobody opens a period for themselves."""
    above = set(
        Containment.objects.filter(descendant_id=organisation.pk)
        .exclude(ancestor_id=organisation.pk)
        .values_list("ancestor_id", flat=True)
    )
    held = {*access.list_scopes(by, "approve", form.field), *access.list_scopes(by, "administer", form.field)}
    return bool(above & held)


@transaction.atomic
def give_late_exception(
    form: EntryForm,
    organisation: Organisation,
    period: Period,
    *,
    until_date: date,
    reason: str,
    by: Person,
    now: datetime,
) -> LateException:
    """Let the organisation enter a locked period until a day, that day included. Raises EntryError."""
    reason = _require_reason(reason)
    if not may_give_late_exception(form, organisation, by):
        raise EntryError(
            f"Chỉ người duyệt hoặc quản trị ở cấp trên của «{organisation}» mới mở được ngoại lệ nhập muộn. "
            "Chuyển đề nghị lên cấp trên."
        )
    if period.kind != form.period_kind or not form.organisations.filter(pk=organisation.pk).exists():
        raise EntryError(f"«{organisation}» không nhập «{form.name}» cho {period.label_inside_vi}. Chọn lại.")
    today, lock = local_date(now), entry_queries.lock_date(form, period)
    if until_date < max(today, lock):
        since = vietnamese.format_date(max(today, lock))
        raise EntryError(
            f"Ngày hết hạn phải từ {since} trở đi: {period.label_vi} của biểu này khóa từ "
            f"{vietnamese.format_date(lock)}."
        )
    given = LateException.objects.create(
        form=form,
        organisation=organisation,
        period_start=period.start_date,
        until_date=until_date,
        reason=reason,
        granted_by=by,
        granted_at=now,
    )
    audit.record(
        "indicators.late_exception.given", actor=by, target=organisation, form=form.key, period=period.key,
        until=until_date.isoformat(),
    )  # fmt: skip
    writers = Person.objects.filter(is_active=True, grants__scope__contains__descendant_id=organisation.pk).distinct()
    notices.notify(
        [person for person in writers if access.may(person, "enter", organisation.pk, form.field)],
        kind="indicators.late_exception",
        text=(
            f"{period.label_vi} của «{form.name}» được mở cho «{organisation}» đến hết "
            f"{vietnamese.format_date(until_date)}: {reason}"
        ),
        url=reverse("indicators:forms"),
    )
    return given


def describe_limits(metric: Metric) -> str:
    """Return «từ 0 đến 10.000 hộ», or an empty text for a metric without limits."""
    low, high = vietnamese.format_number(metric.minimum), vietnamese.format_number(metric.maximum)
    unit = f" {units.label(metric.unit)}".rstrip()
    if metric.minimum is not None and metric.maximum is not None:
        return f"từ {low} đến {high}{unit}"
    if metric.minimum is not None:
        return f"từ {low}{unit} trở lên"
    return f"đến {high}{unit}" if metric.maximum is not None else ""


def _form_names(keys: set[str]) -> dict[str, str]:
    return {key: f"«{name}»" for key, name in EntryForm.objects.filter(key__in=keys).values_list("key", "name")}


audit.describe("indicators.submission.opened", "mở biểu {form} kỳ {period}", form=_form_names)
audit.describe("indicators.submission.saved", "nhập {count} ô vào biểu {target}")
audit.describe("indicators.submission.imported", "nhập tệp {count} ô vào biểu {target}")
audit.describe("indicators.submission.undone", "hoàn tác nhập tệp, {count} ô của biểu {target}")
audit.describe("indicators.submission.submitted", "nộp biểu {target}")
audit.describe("indicators.submission.withdrawn", "rút lại biểu {target}")
audit.describe("indicators.submission.commented", "ghi ý kiến về biểu {target}")
audit.describe("indicators.submission.approved", "duyệt biểu {target}, {count} số liệu")
audit.describe("indicators.submission.returned", "trả lại biểu {target}")
audit.describe("indicators.submission.reopened", "mở lại biểu {target} đã duyệt")
audit.describe("indicators.late_exception.given", "mở nhập muộn kỳ {period} cho {target}, đến hết {until}")
