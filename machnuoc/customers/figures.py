"""Keep the figures that customers' records give the indicators up to date, and state households connected from them."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from django.db.models import Min

from machnuoc.core import audit
from machnuoc.core.periods import Period, local_date
from machnuoc.core.vietnamese import format_number
from machnuoc.customers import counting, measures
from machnuoc.customers.models import Connection
from machnuoc.indicators import operations, providers
from machnuoc.indicators.models import Fact, Metric, Scenario, State, Value
from machnuoc.places import operations as place_operations
from machnuoc.places import queries as place_queries
from machnuoc.places.models import Subject

audit.describe("customers.households.stated", "ghi số hộ đấu nối {period} của {count} công trình từ hồ sơ khách hàng")

HOUSEHOLDS = "works.households_connected"
NOTE = "Đếm từ hồ sơ khách hàng: hộ dân của các đấu nối đang sử dụng cuối kỳ."
LATE_MONTHS = 3  # finished months that late records still correct
FIRST_MONTHS = 13  # counted when nothing has been counted yet


def months_back(today: date, count: int) -> list[Period]:
    """Return that many finished months and the one that runs, the oldest first."""
    running = Period.containing(today, "M")
    return [running.shift(-number) for number in range(count, -1, -1)]


def mark_measures(now: datetime) -> list[tuple[Metric, Period]]:
    """Mark what may have changed since yesterday; call operations.recompute_dirty_in_steps afterwards.

    Late records correct the months behind. The meters of a finished month stay as they were counted on its last day:
    a meter that was verified since was overdue then, and its record no longer says so. Requests without a work count
    from here on for whose they are, also those of before.
    """
    today = local_date(now)
    has_new_outside = _open_outside_works()
    metrics = {
        metric.key: metric
        for metric in Metric.objects.filter(key__in=[*measures.CONNECTIONS, *measures.METERS, *measures.REQUESTS])
    }
    counted = set(Value.objects.filter(metric__in=metrics.values()).values_list("metric__key", flat=True).distinct())
    marked = []
    for key, metric in metrics.items():
        back = LATE_MONTHS
        if key in measures.METERS:
            back = 1 if today.day == 1 else 0
        if key not in counted or (has_new_outside and key in measures.REQUESTS):
            back = FIRST_MONTHS
        for month in months_back(today, back):
            operations.mark_dirty(metric, period=month, reason="hồ sơ khách hàng đến hôm nay")
            marked.append((metric, month))
    return marked


def _open_outside_works() -> bool:
    """Give those to whom requests without a work belong a subject for these; return whether anybody had none."""
    whose = counting.list_without_work()
    new = whose - place_queries.list_outside_works(whose).keys()
    for subject in Subject.objects.filter(pk__in=new):
        place_operations.put_outside_works(subject)
    return bool(new)


def read_ahead(marked: Iterable[tuple[Metric, Period]]) -> None:
    """Read what the marked measures stand on, before any transaction holds the writer. Within reading_once."""
    for metric, month in marked:
        for kind in metric.period_kinds:
            providers.provide(metric.key, Period.containing(month.start_date, kind))  # type: ignore[arg-type]


# --- what is stated of a work -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stated:
    """What one call stated: how many facts, and sentences about works whose records say too little to be believed."""

    facts: int
    doubts: Sequence[str]


def state_households(now: datetime) -> Stated:
    """State the households of finished months of works with real connections, where nothing surer stands.

    Only months since whose end the work's customers are kept here. A number far below what is known of the work (more
    than the metric may change at once) is that of a file not filled yet: it is not stated, and told.
    """
    metric = Metric.objects.filter(key=HOUSEHOLDS).first()
    if metric is None:
        return Stated(0, [])
    kept_since = _kept_since()
    facts, doubts = 0, list[str]()
    for month in months_back(local_date(now), LATE_MONTHS)[:-1]:
        numbers = {
            work: stock.households
            for (work, is_simulated), stock in measures.stocks_of(month).items()
            if not is_simulated and kept_since.get(work, date.max) < month.end_date
        }
        done = state_counted(metric, month, numbers, NOTE, now=now)
        facts += done.facts
        doubts = list(done.doubts) or doubts
        if done.facts:
            audit.record("customers.households.stated", actor=None, period=month.key, count=done.facts)
    return Stated(facts, doubts)


def _kept_since() -> dict[int, date]:
    """Return the day on which the first real connection of each work was entered."""
    firsts = Connection.objects.filter(is_simulated=False).order_by().values_list("work_id").annotate(Min("pk"))
    entered = dict(
        Connection.objects.filter(pk__in=[pk for _, pk in firsts]).values_list("work_id", "customer__created_at")
    )
    return {work: local_date(moment) for work, moment in entered.items()}


def state_counted(
    metric: Metric, month: Period, numbers: dict[int, int], note: str, *, leave: Collection[int] = (), now: datetime
) -> Stated:
    """State numbers by work (last decimals of the metric) as measured where nothing surer stands.

    What was stated with this note before is corrected; what is no longer counted is withdrawn. leave: works whose
    number is not whole yet: nothing of them is touched.
    """
    live = {
        fact.subject_id: fact
        for fact in Fact.objects.filter(
            metric=metric, period_kind=month.kind, period_start=month.start_date, scenario=Scenario.ACTUAL,
            superseded_at__isnull=True,
        )
    }  # fmt: skip
    known = _latest_known(metric, month, note)
    subjects = Subject.objects.in_bulk(numbers)
    facts, doubts = 0, []
    for work, number in sorted(numbers.items()):
        if work in leave:
            continue
        stands = live.get(work)
        is_ours = stands is not None and stands.note == note
        if stands is not None and not is_ours and stands.number is not None and stands.state <= State.MEASURED:
            continue
        if is_ours and stands is not None and stands.number == number:
            continue
        before = known.get(work)
        if before is not None and number * 100 < before * (100 - float(metric.max_change_pct or 50)):
            doubts.append(
                f"{subjects[work].name} ({month.label_inside_vi}): đếm được {format_number(number)}, "
                f"số đang có {format_number(before)}"
            )
            continue
        operations.state_fact(
            metric=metric, subject=subjects[work], period=month, number=Decimal(number).scaleb(-metric.decimals),
            state=State.MEASURED, note=note, now=now, recorded_in_bulk=True,
        )  # fmt: skip
        facts += 1
    for work, fact in live.items():
        if fact.note == note and work not in numbers and work not in leave:
            operations.withdraw_fact(fact, reason="không còn hồ sơ để đếm", by=None, now=now)
            facts += 1
    return Stated(facts, doubts)


def _latest_known(metric: Metric, month: Period, note: str) -> dict[int, int]:
    """Return the newest number of each work up to the month that others stated."""
    rows = Fact.objects.filter(
        metric=metric, scenario=Scenario.ACTUAL, number__isnull=False, period_start__lte=month.start_date,
        period_kind__in=["M", "Y"] if metric.time_how == Metric.TimeHow.LAST else ["M"],
    ).exclude(note=note)  # fmt: skip
    rows = rows.exclude(superseded_at__isnull=False, superseded_by__isnull=True)  # withdrawn
    ordered = rows.order_by("period_start", "pk").values_list("subject_id", "number")
    return {work: number for work, number in ordered if number is not None}
