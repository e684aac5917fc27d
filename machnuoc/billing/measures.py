"""Figures that bills and the ledger give the indicators, by work: from the sums of months that billing keeps."""

from collections.abc import Callable, Sequence
from datetime import timedelta

from django.db.models import Sum
from django.utils import timezone

from machnuoc.billing import figures
from machnuoc.billing.models import WorkMonth
from machnuoc.core.periods import Period
from machnuoc.core.vietnamese import format_datetime, format_money_vnd, format_number
from machnuoc.customers.measures import Counts, link, provided
from machnuoc.indicators import providers

Read = Callable[[Period], Counts]


def _m3(litres: int) -> int:
    """Return whole cubic metres, rounded half up."""
    return (litres + 500) // 1_000


def _sums(period: Period, *names: str) -> list[tuple[int, bool, tuple[int, ...]]]:
    """Return (work, is simulated, sums) of the bills of the months of a period, of works that have any."""
    rows = (
        WorkMonth.objects.filter(
            period_start_date__gte=period.start_date, period_start_date__lt=period.end_date, bills__gt=0
        )
        .order_by()
        .values_list("work_id", "is_simulated")
        .annotate(*[Sum(name) for name in names])
    )
    return [(row[0], row[1], row[2:]) for row in rows]


def _volume(period: Period) -> Counts:
    return {(work, simulated): _m3(litres) for work, simulated, (litres,) in _sums(period, "volume_l")}


def _household_volume(period: Period) -> Counts:
    return {(work, simulated): _m3(litres) for work, simulated, (litres,) in _sums(period, "household_l")}


def _other_volume(period: Period) -> Counts:
    rows = _sums(period, "volume_l", "household_l")
    return {(work, simulated): _m3(whole) - _m3(household) for work, simulated, (whole, household) in rows}


def _money(name: str) -> Read:
    def read(period: Period) -> Counts:
        return {(work, simulated): amount for work, simulated, (amount,) in _sums(period, name)}

    return read


def _debt(period: Period) -> Counts:
    rows = WorkMonth.objects.filter(period_start_date__lt=period.end_date).order_by()
    sums = rows.values_list("work_id", "is_simulated").annotate(Sum("receivable_vnd"))
    return {(work, simulated): amount for work, simulated, amount in sums}


# --- where a number comes from ----------------------------------------------------------------------------------------


def _explain_bills(work: int, period: Period) -> list[providers.Source]:
    rows = WorkMonth.objects.filter(
        work_id=work, period_start_date__gte=period.start_date, period_start_date__lt=period.end_date, bills__gt=0
    ).order_by("period_start_date", "is_simulated")
    return [
        providers.Source(
            text=f"Hóa đơn kỳ {row.period_start_date:%m/%Y}{', mô phỏng' if row.is_simulated else ''}: "
            f"{format_number(row.bills)} hóa đơn còn hiệu lực, {format_number(_m3(row.volume_l))} m³ "
            f"(sinh hoạt {format_number(_m3(row.household_l))} m³), {format_money_vnd(row.billed_vnd)}, "
            f"đã thu {format_money_vnd(row.collected_vnd)}; tính lúc {format_datetime(row.computed_at)}",
            url=link("billing:bill_list", work=work, period=f"{row.period_start_date:%Y-%m}"),
        )
        for row in rows
    ]


def _explain_debt(work: int, period: Period) -> list[providers.Source]:
    rows = WorkMonth.objects.filter(work_id=work, period_start_date__lt=period.end_date)
    months = rows.filter(period_start_date__gte=period.start_date)
    before = rows.filter(period_start_date__lt=period.start_date).aggregate(sum=Sum("receivable_vnd"))["sum"] or 0
    during = months.aggregate(sum=Sum("receivable_vnd"))["sum"] or 0
    simulated = ", mô phỏng" if rows.filter(is_simulated=True).exists() else ""
    last_day = min(period.end_date - timedelta(days=1), timezone.localdate())
    return (
        [
            providers.Source(
                text=f"Sổ cái tài khoản 131{simulated}: đầu kỳ {format_money_vnd(before)}, trong kỳ thay đổi "
                f"{format_money_vnd(during)}, đến hết ngày {last_day:%d/%m/%Y}",
                url=link("billing:debt_list", work=work),
            )
        ]
        if rows.exists()
        else []
    )


def _register(metric_key: str, read: Read, explain: Callable[[int, Period], Sequence[providers.Source]]) -> None:
    def provide(period: Period) -> providers.Provided:
        return provided(read(period) if period.start_date <= timezone.localdate() else {})

    providers.register(metric_key, provide, explain)


_register("billing.volume_m3", _volume, _explain_bills)
_register("billing.volume_household_m3", _household_volume, _explain_bills)
_register("billing.volume_other_m3", _other_volume, _explain_bills)
_register("billing.billed_vnd", _money("billed_vnd"), _explain_bills)
_register("billing.collected_vnd", _money("collected_vnd"), _explain_bills)
_register(figures.DEBT, _debt, _explain_debt)
