"""From sensors to the indicators: figures of a day, of a month, and why they changed."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from machnuoc.core.periods import Period
from machnuoc.indicators import catalogue, lineage, operations, providers
from machnuoc.indicators.models import DirtyRange, Metric, State, Value, ValueChange
from machnuoc.telemetry import daily_figures, rollups, store
from machnuoc.telemetry.channel_terms import day_ms, load
from machnuoc.telemetry.models import MeasureFact, QualityLimit
from machnuoc.telemetry.tests import readings, world

MINUTE, HOUR, DAY = 60_000, store.HOUR_MS, store.DAY_MS
MONTH = Period("M", date(2026, 10, 1))
FIRST = day_ms(MONTH.start_date)
AFTER = FIRST + 31 * DAY + HOUR  # the night after the month
EVERY = 30 * MINUTE


@pytest.fixture
def station(clean_store):
    catalogue.load_catalogue(datetime(2026, 1, 1, tzinfo=UTC))
    return world.make_work()


@pytest.fixture
def device(station):
    return world.make_device(station, installed_at=datetime.fromtimestamp(FIRST / 1000, UTC))


@pytest.fixture
def supply(device):
    """A meter at the outlet: 12 m³ an hour."""
    return world.make_channel(
        device, "v", "volume", role="SUPPLIED", largest_step_per_h=60, expected_interval_s=EVERY // 1000
    )


def counted(channel, first=FIRST, days=31, *, start=1000.0, per_h=12.0, skip=range(0)):
    return [
        (channel.pk, first + i * EVERY, start + i * EVERY / HOUR * per_h)
        for i in range(days * DAY // EVERY + 1)
        if i * EVERY // DAY not in skip
    ]


def run_all(now_ms=AFTER):
    while rollups.run_once(now_ms):
        pass


def value_of(work, key, period=MONTH):
    return Value.objects.filter(
        metric__key=key, subject=work.subject, period_kind=period.kind, period_start=period.start_date, scenario="A"
    ).first()


def number_of(work, key, period=MONTH):
    value = value_of(work, key, period)
    return None if value is None or value.number is None else Decimal(value.number).scaleb(-value.metric.decimals)


@pytest.fixture(autouse=True)
def _on_the_night_after_the_month(monkeypatch):
    from django.utils import timezone

    monkeypatch.setattr(timezone, "localdate", lambda *_: date(2026, 11, 1))


def test_the_volume_of_a_month_is_measured(station, supply):
    readings.put(counted(supply))

    run_all()

    assert number_of(station, "telemetry.volume_supplied_m3") == 31 * 24 * 12
    assert number_of(station, "telemetry.supplied_m3d") == 288
    assert number_of(station, "telemetry.peak_factor") == 1
    assert number_of(station, "telemetry.availability_pct") == 100
    assert value_of(station, "telemetry.volume_supplied_m3").state == State.MEASURED
    assert number_of(station, "telemetry.volume_supplied_m3", Period("Y", date(2026, 1, 1))) == 31 * 24 * 12


def test_late_data_changes_the_month_and_its_history_says_why(station, supply):
    on_time = counted(supply)
    late = [row for row in on_time if FIRST + 10 * DAY <= row[1] < FIRST + 12 * DAY]
    late_ids = {row[1] for row in late}
    readings.put([row for row in on_time if row[1] not in late_ids])
    run_all()
    before = value_of(station, "telemetry.availability_pct")
    assert before.number == 935  # 29 of 31 days
    assert value_of(station, "telemetry.volume_supplied_m3").state == State.ESTIMATED

    # The logger stood still for two days of dry pipes, and says so a month later: nothing flowed, then all at once.
    still = 1000.0 + 10 * 24 * 12
    readings.put([(channel, at, still + (0.001 if at < FIRST + 11 * DAY else 0.002)) for channel, at, _ in late])
    run_all(AFTER + 9 * DAY)

    after = value_of(station, "telemetry.availability_pct")
    assert after.number == 1000
    change = ValueChange.objects.filter(value=after).latest("version")
    assert change.number == 935
    assert change.reason == "đã tính lại vì số liệu ngày 11/10/2026 đến 12/10/2026 đến muộn lúc 01:00 ngày 10/11/2026"
    volume = MeasureFact.objects.get(key="telemetry.volume_supplied_m3", day=date(2026, 10, 11))
    assert volume.number == 0 and "đến muộn" in volume.reason
    texts = [source.text for source in providers.explain("telemetry.volume_supplied_m3", station.pk, MONTH)]
    assert any("744/744 giờ có số liệu" in text for text in texts)
    assert any("được tính lại" in text for text in texts)


def test_one_more_run_changes_nothing(station, supply):
    readings.put(counted(supply))
    run_all()
    facts = list(MeasureFact.objects.values_list("pk", flat=True))
    changes = ValueChange.objects.count()

    rollups.mark([supply.pk], FIRST, AFTER)
    run_all(AFTER + HOUR)

    assert list(MeasureFact.objects.values_list("pk", flat=True)) == facts
    assert ValueChange.objects.count() == changes


def test_a_run_killed_before_the_indicators_leaves_them_for_the_next(station, supply, monkeypatch):
    readings.put(counted(supply))
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(rollups, "_forget_days", _killed)
        run_all()
    assert value_of(station, "telemetry.volume_supplied_m3") is None

    run_all()

    assert number_of(station, "telemetry.volume_supplied_m3") == 31 * 24 * 12


def _killed(*_given):
    raise KeyboardInterrupt


def test_hours_of_supply_and_interruptions_come_from_the_critical_point(station, device):
    point = world.make_channel(
        device, "p", "pressure", role="CONTINUITY", minimum=7, point="CRITICAL", expected_interval_s=300
    )
    dry = {(3, 2), (3, 3), (9, 23), (10, 0)}  # (day, hour): two hours at night, and one across midnight
    rows = []
    for i in range(31 * 288):
        day, minute = divmod(i * 5, 1440)
        low = (day, minute // 60) in dry or (day == 20 and 600 <= minute < 610)  # a dip of ten minutes
        rows.append((point.pk, FIRST + i * 5 * MINUTE, 3.0 if low else 15.0))
    readings.put(rows)

    run_all()

    assert number_of(station, "service.supply_hours") == 31 * 24 - 4
    assert number_of(station, "service.supply_days") == 31
    assert number_of(station, "service.supply_hours_a_day") == Decimal("23.9")
    assert number_of(station, "telemetry.interruptions") == 2
    assert MeasureFact.objects.get(key="telemetry.interruptions", day=date(2026, 10, 10)).number == 1
    assert MeasureFact.objects.get(key="telemetry.interruptions", day=date(2026, 10, 11)).number == 0


def test_quality_and_energy(station, device, supply):
    chlorine = world.make_channel(device, "cl", "chlorine", role="QUALITY", expected_interval_s=1800)
    power = world.make_channel(device, "e", "energy", role="ENERGY", expected_interval_s=1800)
    QualityLimit.objects.create(
        subject=station.subject, quantity="chlorine", low=0.2, high=1.0, standard="Quy chuẩn thử", source="thử",
        confidence="VERIFIED",
    )  # fmt: skip
    readings.put(counted(supply))
    readings.put(counted(power, per_h=6.0))
    readings.put([(chlorine.pk, FIRST + i * EVERY, 0.1 if i < 48 else 0.5) for i in range(31 * 48)])

    run_all()

    assert number_of(station, "telemetry.energy_per_m3") == Decimal("0.50")
    assert number_of(station, "telemetry.within_limits_pct") == Decimal("96.8")
    assert number_of(station, "telemetry.quality_within") == 30 * 48


def test_simulated_sensors_make_simulated_figures(station, device, supply):
    device.is_simulated = True
    device.save()
    readings.put(counted(supply))

    run_all()

    assert value_of(station, "telemetry.volume_supplied_m3").state == State.SIMULATED
    assert value_of(station, "telemetry.supplied_m3d").state == State.SIMULATED
    assert "mô phỏng" in providers.explain("telemetry.volume_supplied_m3", station.pk, MONTH)[0].text


def test_what_a_request_marked_and_did_not_come_to_compute_is_computed_a_minute_later(station):
    operations.recompute_dirty_in_steps(datetime.fromtimestamp(AFTER / 1000, UTC))
    operations.mark_dirty(Metric.objects.exclude(key__in=daily_figures.DECIMALS).first(), reason="thử")
    marked_ms = int(DirtyRange.objects.get().marked_at.timestamp() * 1000)

    daily_figures.recompute_what_waits(marked_ms + 30_000)
    assert DirtyRange.objects.exists()
    daily_figures.recompute_what_waits(marked_ms + 90_000)
    assert not DirtyRange.objects.exists()


# --- stations without sensors -----------------------------------------------------------------------------------


def enter(work, key, number, period=MONTH, state=State.APPROVED):
    metric = Metric.objects.get(key=key)
    now = datetime.fromtimestamp(AFTER / 1000, UTC)
    operations.state_fact(
        metric=metric, subject=work.subject, period=period, number=Decimal(number), state=state, now=now
    )
    operations.recompute_dirty(now)


def test_a_station_without_sensors_enters_the_same_measure(station):
    other = world.make_work("tram-khac", "Trạm khác")
    for month, number in ((9, 5000), (10, 6000)):
        enter(other, "telemetry.volume_supplied_m3", number, Period("M", date(2026, month, 1)))
    enter(other, "telemetry.supplied_days", 31)

    value = value_of(other, "telemetry.volume_supplied_m3")

    assert (value.number, value.state) == (60000, State.APPROVED)
    assert value.fact is not None
    assert number_of(other, "telemetry.volume_supplied_m3", Period("Y", date(2026, 1, 1))) == 11000
    assert number_of(other, "telemetry.supplied_m3d") == Decimal("193.5")
    texts = [s.text for s in providers.explain("telemetry.volume_supplied_m3", other.pk, Period("Y", date(2026, 1, 1)))]
    assert len(texts) == 2 and all("Số nhập tháng" in text for text in texts)


def test_the_surer_figure_stands_between_sensors_and_entry(station, supply):
    readings.put(counted(supply, skip=range(5, 9)))
    run_all()
    measured = value_of(station, "telemetry.volume_supplied_m3")
    assert measured.state == State.ESTIMATED

    enter(station, "telemetry.volume_supplied_m3", 8888)
    assert number_of(station, "telemetry.volume_supplied_m3") == 8888
    assert number_of(station, "telemetry.volume_supplied_m3", Period("Q", date(2026, 10, 1))) == 8888

    readings.put(counted(supply))  # now complete: measured
    run_all(AFTER + DAY)
    assert number_of(station, "telemetry.volume_supplied_m3") == 31 * 24 * 12
    assert value_of(station, "telemetry.volume_supplied_m3").state == State.MEASURED


def test_what_only_sensors_can_say_is_not_entered(station):
    with pytest.raises(operations.IndicatorsError, match="không nhập được"):
        enter(station, "telemetry.readings_received", 10)


def test_lineage_leads_to_the_channel(station, supply):
    readings.put(counted(supply))
    run_all()
    person = world.make_person()

    tree = lineage.lineage(value_of(station, "telemetry.volume_supplied_m3"), person)

    leaf = next(node for node in lineage.leaves(tree) if node.kind == "record")
    assert leaf.url == f"/giam-sat/kenh/{supply.pk}/"
    assert "744/744 giờ có số liệu" in leaf.title


def test_an_interruption_counts_where_a_quarter_of_an_hour_is_up(station, device):
    point = world.make_channel(device, "p", "pressure", role="CONTINUITY", minimum=7, expected_interval_s=300)
    low_from, low_to = FIRST + DAY - 10 * MINUTE, FIRST + DAY + 20 * MINUTE
    readings.put(
        [(point.pk, FIRST + i * 5 * MINUTE, 3.0 if low_from <= FIRST + i * 5 * MINUTE < low_to else 9.0)
         for i in range(2 * 288)]
    )  # fmt: skip
    terms = load([point.pk])[point.pk]

    assert daily_figures.count_interruptions(terms, FIRST) == 0
    assert daily_figures.count_interruptions(terms, FIRST + DAY) == 1


def test_what_arrives_in_the_minutes_after_midnight_does_not_hide_the_day(station, supply):
    rows = counted(supply, days=1)
    readings.put(rows[:-2])
    run_all(FIRST + 23 * HOUR)
    readings.put(rows[-2:])
    run_all(FIRST + DAY + 5 * MINUTE)  # the day is made up, but not over yet
    assert not MeasureFact.objects.exists()

    run_all(FIRST + DAY + HOUR)

    assert MeasureFact.objects.get(key="telemetry.volume_supplied_m3").number == 24 * 12 * 10


def test_an_entered_volume_is_divided_by_all_days_of_its_month(station, supply):
    other = world.make_work("tram-khac", "Trạm khác")
    readings.put(counted(supply, skip=range(5, 9)))
    run_all()

    for work in (station, other):
        enter(work, "telemetry.volume_supplied_m3", 9300)

    assert [number_of(work, "telemetry.supplied_m3d") for work in (station, other)] == [300, 300]
    assert value_of(other, "telemetry.supplied_days").state == State.APPROVED
