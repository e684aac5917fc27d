"""From the wish for a connection to its first bill: survey, request, quote, contract, installation.

Each step keeps its moment, who did it, a note and a paper. Steps follow one another; a manager can take back the last
one. Installation makes the customer, the connection, the contract and the fitting of the meter, or nothing at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from machnuoc.core import audit, files
from machnuoc.core.models import Person, StoredFile
from machnuoc.core.periods import local_date
from machnuoc.customers import connection_operations, connection_queries, meters, privacy, visibility
from machnuoc.customers.connection_operations import ChangedMeanwhile, ConnectionFacts, CustomerFacts, RecordError
from machnuoc.customers.models import (
    Application,
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
    is_simulated: bool = False,
) -> Application:
    """Begin an application: a survey of needs (SURVEYED) or a request (REQUESTED). by None: the sender themselves.

    Raises RecordError, PermissionDenied.
    """
    if by is not None:
        visibility.require_work(by, "serve", work.pk)
    if stage not in {Stage.SURVEYED, Stage.REQUESTED}:
        raise RecordError("Hồ sơ bắt đầu từ khảo sát nhu cầu hoặc từ đề nghị.")
    kept = {name: getattr(_clean(facts, work), name) for name in ApplicationFacts.__dataclass_fields__}
    for attempt in range(_TRIES):
        number = connection_queries.next_number(Application) + attempt
        code = f"DK{local_date(now).year}-{number:05d}"
        try:
            with transaction.atomic():
                made = Application.objects.create(
                    code=code, work=work, stage=stage, source=source[:20], created_at=now, is_simulated=is_simulated,
                    **kept,
                )  # fmt: skip
        except IntegrityError:
            continue
        ApplicationStep.objects.create(application=made, stage=stage, at=now, by=by, note=note.strip()[:300])
        audit.record("customers.application.opened", actor=by, target=made, stage=stage, work_id=work.pk)
        return made
    raise RecordError("Nhiều người đang lập hồ sơ cùng lúc, chưa đánh được mã. Bấm lưu lại lần nữa.")


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
    if not changed:
        return one
    _save(one, **{name: getattr(facts, name) for name in changed})
    audit.record("customers.application.changed", actor=by, target=one, fields=changed)
    return one


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
    one: Application, stage: str, at: datetime, by: Person | None, note: str, paper: StoredFile | None
) -> ApplicationStep:
    return ApplicationStep.objects.create(
        application=one, stage=stage, at=at, by=by, note=note.strip()[:300], paper=paper
    )


def _check_moment(one: Application, at: datetime, now: datetime) -> None:
    if at > now + _SLACK:
        raise RecordError("Thời điểm của bước ở tương lai. Ghi khi việc đã làm.")
    last = one.steps.order_by("-id").first()
    if last is not None and local_date(at) < local_date(last.at):
        raise RecordError(
            f"Bước «{last.get_stage_display()}» của hồ sơ {one.code} làm ngày {local_date(last.at):%d/%m/%Y}; "
            "bước sau không thể trước ngày đó."
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
    contract_number: str = "",
    paper: StoredFile | None = None,
) -> Application:
    """Take the next step up to the contract. A quote needs its amount, a contract its number.

    Raises ChangedMeanwhile, RecordError, PermissionDenied.
    """
    one = _take(application, by, version)
    stage = next_stage(one)
    if not stage:
        raise RecordError(f"Hồ sơ {one.code} {one.get_stage_display().lower()}, không còn bước nào để ghi.")
    if stage == Stage.INSTALLED:
        raise RecordError(f"Hồ sơ {one.code} chờ lắp đặt: ghi lắp đặt với số đồng hồ và chỉ số.")
    _check_moment(one, at, now)
    values: dict[str, Any] = {"stage": stage}
    if stage == Stage.QUOTED:
        if quote_vnd is None or quote_vnd < 0:
            raise RecordError("Ghi chi phí lắp đặt (đồng); 0 nếu miễn phí.")
        values["quote_vnd"] = quote_vnd
    if stage == Stage.CONTRACTED:
        note = " ".join(contract_number.split())[:60]
        if not note:
            raise RecordError("Ghi số hợp đồng.")
        connection_operations.check_contract_number(note)
    _save(one, **values)
    _step(one, stage, at, by, note, paper)
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
    number, signed_date = contract_of(one)
    made = connection_operations.create_connection(
        work=one.work,
        customer=CustomerFacts(one.name, one.kind, phone=one.phone, email=one.email),
        facts=ConnectionFacts(
            one.address, one.place, one.latitude, one.longitude, one.group, one.households, route=route
        ),
        by=by, now=now, code=code, origin=Connection.Origin.NEW, connected_date=local_date(at),
        contract_number=number, signed_date=signed_date, persons=one.persons, is_simulated=one.is_simulated,
    )  # fmt: skip
    privacy.give_consent(made.customer, Consent.Purpose.CONTRACT, how=f"hợp đồng số {number}", by=by, now=now)
    meters.fit(
        made, at=at, by=by, serial=serial, index_l=index_l, seal=seal, now=now, is_simulated=one.is_simulated, **meter
    )
    connection_operations.mark_installed(made, local_date(at), by, now)
    _save(one, stage=Stage.INSTALLED, connection=made)
    _step(one, Stage.INSTALLED, at, by, note, paper)
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
    _save(one, stage=stage)
    _step(one, stage, now, by, reason, None)
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
    values: dict[str, Any] = {"stage": before.stage}
    if last.stage == Stage.QUOTED:
        values["quote_vnd"] = None
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
