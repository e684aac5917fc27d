"""What is wrong with the prices of a tariff, said so that whoever typed them finds the cell: group, block, what to do.

Gaps, overlaps and blocks without an end keep a tariff from being put in force. A price outside the frame does not: a
block may lie above it where the decision says so, so a person confirms it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from machnuoc.billing import tariff
from machnuoc.core.vietnamese import format_number

# The frame of TT 44/2021/TT-BTC is of water for households («nước sạch sinh hoạt»).
_IN_FRAME: Final = ("SH", "SH_NGHEO")
_LITRES_A_M3: Final = 1_000


@dataclass(frozen=True, slots=True)
class Row:
    """A price as it was typed. Edges in litres a month; `to_l` None: without end."""

    group: str
    structure: str
    from_l: int
    to_l: int | None
    price_vnd: int


@dataclass(frozen=True, slots=True)
class Frame:
    """The least and the most that may be decided for an area, đồng a m³, VAT included."""

    area_name: str
    low_vnd: int
    high_vnd: int
    document: str
    is_verified: bool = True


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong. block: 1 is the lowest, 0 the group as a whole. is_fatal: the tariff cannot be put in force."""

    kind: str  # empty, start, gap, overlap, endless, ends, structure, flat, price, zero, frame, missing, falling
    group: str
    block: int
    text: str
    is_fatal: bool = True


def find_problems(
    rows: Iterable[Row],
    *,
    group_names: Mapping[str, str],
    vat_basis_points: int,
    includes_vat: bool,
    frame: Frame | None = None,
) -> list[Problem]:
    """Return what is wrong with the prices, group by group in the order of group_names, each in Vietnamese."""
    by_group: dict[str, list[Row]] = {}
    for row in rows:
        by_group.setdefault(row.group, []).append(row)
    if not by_group:
        return [Problem("empty", "", 0, "Biểu giá chưa có đơn giá nào. Nhập ít nhất một đơn giá.")]
    found = []
    for group, name in group_names.items():
        mine = sorted(by_group.get(group, []), key=lambda row: (row.from_l, row.to_l is None, row.to_l or 0))
        if not mine:
            text = f"{name}: chưa có đơn giá. Đấu nối thuộc đối tượng này sẽ không lập được hóa đơn."
            found.append(Problem("missing", group, 0, text, is_fatal=False))
            continue
        found += _of_structure(group, name, mine)
        found += _of_edges(group, name, mine)
        found += _of_prices(group, name, mine)
        if frame is not None and group in _IN_FRAME:
            found += _of_frame(group, name, mine, frame, vat_basis_points, includes_vat)
    return found


def with_vat(price_vnd: int, vat_basis_points: int, includes_vat: bool) -> int:
    """Return the price a m³ with VAT, đồng, rounded half up.

    >>> with_vat(8_500, 500, False), with_vat(7_450, 500, True)
    (8925, 7450)
    """
    return price_vnd if includes_vat else tariff.divide(price_vnd * (10_000 + vat_basis_points), 10_000)


def say_edges(from_l: int, to_l: int | None) -> str:
    """Return a block's edges in m³: «trên 10 đến 20 m³».

    >>> say_edges(0, 10_000), say_edges(30_000, None)
    ('đến 10 m³', 'trên 30 m³')
    """
    if to_l is None:
        return f"trên {_m3(from_l)} m³" if from_l else "mọi mức dùng"
    return f"trên {_m3(from_l)} đến {_m3(to_l)} m³" if from_l else f"đến {_m3(to_l)} m³"


def _m3(volume_l: int) -> str:
    whole, rest = divmod(volume_l, _LITRES_A_M3)
    return format_number(whole) if not rest else f"{format_number(whole)},{rest:03}".rstrip("0")


def _of_structure(group: str, name: str, rows: Sequence[Row]) -> list[Problem]:
    structures = {row.structure for row in rows}
    if len(structures) > 1:
        text = f"{name}: các bậc khác nhau về cách tính. Chọn một cách tính cho cả đối tượng."
        return [Problem("structure", group, 0, text)]
    if structures == {tariff.FLAT} and len(rows) > 1:
        text = f"{name}: «Một giá» nhưng có {len(rows)} bậc. Bỏ bớt bậc hoặc chọn cách tính theo bậc."
        return [Problem("flat", group, 0, text)]
    return []


def _of_edges(group: str, name: str, rows: Sequence[Row]) -> list[Problem]:
    found = []
    if rows[0].from_l > 0:
        text = (
            f"{name}, bậc 1: bắt đầu từ {_m3(rows[0].from_l)} m³ nên {_m3(rows[0].from_l)} m³ đầu chưa có giá. "
            "Cho bậc 1 bắt đầu từ 0."
        )
        found.append(Problem("start", group, 1, text))
    for number, (row, following) in enumerate(pairwise(rows), start=1):
        if row.to_l is None:
            text = (
                f"{name}, bậc {number}: chưa có mức cuối nhưng sau đó còn bậc {number + 1} "
                f"từ {_m3(following.from_l)} m³. Nhập mức cuối của bậc {number}."
            )
            found.append(Problem("endless", group, number, text))
        elif row.to_l < following.from_l:
            text = (
                f"{name}: khoảng hở giữa bậc {number} (đến {_m3(row.to_l)} m³) và bậc {number + 1} "
                f"(từ {_m3(following.from_l)} m³). Cho bậc {number + 1} bắt đầu từ {_m3(row.to_l)} m³."
            )
            found.append(Problem("gap", group, number + 1, text))
        elif row.to_l > following.from_l:
            text = (
                f"{name}: bậc {number} (đến {_m3(row.to_l)} m³) và bậc {number + 1} (từ {_m3(following.from_l)} m³) "
                f"chồng lên nhau. Cho bậc {number + 1} bắt đầu từ {_m3(row.to_l)} m³."
            )
            found.append(Problem("overlap", group, number + 1, text))
    last = rows[-1]
    if last.to_l is not None:
        text = (
            f"{name}, bậc {len(rows)}: chỉ đến {_m3(last.to_l)} m³, phần dùng vượt mức này chưa có giá. "
            "Để trống mức cuối của bậc cao nhất."
        )
        found.append(Problem("ends", group, len(rows), text))
    for number, row in enumerate(rows, start=1):
        if row.to_l is not None and row.to_l <= row.from_l:
            text = f"{name}, bậc {number}: mức cuối phải lớn hơn mức đầu {_m3(row.from_l)} m³. Sửa mức cuối."
            found.append(Problem("width", group, number, text))
        elif max(row.from_l, row.to_l or 0) > tariff.MOST_EDGE_L // 10_000:
            text = f"{name}, bậc {number}: mức của bậc quá lớn. Nhập theo m³ một tháng."
            found.append(Problem("width", group, number, text))
    return found


def _of_prices(group: str, name: str, rows: Sequence[Row]) -> list[Problem]:
    found = []
    for number, row in enumerate(rows, start=1):
        if row.price_vnd > tariff.MOST_PRICE_VND:
            text = (
                f"{name}, bậc {number}: {format_number(row.price_vnd)} đồng/m³ quá lớn. Nhập đơn giá theo đồng một m³."
            )
            found.append(Problem("price", group, number, text))
        elif row.price_vnd == 0:
            text = f"{name}, bậc {number}: đơn giá 0 đồng/m³. Kiểm tra lại, trừ khi quyết định cho miễn tiền."
            found.append(Problem("zero", group, number, text, is_fatal=False))
        if number > 1 and row.price_vnd < rows[number - 2].price_vnd:
            text = (
                f"{name}, bậc {number}: {format_number(row.price_vnd)} đồng/m³ thấp hơn bậc {number - 1} "
                f"({format_number(rows[number - 2].price_vnd)} đồng/m³). Đối chiếu quyết định."
            )
            found.append(Problem("falling", group, number, text, is_fatal=False))
    return found


def _of_frame(
    group: str, name: str, rows: Sequence[Row], frame: Frame, vat_basis_points: int, includes_vat: bool
) -> list[Problem]:
    found = []
    doubt = "" if frame.is_verified else ", chưa đối chiếu văn bản"
    for number, row in enumerate(rows, start=1):
        price_vnd = with_vat(row.price_vnd, vat_basis_points, includes_vat)
        if frame.low_vnd <= price_vnd <= frame.high_vnd:
            continue
        side = "thấp hơn" if price_vnd < frame.low_vnd else "cao hơn"
        text = (
            f"{name}, bậc {number}: {format_number(price_vnd)} đồng/m³ (gồm thuế GTGT) {side} khung "
            f"{format_number(frame.low_vnd)}–{format_number(frame.high_vnd)} đồng/m³ của {frame.area_name.lower()} "
            f"({frame.document}{doubt}). Đối chiếu quyết định trước khi áp dụng."
        )
        found.append(Problem("frame", group, number, text, is_fatal=False))
    return found
