"""Load the administrative units that ship with the program: one bulk act, idempotent, one audit row."""

from dataclasses import dataclass

from django.db import transaction

from machnuoc.core import audit, search, statistics
from machnuoc.places import data_files, search_entries
from machnuoc.places.models import AdministrativeUnit, Containment, ParentLink, PrintedName, Subject, Succession

COUNTRY_KEY = "vn"
_BATCH = 2000
_OTHER_SPELLING = "Chính tả trong bảng chuyển đổi đơn vị hành chính của Cục Thống kê."


@dataclass(frozen=True)
class Loaded:
    provinces: int
    communes: int
    former_units: int
    successions: int


@transaction.atomic
def load_units() -> Loaded:
    """Create what is missing of the country, 34 provinces, 3,321 communes, former units and successions.

    Units that are there are left as they are: people may have corrected them.
    """
    provinces, communes = data_files.list_provinces(), data_files.list_communes()
    former, successions = data_files.list_former_units(), data_files.list_successions()
    have = dict(Subject.objects.filter(key__startswith=COUNTRY_KEY).values_list("key", "pk"))

    wanted: list[Subject] = []
    if COUNTRY_KEY not in have:
        wanted.append(Subject(kind=Subject.Kind.COUNTRY, key=COUNTRY_KEY, name="Việt Nam"))
    in_force: list[data_files.ProvinceRow | data_files.CommuneRow] = [*provinces, *communes]
    for row in in_force:
        if row.key not in have:
            wanted.append(
                Subject(
                    kind=Subject.Kind.UNIT, key=row.key, name=row.name, valid_from=row.valid_from_date,
                    latitude=row.lat_deg, longitude=row.lon_deg,
                )
            )  # fmt: skip
    for old in former:
        if old.key not in have:
            wanted.append(Subject(kind=Subject.Kind.UNIT, key=old.key, name=old.name, valid_to=old.valid_to_date))
    Subject.objects.bulk_create(wanted, batch_size=_BATCH)
    ids = dict(Subject.objects.filter(key__startswith=COUNTRY_KEY).values_list("key", "pk"))
    new = {subject.key for subject in wanted}

    levels = {"province": "PROVINCE", "district": "DISTRICT", "commune": "COMMUNE"}
    units = [
        AdministrativeUnit(
            subject_id=ids[row.key], level="PROVINCE", unit_type=row.unit_type, code=row.code,
            full_name=row.full_name, name_en=row.name_en,
        )
        for row in provinces if row.key in new
    ] + [
        AdministrativeUnit(
            subject_id=ids[row.key], level="COMMUNE", unit_type=row.unit_type, code=row.code,
            full_name=row.full_name, name_en=row.name_en, parent_id=ids[row.province_key],
        )
        for row in communes if row.key in new
    ]  # fmt: skip
    units += [
        AdministrativeUnit(
            subject_id=ids[old.key], level=levels[old.level], unit_type=old.unit_type, code=old.code,
            full_name=old.full_name, parent_id=ids[old.parent_key] if old.parent_key else None, is_in_force=False,
        )
        for old in former if old.key in new
    ]  # fmt: skip
    AdministrativeUnit.objects.bulk_create(units, batch_size=_BATCH)

    country = ids[COUNTRY_KEY]
    links: list[ParentLink] = []
    closure: list[Containment] = []
    parents = {row.key: COUNTRY_KEY for row in provinces} | {row.key: row.province_key for row in communes}
    parents |= {old.key: old.parent_key for old in former if old.parent_key}
    for subject in wanted:
        chain = [subject.key]
        # The link of a former unit has ended and is not in the closure: sums of today do not run over it.
        while subject.valid_to is None and chain[-1] in parents:
            chain.append(parents[chain[-1]])
        closure += [Containment(ancestor_id=ids[key], descendant_id=ids[subject.key]) for key in chain]
        if subject.key in parents:
            links.append(
                ParentLink(
                    child_id=ids[subject.key], parent_id=ids[parents[subject.key]],
                    reason=ParentLink.Reason.TERRITORY, valid_from=subject.valid_from,
                    valid_to=subject.valid_to,
                )
            )  # fmt: skip
    ParentLink.objects.bulk_create(links, batch_size=_BATCH)
    Containment.objects.bulk_create(closure, batch_size=_BATCH)

    known = set(Succession.objects.values_list("predecessor_id", "successor_id"))
    Succession.objects.bulk_create(
        [
            Succession(
                predecessor_id=ids[row.predecessor_key], successor_id=ids[row.successor_key], relation=row.relation,
                on_date=row.effective_date, note_as_printed=row.note_printed, remark=row.remark,
            )
            for row in successions
            if (ids[row.predecessor_key], ids[row.successor_key]) not in known
        ],
        batch_size=_BATCH,
    )  # fmt: skip
    PrintedName.objects.bulk_create(
        PrintedName(subject_id=ids[old.key], text=old.full_name_other, note=_OTHER_SPELLING)
        for old in former
        if old.key in new and old.full_name_other
    )
    if units:
        _index(units)
        statistics.gather(Subject, AdministrativeUnit, ParentLink, Containment)
        audit.record("places.units.loaded", actor=None, target=Subject(pk=country), count=len(units))
    return Loaded(len(provinces), len(communes), len(former), len(successions))


def _index(units: list[AdministrativeUnit]) -> None:
    pks = {unit.pk for unit in units}
    spellings = dict(PrintedName.objects.filter(subject_id__in=pks).values_list("subject_id", "text"))
    stored = AdministrativeUnit.objects.select_related("subject", "parent", "parent__parent")
    search.put_many(
        search_entries.unit_entry(unit, spellings.get(unit.pk, "")) for unit in stored.all() if unit.pk in pks
    )
