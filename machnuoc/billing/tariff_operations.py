"""What is done with tariffs, fee rules and frames of prices: drafted, copied, put in force, withdrawn.

A draft may be as wrong as it likes. What is in force has no gap, and no other tariff of its scope beside it on any day.
"""

from collections.abc import Iterable
from datetime import date
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.utils.text import slugify

from machnuoc.billing import tariff_queries
from machnuoc.billing.errors import BillingError
from machnuoc.billing.models import Area, Bill, FeeRule, PriceFrame, Tariff, TariffPrice
from machnuoc.billing.tariff_checks import Row
from machnuoc.core import audit, folding, permissions
from machnuoc.core.models import Person
from machnuoc.core.vietnamese import format_date, format_number
from machnuoc.places import access
from machnuoc.places.models import Containment, Subject

audit.describe("billing.tariff.drafted", "soạn biểu giá {target}")
audit.describe("billing.tariff.copied", "sao chép biểu giá thành {target}")
audit.describe("billing.tariff.edited", "sửa bản soạn biểu giá {target}")
audit.describe("billing.tariff.deleted", "xóa bản soạn biểu giá {key}")
audit.describe("billing.tariff.in_force", "đưa biểu giá {target} vào áp dụng từ {valid_from}")
audit.describe("billing.tariff.ended", "kết thúc biểu giá {target} trước ngày {valid_to}")
audit.describe("billing.tariff.withdrawn", "hủy biểu giá {target}")
audit.describe("billing.tariff.reopened", "biểu giá {target} tiếp tục áp dụng")
audit.describe("billing.tariff.verified", "ghi nhận đã đối chiếu văn bản của biểu giá {target}")
audit.describe("billing.fee_rule.added", "đặt mức phí bảo vệ môi trường {basis_points} ‱ từ {valid_from}")
audit.describe("billing.fee_rule.removed", "bỏ mức phí bảo vệ môi trường từ {valid_from}")
audit.describe("billing.price_frame.added", "thêm khung giá {area} từ {valid_from}")

_KEY_MAX = 60
_DRAFT_FIELDS = (
    "name", "scope", "area", "decision", "decision_date", "is_verified", "valid_from", "valid_to", "vat_basis_points",
    "includes_vat", "minimum_l_per_household", "note",
)  # fmt: skip


class TariffError(BillingError):
    """An act on a tariff that cannot be done, with what to do instead."""


class ChangedMeanwhile(TariffError):
    """Somebody else saved the draft since it was opened."""


class NeedsConfirmation(TariffError):
    """What can be done, but only by someone who has read what is odd about it."""

    def __init__(self, texts: list[str]) -> None:
        super().__init__("Cần xác nhận trước khi áp dụng: " + " ".join(texts))
        self.texts = texts


# --- drafts


@transaction.atomic
def add_draft(*, rows: Iterable[Row], by: Person, is_simulated: bool = False, **fields: Any) -> Tariff:
    """Make a draft. fields: those of `_DRAFT_FIELDS`. Who may prepare bills in the scope may draft its tariffs."""
    access.require(by, "bill", fields["scope"])
    made = Tariff.objects.create(
        key=_free_key(fields["name"], fields["valid_from"]), is_simulated=is_simulated, **_known(fields)
    )
    _write_prices(made, rows)
    audit.record("billing.tariff.drafted", actor=by, target=made)
    return made


@transaction.atomic
def edit_draft(row: Tariff, *, version: int, rows: Iterable[Row] | None = None, by: Person, **fields: Any) -> Tariff:
    """Write a draft anew. rows None: the prices stay. Raises ChangedMeanwhile if it was saved since `version`."""
    row = _lock(row)
    access.require(by, "bill", row.scope_id)
    if "scope" in fields:
        access.require(by, "bill", fields["scope"])
    _require_draft(row, "sửa")
    if row.version != version:
        raise ChangedMeanwhile(
            f"Bản soạn «{row.name}» vừa được người khác lưu. Mở lại trang để xem bản mới rồi nhập lại phần sửa."
        )
    for name, value in _known(fields).items():
        setattr(row, name, value)
    row.version = F("version") + 1
    row.save()
    row.refresh_from_db()
    if rows is not None:
        row.prices.all().delete()
        _write_prices(row, rows)
    audit.record("billing.tariff.edited", actor=by, target=row)
    return row


@transaction.atomic
def copy(row: Tariff, *, valid_from: date, by: Person) -> Tariff:
    """Begin a draft with the prices of another tariff, to be changed and put in force later."""
    access.require(by, "bill", row.scope_id)
    fields = {name: getattr(row, name) for name in _DRAFT_FIELDS}
    name = f"{row.name} (bản sao)"[:160]
    fields |= {"name": name, "valid_from": valid_from, "valid_to": None, "is_verified": False}
    made = Tariff.objects.create(key=_free_key(name, valid_from), is_simulated=row.is_simulated, **fields)
    _write_prices(made, tariff_queries.rows_of(row))
    audit.record("billing.tariff.copied", actor=by, target=made, copied_from=row.key)
    return made


@transaction.atomic
def delete_draft(row: Tariff, *, by: Person) -> None:
    row = _lock(row)
    access.require(by, "bill", row.scope_id)
    _require_draft(row, "xóa")
    if tariff_queries.get_uses(row).until is not None:
        raise TariffError(f"Không xóa được bản soạn «{row.name}»: đã có hóa đơn ghi biểu giá này.")
    audit.record("billing.tariff.deleted", actor=by, target=row, key=row.key)
    row.delete()


# --- in force


@transaction.atomic
def put_in_force(row: Tariff, *, valid_from: date, by: Person, is_confirmed: bool = False) -> Tariff:
    """Let the tariff apply from a day on; the one before it ends there.

    Needs the right to approve. Raises TariffError for prices with a gap or overlap, or if a later tariff of the scope
    is in force already; NeedsConfirmation for what is odd but possible, unless is_confirmed.
    """
    access.require(by, "approve", row.scope_id)
    Subject.objects.select_for_update().get(pk=row.scope_id)  # a second tariff for the scope waits here
    row = _lock(row)
    _require_draft(row, "đưa vào áp dụng")
    if row.valid_to is not None and row.valid_to <= valid_from:
        raise TariffError(
            f"Biểu giá «{row.name}» kết thúc trước ngày {format_date(row.valid_to)}, không thể áp dụng từ "
            f"{format_date(valid_from)}. Sửa ngày kết thúc hoặc chọn ngày bắt đầu sớm hơn."
        )
    problems = tariff_queries.find_problems(row, on_date=valid_from)
    fatal = [problem.text for problem in problems if problem.is_fatal]
    if fatal:
        raise TariffError(f"Chưa áp dụng được biểu giá «{row.name}»: " + " ".join(fatal))
    before = _make_room(row, valid_from)
    odd = [problem.text for problem in problems if not problem.is_fatal]
    odd += _already_billed(row.scope_id, valid_from)
    if odd and not is_confirmed:
        raise NeedsConfirmation(odd)
    if before is not None:
        before.valid_to = valid_from
        before.version += 1
        before.save(update_fields=["valid_to", "version"])
        audit.record("billing.tariff.ended", actor=by, target=before, valid_to=format_date(valid_from))
    row.valid_from = valid_from
    row.state = Tariff.State.IN_FORCE
    row.version += 1
    row.save(update_fields=["valid_from", "state", "version"])
    audit.record("billing.tariff.in_force", actor=by, target=row, valid_from=format_date(valid_from))
    return row


def _make_room(row: Tariff, valid_from: date) -> Tariff | None:
    """Return the tariff of the scope that must end, None for none. Raises TariffError if a later one is in the way."""
    others = Tariff.objects.select_for_update().filter(scope_id=row.scope_id, state=Tariff.State.IN_FORCE)
    later = others.filter(valid_from__gte=valid_from).order_by("valid_from").first()
    if later is not None and (row.valid_to is None or row.valid_to > later.valid_from):
        raise TariffError(
            f"{row.scope.name} đã có biểu giá «{later.name}» áp dụng từ {format_date(later.valid_from)}: một phạm vi "
            "không thể có hai biểu giá cùng lúc. Hủy biểu giá đó nếu chưa dùng, chọn ngày bắt đầu sau ngày đó, hoặc "
            f"cho bản soạn này kết thúc trước ngày {format_date(later.valid_from)}."
        )
    return others.filter(Q(valid_to__isnull=True) | Q(valid_to__gt=valid_from), valid_from__lt=valid_from).first()


@transaction.atomic
def withdraw(row: Tariff, *, by: Person) -> Tariff:
    """Take a tariff back that no bill was made with; the one before it goes on."""
    access.require(by, "approve", row.scope_id)
    Subject.objects.select_for_update().get(pk=row.scope_id)
    row = _lock(row)
    if row.state != Tariff.State.IN_FORCE:
        raise TariffError(f"Biểu giá «{row.name}» không ở tình trạng áp dụng nên không có gì để hủy.")
    uses = tariff_queries.get_uses(row)
    if uses.until is not None:
        count = f"{format_number(uses.bills)} hóa đơn" if uses.bills else "hóa đơn"
        raise TariffError(
            f"Không hủy được biểu giá «{row.name}»: đã có {count} tính theo biểu giá này. "
            "Soạn biểu giá mới rồi áp dụng từ ngày sau, và điều chỉnh các hóa đơn nếu cần."
        )
    row.state = Tariff.State.WITHDRAWN
    row.version += 1
    row.save(update_fields=["state", "version"])
    audit.record("billing.tariff.withdrawn", actor=by, target=row)
    before = Tariff.objects.filter(
        scope_id=row.scope_id, state=Tariff.State.IN_FORCE, valid_to=row.valid_from
    ).first()  # fmt: skip
    if before is not None:
        before.valid_to = row.valid_to
        before.version += 1
        before.save(update_fields=["valid_to", "version"])
        audit.record("billing.tariff.reopened", actor=by, target=before)
    return row


@transaction.atomic
def set_verified(row: Tariff, *, by: Person) -> None:
    """Say that somebody compared the prices with the printed decision."""
    access.require(by, "approve", row.scope_id)
    if not row.is_verified:
        Tariff.objects.filter(pk=row.pk).update(is_verified=True, version=F("version") + 1)
        audit.record("billing.tariff.verified", actor=by, target=row)


# --- fees and frames


@transaction.atomic
def add_fee_rule(
    *, scope: Subject, group: str, basis_points: int, valid_from: date, document: str, is_verified: bool, by: Person,
    is_confirmed: bool = False,
) -> FeeRule:  # fmt: skip
    """Set the environment fee of a scope (and group; empty: all) from a day on; 0 switches it off.

    The rule of the same scope and group before it ends there. Raises NeedsConfirmation if bills of those days exist.
    """
    access.require(by, "approve", scope)
    Subject.objects.select_for_update().get(pk=scope.pk)
    mine = FeeRule.objects.filter(scope=scope, group=group)
    later = mine.filter(valid_from__gte=valid_from).order_by("valid_from").first()
    if later is not None:
        raise TariffError(
            f"{scope.name} đã có mức phí từ {format_date(later.valid_from)} cho đối tượng này. "
            "Chọn ngày sau ngày đó, hoặc bỏ mức phí đó trước."
        )
    odd = _already_billed(scope.pk, valid_from)
    if odd and not is_confirmed:
        raise NeedsConfirmation(odd)
    mine.filter(Q(valid_to__isnull=True) | Q(valid_to__gt=valid_from)).update(valid_to=valid_from)
    made = FeeRule.objects.create(
        scope=scope, group=group, basis_points=basis_points, valid_from=valid_from, document=document,
        is_verified=is_verified,
    )  # fmt: skip
    audit.record(
        "billing.fee_rule.added", actor=by, target=made, scope=scope.key, group=group, basis_points=basis_points,
        valid_from=format_date(valid_from),
    )  # fmt: skip
    return made


@transaction.atomic
def remove_fee_rule(rule: FeeRule, *, by: Person) -> None:
    """Take back the latest rule of a scope and group while no bill of its days exists; the one before goes on."""
    access.require(by, "approve", rule.scope_id)
    billed = _already_billed(rule.scope_id, rule.valid_from)
    if billed:
        raise TariffError("Không bỏ được mức phí đã dùng. " + " ".join(billed) + " Đặt mức phí mới từ một ngày sau.")
    mine = FeeRule.objects.filter(scope_id=rule.scope_id, group=rule.group)
    mine.filter(valid_to=rule.valid_from).update(valid_to=rule.valid_to)
    audit.record(
        "billing.fee_rule.removed", actor=by, target=rule, group=rule.group, valid_from=format_date(rule.valid_from)
    )
    rule.delete()


@transaction.atomic
def add_frame(
    *, area: str, low_vnd: int, high_vnd: int, valid_from: date, document: str, is_verified: bool, by: Person
) -> PriceFrame:
    """Add the frame of prices of an area from a day on. It is of the whole country: for who administers all of it."""
    permissions.require_everywhere(by, "administer")
    tariff_queries.list_frames()  # those of the data file come first
    mine = PriceFrame.objects.filter(area=area)
    if mine.filter(valid_from__gte=valid_from).exists():
        raise TariffError(
            f"{Area(area).label} đã có khung giá từ ngày này hoặc sau đó. Chọn ngày sau ngày của khung mới nhất."
        )
    mine.filter(Q(valid_to__isnull=True) | Q(valid_to__gt=valid_from)).update(valid_to=valid_from)
    made = PriceFrame.objects.create(
        area=area, low_vnd=low_vnd, high_vnd=high_vnd, valid_from=valid_from, document=document,
        is_verified=is_verified,
    )  # fmt: skip
    audit.record("billing.price_frame.added", actor=by, target=made, area=area, valid_from=format_date(valid_from))
    return made


# --- shared


def _already_billed(scope_id: int, valid_from: date) -> list[str]:
    works = Containment.objects.filter(ancestor_id=scope_id).values("descendant_id")
    billed = Bill.objects.filter(connection__work_id__in=works, to_date__gt=valid_from, state=Bill.State.ISSUED)
    if not billed.exists():
        return []
    return [
        f"Đã có hóa đơn cho những ngày từ {format_date(valid_from)}: các hóa đơn đó giữ nguyên, muốn tính lại phải lập "
        "hóa đơn điều chỉnh hoặc thay thế."
    ]


def _lock(row: Tariff) -> Tariff:
    return Tariff.objects.select_for_update(of=("self",)).select_related("scope").get(pk=row.pk)


def _require_draft(row: Tariff, act: str) -> None:
    if row.state != Tariff.State.DRAFT:
        raise TariffError(
            f"Chỉ {act} được bản đang soạn; biểu giá «{row.name}» đang ở tình trạng «{row.get_state_display()}». "
            "Sao chép thành bản soạn mới rồi sửa."
        )


def _known(fields: dict[str, Any]) -> dict[str, Any]:
    unknown = fields.keys() - set(_DRAFT_FIELDS)
    if unknown:
        raise TypeError(f"unknown fields of a tariff: {sorted(unknown)}")
    return fields


def _write_prices(row: Tariff, rows: Iterable[Row]) -> None:
    typed = list(rows)
    for one in typed:
        if one.to_l is not None and one.to_l <= one.from_l:
            raise TariffError(
                f"Bậc từ {format_number(one.from_l / 1000)} m³ phải kết thúc ở mức lớn hơn. Sửa mức cuối của bậc."
            )
    starts = [(one.group, one.from_l) for one in typed]
    if len(set(starts)) != len(starts):
        raise TariffError("Hai bậc của một đối tượng bắt đầu cùng một mức. Sửa mức đầu của một trong hai bậc.")
    TariffPrice.objects.bulk_create(
        TariffPrice(
            tariff=row, group=one.group, structure=one.structure, from_l=one.from_l, to_l=one.to_l,
            price_vnd=one.price_vnd,
        )
        for one in typed
    )  # fmt: skip


def _free_key(name: str, valid_from: date) -> str:
    base = f"{slugify(folding.fold(name))[:40].strip('-') or 'bieu-gia'}-{valid_from:%Y%m}"
    taken = set(Tariff.objects.filter(key__startswith=base).values_list("key", flat=True))
    candidates = [base, *(f"{base}-{number}" for number in range(2, len(taken) + 2))]
    return next(key for key in candidates if key not in taken)[:_KEY_MAX]
