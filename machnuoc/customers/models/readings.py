"""Routes, rounds and readings: what the meter said, who saw it, and what became of each item sent from the field."""

from django.db import models
from django.db.models import Q

from machnuoc.core.models import Person, StoredFile
from machnuoc.customers.models.connections import Connection
from machnuoc.customers.models.meters import Fitting
from machnuoc.customers.models.reading_imports import ReadingImport
from machnuoc.works.models import Work


class Route(models.Model):
    """Connections that one person reads in one go, in walking order."""

    code = models.CharField("mã tuyến", max_length=24, unique=True)
    name = models.CharField("tên tuyến", max_length=120)
    work = models.ForeignKey(Work, models.PROTECT, related_name="routes", verbose_name="công trình")
    reader = models.ForeignKey(
        Person, models.PROTECT, null=True, blank=True, related_name="routes", verbose_name="người ghi"
    )
    collector = models.ForeignKey(
        Person, models.PROTECT, null=True, blank=True, related_name="+", verbose_name="người thu tiền"
    )
    read_day = models.PositiveSmallIntegerField("ghi vào ngày", default=20)  # of the month
    is_simulated = models.BooleanField("mô phỏng", default=False)
    version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["code"]

    def __str__(self) -> str:
        return self.code


class Round(models.Model):
    """One reading of one route for one billing month: opened, walked, closed."""

    class State(models.TextChoices):
        OPEN = "OPEN", "Đang ghi"
        CLOSED = "CLOSED", "Đã chốt"

    route = models.ForeignKey(Route, models.PROTECT, related_name="rounds")
    period_start_date = models.DateField("kỳ")  # first day of the month
    state = models.CharField("tình trạng", max_length=6, choices=State, default=State.OPEN)
    opened_at = models.DateTimeField()
    opened_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")

    class Meta:
        ordering = ["-period_start_date", "route__code"]
        constraints = [models.UniqueConstraint(fields=["route", "period_start_date"], name="one_round_a_month")]

    def __str__(self) -> str:
        return f"{self.route_id} {self.period_start_date:%Y-%m}"


class Reading(models.Model):
    """What a meter stood at, or why it could not be seen. Never edited: a newer one supersedes it.

    A reading with `period_start_date` closes that billing month for its connection; one without only informs.
    """

    class Kind(models.TextChoices):
        ACTUAL = "ACTUAL", "Đọc thực tế"
        ESTIMATED = "ESTIMATED", "Tạm tính"
        INITIAL = "INITIAL", "Chỉ số lắp"
        FINAL = "FINAL", "Chỉ số tháo"
        NO_ACCESS = "NO_ACCESS", "Không đọc được"

    class Source(models.TextChoices):
        FIELD = "FIELD", "Ghi tại chỗ"
        SHEET = "SHEET", "Nạp từ tệp"
        TELEMETRY = "TELEMETRY", "Đồng hồ đọc từ xa"
        CUSTOMER = "CUSTOMER", "Khách hàng tự báo"
        OFFICE = "OFFICE", "Nhập tại văn phòng"
        SWAP = "SWAP", "Lắp, thay đồng hồ"
        RULE = "RULE", "Quy tắc tạm tính"

    class State(models.TextChoices):
        ACCEPTED = "ACCEPTED", "Đã nhận"
        SUSPECT = "SUSPECT", "Chờ xem lại"
        CONFLICT = "CONFLICT", "Trùng, khác nhau"
        REFUSED = "REFUSED", "Không dùng"
        SUPERSEDED = "SUPERSEDED", "Đã thay"

    class NoAccess(models.TextChoices):
        NONE = "", "—"
        LOCKED = "LOCKED", "Nhà khóa cửa"
        DOG = "DOG", "Có chó dữ"
        BURIED = "BURIED", "Đồng hồ bị che lấp"
        FOGGED = "FOGGED", "Mặt kính mờ"
        BROKEN = "BROKEN", "Đồng hồ hỏng"
        FLOODED = "FLOODED", "Ngập nước"
        REFUSED = "REFUSED", "Khách hàng không cho vào"
        OTHER = "OTHER", "Lý do khác"

    connection = models.ForeignKey(Connection, models.PROTECT, related_name="readings")
    fitting = models.ForeignKey(Fitting, models.PROTECT, null=True, blank=True, related_name="readings")
    period_start_date = models.DateField("kỳ", null=True, blank=True)
    kind = models.CharField("loại", max_length=10, choices=Kind, default=Kind.ACTUAL)
    source = models.CharField("nguồn", max_length=10, choices=Source)
    state = models.CharField("tình trạng", max_length=10, choices=State, default=State.ACCEPTED)
    read_at = models.DateTimeField("đọc lúc")
    index_l = models.PositiveBigIntegerField("chỉ số (lít)", null=True, blank=True)
    rolled_over = models.BooleanField("quay vòng", default=False)  # confirmed by a person
    no_access = models.CharField("lý do không đọc được", max_length=8, choices=NoAccess, blank=True)
    flags = models.JSONField(default=list)  # keys of plausibility.WARNINGS seen when it was taken
    photo = models.ForeignKey(StoredFile, models.PROTECT, null=True, blank=True, related_name="+")
    latitude = models.FloatField(null=True, blank=True)
    longitude = models.FloatField(null=True, blank=True)
    note = models.CharField("ghi chú", max_length=300, blank=True)
    read_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    received_at = models.DateTimeField("nhận lúc")
    # Made on the device before it is sent: the same item sent twice is one reading.
    client_id = models.UUIDField(null=True, blank=True, unique=True)
    superseded_by = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="supersedes")
    judged_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    judged_at = models.DateTimeField(null=True, blank=True)
    judged_note = models.CharField("lý do", max_length=300, blank=True)
    batch = models.ForeignKey(
        ReadingImport, models.PROTECT, null=True, blank=True, related_name="readings", db_index=False
    )
    is_simulated = models.BooleanField("mô phỏng", default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["connection", "period_start_date"],
                condition=Q(state="ACCEPTED") & Q(period_start_date__isnull=False) & Q(index_l__isnull=False),
                name="one_accepted_closing_reading_a_month",
            ),
            models.CheckConstraint(
                condition=Q(kind="NO_ACCESS", index_l__isnull=True) | (~Q(kind="NO_ACCESS") & Q(index_l__isnull=False)),
                name="a_reading_has_an_index_or_a_reason",
            ),
        ]
        indexes = [
            models.Index(fields=["connection", "read_at"], name="reading_by_connection"),
            models.Index(
                fields=["state", "period_start_date"],
                condition=Q(state__in=["SUSPECT", "CONFLICT"]),
                name="reading_to_look_at",
            ),
            models.Index(fields=["period_start_date", "connection"], name="reading_by_period"),
            models.Index(fields=["batch"], condition=Q(batch__isnull=False), name="reading_by_batch"),
        ]

    def __str__(self) -> str:
        return f"{self.connection_id} {self.read_at:%Y-%m-%d} {self.index_l}"


class FieldItem(models.Model):
    """One item that a phone sent: kept as it came, with what became of it. Received = stored + duplicate + refused."""

    class Fate(models.TextChoices):
        STORED = "STORED", "Đã lưu"
        SUSPECT = "SUSPECT", "Đã lưu, chờ xem lại"
        CONFLICT = "CONFLICT", "Đã lưu, khác số đã có"
        DUPLICATE = "DUPLICATE", "Số này đã có"
        REFUSED = "REFUSED", "Không nhận"

    client_id = models.UUIDField(unique=True)
    person = models.ForeignKey(Person, models.PROTECT, related_name="+")
    received_at = models.DateTimeField()
    body = models.JSONField()  # as it came, without the photo
    fate = models.CharField(max_length=10, choices=Fate)
    reason = models.CharField(max_length=300, blank=True)
    reading = models.ForeignKey(Reading, models.PROTECT, null=True, blank=True, related_name="+")
    repeats = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.client_id} {self.fate}"
