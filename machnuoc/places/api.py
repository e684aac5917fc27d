"""Places and organisations for programs."""

from datetime import date

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Field, Query, Router, Schema

from machnuoc.core.api import DEFAULT_PAGE, MAX_PAGE, Page, person_of, take_page
from machnuoc.places import queries
from machnuoc.places.models import AdministrativeUnit, Organisation

router = Router(tags=["Địa bàn và tổ chức"])
Key = Field("", max_length=120)


class UnitOut(Schema):
    """An administrative unit. The code is official and unique only while the unit is valid."""

    key: str
    level: str
    unit_type: str
    code: str
    name: str
    full_name: str
    parent_key: str | None
    is_in_force: bool
    valid_from: date | None
    valid_to: date | None
    latitude: float | None
    longitude: float | None

    @staticmethod
    def of(unit: AdministrativeUnit) -> "UnitOut":
        subject = unit.subject
        return UnitOut(
            key=subject.key, level=unit.level, unit_type=unit.unit_type, code=unit.code, name=subject.name,
            full_name=unit.full_name, parent_key=unit.parent.subject.key if unit.parent else None,
            is_in_force=unit.is_in_force, valid_from=subject.valid_from, valid_to=subject.valid_to,
            latitude=subject.latitude, longitude=subject.longitude,
        )  # fmt: skip


class SuccessionOut(Schema):
    predecessor_key: str
    successor_key: str
    relation: str
    on_date: date
    note_as_printed: str


class UnitDetailOut(UnitOut):
    history: list[SuccessionOut]


class OrganisationOut(Schema):
    key: str
    name: str
    kind: str
    parent_key: str | None
    territory_key: str | None

    @staticmethod
    def of(organisation: Organisation) -> "OrganisationOut":
        return OrganisationOut(
            key=organisation.subject.key, name=organisation.subject.name, kind=organisation.kind,
            parent_key=organisation.parent.subject.key if organisation.parent else None,
            territory_key=organisation.territory.subject.key if organisation.territory else None,
        )  # fmt: skip


class PageFilter(Schema):
    cursor: str = Field("", max_length=200)
    limit: int = Field(DEFAULT_PAGE, ge=1, le=MAX_PAGE)


class UnitFilter(PageFilter):
    q: str = Field("", max_length=100, description="any part of the name, with or without diacritics")
    level: str = Field("", pattern="^(PROVINCE|DISTRICT|COMMUNE)?$")
    parent_key: str = Key
    in_force: bool | None = True


@router.get("/units", response=Page[UnitOut], summary="Administrative units")
def list_units(request: HttpRequest, wanted: Query[UnitFilter]):  # type: ignore[no-untyped-def]
    parent = get_object_or_404(AdministrativeUnit, subject__key=wanted.parent_key) if wanted.parent_key else None
    units = queries.list_units(query=wanted.q, level=wanted.level, parent=parent, in_force=wanted.in_force)
    rows, cursor = take_page(units, cursor=wanted.cursor, limit=wanted.limit)
    return {"items": [UnitOut.of(unit) for unit in rows], "next_cursor": cursor}


@router.get("/units/{key}", response=UnitDetailOut, summary="One unit with its history")
def get_unit(request: HttpRequest, key: str):  # type: ignore[no-untyped-def]
    unit = get_object_or_404(AdministrativeUnit.objects.select_related("subject", "parent__subject"), subject__key=key)
    history = [
        SuccessionOut(
            predecessor_key=row.predecessor.subject.key, successor_key=row.successor.subject.key,
            relation=row.relation, on_date=row.on_date, note_as_printed=row.note_as_printed,
        )
        for row in queries.list_history(unit)
    ]  # fmt: skip
    return UnitDetailOut(**UnitOut.of(unit).dict(), history=history)


@router.get("/organisations", response=Page[OrganisationOut], summary="Organisations in the token's scope")
def list_organisations(request: HttpRequest, wanted: Query[PageFilter]):  # type: ignore[no-untyped-def]
    organisations = queries.list_organisations(person_of(request)).select_related("territory__subject")
    rows, cursor = take_page(organisations, cursor=wanted.cursor, limit=wanted.limit)
    return {"items": [OrganisationOut.of(row) for row in rows], "next_cursor": cursor}


@router.get("/organisations/{key}", response=OrganisationOut, summary="One organisation")
def get_organisation(request: HttpRequest, key: str):  # type: ignore[no-untyped-def]
    organisations = queries.list_organisations(person_of(request)).select_related("territory__subject")
    return OrganisationOut.of(get_object_or_404(organisations, subject__key=key))
