"""Which dated limit of water quality holds for a work on a day. A limit that nobody knows has no row."""

import csv
from collections.abc import Collection
from datetime import date
from pathlib import Path

from django.db import transaction
from django.db.models import Count, Q

from machnuoc.places import queries as places
from machnuoc.places.models import Containment
from machnuoc.telemetry.models import QualityLimit

DATA_FILE = Path(__file__).parent / "data" / "quality_limits.csv"


@transaction.atomic
def load_limits() -> int:
    """Load the national limits of the data file for the whole country; return how many rows are new or changed."""
    country = places.get_country()
    changed = 0
    with DATA_FILE.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            fields = {
                "low": float(row["low"]) if row["low"] else None,
                "high": float(row["high"]) if row["high"] else None,
                "valid_to": date.fromisoformat(row["valid_to"]) if row["valid_to"] else None,
                "source": f"{row['issued_by']}. {row['source']}",
                "confidence": row["confidence"],
            }
            known = QualityLimit.objects.filter(
                subject=country,
                quantity=row["quantity"],
                standard=row["standard"],
                valid_from=date.fromisoformat(row["valid_from"]),
            )
            limit = known.first() or QualityLimit(
                subject=country,
                quantity=row["quantity"],
                standard=row["standard"],
                valid_from=date.fromisoformat(row["valid_from"]),
            )
            if limit.pk is None or any(getattr(limit, key) != value for key, value in fields.items()):
                for key, value in fields.items():
                    setattr(limit, key, value)
                limit.save()
                changed += 1
    return changed


def list_limits(work_ids: Collection[int], *, on_date: date) -> dict[tuple[int, str], QualityLimit]:
    """Return {(work, quantity): the limit that holds}: of the work itself, else of the smallest place that has one."""
    rows = list(
        QualityLimit.objects.filter(Q(valid_from__isnull=True) | Q(valid_from__lte=on_date))
        .filter(Q(valid_to__isnull=True) | Q(valid_to__gt=on_date))
        .select_related("document", "subject")
        .order_by("pk")
    )
    subjects = {row.subject_id for row in rows}
    sizes = dict(
        Containment.objects.filter(ancestor_id__in=subjects)
        .values_list("ancestor_id")
        .annotate(n=Count("descendant_id"))
        .values_list("ancestor_id", "n")
    )
    reached: dict[int, set[int]] = {}
    links = Containment.objects.filter(ancestor_id__in=subjects, descendant_id__in=work_ids)
    for ancestor, work_id in links.values_list("ancestor_id", "descendant_id"):
        reached.setdefault(ancestor, set()).add(work_id)
    country = places.get_country().pk
    found: dict[tuple[int, str], QualityLimit] = {}
    for row in sorted(rows, key=lambda row: -sizes.get(row.subject_id, 0)):  # the smallest place is written last
        works = set(work_ids) if row.subject_id == country else reached.get(row.subject_id, set())
        found |= {(work_id, row.quantity): row for work_id in works}
    return found


def get_limit(work_id: int, quantity: str, *, on_date: date) -> QualityLimit | None:
    """Return the limit of one quantity at one work on a day, None where none is known."""
    return list_limits([work_id], on_date=on_date).get((work_id, quantity))
