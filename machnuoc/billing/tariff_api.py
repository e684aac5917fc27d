"""Tariffs for programs: which prices apply, and what an amount of water would cost."""

from datetime import date, timedelta

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Field, Query, Schema

from machnuoc.billing import tariff_queries, tariff_trial
from machnuoc.billing.api import router
from machnuoc.billing.models import Tariff
from machnuoc.core.api import DEFAULT_PAGE, MAX_PAGE, Page, person_of, take_page
from machnuoc.customers.models import Group

_GROUPS = "|".join(Group.values)


class TariffPriceOut(Schema):
    """Edges in litres a month (of a household or person); to_l null: without end. The upper edge is in the block."""

    group: str
    structure: str
    from_l: int
    to_l: int | None
    price_vnd: int


class TariffOut(Schema):
    key: str
    name: str
    scope_key: str
    area: str
    decision: str
    decision_date: date | None
    is_verified: bool
    is_simulated: bool
    state: str
    valid_from: date
    valid_to: date | None
    vat_basis_points: int
    includes_vat: bool
    minimum_l_per_household: int | None
    prices: list[TariffPriceOut]

    @staticmethod
    def of(row: Tariff) -> "TariffOut":
        prices = [
            TariffPriceOut(group=one.group, structure=one.structure, from_l=one.from_l, to_l=one.to_l,
                           price_vnd=one.price_vnd)
            for one in tariff_queries.rows_of(row)
        ]  # fmt: skip
        return TariffOut(
            key=row.key, name=row.name, scope_key=row.scope.key, area=row.area, decision=row.decision,
            decision_date=row.decision_date, is_verified=row.is_verified, is_simulated=row.is_simulated,
            state=row.state, valid_from=row.valid_from, valid_to=row.valid_to, vat_basis_points=row.vat_basis_points,
            includes_vat=row.includes_vat, minimum_l_per_household=row.minimum_l_per_household, prices=prices,
        )  # fmt: skip


class TariffQuery(Schema):
    scope_key: str = Field("", max_length=120, description="key of the organisation, work or territory it is for")
    on_date: date | None = Field(None, description="only what is in force on this day")
    state: str = Field("", pattern="^(DRAFT|IN_FORCE|WITHDRAWN)?$")
    cursor: str = Field("", max_length=200)
    limit: int = Field(DEFAULT_PAGE, ge=1, le=MAX_PAGE)


class TariffShareIn(Schema):
    group: str = Field(pattern=f"^({_GROUPS})$")
    share_pct: int = Field(100, ge=1, le=100)


class TariffTrialIn(Schema):
    tariff_key: str = Field(max_length=60)
    from_date: date
    to_date: date = Field(description="the day after the last")
    volume_l: int = Field(ge=0, le=10**10)
    shares: list[TariffShareIn] = Field(min_length=1, max_length=len(Group.values))
    households: int = Field(1, ge=1, le=10_000)
    persons: int = Field(0, ge=0, le=100_000)


class TariffTrialLineOut(Schema):
    from_date: date
    to_date: date
    tariff_key: str
    group: str
    block: int
    volume_l: int
    price_vnd: int
    amount_vnd: int


class TariffTrialOut(Schema):
    lines: list[TariffTrialLineOut]
    volume_l: int
    billed_l: int
    net_vnd: int
    vat_vnd: int
    fee_vnd: int
    total_vnd: int
    is_simulated: bool


def _list(request: HttpRequest) -> QuerySet[Tariff]:
    return tariff_queries.with_prices(tariff_queries.list_tariffs(person_of(request)))


@router.get("/tariffs", response=Page[TariffOut], summary="Tariffs that reach what the token's person sees")
def list_tariffs(request: HttpRequest, wanted: Query[TariffQuery]):  # type: ignore[no-untyped-def]
    tariffs = _list(request)
    if wanted.scope_key:
        tariffs = tariffs.filter(scope__key=wanted.scope_key)
    if wanted.state:
        tariffs = tariffs.filter(state=wanted.state)
    if wanted.on_date is not None:
        day = wanted.on_date
        ends = Q(valid_to__isnull=True) | Q(valid_to__gt=day)
        tariffs = tariffs.filter(ends, state=Tariff.State.IN_FORCE, valid_from__lte=day)
    rows, cursor = take_page(tariffs, cursor=wanted.cursor, limit=wanted.limit)
    return {"items": [TariffOut.of(row) for row in rows], "next_cursor": cursor}


@router.post("/tariffs/try", response=TariffTrialOut, summary="What an amount of water would cost; nothing is written")
def try_tariff(request: HttpRequest, said: TariffTrialIn):  # type: ignore[no-untyped-def]
    """Days outside the tariff are priced by what is in force in its scope then; a draft is tried for all days."""
    chosen = get_object_or_404(_list(request).exclude(state=Tariff.State.WITHDRAWN), key=said.tariff_key)
    if not timedelta(0) < said.to_date - said.from_date <= timedelta(days=366):
        raise tariff_trial.BadDays("Ngày cuối phải sau ngày đầu, nhiều nhất một năm. Sửa from_date hoặc to_date.")
    trial = tariff_trial.try_out(
        chosen, from_date=said.from_date, to_date=said.to_date, volume_l=said.volume_l,
        shares=tuple((share.group, share.share_pct) for share in said.shares), households=said.households,
        persons=said.persons,
    )  # fmt: skip
    charge = trial.charge
    return TariffTrialOut(
        lines=[
            TariffTrialLineOut(
                from_date=line.from_date, to_date=line.to_date, tariff_key=line.tariff.key, group=line.group,
                block=line.block, volume_l=line.volume_l, price_vnd=line.price_vnd, amount_vnd=line.amount_vnd,
            )
            for line in trial.lines
        ],
        volume_l=charge.volume_l, billed_l=charge.billed_l, net_vnd=charge.net_vnd, vat_vnd=charge.vat_vnd,
        fee_vnd=charge.fee_vnd, total_vnd=charge.total_vnd, is_simulated=trial.is_simulated,
    )  # fmt: skip
