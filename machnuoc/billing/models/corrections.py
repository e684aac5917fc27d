"""Corrections that somebody asked for and somebody else decides on; an approved one is a bill."""

from django.db import models
from django.db.models import Q

from machnuoc.billing.models.bills import Bill
from machnuoc.core.models import Person


class Correction(models.Model):
    """The wish to adjust or replace an issued bill, with the figures that it would then say."""

    class Way(models.TextChoices):
        ADJUST = "ADJUST", "Điều chỉnh tăng, giảm"
        REPLACE = "REPLACE", "Thay thế"

    class State(models.TextChoices):
        REQUESTED = "REQUESTED", "Chờ duyệt"
        APPROVED = "APPROVED", "Đã duyệt"
        REFUSED = "REFUSED", "Không duyệt"

    bill = models.ForeignKey(Bill, models.PROTECT, related_name="wishes", verbose_name="hóa đơn")
    way = models.CharField("hình thức", max_length=7, choices=Way)
    state = models.CharField("tình trạng", max_length=9, choices=State, default=State.REQUESTED)
    reason = models.CharField("lý do", max_length=300)
    said = models.JSONField(default=dict)  # volume_l, group, households, persons as they should have been
    becomes = models.JSONField(default=dict)  # net, vat, fee, total then, and of the bill with its adjustments now
    made = models.OneToOneField(  # the bill that came of it
        Bill, models.PROTECT, null=True, blank=True, related_name="wish", verbose_name="hóa đơn lập ra"
    )
    requested_at = models.DateTimeField()
    requested_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey(Person, models.PROTECT, null=True, blank=True, related_name="+")
    decided_note = models.CharField("ý kiến", max_length=300, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["bill"], condition=Q(state="REQUESTED"), name="one_open_wish_a_bill")
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.bill_id} {self.way}"
