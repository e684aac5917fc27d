"""Meters, where each hung and when, and how often each kind must be verified."""

from django.db import models
from django.db.models import F, Q

from machnuoc.core.models import Person
from machnuoc.customers.models.connections import Connection
from machnuoc.places.models import Organisation


class VerificationRule(models.Model):
    """After how many months a kind of meter must be verified again: dated, with its document."""

    kind = models.CharField(max_length=10)  # Meter.Kind
    months = models.PositiveSmallIntegerField()
    valid_from = models.DateField()
    valid_to = models.DateField(null=True, blank=True)
    document = models.CharField(max_length=300)
    is_verified = models.BooleanField(default=False)  # false: shown as «chưa đối chiếu văn bản»

    class Meta:
        ordering = ["kind", "valid_from"]
        constraints = [models.UniqueConstraint(fields=["kind", "valid_from"], name="verification_rule_once")]

    def __str__(self) -> str:
        return f"{self.kind} {self.months} tháng"


class Meter(models.Model):
    """A water meter as a thing: it may hang at several connections in its life."""

    class Kind(models.TextChoices):
        MECHANICAL = "MECHANICAL", "Cơ khí"
        ELECTRONIC = "ELECTRONIC", "Điện tử"

    operator = models.ForeignKey(Organisation, models.PROTECT, related_name="meters")
    serial = models.CharField("số sê-ri", max_length=40)
    kind = models.CharField("loại", max_length=10, choices=Kind, default=Kind.MECHANICAL)
    make = models.CharField("hãng, kiểu", max_length=80, blank=True)
    accuracy_class = models.CharField("cấp chính xác", max_length=12, blank=True)
    diameter_mm = models.PositiveSmallIntegerField("đường kính (mm)", default=15)
    digits = models.PositiveSmallIntegerField("số chữ số (m³)", default=5)  # rolls over at 10 ** digits m³
    verified_date = models.DateField("kiểm định ngày", null=True, blank=True)
    verification_due_date = models.DateField("hạn kiểm định", null=True, blank=True)  # by the rule of its date
    note = models.CharField("ghi chú", max_length=200, blank=True)
    is_simulated = models.BooleanField("mô phỏng", default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["operator", "serial"], name="meter_serial_once_an_operator"),
            models.CheckConstraint(condition=Q(digits__range=(3, 9)), name="meter_has_three_to_nine_digits"),
        ]
        indexes = [models.Index(fields=["verification_due_date"], name="meter_by_due_date")]

    def __str__(self) -> str:
        return self.serial


class Fitting(models.Model):
    """A meter at a connection, from installation to removal, with its readings at both ends (litres)."""

    connection = models.ForeignKey(Connection, models.PROTECT, related_name="fittings")
    meter = models.ForeignKey(Meter, models.PROTECT, related_name="fittings")
    installed_at = models.DateTimeField("lắp lúc")
    installed_index_l = models.PositiveBigIntegerField("chỉ số khi lắp (lít)", default=0)
    removed_at = models.DateTimeField("tháo lúc", null=True, blank=True)
    removed_index_l = models.PositiveBigIntegerField("chỉ số khi tháo (lít)", null=True, blank=True)
    removal_reason = models.CharField("lý do tháo", max_length=200, blank=True)
    seal = models.CharField("số chì niêm phong", max_length=40, blank=True)
    fitted_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")

    class Meta:
        ordering = ["connection_id", "installed_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["connection"], condition=Q(removed_at__isnull=True), name="one_meter_at_a_connection"
            ),
            models.UniqueConstraint(
                fields=["meter"], condition=Q(removed_at__isnull=True), name="a_meter_hangs_in_one_place"
            ),
            models.CheckConstraint(
                condition=Q(removed_at__isnull=True, removed_index_l__isnull=True)
                | Q(removed_at__gte=F("installed_at"), removed_index_l__isnull=False),
                name="a_removed_meter_has_its_last_index",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.connection_id} {self.meter_id}"
