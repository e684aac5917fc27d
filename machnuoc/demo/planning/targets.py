"""Load the targets of the plans, the stations' shares, and a simulated history so that one can be followed."""

import hashlib
from datetime import date, datetime
from decimal import Decimal

from machnuoc.core.models import Passage
from machnuoc.core.periods import Period, local_date
from machnuoc.demo import plans
from machnuoc.demo.planning import read_targets
from machnuoc.demo.planning.plans import load_plans
from machnuoc.indicators import operations as indicators
from machnuoc.indicators.models import Fact, Metric, State
from machnuoc.places.models import Organisation, Subject
from machnuoc.planning import plan_operations
from machnuoc.planning.models import Plan, Target

_PLAN_KEYS = {"quang_ngai": "qn.79-2026", "cao_bang": "cb.cap-nuoc-2026", "lai_chau": "lc.chi-thi-34"}
_GROWTH = "khach-hang"
_YEAR = 2026


def load_targets(now: datetime) -> None:
    """Put what the plans of Quảng Ngãi, Cao Bằng and Lai Châu promise. Idempotent.

    A metric that the catalogue does not have yet is left out, and bound when this is called again.
    """
    load_plans(now)  # documents and issuers that have come meanwhile
    metrics = {metric.key: metric for metric in Metric.objects.all()}
    organisations = {row.subject.key: row for row in Organisation.objects.select_related("subject")}
    for data in read_targets.PLANS:
        rows = read_targets.list_targets(data)
        plan = Plan.objects.get(key=_PLAN_KEYS[data])
        passages = {row.key: row for row in Passage.objects.filter(document__key=plans.get_document(data).key)}
        subjects = {row.key: row for row in Subject.objects.filter(key__in={target.subject_key for target in rows})}
        put: dict[str, Target] = {}
        changed = {one.key: one for one in Target.objects.filter(plan=plan, changes__isnull=False).distinct()}
        for row in rows:
            if row.key in changed:  # by people, after the loading: their amendment stands
                put[row.key] = changed[row.key]
                continue
            units = [plan_operations.lead(organisations.get(key)) for key in row.lead_keys]
            units += [plan_operations.cooperate(organisations.get(key)) for key in row.cooperating_keys]
            if row.cooperating_printed:
                units.append(plan_operations.cooperate(None, row.cooperating_printed))
            put[row.key] = plan_operations.put_target(
                plan=plan, key=row.key, name=row.name, subject=subjects[row.subject_key], order=row.order,
                metric=metrics.get(row.metric_key), measured_as=row.measured_as, comparator=row.comparator,
                comparator_as_printed=row.comparator_printed, amount=row.amount, upper=row.upper, unit=row.unit,
                decimals=row.decimals, period=Period.parse(row.period) if row.period else None, due_on=row.due_on,
                baseline=row.baseline, baseline_text=row.baseline_printed,
                baseline_period=Period.parse(row.baseline_period) if row.baseline_period else None,
                text=passages[row.passage_key].text, section=row.section, passage=passages[row.passage_key],
                parent=put.get(row.parent_key), parts_check=row.parts_check or "NONE", units=units,
                accountable_text=row.accountable_printed, note=row.note,
            )  # fmt: skip
        if data == "quang_ngai" and _GROWTH not in changed:
            _carry_down(put[_GROWTH], passages, organisations)


def _carry_down(whole: Target, passages: dict[str, Passage], organisations: dict[str, Organisation]) -> None:
    shares = read_targets.list_station_shares()
    subjects = {row.key: row for row in Subject.objects.filter(key__in={share.station.key for share in shares})}
    with_parts = {share.station.parent_key for share in shares}
    parts = [
        plan_operations.Part(
            key=f"{_GROWTH}.{share.station.key.removeprefix('work.qn.')}", subject=subjects[share.station.key],
            amount=Decimal(share.households), name=f"Phát triển khách hàng: {share.station.name}",
            baseline_text=f"Thực tế năm 2025: {share.station.connected_2025}",
            units=(plan_operations.lead(organisations.get(share.station.team_key)),) if share.station.team_key else (),
            passage=passages[share.station.passage_key], section=_section(share.station, passages),
            text=passages[share.station.passage_key].text,
            note="Số liệu của công trình gồm cả phân hệ; phân hệ có chỉ tiêu riêng."
            if share.station.key in with_parts
            else "",
        )
        for share in shares
    ]  # fmt: skip
    plan_operations.carry_down(whole, parts, parts_check=Target.PartsCheck.SUM)


def _section(station: plans.PlanStation, passages: dict[str, Passage]) -> str:
    return passages[station.passage_key].section


# --- a history to look at -----------------------------------------------------------------------------------------


def simulate_connections(now: datetime) -> None:
    """State, as simulated, how many households each station had at the end of each finished month of 2026.

    Nothing of this is real: every station adds its share of the planned growth, some behind it. What somebody has
    entered or stated is left alone. Idempotent.
    """
    last = local_date(now)
    months = [month for month in Period("Y", date(_YEAR, 1, 1)).split("M") if month.end_date <= last]
    metric = Metric.objects.get(key="works.households_connected")
    shares = read_targets.list_station_shares()
    subjects = {row.key: row for row in Subject.objects.filter(key__in={share.station.key for share in shares})}
    known = set(
        Fact.objects.filter(
            metric=metric, period_kind="M", period_start__year=_YEAR, superseded_at__isnull=True
        ).values_list("subject_id", "period_start")
    )
    stated = 0
    for share in shares:
        subject = subjects[share.station.key]
        for month in months:
            if (subject.pk, month.start_date) in known:
                continue
            indicators.state_fact(
                metric=metric, subject=subject, period=month, number=Decimal(simulated_households(share, month)),
                state=State.SIMULATED, note="Mô phỏng để xem thử, không phải số liệu thật.", now=now,
                recorded_in_bulk=True,
            )  # fmt: skip
            stated += 1
    if stated:
        indicators.recompute_dirty(now)


def simulated_households(share: read_targets.StationShare, month: Period) -> int:
    """Return a station's households at the end of a month: a part of its planned growth, by month and station."""
    seed = hashlib.sha256(share.station.key.encode()).digest()
    keeps_up_pct = (45, 60, 75, 90, 105)[seed[0] % 5]
    number = month.start_date.month
    done_pct = min(100, number * 8 + seed[number] % 7)  # of a year's work, unevenly over the months
    return share.station.connected_2025 + share.households * keeps_up_pct * done_pct // 10_000


def load_standings(now: datetime) -> None:
    """Judge all targets as they stand after loading. Nobody is told: the demonstration begins here."""
    plan_operations.recompute_standings(now, tell=False)
