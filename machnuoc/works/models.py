"""Water works: what they are, who runs them, what they can carry, whom they serve."""

from django.db import models
from django.db.models import F, Q

from machnuoc.core.models import Passage
from machnuoc.places.models import Organisation, Subject


class TreatmentTrain(models.Model):
    """A chain of treatment steps, as a document or an engineer describes it."""

    class Source(models.TextChoices):
        GROUNDWATER = "GROUNDWATER", "Nước dưới đất"
        SURFACE = "SURFACE", "Nước mặt"
        SPRING = "SPRING", "Mạch lộ, tự chảy"
        PURCHASED = "PURCHASED", "Mua lại"

    key = models.CharField(max_length=60, unique=True)
    name = models.CharField("tên", max_length=200)
    source_kind = models.CharField("nguồn nước", max_length=12, choices=Source)
    steps = models.JSONField("các bước", default=list)
    passage = models.ForeignKey(Passage, models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Work(models.Model):
    """A water work (công trình cấp nước): plant, station, scheme or a sub-scheme of one."""

    class Kind(models.TextChoices):
        PLANT = "PLANT", "Nhà máy nước"
        STATION = "STATION", "Trạm cấp nước"
        SCHEME = "SCHEME", "Công trình cấp nước"
        SUBSCHEME = "SUBSCHEME", "Phân hệ"

    class Sector(models.TextChoices):
        RURAL = "RURAL", "Nông thôn"
        URBAN = "URBAN", "Đô thị"

    class Status(models.TextChoices):
        RUNNING = "RUNNING", "Đang vận hành"
        STOPPED = "STOPPED", "Dừng cấp nước"
        BUILDING = "BUILDING", "Đang xây dựng"
        HANDOVER = "HANDOVER", "Đang bàn giao"
        UNKNOWN = "UNKNOWN", "Chưa rõ"

    subject = models.OneToOneField(Subject, models.CASCADE, primary_key=True, related_name="work")
    kind = models.CharField("loại", max_length=10, choices=Kind)
    sector = models.CharField("khu vực", max_length=6, choices=Sector)
    parent = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="parts")
    operator = models.ForeignKey(  # who runs it today; the history is in WorkOperator
        Organisation, models.PROTECT, null=True, blank=True, related_name="works"
    )
    team = models.ForeignKey(  # the unit of the operator that runs it day by day, e.g. the station team
        Organisation, models.PROTECT, null=True, blank=True, related_name="run_works"
    )
    status = models.CharField("tình trạng", max_length=8, choices=Status, default=Status.UNKNOWN)
    source_kind = models.CharField("nguồn nước", max_length=12, choices=TreatmentTrain.Source, blank=True)
    treatment = models.ForeignKey(TreatmentTrain, models.PROTECT, null=True, blank=True, related_name="works")
    contact_name = models.CharField("người liên hệ", max_length=120, blank=True)
    contact_phone = models.CharField("điện thoại", max_length=40, blank=True)
    note = models.TextField("ghi chú", blank=True)
    passage = models.ForeignKey(Passage, models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(kind="SUBSCHEME", parent__isnull=False) | ~Q(kind="SUBSCHEME"),
                name="subscheme_has_a_parent",
            ),
        ]

    def __str__(self) -> str:
        return self.subject.name


class WorkOperator(models.Model):
    """Who ran a work, from when to when. An empty start is a start we do not know."""

    work = models.ForeignKey(Work, models.CASCADE, related_name="operators")
    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="operated")
    valid_from = models.DateField("từ ngày", null=True, blank=True)
    valid_to = models.DateField("đến trước ngày", null=True, blank=True)
    passage = models.ForeignKey(Passage, models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        ordering = ["-valid_from", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["work"], condition=Q(valid_to__isnull=True), name="one_operator_at_a_time")
        ]

    def __str__(self) -> str:
        return f"{self.work_id} ← {self.organisation_id}"


class WorkStatus(models.Model):
    """A change of status, with its date where one is known."""

    work = models.ForeignKey(Work, models.CASCADE, related_name="statuses")
    status = models.CharField(max_length=8, choices=Work.Status)
    from_date = models.DateField("từ ngày", null=True, blank=True)
    reason = models.CharField("lý do", max_length=300, blank=True)
    passage = models.ForeignKey(Passage, models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.work_id} {self.status}"


class Capacity(models.Model):
    """What a work can carry, by kind and basis, in a span of time (end exclusive)."""

    class Kind(models.TextChoices):
        DESIGN = "DESIGN", "Thiết kế"
        LICENSED = "LICENSED", "Theo giấy phép"
        EFFECTIVE = "EFFECTIVE", "Thực tế khai thác được"

    class Basis(models.TextChoices):
        HOUSEHOLDS = "HOUSEHOLDS", "hộ"
        M3D = "M3D", "m³/ngày"

    work = models.ForeignKey(Work, models.CASCADE, related_name="capacities")
    kind = models.CharField("loại công suất", max_length=10, choices=Kind)
    basis = models.CharField("đơn vị", max_length=10, choices=Basis)
    amount = models.DecimalField("công suất", max_digits=12, decimal_places=2)
    valid_from = models.DateField("từ ngày", null=True, blank=True)
    valid_to = models.DateField("đến trước ngày", null=True, blank=True)
    passage = models.ForeignKey(Passage, models.PROTECT, null=True, blank=True, related_name="+")
    recorded_by = models.ForeignKey("core.Person", models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        ordering = ["kind", "basis", "-valid_from", "-id"]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gte=0), name="capacity_not_negative"),
            models.CheckConstraint(
                condition=Q(valid_to__isnull=True) | Q(valid_from__isnull=True) | Q(valid_from__lt=F("valid_to")),
                name="capacity_runs_forward",
            ),
            models.UniqueConstraint(
                fields=["work", "kind", "basis"], condition=Q(valid_to__isnull=True), name="one_live_capacity"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.work_id} {self.kind} {self.amount} {self.basis}"


class ServiceArea(models.Model):
    """A place that a work serves, or is to serve (planned)."""

    work = models.ForeignKey(Work, models.CASCADE, related_name="service_areas")
    place = models.ForeignKey(Subject, models.PROTECT, related_name="served_by")
    is_planned = models.BooleanField("dự kiến", default=False)
    as_printed = models.CharField(max_length=200, blank=True)
    valid_from = models.DateField(null=True, blank=True)
    valid_to = models.DateField(null=True, blank=True)
    passage = models.ForeignKey(Passage, models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["work", "place", "is_planned"], condition=Q(valid_to__isnull=True), name="served_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.work_id} ↦ {self.place_id}"
