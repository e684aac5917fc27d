"""What an amount of water would cost: the lines as a bill shows them, for the calculator and for programs."""

from dataclasses import dataclass
from datetime import date

from machnuoc.billing import tariff, tariff_checks, tariff_queries
from machnuoc.billing.errors import BillingError
from machnuoc.billing.models import Tariff
from machnuoc.billing.tariff import Charge, Part, Share, Usage
from machnuoc.billing.tariff_queries import PriceSpan
from machnuoc.customers.models import Group


class BadDays(BillingError):
    """Days that nothing can be tried for."""


@dataclass(frozen=True)
class TrialLine:
    """One line as the bill shows it. edges: of the block in these days, all households or persons together."""

    part: int
    from_date: date
    to_date: date  # exclusive
    tariff: Tariff
    group: str
    group_name: str
    block: int
    edges: str
    volume_l: int
    price_vnd: int
    amount_vnd: int

    @property
    def last_date(self) -> date:
        return date.fromordinal(self.to_date.toordinal() - 1)

    @property
    def volume_m3(self) -> float:
        return self.volume_l / 1_000


@dataclass(frozen=True)
class Trial:
    """parts: (first day, end, tariff) of the period. fees: the rates of the environment fee that were used, in ‱."""

    lines: tuple[TrialLine, ...]
    charge: Charge
    from_date: date
    to_date: date
    parts: tuple[tuple[date, date, Tariff], ...]
    fees: tuple[int, ...]

    @property
    def days(self) -> int:
        return (self.to_date - self.from_date).days

    @property
    def lines_vnd(self) -> int:
        return sum(line.amount_vnd for line in self.lines)

    @property
    def has_minimum(self) -> bool:
        return self.charge.billed_l > self.charge.volume_l

    @property
    def is_simulated(self) -> bool:
        return any(one.is_simulated for _, _, one in self.parts)


def try_out(
    chosen: Tariff, *, from_date: date, to_date: date, volume_l: int, shares: tuple[tuple[str, int], ...],
    households: int = 1, persons: int = 0,
) -> Trial:  # fmt: skip
    """Return what the water of the days from_date up to (not with) to_date would cost in the scope of a tariff.

    chosen: in force, and then whatever is in force in its scope on each day counts; or a draft, for all days.
    shares: (group, percent). Raises tariff.CannotCharge where the bill could not be made either.
    """
    book = tariff_queries.price_book([chosen.scope_id], from_date, to_date)
    spans = book.by_work[chosen.scope_id]
    prices = dict(book.prices)
    if chosen.state != Tariff.State.IN_FORCE:
        prices[chosen.pk] = tariff_queries.prices_of(chosen)
        spans = tuple(PriceSpan(one.from_date, one.to_date, chosen.pk, one.fee_basis_points) for one in spans)
    names = {row.pk: row for row in Tariff.objects.filter(pk__in={span.tariff_id for span in spans})}
    parts = tuple(
        Part(
            days=(span.to_date - span.from_date).days,
            tariff_id=span.tariff_id,
            shares=tuple(Share(group, pct, span.fee_basis_points[group]) for group, pct in shares),
            households=households,
            persons=persons,
        )
        for span in spans
    )
    charged = tariff.charge(Usage(volume_l, parts), prices)
    lines = []
    lower_l: dict[tuple[int, str], int] = {}
    for line in charged.lines:
        begun_l = lower_l.get((line.part, line.group), 0)
        lower_l[line.part, line.group] = begun_l + line.volume_l
        span = spans[line.part]
        lines.append(
            TrialLine(
                part=line.part, from_date=span.from_date, to_date=span.to_date, tariff=names[line.tariff_id],
                group=line.group, group_name=str(Group(line.group).label), block=line.block,
                edges=tariff_checks.say_edges(begun_l, line.upto_l), volume_l=line.volume_l, price_vnd=line.price_vnd,
                amount_vnd=line.amount_vnd,
            )
        )  # fmt: skip
    used = sorted({span.fee_basis_points[group] for span in spans for group, _ in shares})
    return Trial(
        tuple(lines), charged, from_date, to_date,
        tuple((span.from_date, span.to_date, names[span.tariff_id]) for span in spans), tuple(used),
    )  # fmt: skip
