"""A small work with devices, channels and rules, and readings that arrive as the road brings them."""

from datetime import UTC, datetime, timedelta

from machnuoc.places.models import Subject
from machnuoc.telemetry import alarm_engine, store
from machnuoc.telemetry.models import Alarm, AlarmRule, Channel, Device
from machnuoc.telemetry.quantities import QUANTITIES
from machnuoc.telemetry.tests import readings
from machnuoc.works import operations as works
from machnuoc.works.models import Work

NOON = datetime(2026, 6, 2, 5, 0, tzinfo=UTC)  # 12:00 in Việt Nam, a Tuesday
NOON_MS = int(NOON.timestamp() * 1000)
MINUTE = 60_000


def make_work(key: str = "work.test.nghia-phu", name: str = "Trạm Nghĩa Phú") -> Work:
    found = Work.objects.filter(subject__key=key).first()
    return found or works.put_work(key=key, name=name, kind=Work.Kind.STATION, sector=Work.Sector.RURAL)


def make_channel(
    key: str = "clo", quantity: str = "chlorine", *, device: str = "td-01", work: Work | None = None, **changes
) -> Channel:
    unit, _ = Device.objects.get_or_create(
        code=device,
        defaults={
            "name": f"Bộ ghi {device}",
            "kind": Device.Kind.LOGGER,
            "protocol": Device.Protocol.MQTT,
            "work": work or make_work(),
        },
    )
    spec = QUANTITIES[quantity]
    fields = {
        "name": spec.name, "quantity": quantity, "sent_unit": spec.unit, "low": spec.low, "high": spec.high,
        "expected_interval_s": 60,
    }  # fmt: skip
    return Channel.objects.create(device=unit, key=key, **{**fields, **changes})


def make_rule(channel: Channel, kind: str, parameters: dict | None = None, **changes) -> AlarmRule:
    fields = {
        "key": f"{channel.pk}.{kind}.{AlarmRule.objects.count()}",
        "name": f"{channel.name}: {kind}",
        "priority": AlarmRule.Priority.HIGH,
        "applies_from": NOON if kind == "SILENCE" else NOON - timedelta(days=1),
    }
    return AlarmRule.objects.create(channel=channel, kind=kind, parameters=parameters or {}, **{**fields, **changes})


def arrive(channel: Channel, *pairs: tuple[float, float], quality: int = 0) -> None:
    """Store (minutes after NOON, value) and mark what the alarm engine must look at, as the road does."""
    rows = [(channel.pk, NOON_MS + int(minute * MINUTE), value, quality) for minute, value in pairs]
    readings.put(rows, mark=False)
    first = min(row[1] for row in rows)
    with store.transaction() as cursor:
        cursor.execute(
            store.adapt(
                "INSERT INTO telemetry_dirty_alarm (channel, from_at) VALUES (?, ?) ON CONFLICT (channel) DO UPDATE "
                "SET from_at = CASE WHEN excluded.from_at < telemetry_dirty_alarm.from_at THEN excluded.from_at "
                "ELSE telemetry_dirty_alarm.from_at END, version = telemetry_dirty_alarm.version + 1"
            ),
            (channel.pk, first),
        )


def look(minute: float) -> int:
    """Run the engine as if it were so many minutes after NOON."""
    return alarm_engine.run_once(NOON + timedelta(minutes=minute))


def told(rule: AlarmRule | None = None, **filters) -> list[tuple[float, float | None, str]]:
    """Return (began, ended, state) of the alarms that stand, in minutes after NOON."""
    rows = Alarm.objects.filter(is_withdrawn=False, **filters).order_by("began_at", "pk")
    if rule is not None:
        rows = rows.filter(rule=rule)

    def minute(at: datetime | None) -> float | None:
        return None if at is None else (at - NOON).total_seconds() / 60

    return [(minute(row.began_at), minute(row.ended_at), row.state) for row in rows]


def subject_of(work: Work) -> Subject:
    return work.subject
