"""What people have changed since the plans were loaded: loading again leaves it as they want it."""

from typing import Any

from django.db import models

from machnuoc.core.models import AuditEntry


def list_edited(rows: models.QuerySet[Any], *actions: str) -> set[int]:
    """Return the ids of the rows on which somebody, not the program, has done one of these audited actions."""
    touched = AuditEntry.objects.filter(action__in=actions, actor__isnull=False).values_list("target_id", flat=True)
    return set(rows.filter(pk__in=[int(one) for one in touched if one.isdigit()]).values_list("pk", flat=True))
