"""What an operator tells its customers: supply that stops, water that is not as usual, news."""

from django.db import models
from django.db.models import F, Q

from machnuoc.core.models import Person
from machnuoc.customers.models.readings import Route
from machnuoc.places.models import Organisation, Subject
from machnuoc.works.models import Work


class ServiceNotice(models.Model):
    """A notice to the customers of some works, or of some communes or routes of these works alone.

    Never changed once it is out: it is withdrawn, with the reason, and a new one is written.
    """

    class Kind(models.TextChoices):
        OUTAGE = "OUTAGE", "Ngừng cấp nước"
        QUALITY = "QUALITY", "Chất lượng nước"
        INFO = "INFO", "Thông tin"

    operator = models.ForeignKey(
        Organisation, models.PROTECT, related_name="service_notices", verbose_name="đơn vị cấp nước"
    )
    kind = models.CharField("loại", max_length=8, choices=Kind)
    title = models.CharField("tiêu đề", max_length=160)
    text = models.TextField("nội dung", max_length=2_000)
    works = models.ManyToManyField(Work, related_name="service_notices", verbose_name="công trình")
    places = models.ManyToManyField(Subject, blank=True, related_name="+", verbose_name="xã, phường")
    routes = models.ManyToManyField(Route, blank=True, related_name="+", verbose_name="tuyến")
    starts_at = models.DateTimeField("từ lúc")
    ends_at = models.DateTimeField("đến lúc", null=True, blank=True)  # empty: until it is withdrawn
    published_at = models.DateTimeField("đăng lúc")
    published_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    withdrawn_at = models.DateTimeField("rút lúc", null=True, blank=True)
    withdrawn_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    withdrawn_reason = models.CharField("lý do rút", max_length=300, blank=True)
    # Sending to customers who agreed: asked for, how far it has come (by their id), how many messages were put out.
    is_to_be_sent = models.BooleanField("nhắn tin", default=False)
    sent_up_to = models.BigIntegerField(default=0)
    sent_count = models.PositiveIntegerField(default=0)
    sent_at = models.DateTimeField("nhắn xong lúc", null=True, blank=True)
    is_simulated = models.BooleanField("mô phỏng", default=False)

    class Meta:
        ordering = ["-starts_at", "-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(ends_at__isnull=True) | Q(starts_at__lt=F("ends_at")), name="service_notice_runs_forward"
            ),
            models.CheckConstraint(
                condition=Q(withdrawn_at__isnull=True) | ~Q(withdrawn_reason=""), name="service_notice_withdrawn_why"
            ),
        ]
        indexes = [models.Index(fields=["operator", "starts_at"], name="service_notice_by_operator")]

    def __str__(self) -> str:
        return f"#{self.pk} {self.kind}"
