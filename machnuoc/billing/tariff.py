"""What water costs: from a volume, the days it was used in and the prices of those days to lines, tax, fee and total.

The written rule, with worked figures: docs/algorithms/tariff.md. Integer arithmetic only: volumes in litres, money in
đồng, rates in basis points (500 = 5 %). `tariff_columns.charge_columns` gives the same for a million at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import ClassVar, Final

from machnuoc.billing.errors import BillingError

# Where a figure ends that could still be one of a bill. Within them no product leaves 64 bits.
MOST_VOLUME_L: Final = 10**10  # ten million m³ in a bill
MOST_EDGE_L: Final = 10**12  # of a block, times its persons or households
MOST_PRICE_VND: Final = 10**6  # a m³
MOST_DAYS: Final = 3_660

PER_CONNECTION: Final = "BLOCK_PER_CONNECTION"
PER_PERSON: Final = "BLOCK_PER_PERSON"
FLAT: Final = "FLAT"

_TOO_MANY: Final = "Số hộ hoặc số người của đấu nối quá lớn để tính bậc giá. Kiểm tra lại hồ sơ đấu nối."


class CannotCharge(BillingError):
    """A usage that no amount can be said for. `problem` is the reason that a billing run keeps (RunSkip.Reason)."""

    problem: ClassVar[str] = ""


class NegativeVolume(CannotCharge):
    problem = "NEGATIVE"


class NoTariff(CannotCharge):
    """A part without a tariff, or a tariff without a price for the group or the volume."""

    problem = "NO_TARIFF"


class NoPersons(CannotCharge):
    problem = "NO_PERSONS"


class BadShares(CannotCharge):
    problem = "BAD_SHARES"


class OutOfBounds(CannotCharge):
    """A figure far beyond what a bill can hold: a mistake before this."""

    problem = "SUSPECT"


@dataclass(frozen=True, slots=True)
class Block:
    """A price from a volume (exclusive) up to another (inclusive), litres a month; `to_l` None: without end."""

    from_l: int
    to_l: int | None
    price_vnd: int  # đồng a m³


@dataclass(frozen=True, slots=True)
class GroupPrices:
    """The blocks of a group from 0 upwards without a gap, and what their edges are multiplied by."""

    structure: str  # PER_CONNECTION: households, PER_PERSON: persons, FLAT: nothing
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Prices:
    """A tariff as the calculation needs it."""

    tariff_id: int
    groups: Mapping[str, GroupPrices]
    vat_basis_points: int = 500
    includes_vat: bool = False
    # Off (0) by default; only for shared meters, where the decision of the province has it.
    minimum_l_per_household: int = 0


@dataclass(frozen=True, slots=True)
class Share:
    """The part of the water that goes to a group, and the environment fee of that group at that place and time."""

    group: str
    share_pct: int = 100
    fee_basis_points: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """Days in a row with one tariff, one norm and one set of shares."""

    days: int
    tariff_id: int  # 0: none was in force
    shares: tuple[Share, ...]
    households: int = 1
    persons: int = 0


@dataclass(frozen=True, slots=True)
class Usage:
    """The water of one connection in a period, and the parts of the period in order."""

    volume_l: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """One block of one group in one part. Blocks count from 1; `upto_l` is the block's upper edge in this part."""

    part: int
    tariff_id: int
    group: str
    block: int
    days: int
    upto_l: int | None
    volume_l: int
    price_vnd: int
    amount_vnd: int  # as the tariff prints its prices: with or without VAT


@dataclass(frozen=True, slots=True)
class Charge:
    """What the usage costs. `billed_l` is above `volume_l` only where a minimum applies."""

    lines: tuple[Line, ...]
    volume_l: int
    billed_l: int
    net_vnd: int
    vat_vnd: int
    fee_vnd: int

    @property
    def total_vnd(self) -> int:
        return self.net_vnd + self.vat_vnd + self.fee_vnd


def divide(numerator: int, denominator: int) -> int:
    """Return the quotient rounded to the nearest whole number, halves up; for numerators from 0.

    >>> divide(5, 2), divide(7, 3), divide(0, 9)
    (3, 2, 0)
    """
    return (2 * numerator + denominator) // (2 * denominator)


def split(total: int, weights: Sequence[int]) -> list[int]:
    """Return the total in whole parts by weight: they add up to it, and none falls when the total grows.

    From the last to the first: the last is taken off in proportion to its weight, the rest is split among those
    before it. (Rounding running sums of the whole instead can take a litre from one part when the total grows by one.)

    >>> split(10_000, [10, 21])
    [3226, 6774]
    """
    heads = list(accumulate(weights))
    found = []
    rest = total
    for position in range(len(weights) - 1, 0, -1):
        head = divide(rest * heads[position - 1], heads[position])
        found.append(rest - head)
        rest = head
    return [rest, *reversed(found)]


def charge(usage: Usage, prices: Mapping[int, Prices]) -> Charge:
    """Return what the usage costs at the tariffs of its parts, by the rule of docs/algorithms/tariff.md.

    prices: by the tariff_id of the parts. The whole period counts as one month: a part of d of its D days gets d/D of
    the volume and of every block's width. Raises a CannotCharge that says what is missing.
    """
    _check(usage)
    days = [part.days for part in usage.parts]
    lines: list[Line] = []
    sums: dict[tuple[bool, int, int], int] = {}  # (prices include VAT, VAT, fee): Σ of amounts; each rounded once
    billed_l = 0
    for position, (part, used_l) in enumerate(zip(usage.parts, split(usage.volume_l, days), strict=True)):
        tariff = prices.get(part.tariff_id)
        if tariff is None:
            raise NoTariff("Chưa có biểu giá áp dụng cho mọi ngày của kỳ. Đưa biểu giá vào áp dụng rồi tính lại.")
        minimum_l = 0
        if part.households > 1 and tariff.minimum_l_per_household:
            whole_l = tariff.minimum_l_per_household * part.households
            if whole_l > MOST_VOLUME_L:
                raise OutOfBounds(_TOO_MANY)
            minimum_l = split(whole_l, days)[position]
        volume_l = max(used_l, minimum_l)
        billed_l += volume_l
        parted_l = split(volume_l, [share.share_pct for share in part.shares])
        for share, share_l in zip(part.shares, parted_l, strict=True):
            found = _lines(tariff, part, share.group, share_l, days, position)
            treatment = (tariff.includes_vat, tariff.vat_basis_points, share.fee_basis_points)
            sums[treatment] = sums.get(treatment, 0) + sum(line.amount_vnd for line in found)
            lines += found
    net_vnd = vat_vnd = fee_vnd = 0
    for (includes_vat, vat_basis_points, fee_basis_points), amount_vnd in sums.items():
        net, vat, fee = taxed(amount_vnd, includes_vat, vat_basis_points, fee_basis_points)
        net_vnd, vat_vnd, fee_vnd = net_vnd + net, vat_vnd + vat, fee_vnd + fee
    return Charge(tuple(lines), usage.volume_l, billed_l, net_vnd, vat_vnd, fee_vnd)


def taxed(amount_vnd: int, includes_vat: bool, vat_basis_points: int, fee_basis_points: int) -> tuple[int, int, int]:
    """Return net, VAT and environment fee of a sum of lines, đồng. The fee is on the net and bears no VAT.

    >>> taxed(105_000, True, 500, 1000), taxed(100_000, False, 500, 0)
    ((100000, 5000, 10000), (100000, 5000, 0))
    """
    if includes_vat:
        net_vnd = divide(amount_vnd * 10_000, 10_000 + vat_basis_points)
        vat_vnd = amount_vnd - net_vnd
    else:
        net_vnd = amount_vnd
        vat_vnd = divide(net_vnd * vat_basis_points, 10_000)
    return net_vnd, vat_vnd, divide(net_vnd * fee_basis_points, 10_000)


def _lines(tariff: Prices, part: Part, group: str, volume_l: int, days: Sequence[int], position: int) -> list[Line]:
    """Return the lines of one group in one part; a block without water has none."""
    priced = tariff.groups.get(group)
    if priced is None or not priced.blocks:
        raise NoTariff(
            f"Biểu giá đang áp dụng chưa có đơn giá cho đối tượng {group}. "
            "Bổ sung đơn giá hoặc sửa đối tượng của đấu nối."
        )
    if priced.structure == PER_PERSON and part.persons < 1:
        raise NoPersons(
            "Giá tính theo nhân khẩu nhưng đấu nối chưa có số người tính định mức. Nhập số người rồi tính lại."
        )
    times = {PER_CONNECTION: part.households, PER_PERSON: part.persons}.get(priced.structure, 1)
    lines = []
    lower_l = 0
    for number, block in enumerate(priced.blocks, start=1):
        upto_l = None
        if block.to_l is not None:
            if block.to_l * times > MOST_EDGE_L:
                raise OutOfBounds(_TOO_MANY)
            upto_l = split(block.to_l * times, days)[position]
        inside_l = (volume_l if upto_l is None else min(volume_l, upto_l)) - lower_l
        if inside_l > 0:
            amount_vnd = divide(inside_l * block.price_vnd, 1_000)
            lines.append(
                Line(
                    position, tariff.tariff_id, group, number, part.days, upto_l, inside_l, block.price_vnd, amount_vnd
                )
            )
            lower_l += inside_l
    if lower_l < volume_l:
        raise NoTariff(
            f"Biểu giá đang áp dụng không có đơn giá cho phần vượt bậc cao nhất của đối tượng {group}. "
            "Bổ sung bậc cuối không giới hạn."
        )
    return lines


def _check(usage: Usage) -> None:
    if usage.volume_l < 0:
        raise NegativeVolume("Lượng nước âm. Xem lại chỉ số đầu kỳ và cuối kỳ trước khi tính tiền.")
    if not usage.parts:
        raise NoTariff("Kỳ tính tiền không có ngày nào. Kiểm tra ngày đọc chỉ số đầu kỳ và cuối kỳ.")
    if usage.volume_l > MOST_VOLUME_L:
        raise OutOfBounds("Lượng nước lớn quá mức một hóa đơn có thể có. Kiểm tra lại chỉ số.")
    if sum(part.days for part in usage.parts) > MOST_DAYS or any(part.days < 1 for part in usage.parts):
        raise OutOfBounds("Số ngày của kỳ không hợp lệ. Kiểm tra ngày đọc chỉ số đầu kỳ và cuối kỳ.")
    for part in usage.parts:
        groups = {share.group for share in part.shares}
        if (
            sum(share.share_pct for share in part.shares) != 100
            or any(share.share_pct < 1 for share in part.shares)
            or len(groups) != len(part.shares)
        ):
            raise BadShares("Tỷ lệ mục đích sử dụng của đấu nối không đủ 100 %. Sửa tỷ lệ rồi tính lại.")
