"""Load the organisations of the plans of Cẩm Tân, Lai Châu and Khánh Hòa; `demo.load` puts their documents."""

from datetime import datetime

from machnuoc.core.models import Passage
from machnuoc.demo import plans
from machnuoc.places import operations as places
from machnuoc.places.models import AdministrativeUnit, Organisation

_KINDS = {
    "people_committee": Organisation.Kind.AUTHORITY,
    "department": Organisation.Kind.AGENCY,
    "utility": Organisation.Kind.AGENCY,
    "association": Organisation.Kind.AGENCY,
    "steering_body": Organisation.Kind.AGENCY,
    "management_board": Organisation.Kind.CENTRE,
    "service_centre": Organisation.Kind.CENTRE,
    "office": Organisation.Kind.DEPARTMENT,
    "company": Organisation.Kind.OPERATOR,
}
_PLANS: tuple[plans.Plan, ...] = ("cam_tan", "lai_chau", "khanh_hoa")


def load_documents(now: datetime) -> None:
    """Put the organisations of the three plans, ended where they are no more. Idempotent."""
    del now
    for plan in _PLANS:
        rows = plans.list_organisations(plan)
        passages = {
            passage.key: passage
            for passage in Passage.objects.filter(document__key=plans.get_document(plan).key)
        }  # fmt: skip
        units = {
            unit.subject.key: unit
            for unit in AdministrativeUnit.objects.filter(
                subject__key__in={row.territory_key for row in rows}
            ).select_related("subject")
        }
        found: dict[str, Organisation] = {}
        for row in rows:
            organisation = places.put_organisation(
                key=row.key, name=row.name, kind=_KINDS[row.kind], parent=found.get(row.parent_key),
                territory=units[row.territory_key] if row.territory_key else None, note=row.note,
                passage=passages[row.passage_key],
            )  # fmt: skip
            found[row.key] = organisation
            if row.name_printed != row.name:
                places.put_printed_name(organisation.subject, row.name_printed, passage=passages[row.passage_key])
            if row.valid_to is not None:
                places.end_organisation(organisation, from_date=row.valid_to)
