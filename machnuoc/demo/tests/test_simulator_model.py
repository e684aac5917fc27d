"""The water of simulated stations: balances close, tables agree with EPANET, the same seed gives the same."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machnuoc.demo import telemetry
from machnuoc.demo.simulator import events, sensors, station_model, world
from machnuoc.demo.simulator.station_model import Station, assumptions
from machnuoc.demo.simulator.world import World

SEED = 7
BEGIN = 1_780_246_800_000  # 2026-06-01 00:00 in Việt Nam
HOUR, DAY = events.HOUR_MS, events.DAY_MS
SMALL, LARGE = Station("work.test.nho", 85), Station("work.test.lon", 2149)


@pytest.fixture(scope="module")
def tables():
    return station_model.solve_all([SMALL, LARGE], SEED)


def run(tables, *what, until=BEGIN + 2 * DAY, seed=SEED):
    found = World([SMALL, LARGE], tables, seed, BEGIN, what)
    found.run_to(until)
    return found


def field(of, name, station=LARGE):
    return of.state()[world.FIELDS.index(name), :, of.place[station.key]]


def test_networks_have_ten_to_twenty_five_junctions_and_serve_all_households():
    for station in telemetry.list_stations():
        network = station_model.draw(station, SEED)

        assert 10 <= len(network.junctions) <= 25
        assert sum(one.share_ratio for one in network.junctions) == pytest.approx(1.0)
        assert network.critical in {one.name for one in network.junctions}


def test_the_same_seed_draws_the_same_network_and_another_seed_another():
    assert station_model.draw(LARGE, 1) == station_model.draw(LARGE, 1)
    assert station_model.draw(LARGE, 1) != station_model.draw(LARGE, 2)


def test_tables_kept_in_a_file_are_those_that_were_solved(tables, tmp_path):
    made = station_model.get_tables([SMALL, LARGE], SEED, tmp_path)
    kept = station_model.get_tables([SMALL, LARGE], SEED, tmp_path)

    for one, other, solved in zip(made, kept, tables, strict=True):
        assert np.array_equal(one.response, other.response)
        assert np.allclose(one.response, solved.response, atol=1e-6)


def test_between_the_corners_the_tables_agree_with_epanet(tables, tmp_path, monkeypatch):
    monkeypatch.setattr(station_model, "FILLS", np.array([0.3, 0.8]))
    monkeypatch.setattr(station_model, "WANTS", np.array([0.55, 1.6]))
    monkeypatch.setattr(station_model, "LEAKS", np.array([1.0, 4.0]))
    exact = station_model.solve(LARGE, SEED).response
    monkeypatch.undo()

    for f, fill in enumerate((0.3, 0.8)):
        for w, want in enumerate((0.55, 1.6)):
            for one, leak in enumerate((1.0, 4.0)):
                found = world._interpolate(
                    tables[1].response[None], np.array([fill]), np.array([want]), np.array([leak])
                )
                delivered, leaked, outlet, critical = (float(part[0]) for part in found)
                assert delivered == pytest.approx(exact[0, f, w, one], rel=0.01)
                assert leaked == pytest.approx(exact[1, f, w, one], rel=0.03)
                assert outlet == pytest.approx(exact[2, f, w, one], abs=0.1)
                assert critical == pytest.approx(exact[3, f, w, one], abs=0.8)


def test_a_tank_that_epanet_empties_for_hours_falls_as_ours_does(tables, tmp_path):
    """EPANET's own run in time, pump closed, everyone wanting the mean, against steps over the tables."""
    import wntr

    network = station_model.draw(LARGE, SEED)
    model = station_model.build(LARGE, network, has_tank=True)
    model.get_pattern("DAY").multipliers = [1.0]
    model.get_link("PUMP").initial_status = "CLOSED"
    model.options.time.duration = 4 * 3600
    model.options.time.hydraulic_timestep = model.options.time.report_timestep = 300
    results = wntr.sim.EpanetSimulator(model).run_sim(file_prefix=str(tmp_path / "run"))
    theirs = float(results.node["pressure"].loc[4 * 3600, "TANK"])

    fill, depth = 0.8, assumptions().tank_depth_m
    for _ in range(4 * 12):
        delivered, leaked, _, _ = world._interpolate(
            tables[1].response[None], np.array([fill]), np.array([1.0]), np.array([1.0])
        )
        fill -= float(delivered[0] + leaked[0]) / 12 / LARGE.tank_m3

    assert fill * depth == pytest.approx(theirs, abs=0.01)


@pytest.mark.parametrize("kind", [None, "leak", "break", "pump-failure", "power-cut", "chlorine-loss"])
def test_no_water_is_made_or_lost_whatever_happens(tables, kind):
    what = [] if kind is None else [events.make(kind, LARGE.key, BEGIN + 9 * HOUR, lasts_ms=20 * HOUR)]

    found = run(tables, *what)

    level, flow = field(found, "level_m"), field(found, "flow_m3h")
    stored_m3 = (level - level[0]) / assumptions().tank_depth_m * LARGE.tank_m3
    produced, supplied = field(found, "produced_m3"), field(found, "supplied_m3")
    leaked = field(found, "leaked_m3")
    assert np.allclose(produced - supplied, stored_m3, atol=1e-6)
    assert np.allclose(np.diff(supplied), flow[:-1] * world.STEP_H, atol=1e-9)
    assert np.allclose(np.diff(leaked), field(found, "leak_m3h")[:-1] * world.STEP_H, atol=1e-9)
    assert (level >= 0).all() and (level <= assumptions().tank_depth_m + 1e-9).all()
    assert (leaked <= supplied + 1e-9).all()


def test_what_is_supplied_in_order_is_what_households_want_and_what_leaks(tables):
    found = run(tables)

    at = found.at
    want_m3 = (world.wanted(LARGE.key, SEED, at) * LARGE.demand_m3h * world.STEP_H)[:-1].sum()
    supplied_m3, leaked_m3 = field(found, "supplied_m3")[-1], field(found, "leaked_m3")[-1]
    assert supplied_m3 - leaked_m3 == pytest.approx(want_m3, rel=0.005)
    assert leaked_m3 / supplied_m3 == pytest.approx(assumptions().background_leak_ratio, abs=0.04)


def test_patterns_have_a_mean_of_one():
    assert sum(assumptions().hourly) / 24 == pytest.approx(1.0, abs=0.01)
    assert len(assumptions().hourly) == 24 and len(assumptions().weekday_ratio) == 7


def test_a_leak_raises_the_flow_and_takes_pressure_and_other_stations_notice_nothing(tables):
    calm = run(tables)

    leaking = run(tables, events.make("leak", LARGE.key, BEGIN + 12 * HOUR, lasts_ms=DAY))

    during = slice(13 * 12, 30 * 12)
    assert (field(leaking, "flow_m3h")[during] > field(calm, "flow_m3h")[during]).all()
    assert (field(leaking, "critical_mh2o")[during] < field(calm, "critical_mh2o")[during]).all()
    assert np.array_equal(field(leaking, "flow_m3h", SMALL), field(calm, "flow_m3h", SMALL))


def test_an_empty_tank_gives_no_more_than_comes_in(tables):
    found = run(tables, events.make("pump-failure", LARGE.key, BEGIN, lasts_ms=4 * DAY), until=BEGIN + 3 * DAY)

    assert field(found, "level_m")[-1] == pytest.approx(0.0, abs=1e-9)
    assert field(found, "flow_m3h")[-1] == pytest.approx(0.0, abs=1e-9)
    assert field(found, "critical_mh2o")[-1] == pytest.approx(0.0, abs=1e-9)


@given(cuts=st.lists(st.integers(1, 40 * HOUR), min_size=1, max_size=5))
@settings(max_examples=10, deadline=None)
def test_time_in_parts_is_time_in_one(tables, cuts):
    whole = run(tables, until=BEGIN + 40 * HOUR)

    parts = World([SMALL, LARGE], tables, SEED, BEGIN)
    for cut in sorted(cuts):
        parts.run_to(BEGIN + cut)
    parts.run_to(BEGIN + 40 * HOUR)

    assert np.array_equal(parts.state(), whole.state())


def test_what_is_ordered_for_now_is_not_kept_waiting_by_steps_already_taken(tables):
    found = run(tables, until=BEGIN + 10 * HOUR)

    event = events.make("power-cut", LARGE.key, BEGIN + 10 * HOUR)
    found.take_back(event.at_ms)
    found.add([event])
    found.run_to(BEGIN + 20 * HOUR)

    planned = run(tables, event, until=BEGIN + 20 * HOUR)
    assert np.array_equal(found.state(), planned.state())


def test_forgetting_the_past_changes_nothing_of_what_comes(tables):
    found = run(tables, until=BEGIN + 20 * HOUR)
    found.forget_before(BEGIN + 15 * HOUR)
    found.run_to(BEGIN + 30 * HOUR)

    at = np.array([BEGIN + 29 * HOUR + 1234])
    whole = run(tables, until=BEGIN + 30 * HOUR)
    assert len(found.at) < len(whole.at)
    assert found.read(LARGE.key, "level_m", at) == pytest.approx(whole.read(LARGE.key, "level_m", at))


def test_noise_depends_on_seed_and_instant_alone_and_looks_normal():
    at = BEGIN + np.arange(20_000) * 60_000

    found = world.noise(3, at)

    assert np.array_equal(found[500:510], world.noise(3, at[500:510]))
    assert abs(found.mean()) < 0.03 and found.std() == pytest.approx(1.0, abs=0.03)
    assert abs(np.corrcoef(found[1:], found[:-1])[0, 1]) < 0.03
    assert not np.array_equal(found, world.noise(4, at))


def test_devices_of_one_seed_send_the_same_bytes_however_time_is_cut(tables):
    units = sensors.list_units([SMALL.key, LARGE.key])

    def told(steps):
        found = run(tables)
        payloads = []
        for unit in units:
            sender, samples = sensors.Sender(unit, BEGIN), []
            for number in range(1, steps + 1):
                samples += sensors.collect(found, sender, BEGIN + number * DAY // steps)
            payloads.append(list(sensors.encode(unit, samples)))
        return payloads

    assert told(1) == told(7)
    assert {unit.protocol for unit in units} >= {"MQTT", "CHIRPSTACK", "CSV"}


def test_all_protocols_are_spoken_by_some_device():
    units = telemetry.list_units()

    assert {unit.protocol for unit in units} == {"MQTT", "CHIRPSTACK", "CSV", "HTTP"}
    assert len({unit.code for unit in units}) == len(units) == 3 * 29
    assert len([unit for unit in units if unit.protocol == "CHIRPSTACK"]) == len(
        {unit.sender_id for unit in units if unit.sender_id}
    )


def test_days_have_their_events_by_seed_and_most_stations_are_quiet():
    keys = [one.key for one in telemetry.list_stations()]

    assert events.of_day(keys, BEGIN, 1) == events.of_day(keys, BEGIN, 1)
    assert events.of_day(keys, BEGIN, 1) != events.of_day(keys, BEGIN, 2)
    assert {one.kind for one in events.opening(keys, BEGIN, 1)} == set(events.Kind)
    assert len({one.station for one in events.opening(keys, BEGIN, 1)}) <= len(keys) / 2


def test_an_event_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="flood"):
        events.make("flood", LARGE.key, BEGIN)


def test_chlorine_fades_where_none_is_added_any_more(tables):
    found = run(tables, events.make("chlorine-loss", LARGE.key, BEGIN + 6 * HOUR, lasts_ms=2 * DAY))

    chlorine = field(found, "chlorine_mgl")
    assert chlorine[: 6 * 12].min() > 0.3
    assert chlorine[-1] < 0.05 and math.isfinite(chlorine[-1])
