"""Points and polygons as filters write them, and what lies in what. Pure.

Source: OGC 18-088 (SensorThings API Part 1: Sensing, version 1.1), 9.3.3.5.2; WKT of OGC 06-103r4. Degrees of WGS 84,
longitude first. Distances are along the great circle of a sphere, in metres: 0.5 % off at most.
"""

import math
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

Position = tuple[float, float]  # longitude, latitude

EARTH_M = 6_371_008.8  # mean radius
POSITIONS_MAX = 1_000
_NUMBER = r"-?\d{1,3}(?:\.\d{1,15})?"
_POSITION = re.compile(rf"\s*({_NUMBER})\s+({_NUMBER})(?:\s+-?\d{{1,6}}(?:\.\d{{1,15}})?)?\s*", re.ASCII)
_SHAPE = re.compile(
    r"\s*(?:SRID=4326;)?\s*(POINT|POLYGON)\s*(?:Z\s*)?\((.*)\)\s*", re.ASCII | re.IGNORECASE | re.DOTALL
)


class GeometryError(ValueError):
    """Text that is no point or polygon of ours; says in Vietnamese what is wrong."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A point (one ring of one position) or a polygon: rings, the first its edge, the others holes."""

    is_point: bool
    rings: tuple[tuple[Position, ...], ...]


def read_wkt(text: str) -> Shape:
    """Return the shape that a text says. Raises GeometryError.

    >>> read_wkt("POINT(108.75 15.3)").rings
    (((108.75, 15.3),),)
    """
    found = _SHAPE.fullmatch(text)
    if found is None:
        raise GeometryError(f"không hiểu hình «{text[:40]}». Viết như POINT(108.75 15.3) hoặc POLYGON((…, …)).")
    if found[1].upper() == "POINT":
        return Shape(True, ((_read_position(found[2]),),))
    parts = re.findall(r"\(([^()]*)\)", found[2])
    if not parts or re.sub(r"\([^()]*\)", "", found[2]).strip(" ,\t\n"):
        raise GeometryError("POLYGON viết mỗi vòng trong một cặp ngoặc: POLYGON((x y, x y, x y, x y)).")
    rings = tuple(tuple(_read_position(each) for each in part.split(",")) for part in parts)
    if sum(map(len, rings)) > POSITIONS_MAX:
        raise GeometryError(f"POLYGON có hơn {POSITIONS_MAX} đỉnh.")
    if any(len(ring) < 4 or ring[0] != ring[-1] for ring in rings):
        raise GeometryError("mỗi vòng của POLYGON có từ 4 đỉnh và khép lại ở đỉnh đầu.")
    return Shape(False, rings)


def _read_position(text: str) -> Position:
    found = _POSITION.fullmatch(text)
    if found is None:
        raise GeometryError(f"không hiểu tọa độ «{text.strip()[:40]}». Viết kinh độ trước, vĩ độ sau.")
    longitude, latitude = float(found[1]), float(found[2])
    if abs(longitude) > 180 or abs(latitude) > 90:
        raise GeometryError(f"tọa độ «{text.strip()[:40]}» ở ngoài Trái Đất: kinh độ trước, vĩ độ sau.")
    return longitude, latitude


def position_of(value: Any) -> Position:
    """Return the position of a shape or of GeoJSON, also in a Feature. Raises TypeError for what is no point."""
    if isinstance(value, Shape) and value.is_point:
        return value.rings[0][0]
    if isinstance(value, dict) and value.get("type") == "Feature":
        value = value.get("geometry")
    if isinstance(value, dict) and value.get("type") == "Point":
        longitude, latitude = (float(number) for number in value["coordinates"][:2])
        return longitude, latitude
    raise TypeError("no point")


def distance_m(left: Any, right: Any) -> float:
    """Return how far two points are apart, in metres. Raises TypeError for what is no point."""
    (lon_1, lat_1), (lon_2, lat_2) = position_of(left), position_of(right)
    lat_1, lat_2 = math.radians(lat_1), math.radians(lat_2)
    half = math.sin((lat_2 - lat_1) / 2) ** 2
    half += math.cos(lat_1) * math.cos(lat_2) * math.sin(math.radians(lon_2 - lon_1) / 2) ** 2
    return 2 * EARTH_M * math.asin(math.sqrt(min(1.0, half)))


def is_within(value: Any, area: Any) -> bool:
    """Return whether a point lies in a polygon and in none of its holes. Raises TypeError for other shapes.

    >>> square = read_wkt("POLYGON((108 15, 109 15, 109 16, 108 16, 108 15))")
    >>> is_within(read_wkt("POINT(108.5 15.5)"), square), is_within(read_wkt("POINT(107.5 15.5)"), square)
    (True, False)
    """
    if not isinstance(area, Shape) or area.is_point:
        raise TypeError("no polygon")
    place = position_of(value)
    return _is_inside(place, area.rings[0]) and not any(_is_inside(place, hole) for hole in area.rings[1:])


def _is_inside(place: Position, ring: tuple[Position, ...]) -> bool:
    x, y = place
    inside = False
    for (x_1, y_1), (x_2, y_2) in pairwise(ring):
        if (y_1 > y) != (y_2 > y) and x < (x_2 - x_1) * (y - y_1) / (y_2 - y_1) + x_1:
            inside = not inside
    return inside
