"""What writes reports: prepared, completed by people, checked, signed, numbered, sent, confirmed, corrected.

Each act is one transaction with its event and audit row. A figure is frozen when the report is approved; from then on
the snapshot speaks, and nothing in the report changes but number, date and what became of it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, Literal

from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.urls import reverse

from machnuoc.core import audit, files, jobs, notices, periods
from machnuoc.core.figures import NO_FIGURE
from machnuoc.core.models import Person, StoredFile
from machnuoc.core.periods import Period
from machnuoc.indicators.models import State, Value
from machnuoc.places.models import AdministrativeUnit, Grant, Organisation, Subject
from machnuoc.planning import duty_operations, visibility
from machnuoc.planning.models import Duty, DutyInstance, Plan
from machnuoc.reports import (
    delivery,
    docx_writer,
    kinds,
    layout,
    report_search,
    snapshot,
    word_templates,
    wordml,
    xlsx_writer,
)
from machnuoc.reports.errors import BadTemplate, ChangedMeanwhile, NotNow, ReportsError
from machnuoc.reports.kinds import Context, Figure, Gathered, Kind, Material, Shown
from machnuoc.reports.models import (
    Delivery,
    Report,
    ReportEvent,
    ReportFigure,
    ReportSection,
    ReportTemplate,
    Snapshot,
)

audit.describe("reports.report.prepared", "lập báo cáo {target}")
audit.describe("reports.report.refreshed", "làm mới số liệu báo cáo {target}")
audit.describe("reports.report.detailed", "sửa thông tin đầu và cuối báo cáo {target}")
audit.describe("reports.section.saved", "viết mục «{section}» của báo cáo {target}")
audit.describe("reports.section.read", "đọc và giữ gợi ý mục «{section}» của báo cáo {target}")
audit.describe("reports.report.submitted", "trình ký báo cáo {target}")
audit.describe("reports.report.returned", "trả lại báo cáo {target}")
audit.describe("reports.report.approved", "ký duyệt và đóng băng báo cáo {target}")
audit.describe("reports.report.issued", "vào sổ báo cáo {target}: {number}")
audit.describe("reports.report.sent", "gửi báo cáo {target} ({channel})")
audit.describe("reports.report.received", "ghi nhận xác nhận đã nhận báo cáo {target}")
audit.describe("reports.report.corrected", "lập báo cáo đính chính cho {target}")
audit.describe("reports.report.discarded", "xóa bản nháp báo cáo #{report}")
audit.describe(
    "reports.template.uploaded", "tải lên mẫu Word {kind}, phiên bản {version}",
    kind=lambda keys: {kind.key: f"«{kind.name}»" for kind in kinds.list_kinds() if kind.key in keys},
)  # fmt: skip

OPEN = frozenset({Report.State.DRAFT, Report.State.RETURNED})
FROZEN = frozenset({Report.State.APPROVED, Report.State.ISSUED, Report.State.SENT, Report.State.RECEIVED})

_TEMPLATE_TRIES = 3
_CAPACITIES = {
    Organisation.Kind.AUTHORITY: "TM. ỦY BAN NHÂN DÂN\nCHỦ TỊCH",
    Organisation.Kind.AGENCY: "GIÁM ĐỐC",
    Organisation.Kind.CENTRE: "GIÁM ĐỐC",
    Organisation.Kind.OPERATOR: "GIÁM ĐỐC",
    Organisation.Kind.DEPARTMENT: "TRƯỞNG PHÒNG",
    Organisation.Kind.STATION: "TRẠM TRƯỞNG",
}


# --- preparing --------------------------------------------------------------------------------------------------


@transaction.atomic
def prepare(
    kind_key: str,
    organisation: Organisation,
    period: Period,
    *,
    by: Person | None,
    now: datetime,
    instance: DutyInstance | None = None,
    plan: Plan | None = None,
    corrects: Report | None = None,
) -> Report:
    """Make the draft of a report with its figures and suggested sentences, whole or not at all. Idempotent.

    A report of this kind, organisation and period that is there already is returned as it is. Raises ReportsError.
    """
    kind = kinds.get_kind(kind_key)
    if period.kind != kind.period_kind:
        raise ReportsError(f"«{kind.name}» không lập theo kỳ «{period.label_vi}». Chọn kỳ khác.")
    _lock_book(organisation)
    if corrects is None:
        existing = Report.objects.filter(
            kind=kind.key, organisation=organisation, period_kind=period.kind, period_start=period.start_date,
            corrects__isnull=True,
        ).first()  # fmt: skip
        if existing is not None:
            if instance is not None and existing.instance_id is None:
                existing.instance = instance
                existing.save(update_fields=["instance"])
            return existing
    if plan is None:
        plan = instance.duty.plan if instance is not None else Plan.objects.filter(key=kind.plan_key).first()
    subject = _subject_of(organisation, plan)
    context = Context(organisation, subject, period, plan, periods.local_date(now))
    report = Report.objects.create(
        kind=kind.key, title=f"{kind.name} {period.label_inside_vi}", organisation=organisation, subject=subject,
        plan=plan, instance=instance, to_as_printed="", period_kind=period.kind, period_start=period.start_date,
        template=_template_of(kind), corrects=corrects, place_name=place_name_of(organisation), made_by=by, made_at=now,
        signer_capacity=_CAPACITIES.get(Organisation.Kind(organisation.kind), "THỦ TRƯỞNG ĐƠN VỊ"),
    )  # fmt: skip
    gathered = kind.gather(context)
    report.title = gathered.title or report.title
    report.to_as_printed = gathered.addressee or (instance.duty.to_as_printed if instance is not None else "")
    report.to_organisation = gathered.to_organisation or (
        instance.duty.to_organisation if instance is not None else None
    )
    report.recipients = "\n".join(gathered.recipients or ("Như trên", "Lưu: VT"))
    report.signer_capacity = gathered.signer_capacity or report.signer_capacity
    report.is_simulated = _is_simulated(gathered)
    report.save()
    _put_figures(report, gathered)
    _put_sections(report, gathered)
    report_search.put_reports([report])
    _tell(report, by, now, "prepared", f"{len(gathered.figures)} số liệu, {len(kind.list_text_sections())} mục")
    audit.record("reports.report.prepared", actor=by, target=report, kind=kind.key, period=period.key)
    return report


def _put_sections(report: Report, gathered: kinds.Gathered) -> None:
    """Give the report the sections of its kind that it has not got, with what is suggested for them."""
    held = {section.key: section for section in report.sections.all()}
    for order, section in enumerate(kinds.get_kind(report.kind).list_text_sections()):
        if section.key not in held:
            ReportSection.objects.create(
                report=report, key=section.key, order=order, title=section.title,
                suggestion=gathered.suggestions.get(section.key, ""),
            )  # fmt: skip
        elif held[section.key].order != order:
            ReportSection.objects.filter(pk=held[section.key].pk).update(order=order)


def context_of(report: Report, today: date) -> Context:
    return Context(report.organisation, report.subject, period_of(report), report.plan, today)


def period_of(report: Report) -> Period:
    return Period(report.period_kind, report.period_start)  # type: ignore[arg-type]


@transaction.atomic
def refresh_figures(report: Report, *, version: int | None = None, by: Person | None, now: datetime) -> Report:
    """Read all figures anew and suggest anew. Text that people wrote stays, but asks to be read again where the
    suggestion has changed.

    Raises NotNow once the report is submitted, ChangedMeanwhile, PermissionDenied.
    """
    _require(by, "enter", report)
    report = _lock(report, version)
    _require_open(report)
    gathered = kinds.get_kind(report.kind).gather(context_of(report, periods.local_date(now)))
    report.figures.all().delete()
    _put_figures(report, gathered)
    report.is_simulated = _is_simulated(gathered)
    _bump(report)
    _put_sections(report, gathered)
    for section in report.sections.select_for_update():
        fresh = gathered.suggestions.get(section.key, "")
        if fresh == section.suggestion:
            continue
        if section.text == section.suggestion:
            section.text = ""
        section.suggestion, section.read_by, section.read_at = fresh, None, None
        section.version += 1
        section.save()
    _tell(report, by, now, "refreshed", f"{len(gathered.figures)} số liệu")
    audit.record("reports.report.refreshed", actor=by, target=report, count=len(gathered.figures))
    return report


@transaction.atomic
def save_section(section: ReportSection, text: str, *, version: int, by: Person, now: datetime) -> ReportSection:
    """Keep what a person wrote (and so has read). Empty text goes back to the suggestion, unread.

    Raises ChangedMeanwhile if somebody saved this section since it was opened, NotNow, PermissionDenied.
    """
    _require(by, "enter", section.report)
    report = _lock(section.report, None)
    _require_open(report)
    row = _lock_section(section, version)
    row.text = _clean(text, SECTION_MAX_CHARS, f"Mục «{row.title}»")
    row.read_by, row.read_at = (by, now) if row.text else (None, None)
    row.version += 1
    row.save()
    _bump(report)
    audit.record("reports.section.saved", actor=by, target=report, section=row.title)
    return row


@transaction.atomic
def mark_read(section: ReportSection, *, version: int, by: Person, now: datetime) -> ReportSection:
    """Say that the section was read and stands as it is: a suggestion that is kept becomes the text.

    Raises ChangedMeanwhile, NotNow, PermissionDenied; ReportsError for a section without suggestion or text.
    """
    _require(by, "enter", section.report)
    report = _lock(section.report, None)
    _require_open(report)
    row = _lock_section(section, version)
    row.text = row.text or row.suggestion
    if not row.text.strip():
        raise ReportsError(f"Mục «{row.title}» chưa có nội dung. Viết nội dung (hoặc «Không có.») rồi lưu.")
    row.read_by, row.read_at = by, now
    row.version += 1
    row.save()
    _bump(report)
    audit.record("reports.section.read", actor=by, target=report, section=row.title)
    return row


SECTION_MAX_CHARS, DETAIL_MAX_CHARS = 60_000, 4_000
DETAILS = ("title", "to_as_printed", "place_name", "signer_capacity", "signer_name", "recipients")


@transaction.atomic
def save_details(report: Report, *, version: int, by: Person, now: datetime, **details: str) -> Report:
    """Change what stands above and below the body (see DETAILS). Raises ChangedMeanwhile, NotNow, PermissionDenied."""
    _require(by, "enter", report)
    report = _lock(report, version)
    _require_open(report)
    unknown = set(details) - set(DETAILS)
    if unknown:
        raise TypeError(f"not details of a report: {sorted(unknown)}")
    for name, text in details.items():
        setattr(report, name, _clean(text, DETAIL_MAX_CHARS, "Phần này"))
    if not report.title:
        raise ReportsError("Báo cáo cần trích yếu nội dung. Nhập trích yếu rồi lưu.")
    report.save(update_fields=list(details))
    _bump(report)
    report_search.put_reports([report])
    audit.record("reports.report.detailed", actor=by, target=report, fields=sorted(details))
    return report


# --- checks -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Check:
    """Something to know before signing. Errors hold the report back; warnings are for the one who signs to judge."""

    kind: Literal["missing", "unapproved", "simulated", "changed", "stale", "unread", "empty", "recipient"]
    severity: Literal["error", "warning", "info"]
    text: str
    key: str = ""  # of the figure or section


def checks(report: Report, *, now: datetime) -> list[Check]:
    """Return what is missing, not approved, simulated, changed since the last report, not up to date, or unread.

    Also a recipient that no longer exists: an error as long as the address still names it.
    """
    found: list[Check] = []
    for section in report.sections.all():
        if not (section.text or section.suggestion).strip():
            found.append(Check("empty", "error", f"Mục «{section.title}» chưa có nội dung.", section.key))
        elif section.read_at is None:
            found.append(
                Check("unread", "error", f"Mục «{section.title}»: gợi ý chưa có ai đọc và xác nhận.", section.key)
            )
    figures = list(report.figures.select_related("value__metric"))
    missing = [figure for figure in figures if not figure.raw and figure.display == NO_FIGURE]
    found += [Check("missing", "warning", f"{figure.label}: chưa có số liệu.", figure.key) for figure in missing[:50]]
    for figure in figures:
        if figure.value is None:
            continue
        if figure.value.state == State.SIMULATED:
            found.append(Check("simulated", "warning", f"{figure.label}: số liệu mô phỏng.", figure.key))
        elif figure.value.state in {State.ENTERED, State.ESTIMATED}:
            state = State(figure.value.state).label.lower()
            found.append(Check("unapproved", "warning", f"{figure.label}: {state}.", figure.key))
    if report.state not in FROZEN:
        gathered = kinds.get_kind(report.kind).gather(context_of(report, periods.local_date(now)))
        stale = _stale(figures, gathered)
        found += [
            Check("stale", "error", f"{label}: số liệu hiện nay là {after}, báo cáo ghi {before}.", key)
            for key, label, before, after in stale
        ]
    found += [Check("changed", "info", text) for text in _changed_since_last(report, periods.local_date(now))]
    receiver = report.to_organisation.subject if report.to_organisation is not None else None
    if receiver is not None and receiver.valid_to is not None and receiver.valid_to <= periods.local_date(now):
        ended = f"{receiver.valid_to:%d/%m/%Y}"
        found.append(
            Check(
                "recipient", "error" if _names_the_ended(report, receiver) else "warning",
                f"Nơi nhận «{receiver.name}» đã kết thúc hoạt động từ ngày {ended}. "
                "Sửa dòng «Kính gửi» thành cơ quan kế nhiệm, rồi lưu.",
            )
        )  # fmt: skip
    order = {"error": 0, "warning": 1, "info": 2}
    return sorted(found, key=lambda check: order[check.severity])


def _names_the_ended(report: Report, receiver: Subject) -> bool:
    """Return whether the address is still that of the receiver, by its name or as the duty prints it."""
    duties = Duty.objects.filter(plan=report.plan, report_kind=report.kind, to_organisation_id=receiver.pk)
    return report.to_as_printed.strip() in {receiver.name, *duties.values_list("to_as_printed", flat=True)}


def _stale(figures: Sequence[ReportFigure], gathered: Gathered) -> list[tuple[str, str, str, str]]:
    """Return (key, label, in the report, today) of figures that are not what the system says now."""
    stored = {figure.key: figure for figure in figures}
    found = []
    for figure in gathered.figures:
        row = stored.pop(figure.key, None)
        version = figure.value.version if figure.value is not None else None
        if row is None:
            found.append((figure.key, figure.label, "không có", figure.display))
        elif (row.raw, row.display, row.value_version) != (figure.raw, figure.display, version):
            found.append((figure.key, figure.label, row.display, figure.display))
    found += [(row.key, row.label, row.display, "không còn") for row in stored.values()]
    return found


def previous_report(report: Report) -> Report | None:
    """Return the report that was last sent before: the one this one corrects, or that of an earlier period."""
    if report.corrects_id is not None:
        return report.corrects
    return (
        Report.objects.filter(
            kind=report.kind, organisation_id=report.organisation_id, period_start__lt=report.period_start,
            state__in=FROZEN,
        )
        .order_by("-period_start", "-id")
        .first()
    )  # fmt: skip


def _changed_since_last(report: Report, today: date) -> Iterable[str]:
    """Give sentences about figures of the last report that have changed since it was frozen."""
    before = previous_report(report)
    taken = before.snapshots.first() if before is not None else None
    if before is None or taken is None:
        return
    for change in snapshot.compare_with_today(taken, today=today).changes[:20]:
        yield f"So với báo cáo {period_of(before).label_inside_vi} đã gửi: {change.sentence}"


# --- to the signature -------------------------------------------------------------------------------------------


@transaction.atomic
def submit(report: Report, *, version: int | None = None, by: Person, now: datetime) -> Report:
    """Hand the report to the one who signs. Raises ReportsError with what holds it back; NotNow, PermissionDenied."""
    _require(by, "enter", report)
    report = _lock(report, version)
    _require_open(report)
    holding = [check.text for check in checks(report, now=now) if check.severity == "error"]
    if holding:
        more = f" Và {len(holding) - 3} điểm khác." if len(holding) > 3 else ""
        raise ReportsError(f"Chưa trình ký được «{report.title}»: {' '.join(holding[:3])}{more}")
    _go(report, Report.State.SUBMITTED)
    _tell(report, by, now, "submitted")
    _notify(report, _SIGNERS, "đang chờ ký duyệt", by=by, now=now)
    audit.record("reports.report.submitted", actor=by, target=report)
    return report


@transaction.atomic
def return_report(report: Report, reason: str, *, by: Person, now: datetime) -> Report:
    """Send the report back to those who wrote it, with a reason. Raises NotNow, ReportsError, PermissionDenied."""
    _require(by, "approve", report)
    report = _lock(report, None)
    _require_state(report, {Report.State.SUBMITTED}, "trả lại")
    if not reason.strip():
        raise ReportsError("Chưa ghi lý do trả lại. Ghi lý do để người soạn biết cần sửa gì.")
    _go(report, Report.State.RETURNED)
    _tell(report, by, now, "returned", reason.strip())
    _notify(report, _WRITERS, f"bị trả lại: {reason.strip()}", by=by, now=now)
    audit.record("reports.report.returned", actor=by, target=report)
    return report


@transaction.atomic
def approve(report: Report, *, by: Person, now: datetime) -> Snapshot:
    """Sign: freeze the figures with all they rest on, write the files, and keep both under one hash.

    Raises NotNow, PermissionDenied (role «approve» on the organisation), ReportsError where figures changed since the
    report was submitted or by whom submitted it, snapshot.NotReplayable, BadTemplate.
    """
    _require(by, "approve", report)
    report = _lock(report, None)
    _require_state(report, {Report.State.SUBMITTED}, "ký duyệt")
    handed_in = report.events.filter(what="submitted").last()
    if handed_in is not None and handed_in.person_id == by.pk:
        raise ReportsError(
            f"Bạn là người trình «{report.title}» nên không tự ký duyệt được. Đề nghị người có thẩm quyền khác ký."
        )
    gathered = kinds.get_kind(report.kind).gather(context_of(report, periods.local_date(now)))
    stale = _stale(list(report.figures.all()), gathered)
    if stale:
        _, label, before, after = stale[0]
        raise ReportsError(
            f"Chưa ký được «{report.title}»: {len(stale)} số liệu đã đổi sau khi trình (ví dụ {label}: "
            f"{before} → {after}). Trả lại để người soạn làm mới số liệu và đọc lại."
        )
    if not report.signer_name:
        report.signer_name = by.full_name
    report.save(update_fields=["signer_name"])
    _go(report, Report.State.APPROVED)
    taken = _freeze(report, gathered, by=by, now=now)
    _notify(report, _WRITERS, "đã ký duyệt, chờ số và ngày của văn thư", by=by, now=now)
    _tell(report, by, now, "approved", f"mã băm {taken.content_hash[:12]}…")
    audit.record("reports.report.approved", actor=by, target=report, sha256=taken.content_hash)
    return taken


_NUMBER = re.compile(r"0*(\d{1,5})/([A-ZĐ][A-ZĐa-zđ]*(?:-[A-ZĐÀ-Ỹa-zđà-ỹ0-9&.]+)+)")


def clean_number(text: str) -> str:
    """Return a number and symbol as the decree writes it: «5/BC-TTNS» → «05/BC-TTNS». Raises ReportsError.

    >>> clean_number(" 5 / BC-TTNS ")
    '05/BC-TTNS'
    """
    match = _NUMBER.fullmatch("".join(text.split()))
    if match is None:
        raise ReportsError(f"Số, ký hiệu «{text.strip()}» chưa đúng. Viết như 15/BC-TTNS.")
    return f"{int(match[1]):02}/{match[2]}"


@transaction.atomic
def issue(report: Report, *, number: str, issued_on: date, by: Person, now: datetime) -> Snapshot:
    """Enter number and date that the clerk (văn thư) gave, and write the final files from the frozen content.

    Raises NotNow, PermissionDenied, ReportsError for a number or day that cannot be.
    """
    _require(by, "enter", report)
    report = _lock(report, None)
    _require_state(report, {Report.State.APPROVED}, "vào sổ")
    if issued_on > periods.local_date(now):
        raise ReportsError("Ngày ban hành không thể ở sau hôm nay. Nhập ngày ghi trong sổ văn thư.")
    number = clean_number(number)
    _lock_book(report.organisation_id)
    twin = Report.objects.filter(
        organisation_id=report.organisation_id, number=number, issued_on__year=issued_on.year
    ).first()
    if twin is not None:
        raise ReportsError(
            f"Số {number} đã dùng trong năm {issued_on.year} cho «{twin.title}». Kiểm tra lại sổ văn thư."
        )
    report.number, report.issued_on = number, issued_on
    report.state = Report.State.ISSUED
    report.save(update_fields=["number", "issued_on", "state"])
    _bump(report)
    before = report.snapshots.select_related("content").latest("id")
    content = snapshot.read(before)
    document = layout.from_data(content["document"])
    document = replace(document, header=replace(document.header, number=number, issued_on=issued_on))
    written = write_files(report, document)
    content |= {
        "document": layout.as_data(document), "taken_at": content["taken_at"], "issued_at": now.isoformat(),
        "after": before.content_hash,
        "files": [{"name": name, "sha256": snapshot.hash_bytes(data)} for name, data in written.items()],
    }  # fmt: skip
    taken = _keep(report, content, written, by=by, now=now)
    report_search.put_reports([report])
    _tell(report, by, now, "issued", number)
    audit.record("reports.report.issued", actor=by, target=report, number=number, sha256=taken.content_hash)
    return taken


# --- sending ----------------------------------------------------------------------------------------------------

_GONE = (Delivery.State.SENT, Delivery.State.RECEIVED)
TWICE_BY_MISTAKE = timedelta(minutes=2)  # pressed twice, or two people at once: the letter goes out once


@transaction.atomic
def send(report: Report, *, channel: str, to: str = "", by: Person, now: datetime) -> Delivery:
    """Queue the sending of an issued report; a FILE (handed over by the document axis) counts as sent at once.

    Raises NotNow (also where the same sending waits or has just gone), PermissionDenied, ReportsError for a channel or
    address that cannot be.
    """
    _require(by, "enter", report)
    report = _lock(report, None)
    _require_state(report, {Report.State.ISSUED, Report.State.SENT, Report.State.RECEIVED}, "gửi")
    to = delivery.clean_address(channel, to or report.to_as_printed)
    waits = Q(state=Delivery.State.QUEUED) | Q(state__in=_GONE, made_at__gt=now - TWICE_BY_MISTAKE)
    if report.deliveries.filter(waits, channel=channel, to=to).exists():
        raise NotNow(
            f"«{report.title}» đang gửi hoặc vừa gửi đến «{to}». Xem ở mục Gửi đi; nếu cần gửi lại thì đợi ít phút."
        )
    row = Delivery.objects.create(report=report, channel=channel, to=to, made_by=by, made_at=now)
    audit.record("reports.report.sent", actor=by, target=report, channel=row.get_channel_display())
    if channel == Delivery.Channel.FILE:
        mark_sent(row, now=now)
    else:
        jobs.enqueue("reports.deliver", by=by, delivery_id=row.pk)
    return row


@transaction.atomic
def mark_sent(delivery_row: Delivery, *, now: datetime) -> None:
    """Note that a delivery has gone out; the report and its duty count as sent from the first one on."""
    delivery_row.state, delivery_row.sent_at, delivery_row.error = Delivery.State.SENT, now, ""
    delivery_row.save(update_fields=["state", "sent_at", "error"])
    report = _lock(delivery_row.report, None)
    if report.state == Report.State.ISSUED:
        _go(report, Report.State.SENT)
    _tell(report, delivery_row.made_by, now, "sent", f"{delivery_row.get_channel_display()}: {delivery_row.to}")
    _close_duty(report, now)


def mark_failed(delivery_row: Delivery, reason: str, *, now: datetime) -> None:
    Delivery.objects.filter(pk=delivery_row.pk).update(state=Delivery.State.FAILED, error=reason[:300])
    _tell(delivery_row.report, delivery_row.made_by, now, "failed", f"{delivery_row.to}: {reason}")


def _close_duty(report: Report, now: datetime) -> None:
    """Let the duty that asked for the report count as done on the day the report was sent."""
    instance = report.instance
    if instance is None or instance.submitted_on is not None or instance.waived_by_id is not None:
        return
    today = periods.local_date(now)
    # The right to send was checked; the duty may belong to a unit above that of the one who sends.
    duty_operations.submit(instance, submitted_on=today, note=f"Báo cáo số {report.number}", today=today)


@transaction.atomic
def receive(delivery_row: Delivery, receipt: str, *, by: Person | None, now: datetime) -> Report:
    """Note what the receiver answered. Raises NotNow if never sent, ReportsError without words, PermissionDenied.

    by: None where the receiver's machine confirmed it.
    """
    _require(by, "enter", delivery_row.report)
    report = _lock(delivery_row.report, None)
    row = Delivery.objects.select_for_update().get(pk=delivery_row.pk)
    if row.state not in {Delivery.State.SENT, Delivery.State.RECEIVED}:
        raise NotNow(f"Chưa ghi được xác nhận: lần gửi đến «{row.to}» đang ở trạng thái «{row.get_state_display()}».")
    if not receipt.strip():
        raise ReportsError("Ghi nội dung xác nhận của nơi nhận (số văn bản đến, ngày, người nhận).")
    row.state, row.received_at, row.receipt = Delivery.State.RECEIVED, now, receipt.strip()[:300]
    row.save(update_fields=["state", "received_at", "receipt"])
    if report.state == Report.State.SENT:
        _go(report, Report.State.RECEIVED)
    _tell(report, by, now, "received", row.receipt)
    audit.record("reports.report.received", actor=by, target=report)
    return report


@transaction.atomic
def correct(report: Report, reason: str, *, by: Person, now: datetime) -> Report:
    """Open a report that corrects one that was issued: the same period, figures as they are today, text taken over.

    The one that was sent stays as it is, with its snapshot. Raises NotNow, ReportsError, PermissionDenied.
    """
    _require(by, "enter", report)
    report = _lock(report, None)
    _require_state(report, {Report.State.ISSUED, Report.State.SENT, Report.State.RECEIVED}, "đính chính")
    if not reason.strip():
        raise ReportsError("Ghi lý do đính chính (số liệu nào đổi, vì sao).")
    newer = report.corrected_by.first()
    if newer is not None:
        raise NotNow(f"«{report.title}» đã có báo cáo đính chính «{newer.title}». Sửa tiếp ở báo cáo đó.")
    new = prepare(
        report.kind, report.organisation, period_of(report), by=by, now=now, plan=report.plan, corrects=report
    )
    new.title = f"{report.title.split(' (thay thế')[0]} (thay thế Báo cáo số {report.number})"[:400]
    for name in ("to_as_printed", "place_name", "signer_capacity", "signer_name", "recipients"):
        setattr(new, name, getattr(report, name))
    new.to_organisation = report.to_organisation
    new.save()
    report_search.put_reports([new])
    written = {section.key: section for section in report.sections.all()}
    for section in new.sections.all():
        old = written.get(section.key)
        # Words of people are taken over; a suggestion that was kept gives way to what the figures say now.
        if old is not None and old.text and old.text != old.suggestion:
            section.text = old.text
            section.save(update_fields=["text"])
    _tell(new, by, now, "correction", reason.strip())
    _tell(report, by, now, "corrected", reason.strip())
    audit.record("reports.report.corrected", actor=by, target=report, correction=new.pk)
    return new


@transaction.atomic
def discard(report: Report, *, by: Person, now: datetime) -> None:
    """Remove a draft that nobody has signed. Raises NotNow, PermissionDenied."""
    _require(by, "manage", report)
    report = _lock(report, None)
    _require_open(report)
    audit.record("reports.report.discarded", actor=by, report=report.pk, kind=report.kind)
    report_search.remove_report(report)
    report.delete()


# --- documents --------------------------------------------------------------------------------------------------


def document_of(report: Report) -> layout.OfficialDocument:
    """Return the report's pages: of the snapshot once it is frozen, else as figures and text stand now."""
    if report.state in FROZEN:
        taken = report.snapshots.first()
        if taken is not None:
            return layout.from_data(snapshot.read(taken)["document"])
    kind = kinds.get_kind(report.kind)
    rows = list(report.figures.select_related("value__band"))
    shown = tuple(_shown(row.key, row.label, row.display, row.raw, row.value) for row in rows)
    texts = {section.key: section.text or section.suggestion for section in report.sections.all()}
    return kinds.lay_out(kind, Material(_frame(report, kind), shown, texts))


def write_files(report: Report, document: layout.OfficialDocument) -> dict[str, bytes]:
    """Return the report as «docx» and «xlsx». Raises BadTemplate where an uploaded template does not fit."""
    return {
        "docx": docx_writer.write(document, word_templates.read(report.kind, report.template)),
        "xlsx": xlsx_writer.write(document),
    }


def file_name(report: Report, suffix: str) -> str:
    period = period_of(report).key
    number = f" {report.number.replace('/', '-')}" if report.number else ""
    return f"Báo cáo{number} {report.kind} {period}.{suffix}"


def _frame(report: Report, kind: Kind) -> layout.OfficialDocument:
    organisation = report.organisation
    parent = organisation.parent
    is_committee = organisation.kind == Organisation.Kind.AUTHORITY  # issues in its own name alone
    return layout.OfficialDocument(
        header=layout.Header(
            parent_body="" if parent is None or is_committee else parent.subject.name,
            issuing_body=organisation.subject.name,
            symbol=f"{kind.type_code}-{abbreviation_of(organisation)}",
            type_name=kind.type_name,
            subject=report.title,
            place_name=report.place_name,
            number=report.number,
            issued_on=report.issued_on,
        ),
        blocks=(),
        signature=layout.Signature(tuple(report.signer_capacity.splitlines()), report.signer_name),
        addressees=tuple(report.to_as_printed.splitlines()),
        recipients=tuple(report.recipients.splitlines()),
        is_simulated=report.is_simulated,
    )


def abbreviation_of(organisation: Organisation) -> str:
    """Return the abbreviation that an organisation signs with, taken from the number of a plan it issued («TTNS»)."""
    numbers = Plan.objects.filter(issuer=organisation, document__isnull=False).values_list(
        "document__number", flat=True
    )
    for number in numbers:
        _, slash, symbol = (number or "").partition("/")
        _, dash, body = symbol.partition("-")
        if slash and dash and body:
            return body
    return "UBND" if organisation.kind == Organisation.Kind.AUTHORITY else "…"


def place_name_of(organisation: Organisation) -> str:
    """Return the place that stands before the date: the province, or the commune of a commune's committee."""
    holder: Organisation | None = organisation
    while holder is not None and holder.territory is None:
        holder = holder.parent
    if holder is None or holder.territory is None:
        return ""
    unit: AdministrativeUnit = holder.territory
    return unit.subject.name


def _shown(key: str, label: str, display: str, raw: str, value: Value | None) -> Shown:
    band = value.band if value is not None else None
    severity = band.severity if band is not None and band.label in display else ""
    simulated = (value is not None and value.state == State.SIMULATED) or "(mô phỏng)" in display
    return Shown(key, label, display, raw, severity, simulated)  # type: ignore[arg-type]


def _freeze(report: Report, gathered: Gathered, *, by: Person, now: datetime) -> Snapshot:
    kind = kinds.get_kind(report.kind)
    shown = tuple(_shown(row.key, row.label, row.display, row.raw, row.value) for row in gathered.figures)
    sections = list(report.sections.all())
    texts = {section.key: section.text or section.suggestion for section in sections}
    document = kinds.lay_out(kind, Material(_frame(report, kind), shown, texts))
    written = write_files(report, document)
    content = snapshot.build(
        report, figures=gathered.figures, document=document, written=written, now=now,
        template_hash=word_templates.hash_of(report.kind, report.template),
        sections=[
            {
                "key": section.key, "title": section.title, "text": texts[section.key],
                "read_at": section.read_at.isoformat() if section.read_at else "",
            }
            for section in sections
        ],
    )  # fmt: skip
    return _keep(report, content, written, by=by, now=now)


def _keep(
    report: Report, content: Mapping[str, Any], written: Mapping[str, bytes], *, by: Person, now: datetime
) -> Snapshot:
    """Store content and files, and queue the PDF, which LibreOffice makes outside of any transaction."""
    kept = {
        suffix: files.store(data, name=file_name(report, suffix), by=by, kinds=frozenset({suffix}))
        for suffix, data in (*written.items(), ("json", snapshot.canonical(content)))
    }
    taken = Snapshot.objects.create(
        report=report, taken_at=now, content=kept["json"], content_hash=kept["json"].sha256, docx=kept["docx"],
        xlsx=kept["xlsx"],
    )  # fmt: skip
    jobs.enqueue("reports.make_pdf", by=by, snapshot_id=taken.pk)
    return taken


# --- templates --------------------------------------------------------------------------------------------------


def upload_template(kind_key: str, stored: StoredFile, *, note: str = "", by: Person, now: datetime) -> ReportTemplate:
    """Take a Word template into use for new reports of a kind, once it has been checked and tried.

    Raises BadTemplate naming the field or part that does not fit.
    """
    kind = kinds.get_kind(kind_key)
    with files.open_file(stored) as stream:
        content = stream.read()
    word_templates.check(content)
    docx_writer.write(sample_of(kind, Report.objects.filter(kind=kind.key).last()), content)
    for _ in range(_TEMPLATE_TRIES):
        try:
            return _take_template(kind, stored, note=note, by=by, now=now)
        except IntegrityError:  # of the first one there is no row yet to lock: somebody else's came at the same moment
            continue
    raise BadTemplate(
        f"Chưa nhận được mẫu của «{kind.name}»: nhiều người đang tải mẫu lên cùng lúc. Xem mẫu đang dùng rồi tải lại."
    )


@transaction.atomic
def _take_template(kind: Kind, stored: StoredFile, *, note: str, by: Person, now: datetime) -> ReportTemplate:
    last = ReportTemplate.objects.select_for_update().filter(kind=kind.key).order_by("-version").first()
    ReportTemplate.objects.filter(kind=kind.key, is_active=True).update(is_active=False)
    row = ReportTemplate.objects.create(
        kind=kind.key, version=last.version + 1 if last else 1, file=stored, note=note.strip(), uploaded_by=by,
        uploaded_at=now,
    )  # fmt: skip
    audit.record("reports.template.uploaded", actor=by, target=row, kind=kind.key, version=row.version)
    return row


def sample_of(kind: Kind, report: Report | None) -> layout.OfficialDocument:
    """Return a document of the kind to try a template with: a report's pages, or an empty one."""
    if report is not None:
        return document_of(report)
    header = layout.Header("", "", "BC-…", kind.type_name, kind.name, "")
    frame = layout.OfficialDocument(header, (), layout.Signature())
    return kinds.lay_out(kind, Material(frame, ()))


def _template_of(kind: Kind) -> ReportTemplate | None:
    return ReportTemplate.objects.filter(kind=kind.key, is_active=True).order_by("-version").first()


# --- the parts --------------------------------------------------------------------------------------------------


def _subject_of(organisation: Organisation, plan: Plan | None) -> Subject:
    """Return the territory that a report speaks of: the organisation's own, or that of its plan."""
    holder: Organisation | None = organisation
    while holder is not None:
        if holder.territory is not None:
            return holder.territory.subject
        holder = holder.parent
    return plan.territory if plan is not None else organisation.subject


def _put_figures(report: Report, gathered: Gathered) -> None:
    keys = [figure.key for figure in gathered.figures]
    if len(set(keys)) != len(keys):
        raise ValueError(f"{report.kind}: a figure is given twice")
    ReportFigure.objects.bulk_create(
        [
            ReportFigure(
                report=report, key=figure.key, order=order, label=figure.label, value=figure.value,
                value_version=figure.value.version if figure.value is not None else None, raw=figure.raw,
                display=figure.display, source=figure.source,
            )
            for order, figure in enumerate(gathered.figures)
        ],
        batch_size=500,
    )  # fmt: skip


def _is_simulated(gathered: Gathered) -> bool:
    return any(_figure_is_simulated(figure) for figure in gathered.figures)


def _figure_is_simulated(figure: Figure) -> bool:
    return (figure.value is not None and figure.value.state == State.SIMULATED) or "(mô phỏng)" in figure.display


def _clean(text: str, most_chars: int, what: str) -> str:
    """Return what somebody wrote, as a page can hold it. Raises ReportsError where it is too long for one."""
    cleaned = wordml.printable(text.replace("\r\n", "\n").replace("\r", "\n")).strip()
    if len(cleaned) > most_chars:
        raise ReportsError(f"{what} dài quá {most_chars} ký tự. Rút gọn, hoặc gửi kèm một tệp riêng.")
    return cleaned


def _lock_book(organisation: Organisation | int) -> None:
    """Let nobody else begin a report or take a number for the organisation until this transaction commits."""
    pk = organisation if isinstance(organisation, int) else organisation.pk
    Subject.objects.select_for_update().only("pk").get(pk=pk)


def _lock(report: Report, version: int | None) -> Report:
    current = Report.objects.select_for_update().get(pk=report.pk)
    if version is not None and current.version != version:
        raise ChangedMeanwhile(
            f"«{current.title}» vừa được người khác sửa. Nội dung của bạn chưa được lưu; "
            "tải lại trang để xem bản mới rồi sửa tiếp."
        )
    return current


def _lock_section(section: ReportSection, version: int) -> ReportSection:
    current = ReportSection.objects.select_for_update().get(pk=section.pk)
    if current.version != version:
        raise ChangedMeanwhile(
            f"Mục «{current.title}» vừa được người khác lưu. Nội dung của bạn chưa được lưu; chép lại phần bạn viết, "
            "tải lại trang để xem bản mới rồi sửa tiếp."
        )
    return current


def _bump(report: Report) -> None:
    report.version += 1
    report.save(update_fields=["version", "is_simulated"])


def _go(report: Report, state: str) -> None:
    report.state = state
    report.save(update_fields=["state"])
    _bump(report)


def _require(by: Person | None, action: str, report: Report) -> None:
    """Raise PermissionDenied unless the person acts for the organisation. None is the program itself."""
    if by is None:
        return
    holds = (
        visibility.answers_for(by, report.organisation_id)
        if action == "enter"  # an agency writes what its own organisation owes
        else visibility.is_of(by, action, report.organisation_id)
    )
    if not holds:
        raise PermissionDenied(f"Bạn không có quyền này với báo cáo của «{report.organisation}».")


def require_enter(report: Report, *, by: Person) -> None:
    """Raise PermissionDenied unless the person enters for the organisation that reports."""
    _require(by, "enter", report)


def _require_open(report: Report) -> None:
    _require_state(report, OPEN, "sửa")


def _require_state(report: Report, allowed: Iterable[str], act: str) -> None:
    if report.state not in set(allowed):
        raise NotNow(f"Không {act} được «{report.title}»: báo cáo đang ở bước «{report.get_state_display()}».")


def _tell(report: Report, by: Person | None, now: datetime, what: str, text: str = "") -> None:
    ReportEvent.objects.create(report=report, person=by, at=now, what=what, text=text[:500])


_SIGNERS = (Grant.Role.LEADER,)
_WRITERS = (Grant.Role.DEPARTMENT, Grant.Role.STATION, Grant.Role.COMMUNE)


def _notify(report: Report, roles: Sequence[str], what: str, *, by: Person, now: datetime) -> None:
    """Tell the people with these roles at the organisation, or at one that it belongs to, what happened."""
    today = periods.local_date(now)
    grants = Grant.objects.filter(
        Q(valid_to__isnull=True) | Q(valid_to__gt=today), valid_from__lte=today, role__in=roles,
        scope__kind=Subject.Kind.ORGANISATION, scope__contains__descendant_id=report.organisation_id,
        person__is_active=True,
    ).select_related("person")  # fmt: skip
    people = {grant.person_id: grant.person for grant in grants if grant.person_id != by.pk}
    notices.notify(
        people.values(), kind="reports", text=f"«{report.title}» {what}"[:300],
        url=reverse("reports:detail", args=[report.pk]),
    )  # fmt: skip
