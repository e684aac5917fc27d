"""Meters: hung, swapped, taken down, verified. Each act writes the readings at both ends of a fitting."""

import tomllib
from datetime import date, datetime
from pathlib import Path
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from machnuoc.core import audit, periods
from machnuoc.core.models import Person
from machnuoc.core.vietnamese import format_date, format_datetime, format_number
from machnuoc.customers import consumption
from machnuoc.customers.errors import CustomersError
from machnuoc.customers.models import Connection, ConnectionEvent, Fitting, Meter, Reading, VerificationRule
from machnuoc.places.models import Organisation

RULES_FILE = Path(__file__).parent / "data" / "verification_rules.toml"

audit.describe("customers.meter.fitted", "lắp đồng hồ {serial} cho đấu nối {code}")
audit.describe("customers.meter.swapped", "thay đồng hồ {removed} bằng {serial} tại đấu nối {code}")
audit.describe("customers.meter.removed", "tháo đồng hồ {serial} tại đấu nối {code}")
audit.describe("customers.meter.verified", "ghi kiểm định đồng hồ {target} ngày {on_date}")
audit.describe("customers.meter.changed", "sửa hồ sơ đồng hồ {target}")


# --- how often


@transaction.atomic
def load_rules() -> int:
    """Bring the dated rules of verification in step with the data file; return how many are new or changed."""
    changed = 0
    with RULES_FILE.open("rb") as file:
        rows = tomllib.load(file)["rule"]
    for row in rows:
        fields = {key: row.get(key) for key in ("months", "valid_to", "document", "is_verified")}
        rule = VerificationRule.objects.filter(kind=row["kind"], valid_from=row["valid_from"]).first()
        if rule is None:
            VerificationRule.objects.create(kind=row["kind"], valid_from=row["valid_from"], **fields)
        elif any(getattr(rule, key) != value for key, value in fields.items()):
            VerificationRule.objects.filter(pk=rule.pk).update(**fields)
        else:
            continue
        changed += 1
    return changed


def list_rules() -> list[VerificationRule]:
    """Return the rules, the data file read in the first time that somebody asks."""
    rules = list(VerificationRule.objects.order_by("kind", "valid_from"))
    if not rules:
        load_rules()
        rules = list(VerificationRule.objects.order_by("kind", "valid_from"))
    return rules


def due_date(kind: str, verified_date: date | None) -> date | None:
    """Return the day by which a meter verified then must be verified again, by the rule in force on that day.

    None: not known when it was verified, or no rule for that day.
    """
    if verified_date is None:
        return None
    for rule in reversed(list_rules()):
        in_force = rule.valid_from <= verified_date and (rule.valid_to is None or verified_date < rule.valid_to)
        if rule.kind == kind and in_force:
            return add_months(verified_date, rule.months)
    return None


def add_months(day: date, months: int) -> date:
    """Return the same day so many months later, or the last day of that month.

    >>> add_months(date(2026, 1, 31), 1)
    datetime.date(2026, 2, 28)
    """
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    for back in range(4):
        try:
            return date(year, month + 1, day.day - back)
        except ValueError:
            continue
    raise ValueError("no such month")


# --- hanging and taking down


def _meter(operator: Organisation, serial: str, said: dict[str, Any]) -> Meter:
    """Return the operator's meter of the serial number, made if it is new; what is said of it is kept."""
    serial = " ".join(serial.split()).upper()
    if not serial:
        raise CustomersError("Chưa có số sê-ri đồng hồ. Nhập số in trên mặt đồng hồ.")
    meter = Meter.objects.filter(operator=operator, serial=serial).first() or Meter(operator=operator, serial=serial)
    for key, value in said.items():
        if value is not None:
            setattr(meter, key, value)
    if not 3 <= meter.digits <= 9:
        raise CustomersError(f"Đồng hồ {serial}: số chữ số phải từ 3 đến 9. Sửa lại.")
    meter.verification_due_date = due_date(meter.kind, meter.verified_date)
    try:
        with transaction.atomic():
            meter.save()
    except IntegrityError:
        raise CustomersError(f"Đồng hồ {serial} vừa được người khác khai báo. Mở lại trang rồi chọn.") from None
    return meter


def _check_index(meter: Meter, index_l: int) -> None:
    if not 0 <= index_l < consumption.capacity_l(meter.digits):
        raise CustomersError(
            f"Chỉ số {format_number(index_l // 1000)} m³ không có trên đồng hồ {meter.serial} "
            f"({meter.digits} chữ số). Đọc lại chỉ số, hoặc sửa số chữ số của đồng hồ."
        )


def _operator_of(connection: Connection) -> Organisation:
    return connection.customer.operator


@transaction.atomic
def fit(
    connection: Connection,
    *,
    at: datetime,
    by: Person | None,
    meter: Meter | None = None,
    serial: str = "",
    index_l: int = 0,
    seal: str = "",
    now: datetime | None = None,
    is_simulated: bool = False,
    **said: Any,
) -> Fitting:
    """Hang a meter at a connection without one, with its first reading (kind INITIAL), and return the fitting.

    Give the meter, or its serial with what is known of it (kind, make, accuracy_class, diameter_mm, digits,
    verified_date, note). index_l: litres at that moment. Raises CustomersError if one hangs there, if the meter hangs
    elsewhere, if the index is none of its digits or the moment lies before the last one was taken down.
    """
    Connection.objects.select_for_update().get(pk=connection.pk)
    meter = meter or _meter(_operator_of(connection), serial, {"is_simulated": is_simulated or None, **said})
    fitting = _hang(connection, meter, at=at, index_l=index_l, seal=seal, by=by, now=now or timezone.now())
    audit.record(
        "customers.meter.fitted", actor=by, target=connection, serial=meter.serial, code=connection.code,
        fitting=fitting.pk,
    )  # fmt: skip
    return fitting


def _hang(
    connection: Connection, meter: Meter, *, at: datetime, index_l: int, seal: str, by: Person | None, now: datetime
) -> Fitting:
    _check_index(meter, index_l)
    if at > now:
        raise CustomersError(f"Đấu nối {connection.code}: lúc lắp {format_datetime(at)} ở tương lai. Sửa lại ngày giờ.")
    live = Fitting.objects.filter(connection=connection, removed_at__isnull=True).select_related("meter").first()
    if live is not None:
        raise CustomersError(
            f"Đấu nối {connection.code} đang có đồng hồ {live.meter.serial}. Dùng «Thay đồng hồ» để ghi chỉ số tháo."
        )
    elsewhere = Fitting.objects.filter(meter=meter, removed_at__isnull=True).select_related("connection").first()
    if elsewhere is not None:
        raise CustomersError(
            f"Đồng hồ {meter.serial} đang lắp tại đấu nối {elsewhere.connection.code}. Tháo ở đó trước, "
            "hoặc kiểm tra lại số sê-ri."
        )
    last = Fitting.objects.filter(connection=connection).order_by("-installed_at").first()
    if last is not None and last.removed_at is not None and at < last.removed_at:
        raise CustomersError(
            f"Đấu nối {connection.code}: đồng hồ trước tháo lúc {format_datetime(last.removed_at)}. "
            "Lúc lắp phải từ đó trở đi."
        )
    try:
        with transaction.atomic():
            fitting = Fitting.objects.create(
                connection=connection, meter=meter, installed_at=at, installed_index_l=index_l, seal=seal, fitted_by=by
            )
    except IntegrityError:
        raise CustomersError(
            f"Đồng hồ {meter.serial} hoặc đấu nối {connection.code} vừa được người khác lắp. Mở lại trang."
        ) from None
    _end_reading(fitting, Reading.Kind.INITIAL, at=at, index_l=index_l, by=by, now=now)
    return fitting


def _end_reading(
    fitting: Fitting,
    kind: str,
    *,
    at: datetime,
    index_l: int,
    by: Person | None,
    now: datetime,
    rolled_over: bool = False,
    photo_id: int | None = None,
) -> Reading:
    return Reading.objects.create(
        connection_id=fitting.connection_id, fitting=fitting, kind=kind, source=Reading.Source.SWAP, read_at=at,
        index_l=index_l, read_by=by, received_at=now, rolled_over=rolled_over, photo_id=photo_id,
        is_simulated=fitting.meter.is_simulated,
    )  # fmt: skip


def get_live(connection: Connection) -> Fitting:
    """Return the fitting that hangs there, locked. Raises CustomersError if there is none."""
    fitting = (
        Fitting.objects.select_for_update(of=("self",))
        .filter(connection=connection, removed_at__isnull=True)
        .select_related("meter")
        .first()
    )
    if fitting is None:
        raise CustomersError(f"Đấu nối {connection.code} chưa có đồng hồ. Dùng «Lắp đồng hồ».")
    return fitting


def _take_down(
    fitting: Fitting, connection: Connection, *, at: datetime, index_l: int, reason: str, rolled_over: bool,
    by: Person | None, now: datetime, photo_id: int | None = None,
) -> Reading:  # fmt: skip
    meter = fitting.meter
    _check_index(meter, index_l)
    if at < fitting.installed_at or at > now:
        raise CustomersError(
            f"Đấu nối {connection.code}: lúc tháo phải từ lúc lắp {format_datetime(fitting.installed_at)} đến bây giờ."
        )
    later = (
        Reading.objects.filter(fitting=fitting, read_at__gt=at, state=Reading.State.ACCEPTED, index_l__isnull=False)
        .exclude(kind=Reading.Kind.ESTIMATED)
        .first()
    )
    if later is not None:
        raise CustomersError(
            f"Đấu nối {connection.code}: đồng hồ {meter.serial} đã có chỉ số ngày {format_date(_day(later.read_at))}, "
            "sau lúc tháo. Sửa ngày tháo, hoặc loại chỉ số đó trước."
        )
    last = (
        Reading.objects.filter(fitting=fitting, read_at__lte=at, state=Reading.State.ACCEPTED, index_l__isnull=False)
        .exclude(kind=Reading.Kind.ESTIMATED)
        .order_by("-read_at", "-id")
        .first()
    )
    last_l = fitting.installed_index_l if last is None or last.index_l is None else last.index_l
    if index_l < last_l and not rolled_over:
        raise CustomersError(
            f"Đấu nối {connection.code}: chỉ số tháo {format_number(index_l // 1000)} m³ thấp hơn lần đọc trước "
            f"{format_number(last_l // 1000)} m³. Đọc lại, hoặc đánh dấu đồng hồ đã quay vòng qua 0."
        )
    fitting.removed_at, fitting.removed_index_l, fitting.removal_reason = at, index_l, reason[:200]
    fitting.save(update_fields=["removed_at", "removed_index_l", "removal_reason"])
    return _end_reading(
        fitting, Reading.Kind.FINAL, at=at, index_l=index_l, by=by, now=now,
        rolled_over=rolled_over and index_l < last_l, photo_id=photo_id,
    )  # fmt: skip


def _day(moment: datetime) -> date:
    return periods.local_date(moment)


@transaction.atomic
def swap(
    connection: Connection,
    *,
    at: datetime,
    removed_index_l: int,
    by: Person | None,
    meter: Meter | None = None,
    serial: str = "",
    index_l: int = 0,
    reason: str = "",
    seal: str = "",
    removed_rolled_over: bool = False,
    photo_id: int | None = None,
    seen: int | None = None,
    now: datetime | None = None,
    is_simulated: bool = False,
    **said: Any,
) -> Fitting:
    """Take the meter down and hang another in its place as one act: closes and opens the readings (FINAL, INITIAL).

    removed_index_l: litres of the old meter at that moment; index_l: of the new one. removed_rolled_over: the old one
    went through zero since its last reading. seen: the id of the fitting that the person saw; another one is there
    now if somebody swapped it meanwhile. The rest as `fit`. Raises CustomersError, and then nothing is done.
    """
    now = now or timezone.now()
    Connection.objects.select_for_update().get(pk=connection.pk)
    old = get_live(connection)
    if seen is not None and old.pk != seen:
        raise CustomersError(
            f"Đồng hồ của đấu nối {connection.code} vừa được người khác thay bằng {old.meter.serial}. Tải lại trang."
        )
    if at <= old.installed_at:
        raise CustomersError(
            f"Đấu nối {connection.code}: đồng hồ {old.meter.serial} lắp lúc {format_datetime(old.installed_at)}. "
            "Lúc thay phải sau đó."
        )
    new = meter or _meter(_operator_of(connection), serial, {"is_simulated": is_simulated or None, **said})
    if new.pk == old.meter_id:
        raise CustomersError(f"Đồng hồ {new.serial} đang lắp tại đấu nối {connection.code}. Nhập số sê-ri đồng hồ mới.")
    _take_down(
        old, connection, at=at, index_l=removed_index_l, reason=reason, rolled_over=removed_rolled_over, by=by, now=now,
        photo_id=photo_id,
    )  # fmt: skip
    fitting = _hang(connection, new, at=at, index_l=index_l, seal=seal, by=by, now=now)
    ConnectionEvent.objects.create(
        connection=connection, kind=ConnectionEvent.Kind.METER, on_date=_day(at), at=now, by=by,
        text=f"{old.meter.serial} → {new.serial}{f': {reason}' if reason else ''}"[:300],
    )  # fmt: skip
    audit.record(
        "customers.meter.swapped", actor=by, target=connection, removed=old.meter.serial, serial=new.serial,
        code=connection.code, fitting=fitting.pk,
    )  # fmt: skip
    return fitting


@transaction.atomic
def remove(
    connection: Connection, *, at: datetime, index_l: int, by: Person | None, reason: str = "",
    rolled_over: bool = False, now: datetime | None = None,
) -> Fitting:  # fmt: skip
    """Take the meter down without another (a connection that ends), with its last reading. Raises CustomersError."""
    now = now or timezone.now()
    Connection.objects.select_for_update().get(pk=connection.pk)
    fitting = get_live(connection)
    _take_down(fitting, connection, at=at, index_l=index_l, reason=reason, rolled_over=rolled_over, by=by, now=now)
    audit.record(
        "customers.meter.removed", actor=by, target=connection, serial=fitting.meter.serial, code=connection.code
    )
    return fitting


# --- what is known of a meter


@transaction.atomic
def record_verification(meter: Meter, *, on_date: date, by: Person | None, today: date) -> Meter:
    """Write down that a meter was verified on a day; the day by which it must be again follows from the rule."""
    if on_date > today:
        raise CustomersError(f"Đồng hồ {meter.serial}: ngày kiểm định {format_date(on_date)} ở tương lai. Sửa lại.")
    locked = Meter.objects.select_for_update().get(pk=meter.pk)
    if locked.verified_date is not None and on_date < locked.verified_date:
        raise CustomersError(
            f"Đồng hồ {meter.serial} đã kiểm định ngày {format_date(locked.verified_date)}, sau ngày vừa nhập."
        )
    locked.verified_date = on_date
    locked.verification_due_date = due_date(locked.kind, on_date)
    locked.save(update_fields=["verified_date", "verification_due_date"])
    audit.record("customers.meter.verified", actor=by, target=locked, on_date=on_date.isoformat())
    return locked


@transaction.atomic
def change(meter: Meter, *, by: Person | None, **said: Any) -> Meter:
    """Change what is known of a meter (kind, make, accuracy_class, diameter_mm, digits, verified_date, note)."""
    locked = Meter.objects.select_for_update().get(pk=meter.pk)
    for key, value in said.items():
        setattr(locked, key, value)
    top = (
        Reading.objects.filter(fitting__meter=locked, state=Reading.State.ACCEPTED, index_l__isnull=False)
        .order_by("-index_l")
        .values_list("index_l", flat=True)
        .first()
    )
    if top is not None:
        _check_index(locked, top)
    locked.verification_due_date = due_date(locked.kind, locked.verified_date)
    locked.save()
    audit.record("customers.meter.changed", actor=by, target=locked, fields=sorted(said))
    return locked
