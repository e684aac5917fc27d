"""What people may report: the categories that ship with the program, their clocks, the hours of an operator."""

import tomllib
from collections.abc import Container, Iterator
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from django.db import transaction

from machnuoc.core import audit
from machnuoc.core.models import Person
from machnuoc.customers import clock
from machnuoc.customers.errors import CustomersError
from machnuoc.customers.models import Category, ServiceHours
from machnuoc.places.models import Organisation

DATA_FILE = Path(__file__).parent / "data" / "categories.toml"
NO_LIMIT = "chưa có quy định"

audit.describe("customers.category.changed", "sửa thời hạn của loại phản ánh {target}")
audit.describe("customers.hours.changed", "sửa giờ làm việc dùng để tính hạn phản ánh của {target}")


def read_categories() -> Iterator[dict[str, Any]]:
    """Give the rows of the data file, as fields of Category."""
    rows = tomllib.loads(DATA_FILE.read_text(encoding="utf-8"))["category"]
    for number, row in enumerate(rows):
        yield {
            "key": row["key"],
            "name": row["name"],
            "description": row.get("description", ""),
            "order": 10 * (number + 1),
            "clock": row.get("clock", ""),
            "allowed": row.get("allowed"),
            "document": row.get("document", ""),
            "is_verified": row.get("confidence") == "verified",
            "is_public": row.get("is_public", True),
            "is_bill_dispute": row.get("is_bill_dispute", False),
            "is_violation": row.get("is_violation", False),
        }


@transaction.atomic
def load_categories() -> int:
    """Add the categories of the data file that are not there yet; return how many. What is there stays as it is."""
    known = set(Category.objects.values_list("key", flat=True))
    new = [Category(**row) for row in read_categories() if row["key"] not in known]
    Category.objects.bulk_create(new, ignore_conflicts=True)
    return len(new)


def list_active() -> list[Category]:
    return list(Category.objects.filter(is_active=True))


def limit_text(category: Category) -> str:
    """Return the limit in words: «15 ngày làm việc», or that none is known."""
    if category.allowed is None or not category.clock:
        return NO_LIMIT
    return f"{category.allowed} {category.get_clock_display()}"


@lru_cache(maxsize=1)
def holidays_vn() -> Container[date]:
    """Return the public holidays of Việt Nam of any year."""
    import holidays  # slow to import

    return cast("Container[date]", holidays.country_holidays("VN", language="vi"))


def hours_of(operator_id: int | None) -> clock.Hours:
    """Return when the operator works: its own hours, or office hours."""
    row = ServiceHours.objects.filter(operator_id=operator_id).first() if operator_id else None
    return clock.parse_hours(row.weekdays, row.spans) if row else clock.OFFICE_HOURS


def due_of(category: Category, operator_id: int | None, start_at: datetime) -> datetime | None:
    """Return by when a request of the category that came at start_at must be answered; None where no limit is known."""
    if category.allowed is None or not category.clock:
        return None
    unit = cast("clock.Unit", category.clock)
    return clock.due_at(start_at, unit, category.allowed, hours=hours_of(operator_id), holidays=holidays_vn())


@transaction.atomic
def change_category(
    category: Category, *, clock_unit: str, allowed: int | None, document: str, is_verified: bool, is_active: bool,
    is_public: bool, by: Person,
) -> None:  # fmt: skip
    """Change the limit of a category. Requests that run keep the moment that was told to their senders.

    Raises CustomersError for a limit without its document, or one half of a limit.
    """
    if bool(clock_unit) != (allowed is not None):
        raise CustomersError(f"Loại «{category.name}»: khai cả số và đơn vị của hạn trả lời, hoặc bỏ trống cả hai.")
    if allowed is not None and not document.strip():
        raise CustomersError(
            f"Loại «{category.name}»: hạn trả lời phải có căn cứ. Ghi văn bản, điều khoản hoặc quy chế."
        )
    row = Category.objects.select_for_update().get(pk=category.pk)
    before = {"clock": row.clock, "allowed": row.allowed}
    row.clock, row.allowed, row.document, row.is_verified = clock_unit, allowed, document.strip(), is_verified
    row.is_active, row.is_public = is_active, is_public
    row.save()
    audit.record("customers.category.changed", actor=by, target=row, before=before, clock=clock_unit, allowed=allowed)


@transaction.atomic
def set_hours(operator: Organisation, *, weekdays: str, spans: str, hotline: str, by: Person) -> ServiceHours:
    """Set the working hours of an operator. Raises CustomersError for hours that cannot be."""
    try:
        clock.parse_hours(weekdays, spans)
    except clock.BadHours as reason:
        raise CustomersError(str(reason)) from None
    fields = {"weekdays": weekdays, "spans": spans.replace(" ", ""), "hotline": hotline.strip()}
    row, _ = ServiceHours.objects.update_or_create(operator=operator, defaults=fields)
    audit.record("customers.hours.changed", actor=by, target=operator.subject, weekdays=weekdays, spans=row.spans)
    return row
