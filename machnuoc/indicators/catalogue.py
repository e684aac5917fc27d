"""Load the measures and indicators that the program brings (catalogue.toml). Idempotent."""

import tomllib
from datetime import datetime
from decimal import Decimal
from importlib import resources
from typing import Any

from django.db import transaction

from machnuoc.indicators import operations
from machnuoc.indicators.models import Metric


@transaction.atomic
def load_catalogue(now: datetime) -> int:
    """Create or bring up to date every metric of the catalogue with its formula; return how many there are."""
    text = resources.files("machnuoc.indicators").joinpath("catalogue.toml").read_text(encoding="utf-8")
    rows = tomllib.loads(text)["metric"]
    for order, row in enumerate(rows):
        formula = {name: row.pop(name) for name in ("numerator", "denominator", "factor") if name in row}
        limits = {name: Decimal(row.pop(name)) for name in ("minimum", "maximum") if name in row}
        fields: dict[str, Any] = {**row, **limits, "order": order}
        metric = operations.put_metric(key=fields.pop("key"), **fields)
        has_own_formula = Metric.objects.filter(pk=metric.pk, formulas__isnull=False).exists()
        if formula and not has_own_formula:  # a formula that people changed stays theirs
            operations.put_formula(metric, **formula, now=now)
    return len(rows)
