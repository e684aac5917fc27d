"""From the wish for a connection to its first bill: survey, request, quote, contract, installation.

Each step keeps its moment, who did it, a note and a paper. Steps follow one another; a manager can take back the last
one. Installation makes the customer, the connection, the contract and the fitting of the meter, or nothing at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from machnuoc.core import audit, files
from machnuoc.core.models import Person, StoredFile
from machnuoc.core.periods import LOCAL_ZONE, local_date
from machnuoc.customers import (
    application_messages,
    application_talk,
    connection_operations,
    connection_queries,
    meters,
    privacy,
    visibility,
)
from machnuoc.customers.application_talk import QuoteLine
from machnuoc.customers.connection_operations import ChangedMeanwhile, ConnectionFacts, CustomerFacts, RecordError
from machnuoc.customers.models import (
    Application,
    ApplicationMessage,
    ApplicationStep,
    Connection,
    Consent,
    Customer,
    Fitting,
    Group,
    Meter,
    Reading,
)
from machnuoc.places.models import Subject
from machnuoc.works.models import Work

Stage = Application.Stage
STAGES = (Stage.SURVEYED, Stage.REQUESTED, Stage.QUOTED, Stage.CONTRACTED, Stage.INSTALLED, Stage.BILLED)
OPEN = frozenset({Stage.SURVEYED, Stage.REQUESTED, Stage.QUOTED, Stage.CONTRACTED})
_AT_ONCE = 5_000
_SLACK = timedelta(minutes=5)
_TRIES = 5
RECEIVED_MOST = timedelta(days=366)  # before the day of entry


@dataclass(frozen=True)
class ApplicationFacts:
    """Who wants a connection, and where."""

    name: str
    address: str
    phone: str = ""
    email: str = ""
    kind: str = Customer.Kind.HOUSEHOLD
    group: str = Group.SH
    households: int = 1
    persons: int = 0
    place: Subject | None = None
    latitude: float | None = None
    longitude: float | None = None


def _clean(facts: ApplicationFacts, work: Work) -> ApplicationFacts:
    party = connection_operations.clean_customer(
        CustomerFacts(facts.name, facts.kind, phone=facts.phone, email=facts.email)
    )
    where = connection_operations.clean_connection(
        ConnectionFacts(facts.address, facts.place, facts.latitude, facts.longitude, facts.group, facts.households),
        work,
    )
    if not 0 <= facts.persons <= 999:
        raise RecordError("Số người phải từ 0 đến 999.")
    return ApplicationFacts(
        party.name, where.address, party.phone, party.email, party.kind, where.group, where.households, facts.persons,
        where.place, where.latitude, where.longitude,
    )  # fmt: skip


@transaction.atomic
def open_application(
    *,
    work: Work,
    facts: ApplicationFacts,
    by: Person | None,
    now: datetime,
    stage: str = Stage.REQUESTED,
    source: str = "counter",
    note: str = "",
    received_date: date | None = None,
    is_simulated: bool = False,
) -> Application:
    """Begin an application: a survey of needs (SURVEYED) or a request (REQUESTED). by None: the sender themselves.

    received_date: when the paper came, if it is typed in later; steps may follow from that day on.
    Raises RecordError, PermissionDenied.
    """
    if by is not None:
        visibility.require_work(by, "serve", work.pk)
    connection_operations.check_group(by, work, facts.group)
    if stage not in {Stage.SURVEYED, Stage.REQUESTED}:
        raise RecordError("Hồ sơ bắt đầu từ khảo sát nhu cầu hoặc từ đề nghị.")
    received_at = _received_at(received_date, now)
    kept = {name: getattr(_clean(facts, work), name) for name in ApplicationFacts.__dataclass_fields__}
    for attempt in range(_TRIES):
        number = connection_queries.next_number(Application) + attempt
        code = f"DK{local_date(now).year}-{number:05d}"
        try:
            with transaction.atomic():
                made = Application.objects.create(
                    code=code, work=work, stage=stage, source=source[:20], created_at=received_at,
                    is_group_confirmed=by is not None or facts.group == Group.SH, is_simulated=is_simulated, **kept,
                )  # fmt: skip
        except IntegrityError:
            continue
        ApplicationStep.objects.create(application=made, stage=stage, at=received_at, by=by, note=note.strip()[:300])
        audit.record("customers.application.opened", actor=by, target=made, stage=stage, work_id=work.pk)
        return made
    raise RecordError("Nhiều người đang lập hồ sơ cùng lúc, chưa đánh được mã. Bấm lưu lại lần nữa.")


def _received_at(day: date | None, now: datetime) -> datetime:
    """Return the moment from which steps may follow: now, or the beginning of an earlier day. Raises RecordError."""
    today = local_date(now)
    if day is None or day == today:
        return now
    if not today - RECEIVED_MOST <= day < today:
        raise RecordError(
            f"Ngày tiếp nhận phải từ {today - RECEIVED_MOST:%d/%m/%Y} đến hôm nay {today:%d/%m/%Y}. Nhập lại ngày."
        )
    return datetime.combine(day, time.min, tzinfo=LOCAL_ZONE)


@transaction.atomic
def edit_application(
    application: Application, facts: ApplicationFacts, *, version: int | None, by: Person | None, now: datetime
) -> Application:
    """Bring an open application to what is said. Raises ChangedMeanwhile, RecordError, PermissionDenied."""
    one = _take(application, by, version)
    if one.stage not in OPEN:
        raise RecordError(f"Hồ sơ {one.code} {one.get_stage_display().lower()}, không sửa được nữa.")
    facts = _clean(facts, one.work)
    changed = [name for name in ApplicationFacts.__dataclass_fields__ if getattr(one, name) != getattr(facts, name)]
    if "group" in changed:
        connection_operations.check_group(by, one.work, facts.group)
    confirmed = _confirmed(one, by, facts.group)
    if not changed and not confirmed:
        return one
    _save(one, **{name: getattr(facts, name) for name in changed}, **confirmed)
    audit.record("customers.application.changed", actor=by, target=one, fields=[*changed, *confirmed])
    return one


def _confirmed(one: Application, by: Person | None, group: str) -> dict[str, bool]:
    """Return what to keep when a person has looked at a group that who applies named: confirmed by who may classify."""
    if one.is_group_confirmed or by is None:
        return {}
    is_confirmed = group == Group.SH or visibility.may_work(by, "classify", one.work_id)
    return {"is_group_confirmed": True} if is_confirmed else {}


def _take(application: Application, by: Person | None, version: int | None, action: str = "serve") -> Application:
    one = Application.objects.select_for_update().get(pk=application.pk)
    if by is not None:
        visibility.require_work(by, action, one.work_id)
    if version is not None and one.version != version:
        raise ChangedMeanwhile(f"Hồ sơ {one.code} vừa được người khác cập nhật. Tải lại trang rồi làm tiếp.")
    return one


def _save(one: Application, **values: Any) -> None:
    """Write the application if nobody did since it was read: SQLite has no row locks."""
    rows = Application.objects.filter(pk=one.pk, version=one.version)
    if not rows.update(version=one.version + 1, **values):
        raise ChangedMeanwhile(f"Hồ sơ {one.code} vừa được người khác cập nhật. Tải lại trang rồi làm tiếp.")
    one.version += 1
    for name, value in values.items():
        setattr(one, name, value)


def next_stage(application: Application) -> str:
    """Return the step that comes next by a person's hand; empty at the end (the first bill comes from billing)."""
    if application.stage not in OPEN:
        return ""
    return STAGES[STAGES.index(Stage(application.stage)) + 1]


def _step(
    one: Application, stage: str, at: datetime, by: Person | None, note: str, paper: StoredFile | None, now: datetime
) -> None:
    made = ApplicationStep.objects.create(
        application=one, stage=stage, at=at, by=by, note=note.strip()[:300], paper=paper
    )
    application_messages.tell_step(one, made, now=now)


def _check_moment(one: Application, at: datetime, now: datetime) -> None:
    if at > now + _SLACK:
        raise RecordError("Thời điểm của bước ở tương lai. Ghi khi việc đã làm.")
    last = one.steps.order_by("-id").first()
    if last is None:
        return
    before = last.at.astimezone(LOCAL_ZONE)
    if at < before.replace(second=0, microsecond=0):  # forms tell minutes
        raise RecordError(
            f"Bước «{last.get_stage_display()}» của hồ sơ {one.code} làm lúc {before:%H:%M ngày %d/%m/%Y}; "
            "bước sau không thể trước lúc đó. Sửa thời điểm."
        )


@transaction.atomic
def advance(
    application: Application,
    *,
    at: datetime,
    by: Person | None,
    now: datetime,
    version: int | None = None,
    note: str = "",
    quote_vnd: int | None = None,
    items: Sequence[QuoteLine] = (),
    contract_number: str = "",
    due_date: date | None = None,
    paper: StoredFile | None = None,
) -> Application:
    """Take the next step up to the contract. A quote needs its amount or its items, a contract its number.

    quote_vnd: None for the sum of the items. due_date: by when who applies was promised the step after this one.
    Raises ChangedMeanwhile, RecordError, PermissionDenied.
    """
    one = _take(application, by, version)
    stage = next_stage(one)
    if not stage:
        raise RecordError(f"Hồ sơ {one.code} {one.get_stage_display().lower()}, không còn bước nào để ghi.")
    if stage == Stage.INSTALLED:
        raise RecordError(f"Hồ sơ {one.code} chờ lắp đặt: ghi lắp đặt với số đồng hồ và chỉ số.")
    _check_moment(one, at, now)
    application_talk.check_promise(one, due_date, at)
    values: dict[str, Any] = {"stage": stage, "due_date": due_date, **_confirmed(one, by, one.group)}
    if stage == Stage.QUOTED:
        values["quote_vnd"] = application_talk.quote_total(quote_vnd, items)
    if stage == Stage.CONTRACTED:
        note = " ".join(contract_number.split())[:60]
        if not note:
            raise RecordError("Ghi số hợp đồng.")
        connection_operations.check_contract_number(note)
    _save(one, **values)
    _step(one, stage, at, by, note, paper, now)
    if stage == Stage.QUOTED:
        application_talk.keep_items(one, items)
    audit.record("customers.application.advanced", actor=by, target=one, stage=stage)
    return one


def contract_of(application: Application) -> tuple[str, date | None]:
    """Return number and day of the contract that the application came to; empty before."""
    step = application.steps.filter(stage=Stage.CONTRACTED).order_by("-id").first()
    return (step.note, local_date(step.at)) if step else ("", None)


@transaction.atomic
def install(
    application: Application,
    *,
    at: datetime,
    serial: str,
    by: Person | None,
    now: datetime,
    index_l: int = 0,
    seal: str = "",
    version: int | None = None,
    note: str = "",
    code: str = "",
    route: Any = None,
    paper: StoredFile | None = None,
    **meter: Any,
) -> Connection:
    """Put the connection in: customer, connection, contract, meter with its first index, all or nothing.

    meter: what is known of it (kind, make, accuracy_class, diameter_mm, digits, verified_date).
    Raises ChangedMeanwhile, CustomersError, PermissionDenied.
    """
    one = _take(application, by, version)
    if one.stage != Stage.CONTRACTED:
        raise RecordError(f"Hồ sơ {one.code} {one.get_stage_display().lower()}: chỉ lắp đặt khi đã ký hợp đồng.")
    if not serial.strip():
        raise RecordError("Ghi số sê-ri của đồng hồ.")
    _check_moment(one, at, now)
    if not one.is_group_confirmed and by is not None and not _confirmed(one, by, one.group):
        raise RecordError(
            f"Hồ sơ {one.code}: đối tượng «{one.get_group_display()}» do người đề nghị tự khai và quyết định giá nước. "
            "Nhờ trạm hoặc phòng khách hàng mở «Sửa», xem lại rồi lưu; sau đó lắp đặt."
        )
    number, signed_date = contract_of(one)
    made = connection_operations.create_connection(
        work=one.work,
        customer=CustomerFacts(one.name, one.kind, phone=one.phone, email=one.email),
        facts=ConnectionFacts(
            one.address, one.place, one.latitude, one.longitude, one.group, one.households, route=route
        ),
        by=by, now=now, code=code, origin=Connection.Origin.NEW, connected_date=local_date(at),
        contract_number=number, signed_date=signed_date, persons=one.persons, is_group_confirmed=True,
        is_simulated=one.is_simulated,
    )  # fmt: skip
    signed = one.steps.filter(stage=Stage.CONTRACTED).order_by("-id").first()
    made.contracts.update(paper=signed.paper if signed else None)
    privacy.give_consent(made.customer, Consent.Purpose.CONTRACT, how=f"hợp đồng số {number}", by=by, now=now)
    meters.fit(
        made, at=at, by=by, serial=serial, index_l=index_l, seal=seal, now=now, is_simulated=one.is_simulated, **meter
    )
    connection_operations.mark_installed(made, local_date(at), by, now)
    _save(one, stage=Stage.INSTALLED, connection=made, due_date=None)
    _step(one, Stage.INSTALLED, at, by, note, paper, now)
    audit.record("customers.application.installed", actor=by, target=one, connection=made.code)
    return made


@transaction.atomic
def stop(
    application: Application,
    stage: str,
    *,
    reason: str,
    by: Person | None,
    now: datetime,
    version: int | None = None,
) -> Application:
    """End an open application: it cannot be done (REFUSED) or the customer takes it back (WITHDRAWN).

    Raises ChangedMeanwhile, RecordError, PermissionDenied.
    """
    one = _take(application, by, version)
    if stage not in {Stage.REFUSED, Stage.WITHDRAWN}:
        raise RecordError("Chọn: không thực hiện được, hoặc khách hàng rút đề nghị.")
    if one.stage not in OPEN:
        raise RecordError(f"Hồ sơ {one.code} {one.get_stage_display().lower()}, không dừng được nữa.")
    if not reason.strip():
        raise RecordError("Ghi lý do: người đề nghị cần biết.")
    _save(one, stage=stage, due_date=None)
    _step(one, stage, now, by, reason, None, now)
    audit.record("customers.application.stopped", actor=by, target=one, stage=stage)
    return one


@transaction.atomic
def undo(application: Application, *, by: Person, now: datetime, version: int | None = None) -> Application:
    """Take back the last step. An installation goes with all it made, as long as nothing has been built on it.

    By who manages the work. Raises ChangedMeanwhile, RecordError, PermissionDenied.
    """
    one = _take(application, by, version, "manage")
    steps = list(one.steps.order_by("-id")[:2])
    if len(steps) < 2:
        raise RecordError(f"Hồ sơ {one.code} mới có bước đầu tiên. Muốn bỏ thì ghi khách hàng rút đề nghị.")
    last, before = steps
    if one.stage == Stage.BILLED:
        raise RecordError(f"Hồ sơ {one.code} đã có hóa đơn đầu tiên, không lùi bước được.")
    if last.stage == Stage.INSTALLED:
        _take_apart(one)
    values: dict[str, Any] = {"stage": before.stage, "due_date": None}
    if last.stage == Stage.QUOTED:
        values["quote_vnd"] = None
        one.quote_items.all().delete()
    _save(one, **values)
    last.delete()
    audit.record("customers.application.undone", actor=by, target=one, stage=last.stage, back_to=before.stage)
    return one


def _take_apart(one: Application) -> None:
    """Remove what an installation made. Raises RecordError if readings, bills or requests stand on it."""
    made = one.connection
    if made is None:
        return
    built_on = RecordError(
        f"Đấu nối {made.code} đã có chỉ số, hóa đơn hoặc phản ánh, không lùi bước lắp đặt được. "
        "Dùng «Chấm dứt đấu nối» nếu không dùng nữa."
    )
    if made.readings.exclude(kind=Reading.Kind.INITIAL).exists() or made.fittings.count() > 1:
        raise built_on
    customer = made.customer
    Application.objects.filter(pk=one.pk).update(connection=None)
    try:
        with transaction.atomic():
            meter_ids = list(made.fittings.values_list("meter_id", flat=True))
            Reading.objects.filter(connection=made).delete()
            Fitting.objects.filter(connection=made).delete()
            Meter.objects.filter(pk__in=meter_ids, fittings__isnull=True).delete()
            made.delete()
            if not customer.connections.exists() and not customer.contracts.exists():
                customer.delete()
    except ProtectedError:
        raise built_on from None
    one.connection = None


@transaction.atomic
def mark_billed(connection_ids: Sequence[int], at: datetime) -> int:
    """Let applications whose connection got its first bill reach their last step; return how many did.

    Called by billing with all connections of a run: those without an installed application are passed over. Run twice
    it does nothing the second time.
    """
    done = 0
    for first in range(0, len(connection_ids), _AT_ONCE):
        part = list(connection_ids[first : first + _AT_ONCE])
        ids = list(
            Application.objects.filter(connection_id__in=part, stage=Stage.INSTALLED).values_list("pk", flat=True)
        )
        if not ids:
            continue
        for pk in ids:
            changed = Application.objects.filter(pk=pk, stage=Stage.INSTALLED).update(stage=Stage.BILLED)
            if changed:
                ApplicationStep.objects.create(application_id=pk, stage=Stage.BILLED, at=at, by=None)
                done += 1
    if done:
        audit.record("customers.application.billed", actor=None, count=done)
    return done


@transaction.atomic
def promise(
    application: Application, *, survey_date: date | None, due_date: date | None, version: int | None, by: Person,
    now: datetime,
) -> Application:  # fmt: skip
    """Keep what who applies was promised: the day of the survey, the day by which the next step is done; None: nothing.

    Raises ChangedMeanwhile, RecordError, PermissionDenied.
    """
    one = _take(application, by, version)
    if one.stage not in OPEN:
        raise RecordError(f"Hồ sơ {one.code} {one.get_stage_display().lower()}, không hẹn được nữa.")
    if survey_date != one.survey_date:
        application_talk.check_promise(one, survey_date, one.created_at)
    if due_date != one.due_date:
        application_talk.check_promise(one, due_date, one.created_at)
    if (survey_date, due_date) == (one.survey_date, one.due_date):
        return one
    _save(one, survey_date=survey_date, due_date=due_date)
    audit.record("customers.application.promised", actor=by, target=one)
    return one


def accept_quote(application: Application, *, now: datetime) -> bool:
    """Let who applies say yes to the quote that stands; return whether it is new. Raises RecordError."""
    with transaction.atomic():
        one = _take(application, None, None)
        step = _quote_step(one)
        try:
            with transaction.atomic():
                ApplicationMessage.objects.create(
                    application=one, step=step, kind=ApplicationMessage.Kind.ACCEPTED, at=now
                )
        except IntegrityError:
            return False
        audit.record("customers.application.accepted", actor=None, target=one)
    return True


def _quote_step(one: Application) -> ApplicationStep:
    step = one.steps.filter(stage=Stage.QUOTED).order_by("-id").first()
    if one.stage != Stage.QUOTED or step is None:
        raise RecordError(f"Đề nghị {one.code} {one.get_stage_display().lower()}, không có báo giá nào chờ trả lời.")
    return step


@transaction.atomic
def ask(application: Application, *, text: str, now: datetime) -> ApplicationMessage:
    """Keep a question of who applies. Raises RecordError."""
    one = _take(application, None, None)
    if one.stage not in OPEN:
        raise RecordError(
            f"Đề nghị {one.code} {one.get_stage_display().lower()}. Gọi đơn vị cấp nước nếu cần hỏi thêm."
        )
    made = application_talk.say(one, ApplicationMessage.Kind.QUESTION, text, by=None, now=now)
    audit.record("customers.application.asked", actor=None, target=one)
    return made


@transaction.atomic
def answer(application: Application, *, text: str, by: Person, now: datetime) -> ApplicationMessage:
    """Answer who applies, on their page. Raises RecordError, PermissionDenied."""
    one = _take(application, by, None)
    made = application_talk.say(one, ApplicationMessage.Kind.ANSWER, text, by=by, now=now)
    application_messages.tell_answer(one, made, now=now)
    audit.record("customers.application.answered", actor=by, target=one)
    return made


def keep_paper(content: Any, *, name: str, by: Person | None) -> StoredFile:
    """Keep a paper of a step (PDF or picture). Raises files.RefusedFile."""
    return files.store(content, name=name, by=by, kinds=connection_operations.PAPER_KINDS)


audit.describe("customers.application.opened", "lập hồ sơ đề nghị đấu nối {target}")
audit.describe("customers.application.changed", "sửa hồ sơ đề nghị đấu nối {target}")
audit.describe("customers.application.advanced", "ghi bước tiếp theo của hồ sơ {target}")
audit.describe("customers.application.installed", "ghi lắp đặt đấu nối {connection} của hồ sơ {target}")
audit.describe("customers.application.stopped", "dừng hồ sơ đề nghị đấu nối {target}")
audit.describe("customers.application.undone", "lùi một bước hồ sơ {target}")
audit.describe("customers.application.billed", "ghi hóa đơn đầu tiên của {count} hồ sơ đấu nối")
audit.describe("customers.application.promised", "hẹn ngày với người đề nghị của hồ sơ {target}")
audit.describe("customers.application.accepted", "người đề nghị đồng ý báo giá của hồ sơ {target}")
audit.describe("customers.application.asked", "người đề nghị hỏi về hồ sơ {target}")
audit.describe("customers.application.answered", "trả lời người đề nghị của hồ sơ {target}")
