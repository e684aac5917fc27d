"""What the pages of billing runs read."""

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from machnuoc.billing.models import Bill, BillingProfile, BillingRun, InvoiceSeries, RunSkip
from machnuoc.core.models import Person
from machnuoc.customers import privacy, visibility
from machnuoc.customers.models import Connection, Group
from machnuoc.places import access
from machnuoc.places.models import Organisation, Subject
from machnuoc.works.models import Work

Reason = RunSkip.Reason
OUTLIER_WORDS = {"LONG": "Tính hơn ba tháng", "SUDDEN": "Tăng đột biến", "ZERO": "Bỗng bằng 0", "LARGE": "Số tiền lớn"}
# What to do about a connection that was left out.
SKIP_ADVICE: dict[str, str] = {
    Reason.NO_READING: "Ghi hoặc tạm tính chỉ số của kỳ, rồi lập đợt mới cho kỳ này.",
    Reason.NO_START: "Ghi chỉ số kỳ trước. Đọc ngay ngày lắp đồng hồ thì loại chỉ số đó và đọc lại hôm sau.",
    Reason.SUSPECT: "Nhận hoặc loại chỉ số ở «Ghi chỉ số › Chờ xem lại».",
    Reason.NO_TARIFF: "Ban hành biểu giá có hiệu lực từ ngày đầu của lượng nước này. Đấu nối từ sổ cũ: nạp chỉ số "
    "kỳ trước, nếu không nước được tính từ ngày lắp đồng hồ.",
    Reason.NO_PERSONS: "Đăng ký số người ở «Cập nhật › Định mức» của đấu nối.",
    Reason.BAD_SHARES: "Sửa tỷ lệ ở «Cập nhật › Mục đích sử dụng» cho đủ 100 %.",
    Reason.NEGATIVE: "Xem lại chỉ số: đồng hồ quay vòng, đã thay, hay đọc nhầm.",
    Reason.COVERED: "Hóa đơn kỳ sau đã gồm lượng nước này; muốn tách thì điều chỉnh hóa đơn đó.",
}
_SHOWN = 50


def list_runs(person: Person) -> QuerySet[BillingRun]:
    """Return the runs of scopes that the person may bill, newest first."""
    return (
        BillingRun.objects.filter(scope_id__in=access.visible_subject_ids(person, "bill"))
        .select_related("scope", "operator__subject", "created_by", "approved_by", "job")
        .order_by("-period_start_date", "-id")
    )


def list_scopes(person: Person) -> list[Subject]:
    """Return what the person may open a run for: operators and works with connections."""
    reached = access.visible_subject_ids(person, "bill")
    works = visibility.works_with_customers().filter(pk__in=reached)
    ids = set(works.values_list("pk", flat=True))
    operators = set(works.filter(operator__isnull=False, operator_id__in=reached).values_list("operator_id", flat=True))
    return list(Subject.objects.filter(pk__in=ids | operators).order_by("-kind", "name"))


def suggest_month(today: date) -> date:
    """Return the month that is billed next: the one before."""
    return (today.replace(day=1) - timedelta(days=1)).replace(day=1)


# --- one run ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GroupRow:
    label: str
    bills: int
    volume_m3: float
    total_vnd: int


@dataclass(frozen=True)
class Outlier:
    connection: Connection
    name: str
    words: str
    tone: str
    volume_m3: float
    last_m3: float | None
    total_vnd: int
    last_vnd: int
    since: date | None = None  # of one that covers months: the first day


@dataclass(frozen=True)
class SkipRow:
    connection: Connection
    name: str
    reason: str
    reason_label: str
    is_billed: bool

    @property
    def advice(self) -> str:
        return SKIP_ADVICE[self.reason]


@dataclass(frozen=True)
class RunPage:
    """Everything the page of a run shows. Percentages 0-100; None where there is nothing to compare with."""

    groups: list[GroupRow]
    works: list[GroupRow]
    outliers: list[Outlier]
    skips: list[tuple[str, str, int]]  # reason, label, number
    skip_count: int
    volume_m3: float
    both_bills: int  # of connections with a bill in the month before too: what is compared
    last_volume_m3: float
    last_total_vnd: int
    same_volume_m3: float
    same_total_vnd: int
    volume_change_pct: float | None
    total_change_pct: float | None
    changed: dict[str, Any] = field(default_factory=dict)
    unmasked: int = 0


def get_run_page(run: BillingRun, person: Person) -> RunPage:
    """Return what the page shows of the previewed or issued totals."""
    said = run.previewed
    _, last_l, last_vnd = said.get("last") or (0, 0, 0)
    both, same_l, same_vnd = said.get("same") or (0, 0, 0)
    shown_works = Work.objects.filter(pk__in=[int(key) for key in said.get("by_work", {})])
    works = dict(shown_works.values_list("pk", "subject__name"))
    if run.skips.exists():
        skips = dict(run.skips.values_list("reason").annotate(count=Count("id")).order_by())
    else:
        skips = said.get("skips", {})
    outliers, unmasked = _outliers(said.get("outliers", [])[:_SHOWN], person)
    return RunPage(
        groups=[
            GroupRow(Group(key).label, bills, volume_l / 1000, total)
            for key, (bills, volume_l, total) in said.get("by_group", {}).items()
        ],
        works=sorted(
            (
                GroupRow(works.get(int(key), key), bills, volume_l / 1000, total)
                for key, (bills, volume_l, total) in said.get("by_work", {}).items()
            ),
            key=lambda row: -row.total_vnd,
        ),
        outliers=outliers,
        skips=[
            (key, RunSkip.Reason(key).label, count) for key, count in sorted(skips.items(), key=lambda one: -one[1])
        ],
        skip_count=sum(skips.values()),
        volume_m3=said.get("volume_l", 0) / 1000,
        both_bills=both,
        last_volume_m3=last_l / 1000,
        last_total_vnd=last_vnd,
        same_volume_m3=same_l / 1000,
        same_total_vnd=same_vnd,
        volume_change_pct=_change(same_l, last_l) if both else None,
        total_change_pct=_change(same_vnd, last_vnd) if both else None,
        changed=said.get("changed", {}),
        unmasked=unmasked,
    )


def _change(now: int, before: int) -> float | None:
    return None if not before else 100 * (now - before) / before


def _outliers(found: list[dict[str, Any]], person: Person) -> tuple[list[Outlier], int]:
    connections = _connections([row["connection"] for row in found])
    served = visibility.served_among(person, connections.values())
    tones = {"LONG": "danger", "SUDDEN": "warning", "ZERO": "info", "LARGE": "neutral"}
    rows = [
        Outlier(
            connections[row["connection"]], _name(connections[row["connection"]], served), OUTLIER_WORDS[row["kind"]],
            tones[row["kind"]], row["volume_l"] / 1000, None if row["last_l"] is None else row["last_l"] / 1000,
            row["total"], row["last_total"], date.fromisoformat(row["from_day"]) if row["kind"] == "LONG" else None,
        )
        for row in found
        if row["connection"] in connections
    ]  # fmt: skip
    return rows, len({row.connection.pk for row in rows} & served)


def _connections(ids: list[int]) -> dict[int, Connection]:
    return {
        one.pk: one
        for one in Connection.objects.filter(pk__in=ids).select_related("customer", "work__subject", "route")
    }


def _name(connection: Connection, served: frozenset[int]) -> str:
    return privacy.show(connection.customer, connection, unmasked=connection.pk in served).name


def list_skips(run: BillingRun, reason: str = "", *, waiting_only: bool = False) -> QuerySet[RunSkip]:
    """Return the connections that the run left out; is_billed: whether they have their bill of the month by now."""
    billed = Bill.objects.filter(
        connection_id=OuterRef("connection_id"), period_start_date=run.period_start_date, state=Bill.State.ISSUED,
        kind__in=[Bill.Kind.NORMAL, Bill.Kind.REPLACEMENT],
    )  # fmt: skip
    rows = run.skips.annotate(is_billed=Exists(billed)).select_related(
        "connection__customer", "connection__work__subject", "connection__route"
    )
    if reason:
        rows = rows.filter(reason=reason)
    if waiting_only:
        rows = rows.filter(is_billed=False)
    return rows.order_by("reason", "connection__code")


def list_previewed_skips(run: BillingRun) -> list[SkipRow]:
    """Return the first of those that a previewed run would leave out (all are listed once it is issued)."""
    found = run.previewed.get("shown_skips", [])
    connections = _connections([pk for pk, _ in found])
    return [
        SkipRow(connections[pk], "", reason, RunSkip.Reason(reason).label, False)
        for pk, reason in found
        if pk in connections
    ]


# --- how an operator bills --------------------------------------------------------------------------------------------


def list_operators(person: Person) -> list[tuple[Organisation, BillingProfile | None, InvoiceSeries | None]]:
    """Return the operators that the person may bill for, with how they bill."""
    reached = access.visible_subject_ids(person, "bill")
    of_customers = visibility.works_with_customers().filter(operator=OuterRef("pk"))
    operators = Organisation.objects.filter(
        Q(pk__in=reached), Exists(of_customers) | Q(billing_profile__isnull=False)
    ).select_related("subject")  # fmt: skip
    profiles = BillingProfile.objects.in_bulk([one.pk for one in operators])
    series = {row.operator_id: row for row in InvoiceSeries.objects.filter(is_active=True)}
    return [(one, profiles.get(one.pk), series.get(one.pk)) for one in operators]
