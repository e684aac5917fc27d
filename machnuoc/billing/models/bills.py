"""Billing runs, bills and their lines. An issued bill is never edited: it is adjusted or replaced by another."""

from django.db import models
from django.db.models import F, Q

from machnuoc.billing import reference
from machnuoc.billing.models.tariffs import InvoiceSeries, Tariff
from machnuoc.core.models import Job, Person, StoredFile
from machnuoc.customers.models import Connection, Customer, Group, Reading
from machnuoc.places.models import Organisation, Subject


class BillingRun(models.Model):
    """The bills of one month for the connections under a subject (a work, a team, an operator)."""

    class State(models.TextChoices):
        PREVIEW = "PREVIEW", "Xem trước"
        APPROVED = "APPROVED", "Đã duyệt"
        ISSUING = "ISSUING", "Đang phát hành"
        STOPPED = "STOPPED", "Tạm dừng"
        DONE = "DONE", "Đã phát hành"
        CANCELLED = "CANCELLED", "Hủy"

    operator = models.ForeignKey(Organisation, models.PROTECT, related_name="billing_runs")
    scope = models.ForeignKey(Subject, models.PROTECT, related_name="+", verbose_name="phạm vi")
    period_start_date = models.DateField("kỳ")  # first day of the month
    state = models.CharField("tình trạng", max_length=9, choices=State, default=State.PREVIEW)
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    approved_at = models.DateTimeField(null=True, blank=True)
    approved_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    previewed = models.JSONField(default=dict)  # totals that were approved: bills, volume_l, net, vat, fee, total, hash
    cursor = models.PositiveBigIntegerField(default=0)  # last connection id done
    bills = models.PositiveIntegerField(default=0)
    total_vnd = models.BigIntegerField(default=0)
    job = models.ForeignKey(Job, models.SET_NULL, null=True, blank=True, related_name="+")
    finished_at = models.DateTimeField(null=True, blank=True)
    is_simulated = models.BooleanField("mô phỏng", default=False)
    version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["scope", "period_start_date"],
                condition=Q(state__in=["PREVIEW", "APPROVED", "ISSUING", "STOPPED"]),
                name="one_live_run_a_scope_and_month",
            )
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.period_start_date:%Y-%m}"

    @property
    def has_simulated(self) -> bool:
        return self.is_simulated or bool(self.previewed.get("simulated"))


class RunSkip(models.Model):
    """A connection that a run made no bill for, and why. Seen until it is billed."""

    class Reason(models.TextChoices):
        NO_READING = "NO_READING", "Chưa có chỉ số của kỳ"
        NO_START = "NO_START", "Chưa có chỉ số đầu kỳ"
        SUSPECT = "SUSPECT", "Chỉ số đang chờ xem lại"
        NO_TARIFF = "NO_TARIFF", "Chưa có biểu giá áp dụng"
        NO_PERSONS = "NO_PERSONS", "Giá theo nhân khẩu nhưng chưa có số người"
        BAD_SHARES = "BAD_SHARES", "Tỷ lệ mục đích sử dụng không đủ 100 %"
        NEGATIVE = "NEGATIVE", "Chỉ số lùi chưa có giải thích"
        COVERED = "COVERED", "Lượng nước đã có trong hóa đơn kỳ sau"

    run = models.ForeignKey(BillingRun, models.CASCADE, related_name="skips")
    connection = models.ForeignKey(Connection, models.PROTECT, related_name="+")
    reason = models.CharField("lý do", max_length=10, choices=Reason)
    detail = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "connection"], name="skipped_once_a_run")]

    def __str__(self) -> str:
        return f"{self.run_id} {self.connection_id} {self.reason}"


class Bill(models.Model):
    """What one connection owes for one billing month, or the difference that a correction makes.

    Money in đồng. total = net + vat + fee; of a decrease all are negative.
    """

    class Kind(models.TextChoices):
        NORMAL = "NORMAL", "Hóa đơn kỳ"
        ADJUSTMENT_UP = "ADJUSTMENT_UP", "Điều chỉnh tăng"
        ADJUSTMENT_DOWN = "ADJUSTMENT_DOWN", "Điều chỉnh giảm"
        REPLACEMENT = "REPLACEMENT", "Thay thế"

    class State(models.TextChoices):
        ISSUED = "ISSUED", "Đã phát hành"
        REPLACED = "REPLACED", "Đã bị thay thế"

    series = models.ForeignKey(InvoiceSeries, models.PROTECT, related_name="bills")
    number = models.PositiveIntegerField("số")
    operator = models.ForeignKey(Organisation, models.PROTECT, related_name="bills")
    run = models.ForeignKey(BillingRun, models.PROTECT, null=True, blank=True, related_name="issued")
    connection = models.ForeignKey(Connection, models.PROTECT, related_name="bills")
    customer = models.ForeignKey(Customer, models.PROTECT, related_name="bills")  # who pays, as of issue
    period_start_date = models.DateField("kỳ")  # first day of the billing month
    from_date = models.DateField("dùng từ ngày")  # of the reading before, to that of this month (exclusive)
    to_date = models.DateField("đến trước ngày")
    kind = models.CharField("loại", max_length=15, choices=Kind, default=Kind.NORMAL)
    state = models.CharField("tình trạng", max_length=8, choices=State, default=State.ISSUED)
    corrects = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="corrections")
    reason = models.CharField("lý do điều chỉnh, thay thế", max_length=300, blank=True)
    group = models.CharField("đối tượng", max_length=10, choices=Group)
    tariff = models.ForeignKey(Tariff, models.PROTECT, related_name="bills")  # the last one, of several
    households = models.PositiveIntegerField(default=1)
    persons = models.PositiveIntegerField(default=0)
    from_reading = models.ForeignKey(Reading, models.PROTECT, null=True, blank=True, related_name="+")
    to_reading = models.ForeignKey(Reading, models.PROTECT, null=True, blank=True, related_name="+")
    volume_l = models.BigIntegerField("lượng nước (lít)")
    is_estimated = models.BooleanField("tạm tính", default=False)
    net_vnd = models.BigIntegerField("tiền nước chưa thuế")
    vat_vnd = models.BigIntegerField("thuế GTGT")
    fee_vnd = models.BigIntegerField("phí bảo vệ môi trường")
    total_vnd = models.BigIntegerField("tổng tiền")
    due_date = models.DateField("hạn thanh toán")
    issued_at = models.DateTimeField("phát hành lúc")
    issued_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    is_simulated = models.BooleanField("mô phỏng", default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["series", "number"], name="bill_number_once_a_series"),
            models.UniqueConstraint(
                fields=["connection", "period_start_date"],
                condition=Q(kind__in=["NORMAL", "REPLACEMENT"], state="ISSUED"),
                name="one_live_bill_a_period",
            ),
            models.CheckConstraint(
                condition=Q(total_vnd=F("net_vnd") + F("vat_vnd") + F("fee_vnd")), name="bill_total_is_its_parts"
            ),
            models.CheckConstraint(
                condition=Q(kind="NORMAL", corrects__isnull=True) | (~Q(kind="NORMAL") & Q(corrects__isnull=False)),
                name="a_correction_names_what_it_corrects",
            ),
        ]
        indexes = [
            models.Index(fields=["operator", "period_start_date"], name="bill_by_period"),
            models.Index(fields=["customer", "period_start_date"], name="bill_by_customer"),
            models.Index(
                fields=["connection"], condition=Q(is_estimated=True, state="ISSUED"), name="bill_estimated_and_live"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.series_id}/{self.number}"

    @property
    def name(self) -> str:
        """Return form, series and number as everybody quotes them; asks for the series."""
        return reference.name_of(str(self.series), self.number)


class BillLine(models.Model):
    """One block of one part of a bill: volume × price, rounded by the written rule (docs/algorithms/tariff.md)."""

    bill = models.ForeignKey(Bill, models.CASCADE, related_name="lines")
    order = models.PositiveSmallIntegerField()
    tariff = models.ForeignKey(Tariff, models.PROTECT, related_name="+")
    group = models.CharField(max_length=10, choices=Group)
    block = models.PositiveSmallIntegerField(default=1)  # 1 is the lowest
    days = models.PositiveSmallIntegerField()
    volume_l = models.BigIntegerField()
    price_vnd = models.PositiveIntegerField()
    amount_vnd = models.BigIntegerField()  # as the tariff prints prices: with or without VAT

    class Meta:
        constraints = [models.UniqueConstraint(fields=["bill", "order"], name="bill_line_once")]

    def __str__(self) -> str:
        return f"{self.bill_id}.{self.order}"


class EInvoice(models.Model):
    """The electronic invoice of a bill: the signed XML is the original."""

    class State(models.TextChoices):
        SIGNED = "SIGNED", "Đã ký"
        SENT = "SENT", "Đã gửi nhà cung cấp"
        ACCEPTED = "ACCEPTED", "Cơ quan thuế đã nhận"
        REFUSED = "REFUSED", "Bị từ chối"

    bill = models.OneToOneField(Bill, models.PROTECT, related_name="einvoice")
    xml = models.ForeignKey(StoredFile, models.PROTECT, related_name="+")
    state = models.CharField(max_length=8, choices=State, default=State.SIGNED)
    signed_at = models.DateTimeField()
    is_test_certificate = models.BooleanField(default=False)
    sent_at = models.DateTimeField(null=True, blank=True)
    provider_reference = models.CharField(max_length=80, blank=True)
    authority_code = models.CharField(max_length=80, blank=True)  # MCCQT
    answered_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=300, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)

    class Meta:
        indexes = [models.Index(fields=["state", "sent_at"], name="einvoice_by_state")]

    def __str__(self) -> str:
        return f"{self.bill_id} {self.state}"
