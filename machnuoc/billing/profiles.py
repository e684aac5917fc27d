"""How an operator bills: its legal self, where money goes, and its series of numbers."""

from typing import Any

from django.db import transaction

from machnuoc.billing.errors import BillingError
from machnuoc.billing.models import BillingProfile, InvoiceSeries
from machnuoc.core import audit
from machnuoc.core.models import Person
from machnuoc.places import access
from machnuoc.places.models import Organisation

audit.describe("billing.profile.saved", "sửa thông tin phát hành hóa đơn của {operator}; ký hiệu {series}")


@transaction.atomic
def put_profile(
    operator: Organisation, *, series_form: str, series_code: str, version: int | None = None, by: Person | None = None,
    **fields: Any,
) -> BillingProfile:  # fmt: skip
    """Store how the operator bills; a new series begins at 1 and the old one is closed. Raises BillingError."""
    if by is not None:
        access.require(by, "bill", operator.pk)
    profile = BillingProfile.objects.select_for_update().filter(pk=operator.pk).first()
    if profile is not None and version is not None and profile.version != version:
        raise BillingError(f"Thông tin phát hành của «{operator}» vừa được người khác sửa. Tải lại trang rồi sửa tiếp.")
    if profile is None:
        profile = BillingProfile(operator=operator)
    else:
        profile.version += 1
    for name, value in fields.items():
        setattr(profile, name, value)
    profile.save()
    active = InvoiceSeries.objects.select_for_update().filter(operator=operator, is_active=True).first()
    if active is None or (active.form, active.code) != (series_form, series_code):
        InvoiceSeries.objects.filter(operator=operator, is_active=True).update(is_active=False)
        made, created = InvoiceSeries.objects.get_or_create(
            operator=operator, form=series_form, code=series_code, defaults={"is_active": True}
        )
        if not created:
            InvoiceSeries.objects.filter(pk=made.pk).update(is_active=True)
    audit.record(
        "billing.profile.saved", actor=by, target=operator, operator=operator.pk, series=f"{series_form}{series_code}"
    )
    return profile
