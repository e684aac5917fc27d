"""The water of one simulated station: a small synthetic network, solved by EPANET, as tables that are quick to read.

Source → pump → treatment → elevated tank → network of 10–25 junctions, the last of them the critical point, sized by
the households of the station and drawn by seed and key. Because the tank sets the head of the network, everything in
it follows from three numbers: how full the tank is, how much households want, how large a leak is. EPANET (2.2,
pressure-driven demand, leaks as emitters) is solved once at the corners of a grid of these; world.py interpolates.

Nothing of this network exists: mô phỏng.
"""

import hashlib
import math
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

VERSION = 1  # of the model: raise it when a table made before is no longer what would be made now
FILLS = np.array([0.0, 0.5, 1.0])  # of the tank's depth
WANTS = np.array([0.1, 0.4, 0.7, 1.0, 1.4, 1.8, 2.3, 3.0])  # of the mean demand
LEAKS = np.array([0.0, 1.0, 2.5, 6.0, 15.0, 40.0])  # of the leak of a network in order
DELIVERED, LEAKED, OUTLET, CRITICAL = range(4)  # of the table: m3/h, m3/h, mH2O, mH2O
ROUGHNESS = 130.0  # Hazen-Williams, plastic pipes
_DIAMETERS_MM = (50, 63, 75, 90, 110, 125, 140, 160, 180, 200, 225, 250, 280, 315, 355, 400)


@dataclass(frozen=True)
class Assumptions:
    """data/simulation/assumptions.toml: units at the end of each name, patterns as shares of the mean."""

    persons_per_household: float
    litres_per_person_day: float
    background_leak_ratio: float
    hourly: tuple[float, ...]
    weekday_ratio: tuple[float, ...]
    tank_days: float
    tank_depth_m: float
    pump_hours_per_day: float
    pump_on_ratio: float
    pump_off_ratio: float
    pump_efficiency_ratio: float
    required_pressure_mh2o: float
    chlorine_dose_mgl: float
    chlorine_decay_per_h: float
    turbidity_ntu: float
    ph: float


@cache
def assumptions() -> Assumptions:
    """Return what all simulated stations rest on."""
    file = resources.files("machnuoc.demo") / "data" / "simulation" / "assumptions.toml"
    parts = tomllib.loads(file.read_text(encoding="utf-8"))
    given: dict[str, Any] = {key: value for part in parts.values() for key, value in part.items()}
    known: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}
    return Assumptions(**known)


@dataclass(frozen=True)
class Station:
    """A station to simulate. key: of its work. households: served."""

    key: str
    households: int

    @property
    def demand_m3h(self) -> float:
        """Return what its households want, as the mean of a day."""
        given = assumptions()
        return self.households * given.persons_per_household * given.litres_per_person_day / 1000 / 24

    @property
    def supply_m3h(self) -> float:
        """Return what the tank gives in the mean of a day: what households want, and what leaks."""
        return self.demand_m3h / (1 - assumptions().background_leak_ratio)

    @property
    def tank_m3(self) -> float:
        return round(24 * self.supply_m3h * assumptions().tank_days / 5 + 1) * 5.0

    @property
    def pump_m3h(self) -> float:
        """Return what the pump is to bring."""
        return 24 * self.supply_m3h / assumptions().pump_hours_per_day


@dataclass(frozen=True)
class Junction:
    name: str
    elevation_m: float
    share_ratio: float  # of the demand of the station


@dataclass(frozen=True)
class Pipe:
    start: str
    end: str
    length_m: float
    diameter_mm: int


@dataclass(frozen=True)
class Network:
    """A synthetic network. tank_m: elevation of the tank's floor; source_m: of the water at the source."""

    junctions: tuple[Junction, ...]
    pipes: tuple[Pipe, ...]
    critical: str
    leaking: str
    tank_m: float
    source_m: float


@dataclass(frozen=True, eq=False)
class Tables:
    """What EPANET says of one station. response: shape (4, fills, wants, leaks), see DELIVERED … CRITICAL.

    pump_m3h, pump_kw: shape (fills,). leak_coefficient: of the emitter of a network in order, m3/h at 1 mH2O.
    """

    response: Floats
    pump_m3h: Floats
    pump_kw: Floats
    leak_coefficient: float


def draw(station: Station, seed: int) -> Network:
    """Return the network of a station: always the same for one seed and key."""
    random = np.random.default_rng(_digest(f"{seed}:{station.key}"))
    count = int(np.clip(8 + station.households // 130 + random.integers(0, 4), 10, 24))
    trunk = max(5, count // 2)
    rise_m = float(random.uniform(2.0, 6.0))  # of the critical point over the tank's foot
    junctions: list[tuple[str, float]] = [("J1", 0.0)]
    links: list[tuple[str, str, float]] = []
    for number in range(2, count + 1):
        if number <= trunk:
            parent, elevation = number - 1, rise_m * (number - 1) / (trunk - 1)
        else:
            parent = int(random.integers(2, trunk))
            elevation = rise_m * (parent - 1) / (trunk - 1) * float(random.uniform(0.4, 1.0))
        junctions.append((f"J{number}", round(elevation, 1)))
        links.append((f"J{parent}", f"J{number}", float(random.integers(120, 480))))
    weight = random.uniform(0.5, 1.5, count)
    weight[0] = 0.0  # nobody lives at the outlet
    share = weight / weight.sum()
    flow = {name: float(part) for (name, _), part in zip(junctions, share, strict=True)}
    for start, end, _ in reversed(links):
        flow[start] += flow[end]
    supply_m3h = station.supply_m3h
    pipes = [Pipe("TANK", "J1", 60.0, _diameter_mm(2.0 * supply_m3h))]
    pipes += [Pipe(start, end, length, _diameter_mm(2.0 * supply_m3h * flow[end])) for start, end, length in links]
    ends = (f"J{trunk}", f"J{max(2, trunk - 2)}")
    if count >= 14:  # larger villages have a ring
        pipes.append(Pipe(f"J{count}", ends[1], 260.0, 63))
    return Network(
        tuple(Junction(name, elevation, float(part)) for (name, elevation), part in zip(junctions, share, strict=True)),
        tuple(pipes), ends[0], f"J{(trunk + 1) // 2 + 1}",
        tank_m=round(rise_m + float(random.uniform(17.0, 21.0)), 1),
        source_m=-round(float(random.uniform(6.0, 18.0)), 1),
    )  # fmt: skip


def _diameter_mm(flow_m3h: float) -> int:
    """Return the next pipe in which this flow runs at no more than 0.75 m/s."""
    wanted = 1000 * math.sqrt(4 * flow_m3h / 3600 / (math.pi * 0.75))
    return next((one for one in _DIAMETERS_MM if one >= wanted), _DIAMETERS_MM[-1])


def leak_coefficient(station: Station) -> float:
    """Return the emitter coefficient of the leak of a network in order, at some 20 mH2O."""
    return (station.supply_m3h - station.demand_m3h) / math.sqrt(20.0)


def build(station: Station, network: Network, *, has_tank: bool = False) -> Any:
    """Return the network as a WNTR model.

    has_tank: with the tank as a tank, which fills and empties in time; else it stands at one level, for single states.
    """
    import wntr

    given = assumptions()
    model = wntr.network.WaterNetworkModel()
    model.name = f"{station.key} (mô phỏng)"
    options = model.options
    options.hydraulic.inpfile_units = "CMH"
    options.hydraulic.headloss = "H-W"
    options.hydraulic.demand_model = "PDD"
    options.hydraulic.minimum_pressure = 0.0
    options.hydraulic.required_pressure = given.required_pressure_mh2o
    options.hydraulic.pressure_exponent = 0.5
    options.hydraulic.emitter_exponent = 0.5
    options.hydraulic.accuracy = 1e-4
    options.hydraulic.trials = 200
    model.add_pattern("DAY", list(given.hourly))
    options.time.pattern_timestep = 3600
    for junction in network.junctions:
        model.add_junction(
            junction.name, base_demand=station.demand_m3h * junction.share_ratio / 3600, demand_pattern="DAY",
            elevation=junction.elevation_m,
        )  # fmt: skip
    model.get_node(network.leaking).emitter_coefficient = leak_coefficient(station) / 3600
    head_m = network.tank_m + given.tank_depth_m
    if has_tank:
        diameter_m = math.sqrt(4 * station.tank_m3 / given.tank_depth_m / math.pi)
        model.add_tank(
            "TANK", elevation=network.tank_m, init_level=0.8 * given.tank_depth_m, min_level=0.0,
            max_level=given.tank_depth_m, diameter=diameter_m,
        )  # fmt: skip
    else:
        model.add_reservoir("TANK", base_head=head_m)
    model.add_reservoir("SOURCE", base_head=network.source_m)
    model.add_junction("TREATED", base_demand=0.0, elevation=0.0)
    lift_m = head_m - network.source_m + 5.0  # 5 m for treatment and rising main
    model.add_curve("PUMP", "HEAD", [(station.pump_m3h / 3600, lift_m)])
    model.add_pump("PUMP", "SOURCE", "TREATED", pump_type="HEAD", pump_parameter="PUMP")
    model.options.energy.global_efficiency = 100 * given.pump_efficiency_ratio
    diameter = _diameter_mm(station.pump_m3h) / 1000
    # The filters are one local loss: some 2 m at the flow of the pump.
    velocity = station.pump_m3h / 3600 / (math.pi * diameter**2 / 4)
    model.add_pipe("FILTERS", "TREATED", "TANK", 200.0, diameter, ROUGHNESS, minor_loss=2.0 * 19.62 / velocity**2)
    for number, pipe in enumerate(network.pipes, 1):
        model.add_pipe(f"P{number}", pipe.start, pipe.end, pipe.length_m, pipe.diameter_mm / 1000, ROUGHNESS)
    return model


def solve(station: Station, seed: int) -> Tables:
    """Return the tables of one station, by EPANET."""
    return solve_all([station], seed)[0]


def solve_all(stations: Sequence[Station], seed: int) -> list[Tables]:
    """Return the tables of stations, by EPANET. The first call loads WNTR, which takes seconds."""
    import wntr

    with tempfile.TemporaryDirectory(prefix="machnuoc-epanet-") as place:
        found = []
        for station in stations:
            network = draw(station, seed)
            file = Path(place) / "station.inp"
            wntr.network.write_inpfile(build(station, network), str(file), units="CMH", version=2.2)
            found.append(_solve_file(file, station, network))
        return found


_ELEVATION, _BASE_DEMAND, _PATTERN, _EMITTER, _DEMAND, _PRESSURE = 0, 1, 2, 3, 9, 11  # of EPANET's toolkit
_FLOW, _ENERGY = 8, 13


def _solve_file(file: Path, station: Station, network: Network) -> Tables:
    from wntr.epanet.toolkit import ENepanet

    given = assumptions()
    epanet = ENepanet(version=2.2)
    epanet.ENopen(str(file), str(file.with_suffix(".rpt")), str(file.with_suffix(".bin")))
    try:
        index = {junction.name: epanet.ENgetnodeindex(junction.name) for junction in network.junctions}
        living = [
            (index[one.name], one.share_ratio * station.demand_m3h) for one in network.junctions if one.share_ratio
        ]
        tank, pump = epanet.ENgetnodeindex("TANK"), epanet.ENgetlinkindex("PUMP")
        main = epanet.ENgetlinkindex("P1")
        leaking, critical, outlet = index[network.leaking], index[network.critical], index["J1"]
        for node, _ in living:
            epanet.ENsetnodevalue(node, _PATTERN, 0)
        coefficient = leak_coefficient(station)
        response = np.empty((4, len(FILLS), len(WANTS), len(LEAKS)))
        pump_m3h, pump_kw = np.empty(len(FILLS)), np.empty(len(FILLS))
        epanet.ENopenH()
        for fill, level in enumerate(FILLS):
            epanet.ENsetnodevalue(tank, _ELEVATION, network.tank_m + level * given.tank_depth_m)
            for want, times in enumerate(WANTS):
                for node, demand_m3h in living:
                    epanet.ENsetnodevalue(node, _BASE_DEMAND, demand_m3h * times)
                for leak, size in enumerate(LEAKS):
                    epanet.ENsetnodevalue(leaking, _EMITTER, coefficient * size)
                    epanet.ENinitH(0)
                    epanet.ENrunH()
                    supplied_m3h = epanet.ENgetlinkvalue(main, _FLOW)
                    pressure = epanet.ENgetnodevalue(leaking, _PRESSURE)
                    leaked_m3h = coefficient * size * math.sqrt(max(0.0, pressure))
                    response[:, fill, want, leak] = (
                        supplied_m3h - leaked_m3h, leaked_m3h, epanet.ENgetnodevalue(outlet, _PRESSURE),
                        epanet.ENgetnodevalue(critical, _PRESSURE),
                    )  # fmt: skip
            pump_m3h[fill] = epanet.ENgetlinkvalue(pump, _FLOW)
            pump_kw[fill] = epanet.ENgetlinkvalue(pump, _ENERGY)
        epanet.ENcloseH()
    finally:
        epanet.ENclose()
    np.maximum(response, 0.0, out=response)
    return Tables(response, pump_m3h, pump_kw, coefficient)


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


# --- kept between runs ----------------------------------------------------------------------------------------------


def kept_file(stations: Sequence[Station], seed: int, folder: Path) -> Path:
    """Return where the tables of stations are kept."""
    name = _digest(f"{VERSION}:{seed}:{assumptions()!r}:{[(one.key, one.households) for one in stations]}")
    return folder / f"simulated-{name:016x}.npz"


def get_tables(stations: Sequence[Station], seed: int, folder: Path) -> list[Tables]:
    """Return the tables of stations, from a file in the folder where they were made before."""
    file = kept_file(stations, seed, folder)
    if file.exists():
        with np.load(file) as kept:
            columns = [kept[key] for key in ("response", "pump_m3h", "pump_kw", "leak_coefficient")]
        return [Tables(one[0], one[1], one[2], float(one[3])) for one in zip(*columns, strict=True)]
    made = solve_all(stations, seed)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = file.with_suffix(f".{np.random.default_rng().integers(1 << 60)}.npz")
    np.savez(
        draft,
        response=np.stack([one.response for one in made]),
        pump_m3h=np.stack([one.pump_m3h for one in made]),
        pump_kw=np.stack([one.pump_kw for one in made]),
        leak_coefficient=np.array([one.leak_coefficient for one in made]),
    )
    draft.replace(file)
    return made
