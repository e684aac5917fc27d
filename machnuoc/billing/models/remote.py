"""Customers' meters that send their own readings: which channel speaks for which meter, and since when."""

from django.db import models
from django.db.models import F, Q

from machnuoc.core.models import Person
from machnuoc.customers.models import Fitting
from machnuoc.telemetry.models import Channel


class RemoteMeter(models.Model):
    """A totaliser that tells the index of a meter at a connection. index (litres) = total (m³) × 1,000 + offset."""

    fitting = models.ForeignKey(Fitting, models.PROTECT, related_name="remote_meters")
    channel = models.ForeignKey(Channel, models.PROTECT, related_name="remote_meters", verbose_name="kênh số tổng")
    offset_l = models.BigIntegerField("lệch so với mặt số (lít)", default=0)
    linked_at = models.DateTimeField("nối từ")
    linked_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    ended_at = models.DateTimeField("ngừng từ", null=True, blank=True)
    taken_date = models.DateField(null=True, blank=True)  # the last closing day whose reading was handed on
    message = models.CharField(max_length=300, blank=True)  # of the last closing day: what became of its reading

    class Meta:
        ordering = ["-linked_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["fitting"], condition=Q(ended_at__isnull=True), name="one_remote_channel_a_meter"
            ),
            models.UniqueConstraint(
                fields=["channel"], condition=Q(ended_at__isnull=True), name="a_channel_speaks_for_one_meter"
            ),
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True) | Q(ended_at__gte=F("linked_at")), name="remote_meter_runs_forward"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.fitting_id} {self.channel_id}"
