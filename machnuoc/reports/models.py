"""Reports: figures, narrative, flow to signature and sending, frozen snapshots."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from machnuoc.core.models import Person, StoredFile
from machnuoc.indicators.models import PeriodKind, Value
from machnuoc.places.models import Organisation, Subject
from machnuoc.planning.models import DutyInstance, Plan


class ReportTemplate(models.Model):
    """A Word template of a kind of report. The newest active one is used; old ones stay for replay."""

    kind = models.CharField(max_length=60)  # key of a kind in kinds.py
    version = models.PositiveSmallIntegerField()
    file = models.ForeignKey(StoredFile, models.PROTECT, related_name="+")
    is_active = models.BooleanField(default=True)
    note = models.CharField(max_length=300, blank=True)
    uploaded_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    uploaded_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["kind", "-version"]
        constraints = [models.UniqueConstraint(fields=["kind", "version"], name="template_version_once")]

    def __str__(self) -> str:
        return f"{self.kind} v{self.version}"


class Report(models.Model):
    """One official report of one organisation for one period, from draft to receipt."""

    class State(models.TextChoices):
        DRAFT = "DRAFT", "Đang soạn"
        SUBMITTED = "SUBMITTED", "Đã trình ký"
        RETURNED = "RETURNED", "Bị trả lại"
        APPROVED = "APPROVED", "Đã ký duyệt"
        ISSUED = "ISSUED", "Đã vào sổ, phát hành"
        SENT = "SENT", "Đã gửi"
        RECEIVED = "RECEIVED", "Nơi nhận đã xác nhận"

    kind = models.CharField(max_length=60)
    title = models.CharField("trích yếu", max_length=400)
    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="reports")
    subject = models.ForeignKey(Subject, models.PROTECT, related_name="+")  # the territory reported on
    plan = models.ForeignKey(Plan, models.PROTECT, null=True, blank=True, related_name="reports")
    instance = models.ForeignKey(DutyInstance, models.PROTECT, null=True, blank=True, related_name="reports")
    to_as_printed = models.CharField("kính gửi", max_length=300)
    to_organisation = models.ForeignKey(Organisation, models.PROTECT, null=True, blank=True, related_name="+")
    period_kind = models.CharField(max_length=1, choices=PeriodKind)
    period_start = models.DateField("kỳ")
    state = models.CharField(max_length=9, choices=State, default=State.DRAFT)
    template = models.ForeignKey(ReportTemplate, models.PROTECT, null=True, related_name="+")
    corrects = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="corrected_by")
    number = models.CharField("số, ký hiệu", max_length=60, blank=True)  # entered back from văn thư
    issued_on = models.DateField("ngày ban hành", null=True, blank=True)
    place_name = models.CharField("địa danh", max_length=60, blank=True)
    signer_capacity = models.CharField("quyền hạn, chức vụ người ký", max_length=200, blank=True)
    signer_name = models.CharField("người ký", max_length=120, blank=True)
    recipients = models.TextField("nơi nhận", blank=True)  # a line each
    is_simulated = models.BooleanField("mô phỏng", default=False)
    made_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    made_at = models.DateTimeField(default=timezone.now)
    version = models.PositiveIntegerField(default=1)

    class Meta:
        verbose_name = "báo cáo"
        ordering = ["-period_start", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "organisation", "period_kind", "period_start"],
                condition=Q(corrects__isnull=True),
                name="one_report_a_period",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["ISSUED", "SENT", "RECEIVED"]) | (~Q(number="") & Q(issued_on__isnull=False)),
                name="an_issued_report_has_number_and_date",
            ),
        ]

    def __str__(self) -> str:
        return self.title


class ReportSection(models.Model):
    """A piece of narrative. The system suggests; a person reads and keeps, or writes. Unread text is never sent."""

    report = models.ForeignKey(Report, models.CASCADE, related_name="sections")
    key = models.CharField(max_length=60)
    order = models.PositiveSmallIntegerField(default=0)
    title = models.CharField(max_length=300)
    suggestion = models.TextField("gợi ý từ số liệu", blank=True)
    text = models.TextField("nội dung", blank=True)
    read_by = models.ForeignKey(Person, models.PROTECT, null=True, blank=True, related_name="+")
    read_at = models.DateTimeField(null=True, blank=True)
    version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["report_id", "order"]
        constraints = [models.UniqueConstraint(fields=["report", "key"], name="section_once_in_report")]

    def __str__(self) -> str:
        return self.title


class ReportFigure(models.Model):
    """A figure in the report. Live until the report is frozen; then the snapshot speaks."""

    report = models.ForeignKey(Report, models.CASCADE, related_name="figures")
    key = models.CharField(max_length=120)  # the field in the template, or table.row.column
    order = models.PositiveIntegerField(default=0)
    label = models.CharField(max_length=1000)  # in a table the name of the row: a task may be long
    value = models.ForeignKey(Value, models.PROTECT, null=True, related_name="+")
    value_version = models.PositiveIntegerField(null=True)
    raw = models.CharField(max_length=60, blank=True)  # the exact number, with a point; empty: no figure
    display = models.CharField(max_length=200)  # as printed: «25.330», «chưa có số liệu»
    source = models.CharField(max_length=300, blank=True)  # where it came from when it is no Value (a task count …)

    class Meta:
        ordering = ["report_id", "order"]
        constraints = [models.UniqueConstraint(fields=["report", "key"], name="figure_once_in_report")]

    def __str__(self) -> str:
        return f"{self.key} = {self.display}"


class Snapshot(models.Model):
    """What was sent: figures with the leaf facts they rest on, formulas, bands, files and a hash of all of it."""

    report = models.ForeignKey(Report, models.PROTECT, related_name="snapshots")
    taken_at = models.DateTimeField()
    content = models.ForeignKey(StoredFile, models.PROTECT, related_name="+")  # canonical JSON
    content_hash = models.CharField(max_length=64)
    docx = models.ForeignKey(StoredFile, models.PROTECT, null=True, related_name="+")
    xlsx = models.ForeignKey(StoredFile, models.PROTECT, null=True, related_name="+")
    pdf = models.ForeignKey(StoredFile, models.PROTECT, null=True, related_name="+")
    signed_pdf = models.ForeignKey(StoredFile, models.PROTECT, null=True, related_name="+")

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.content_hash


class ReportEvent(models.Model):
    report = models.ForeignKey(Report, models.CASCADE, related_name="events")
    at = models.DateTimeField(default=timezone.now)
    person = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    what = models.CharField(max_length=20)
    text = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.report_id} {self.what}"


class Delivery(models.Model):
    """One sending of a report, and what the receiver answered."""

    class Channel(models.TextChoices):
        FILE = "FILE", "Tải tệp, gửi qua trục văn bản"
        EMAIL = "EMAIL", "Thư điện tử"
        PUSH = "PUSH", "Gửi máy – máy có chữ ký"

    class State(models.TextChoices):
        QUEUED = "QUEUED", "Chờ gửi"
        SENT = "SENT", "Đã gửi"
        FAILED = "FAILED", "Gửi không được"
        RECEIVED = "RECEIVED", "Đã nhận"

    report = models.ForeignKey(Report, models.CASCADE, related_name="deliveries")
    channel = models.CharField(max_length=5, choices=Channel)
    to = models.CharField("nơi nhận", max_length=300)
    state = models.CharField(max_length=8, choices=State, default=State.QUEUED)
    made_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    made_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True)
    received_at = models.DateTimeField(null=True)
    receipt = models.CharField("xác nhận", max_length=300, blank=True)
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.channel} {self.to}"
