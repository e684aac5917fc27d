"""What is printed in bulk, and what the e-invoice provider had on a day compared with ours."""

from django.db import models

from machnuoc.billing.models.bills import BillingRun
from machnuoc.core.models import Job, Person
from machnuoc.places.models import Organisation


class PrintBatch(models.Model):
    """Up to a thousand bills as one PDF, made in the background and removed again after some days."""

    title = models.CharField("nội dung", max_length=200)
    run = models.ForeignKey(BillingRun, models.SET_NULL, null=True, blank=True, related_name="print_batches")
    bill_ids = models.JSONField(default=list)  # in the order of the pages
    paper = models.CharField("khổ giấy", max_length=2, default="a5")
    made_at = models.DateTimeField("yêu cầu lúc")
    made_by = models.ForeignKey(Person, models.PROTECT, related_name="+")
    job = models.ForeignKey(Job, models.SET_NULL, null=True, blank=True, related_name="+")
    file_name = models.CharField(max_length=80, blank=True)  # in DATA_DIR/prints; empty: not there yet, or removed
    size_bytes = models.PositiveBigIntegerField(default=0)
    removed_at = models.DateTimeField(null=True, blank=True)
    is_simulated = models.BooleanField("mô phỏng", default=False)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"#{self.pk} {self.title}"


class EInvoiceDay(models.Model):
    """The invoices of one day of one operator: ours against those that the provider has."""

    operator = models.ForeignKey(Organisation, models.PROTECT, related_name="einvoice_days")
    day = models.DateField("ngày lập")
    checked_at = models.DateTimeField("đối chiếu lúc")
    ours = models.PositiveIntegerField("đã ký", default=0)
    theirs = models.PositiveIntegerField("nhà cung cấp có", default=0)
    accepted = models.PositiveIntegerField("đã nhận", default=0)
    missing = models.JSONField(default=list)  # numbers that we signed and they lack
    extra = models.JSONField(default=list)  # numbers that they have and we do not
    refused = models.JSONField(default=list)
    differing = models.JSONField(default=list)  # of another amount

    class Meta:
        ordering = ["-day", "operator_id"]
        constraints = [models.UniqueConstraint(fields=["operator", "day"], name="einvoices_compared_once_a_day")]

    def __str__(self) -> str:
        return f"{self.operator_id} {self.day}"

    @property
    def is_agreed(self) -> bool:
        return not (self.missing or self.extra or self.refused or self.differing)
