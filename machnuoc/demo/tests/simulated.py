"""One simulated station, played at fast-forward: its messages through the road, alarms and rollups after them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from machnuoc.core.periods import LOCAL_ZONE
from machnuoc.demo import telemetry
from machnuoc.demo.simulator import events, playing, sensors
from machnuoc.demo.simulator.sensors import Sender
from machnuoc.demo.simulator.world import World
from machnuoc.telemetry import alarm_engine, receive, rollups, store
from machnuoc.telemetry.models import Alarm, MeasureFact
from machnuoc.works.models import Work

HOUR, DAY = events.HOUR_MS, events.DAY_MS
START = datetime(2026, 6, 2, 0, 0, tzinfo=LOCAL_ZONE)  # a Tuesday
START_MS = round(START.timestamp() * 1000)
STATION = "work.qn.binh-thoi"


@dataclass
class Play:
    """A station from `days` before START on; now_ms: up to when it has been played."""

    world: World
    senders: list[Sender]
    now_ms: int
    receipts: list[receive.Receipt] = field(default_factory=list)

    def to(self, until_ms: int, *, step_ms: int | None = None, is_judged: bool = True) -> None:
        """Go on to the instant: in one step, or in several, with alarms after each."""
        while self.now_ms < until_ms:
            self.now_ms = until_ms if step_ms is None else min(until_ms, self.now_ms + step_ms)
            self.world.run_to(self.now_ms)
            messages = []
            for sender in self.senders:
                samples = sensors.collect(self.world, sender, self.now_ms)
                messages += playing.as_messages(sender.unit, samples, self.now_ms)
            self.receipts.append(receive.take(messages, self.now_ms))
            if is_judged:
                alarm_engine.run_once(datetime.fromtimestamp(self.now_ms / 1000, UTC))

    def roll_up(self) -> None:
        while rollups.run_once(self.now_ms):
            continue

    def alarms(self, kind: str, channel: str = "", *, part: str = "") -> list[Alarm]:
        found = Alarm.objects.filter(rule__kind=kind, is_withdrawn=False, work__subject__key=STATION)
        if channel:
            found = found.filter(rule__channel__key=channel)
        if part:
            found = found.filter(rule__channel__device__code__endswith=f"-{part}")
        return list(found.order_by("began_at", "pk"))

    def figure(self, key: str, day: date) -> MeasureFact | None:
        work = Work.objects.get(subject__key=STATION)
        return MeasureFact.objects.filter(work=work, key=key, day=day).first()


def begin(
    kind: str = "", *, days: int = 3, at_ms: int = START_MS, lasts_ms: int | None = None, size: float | None = None
) -> Play:
    """Load one station, play the days before START, and let the event begin at at_ms."""
    alarm_engine.forget()
    rollups.forget()
    telemetry.load_telemetry(START, only=[STATION])
    planned = [events.make(kind, STATION, at_ms, lasts_ms=lasts_ms, size=size)] if kind else []
    play = play_of(planned, days=days)
    play.to(START_MS)
    return play


def play_of(planned: Sequence[events.Event], *, days: int = 3, seed: int = telemetry.SEED) -> Play:
    """Return a play that has not begun."""
    station = next(one for one in telemetry.list_stations() if one.key == STATION)
    from_ms = START_MS - days * DAY
    world = playing.make_world([station], seed, from_ms, planned)
    units = [unit for unit in telemetry.list_units() if unit.station == STATION]
    return Play(world, [Sender(unit, from_ms) for unit in units], from_ms)


def day(number: int) -> date:
    """Return the local day so many days after START."""
    return (START + timedelta(days=number)).date()


def count(sql: str, *parameters: object) -> int:
    return int(store.query(sql, parameters)[0][0] or 0)
