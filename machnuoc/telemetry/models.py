"""Devices, what they measure, the alarms that follow, and the limits alarms and public views are held against.

Readings themselves, their ledger and their rollups are in the store (store.py): a database file of their own when
embedded, plain tables on PostgreSQL. What is here changes seldom and is written by people, or by the alarm engine.
"""

from django.db import models
from django.db.models import F, Q

from machnuoc.core.models import Document, Job, Person, StoredFile
from machnuoc.places.models import Subject
from machnuoc.telemetry.quantities import QUANTITIES, ChannelKind
from machnuoc.works.models import Work


class Device(models.Model):
    """A logger, transmitter, gateway node or controller that sends readings under a name of its own."""

    class Kind(models.TextChoices):
        LOGGER = "LOGGER", "Bộ ghi dữ liệu"
        CONTROLLER = "CONTROLLER", "Tủ điều khiển (PLC/RTU)"
        ANALYSER = "ANALYSER", "Máy phân tích chất lượng nước"
        METER = "METER", "Đồng hồ điện tử"
        NODE = "NODE", "Cảm biến LoRaWAN"

    class Protocol(models.TextChoices):
        MQTT = "MQTT", "MQTT, JSON của Mạch Nước"
        CHIRPSTACK = "CHIRPSTACK", "LoRaWAN qua ChirpStack v4"
        CSV = "CSV", "MQTT, dòng CSV của bộ ghi"
        HTTP = "HTTP", "HTTP, theo lô"
        FILE = "FILE", "Tệp nạp bằng tay"

    code = models.CharField("mã thiết bị", max_length=48, unique=True)  # [a-z0-9][a-z0-9_-]*: a level of MQTT topics
    name = models.CharField("tên", max_length=120)
    kind = models.CharField("loại", max_length=10, choices=Kind)
    protocol = models.CharField("đường truyền", max_length=10, choices=Protocol)
    sender_id = models.CharField("mã trên mạng gửi", max_length=64, blank=True)  # DevEUI of LoRaWAN, serial of a logger
    # Of a clock that does not say its own: loggers write «2026-11-22 07:00» in UTC (0) or in local time (420).
    clock_offset_min = models.SmallIntegerField("đồng hồ lệch so với UTC (phút)", default=0)
    work = models.ForeignKey(Work, models.PROTECT, related_name="devices", verbose_name="công trình")
    place_note = models.CharField("vị trí lắp đặt", max_length=200, blank=True)
    latitude = models.DecimalField("vĩ độ", max_digits=9, decimal_places=6, null=True, blank=True)
    longitude = models.DecimalField("kinh độ", max_digits=9, decimal_places=6, null=True, blank=True)
    make = models.CharField("hãng, kiểu", max_length=120, blank=True)
    serial = models.CharField("số sê-ri", max_length=60, blank=True)
    installed_at = models.DateTimeField("lắp lúc", null=True, blank=True)
    removed_at = models.DateTimeField("tháo lúc", null=True, blank=True)
    is_simulated = models.BooleanField("mô phỏng", default=False)
    note = models.TextField("ghi chú", blank=True)
    version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["code"]
        constraints = [
            models.UniqueConstraint(fields=["sender_id"], condition=~Q(sender_id=""), name="one_device_a_sender"),
            models.CheckConstraint(
                condition=Q(removed_at__isnull=True)
                | Q(installed_at__isnull=True)
                | Q(installed_at__lt=F("removed_at")),
                name="device_installed_before_removed",
            ),
        ]

    def __str__(self) -> str:
        return self.code


class Credential(models.Model):
    """A secret with which a device speaks: broker password and HTTP token alike. Kept hashed; shown once when made."""

    device = models.ForeignKey(Device, models.CASCADE, related_name="credentials")
    broker_hash = models.CharField(max_length=200)  # as Mosquitto's password file writes it ($7$, PBKDF2-SHA512)
    token_sha256 = models.CharField(max_length=64, unique=True)
    made_at = models.DateTimeField()
    made_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    expires_at = models.DateTimeField("hết hạn", null=True, blank=True)
    revoked_at = models.DateTimeField("thu hồi", null=True, blank=True)

    class Meta:
        ordering = ["-made_at"]

    def __str__(self) -> str:
        return f"{self.device_id} {self.made_at:%Y-%m-%d}"


class MeasuringPlace(models.Model):
    """A place of a work at which channels measure: a tap, the end of a main. Without one: at its work.

    FeatureOfInterest of SensorThings.
    """

    work = models.ForeignKey(Work, models.PROTECT, related_name="measuring_places", verbose_name="công trình")
    name = models.CharField("tên", max_length=120)
    description = models.CharField("mô tả", max_length=300, blank=True)
    latitude = models.FloatField("vĩ độ")  # degrees of WGS 84
    longitude = models.FloatField("kinh độ")

    class Meta:
        ordering = ["name", "id"]
        constraints = [models.UniqueConstraint(fields=["work", "name"], name="measuring_place_name_once_a_work")]

    def __str__(self) -> str:
        return self.name


class Channel(models.Model):
    """One quantity at one point. Its id is the `channel` of the store."""

    class Point(models.TextChoices):
        SOURCE = "SOURCE", "Nguồn nước"
        TREATMENT = "TREATMENT", "Xử lý"
        TANK = "TANK", "Bể chứa"
        OUTLET = "OUTLET", "Đầu ra mạng lưới"
        NETWORK = "NETWORK", "Trên mạng lưới"
        CRITICAL = "CRITICAL", "Điểm bất lợi nhất"
        STATION = "STATION", "Tại trạm"

    class Role(models.TextChoices):
        """What the figures of the work take from it."""

        NONE = "", "Không dùng cho chỉ số"
        PRODUCED = "PRODUCED", "Sản lượng nước sản xuất"
        SUPPLIED = "SUPPLIED", "Lượng nước cấp vào mạng"
        CONTINUITY = "CONTINUITY", "Thời gian cấp nước (áp lực tối thiểu)"
        ENERGY = "ENERGY", "Điện tiêu thụ"
        QUALITY = "QUALITY", "Chất lượng nước sau xử lý"

    device = models.ForeignKey(Device, models.PROTECT, related_name="channels")
    key = models.CharField("khóa trong bản tin", max_length=48)
    name = models.CharField("tên", max_length=120)
    quantity = models.CharField("đại lượng", max_length=16)  # a key of quantities.QUANTITIES
    sent_unit = models.CharField("đơn vị thiết bị gửi", max_length=12)
    low = models.FloatField("tin được từ")  # in the stored unit
    high = models.FloatField("tin được đến")
    resolution = models.FloatField("độ phân giải", default=0)
    expected_interval_s = models.PositiveIntegerField("chu kỳ gửi (giây)", default=300)
    point = models.CharField("điểm đo", max_length=10, choices=Point, default=Point.STATION)
    role = models.CharField("dùng cho", max_length=10, choices=Role, default=Role.NONE, blank=True)
    minimum = models.FloatField("mức tối thiểu để coi là có nước", null=True, blank=True)  # CONTINUITY: mH2O
    rolls_over_at = models.FloatField("quay vòng tại", null=True, blank=True)  # TOTAL: 10 ** digits, where known
    largest_step_per_h = models.FloatField("tăng nhiều nhất mỗi giờ", null=True, blank=True)  # TOTAL
    capacity_m3 = models.FloatField("dung tích ứng với đầy bể (m³)", null=True, blank=True)  # level of a tank
    full_at = models.FloatField("đầy bể tại (m)", null=True, blank=True)
    is_active = models.BooleanField("đang dùng", default=True)
    is_public = models.BooleanField("công bố", default=False)
    description = models.CharField("mô tả", max_length=300, blank=True)
    feature = models.ForeignKey(  # of the same work; none: the work itself
        MeasuringPlace, models.PROTECT, related_name="channels", null=True, blank=True, verbose_name="nơi đo"
    )

    class Meta:
        ordering = ["device__code", "id"]
        constraints = [
            models.UniqueConstraint(fields=["device", "key"], name="channel_key_once_a_device"),
            models.CheckConstraint(condition=Q(low__lt=F("high")), name="channel_span_is_open"),
        ]

    def __str__(self) -> str:
        return f"{self.device_id}/{self.key}"

    def get_quantity_display(self) -> str:
        return QUANTITIES[self.quantity].name


class OwnQuantity(models.Model):
    """A quantity that people added to the built-in ones (quantities.py). Its unit and kind stand once it is used."""

    class Kind(models.TextChoices):
        INSTANT = ChannelKind.INSTANT, "Trị số tức thời"
        TOTAL = ChannelKind.TOTAL, "Số đếm cộng dồn"
        STATE = ChannelKind.STATE, "Trạng thái"

    key = models.CharField("khóa", max_length=16, unique=True)
    name = models.CharField("tên", max_length=80)
    definition = models.CharField("định nghĩa", max_length=300, blank=True)
    description = models.CharField("mô tả", max_length=300, blank=True)
    unit = models.CharField("đơn vị lưu", max_length=12)
    kind = models.CharField("loại", max_length=8, choices=Kind)
    low = models.FloatField("tin được từ")
    high = models.FloatField("tin được đến")
    decimals = models.PositiveSmallIntegerField("số chữ số lẻ", default=2)
    accepted_units = models.JSONField("đơn vị khác mà thiết bị được gửi", default=list)

    class Meta:
        ordering = ["name", "key"]
        constraints = [models.CheckConstraint(condition=Q(low__lt=F("high")), name="own_quantity_span_is_open")]

    def __str__(self) -> str:
        return self.name


class Calibration(models.Model):
    """stored = sent (in the stored unit) × factor + offset, from an instant on until the next calibration."""

    channel = models.ForeignKey(Channel, models.CASCADE, related_name="calibrations")
    valid_from = models.DateTimeField("từ lúc")
    factor = models.FloatField("hệ số", default=1.0)
    offset = models.FloatField("độ lệch", default=0.0)
    note = models.CharField("căn cứ", max_length=200, blank=True)
    made_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")

    class Meta:
        ordering = ["valid_from"]
        constraints = [
            models.UniqueConstraint(fields=["channel", "valid_from"], name="one_calibration_an_instant"),
            models.CheckConstraint(condition=~Q(factor=0), name="calibration_can_be_undone"),
        ]

    def __str__(self) -> str:
        return f"{self.channel_id} × {self.factor} + {self.offset}"


class TotaliserMark(models.Model):
    """What happened to a counter at an instant: recognised by rule, or said by a person, who overrules."""

    class What(models.TextChoices):
        RESET = "RESET", "Về 0"
        ROLLOVER = "ROLLOVER", "Quay vòng"
        SWAP = "SWAP", "Thay đồng hồ"
        REVERSE = "REVERSE", "Chảy ngược"
        JUMP = "JUMP", "Nhảy số không tin được"
        NORMAL = "NORMAL", "Bình thường"

    channel = models.ForeignKey(Channel, models.CASCADE, related_name="marks")
    at = models.DateTimeField("lúc")  # of the reading after the event
    what = models.CharField("sự kiện", max_length=8, choices=What)
    step_m3 = models.FloatField("lượng nước tính cho bước này", null=True, blank=True)
    reason = models.CharField("lý do", max_length=200)
    decided_by = models.ForeignKey(Person, models.PROTECT, related_name="+")
    decided_at = models.DateTimeField()

    class Meta:
        ordering = ["at"]
        constraints = [models.UniqueConstraint(fields=["channel", "at"], name="one_decision_a_step")]

    def __str__(self) -> str:
        return f"{self.channel_id} {self.what} {self.at:%Y-%m-%d %H:%M}"


class ChannelNote(models.Model):
    """A remark of a person on the chart of a channel."""

    channel = models.ForeignKey(Channel, models.CASCADE, related_name="notes")
    at = models.DateTimeField("lúc")
    text = models.CharField("nội dung", max_length=500)
    made_by = models.ForeignKey(Person, models.PROTECT, related_name="+")
    made_at = models.DateTimeField()

    class Meta:
        ordering = ["at"]

    def __str__(self) -> str:
        return self.text


class QualityLimit(models.Model):
    """A limit of a dated standard, bound to a work or a territory and to dates. Unknown limits have no row."""

    class Confidence(models.TextChoices):
        VERIFIED = "VERIFIED", "Đã đối chiếu văn bản"
        RECALLED = "RECALLED", "Chưa đối chiếu văn bản"

    subject = models.ForeignKey(Subject, models.PROTECT, related_name="+")  # a work, or a place that contains works
    quantity = models.CharField("đại lượng", max_length=16)  # a key of quantities.QUANTITIES
    low = models.FloatField("không nhỏ hơn", null=True, blank=True)  # in the stored unit of the quantity
    high = models.FloatField("không lớn hơn", null=True, blank=True)
    valid_from = models.DateField("từ ngày", null=True, blank=True)
    valid_to = models.DateField("đến trước ngày", null=True, blank=True)
    standard = models.CharField("quy chuẩn", max_length=120)
    document = models.ForeignKey(Document, models.PROTECT, null=True, blank=True, related_name="+")
    source = models.CharField("nguồn", max_length=300)
    confidence = models.CharField(max_length=8, choices=Confidence)

    class Meta:
        ordering = ["quantity", "-valid_from"]
        constraints = [
            models.CheckConstraint(
                condition=Q(low__isnull=False) | Q(high__isnull=False), name="quality_limit_limits_something"
            )
        ]

    def __str__(self) -> str:
        return f"{self.standard} {self.quantity}"

    def get_quantity_display(self) -> str:
        return QUANTITIES[self.quantity].name


class AlarmRule(models.Model):
    """When something is worth a person's attention. Parameters by kind: see alarm_rules.py."""

    class Kind(models.TextChoices):
        THRESHOLD = "THRESHOLD", "Vượt ngưỡng"
        RATE = "RATE", "Thay đổi quá nhanh"
        PATTERN = "PATTERN", "Khác nhịp thường ngày"
        SILENCE = "SILENCE", "Mất tín hiệu"
        STUCK = "STUCK", "Đứng số"
        NIGHT_FLOW = "NIGHT_FLOW", "Lưu lượng đêm tăng"
        LOW_CHLORINE = "LOW_CHLORINE", "Clo dư thấp kéo dài"
        TANK_HOURS = "TANK_HOURS", "Bể sắp cạn"
        PUMP_CYCLING = "PUMP_CYCLING", "Bơm đóng ngắt liên tục"
        POWER_LOSS = "POWER_LOSS", "Mất điện"
        COMBINATION = "COMBINATION", "Kết hợp điều kiện"

    class Priority(models.IntegerChoices):
        URGENT = 1, "Khẩn cấp"
        HIGH = 2, "Cao"
        MEDIUM = 3, "Trung bình"
        LOW = 4, "Thấp"

    key = models.CharField(max_length=100, unique=True)
    name = models.CharField("tên", max_length=160)
    kind = models.CharField("loại", max_length=12, choices=Kind)
    channel = models.ForeignKey(Channel, models.PROTECT, related_name="rules")  # what it watches first
    others = models.ManyToManyField(Channel, blank=True, related_name="+")  # COMBINATION, TANK_HOURS: what it reads too
    parameters = models.JSONField(default=dict)
    priority = models.PositiveSmallIntegerField("mức ưu tiên", choices=Priority)
    on_delay_s = models.PositiveIntegerField("phải kéo dài (giây)", default=0)
    off_delay_s = models.PositiveIntegerField("phải yên (giây)", default=0)
    reminder_after_min = models.PositiveIntegerField("nhắc lại sau (phút)", default=240)
    advice = models.CharField("việc cần làm", max_length=400, blank=True)
    is_enabled = models.BooleanField("đang dùng", default=True)
    out_of_service_reason = models.CharField("lý do ngừng dùng", max_length=200, blank=True)
    applies_from = models.DateTimeField("xét từ lúc", null=True, blank=True)  # empty: all readings there are
    version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["key"]

    def __str__(self) -> str:
        return self.name


class RuleProgress(models.Model):
    """Up to which instant the engine has judged a rule. Written in the transaction that writes its alarms."""

    rule = models.OneToOneField(AlarmRule, models.CASCADE, primary_key=True, related_name="progress")
    judged_to = models.DateTimeField()
    rule_version = models.PositiveIntegerField()
    note = models.CharField(max_length=200, blank=True)  # why it cannot judge: «chưa đủ số liệu để so»

    def __str__(self) -> str:
        return f"{self.rule_id} ≤ {self.judged_to}"


class Alarm(models.Model):
    """One occurrence: from when a rule's condition held until it did not. ISA-18.2 states."""

    class State(models.TextChoices):
        ACTIVE_UNACKED = "ACTIVE_UNACKED", "Đang báo, chưa nhận"
        ACTIVE_ACKED = "ACTIVE_ACKED", "Đang báo, đã nhận"
        RETURNED_UNACKED = "RETURNED_UNACKED", "Đã hết, chưa nhận"
        NORMAL = "NORMAL", "Đã xong"

    rule = models.ForeignKey(AlarmRule, models.PROTECT, related_name="alarms")
    work = models.ForeignKey(Work, models.PROTECT, related_name="alarms")
    began_at = models.DateTimeField("bắt đầu")  # measured time of the first reading that made it
    raised_at = models.DateTimeField("báo lúc")  # our clock
    ended_at = models.DateTimeField("kết thúc", null=True, blank=True)
    state = models.CharField("trạng thái", max_length=16, choices=State)
    priority = models.PositiveSmallIntegerField(choices=AlarmRule.Priority)
    peak = models.FloatField("trị số nặng nhất", null=True, blank=True)
    text = models.CharField("nội dung", max_length=300)
    cause = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="consequences")
    is_late = models.BooleanField("phát hiện từ số liệu đến muộn", default=False)
    is_withdrawn = models.BooleanField("rút lại sau khi tính lại", default=False)
    is_flapping = models.BooleanField("chập chờn", default=False)
    acked_at = models.DateTimeField("nhận lúc", null=True, blank=True)
    acked_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    level = models.PositiveSmallIntegerField("đã gọi đến cấp", default=0)  # of the duty roster; 0: nobody was called
    called_at = models.DateTimeField("gọi lúc", null=True, blank=True)
    changed_at = models.DateTimeField(db_index=True)

    class Meta:
        ordering = ["priority", "-raised_at"]
        indexes = [models.Index(fields=["state", "priority", "-raised_at"]), models.Index(fields=["work", "-began_at"])]
        constraints = [
            models.UniqueConstraint(
                fields=["rule", "began_at"], condition=Q(is_withdrawn=False), name="one_alarm_a_beginning"
            ),
            models.UniqueConstraint(
                fields=["rule"], condition=Q(ended_at__isnull=True, is_withdrawn=False), name="one_open_alarm_a_rule"
            ),
        ]

    def __str__(self) -> str:
        return self.text


class AlarmStep(models.Model):
    """What happened to an alarm, by whom: the history under it. Never changed."""

    class What(models.TextChoices):
        RAISED = "RAISED", "Bắt đầu báo"
        RETURNED = "RETURNED", "Trở lại bình thường"
        ACKED = "ACKED", "Đã nhận"
        NOTED = "NOTED", "Ghi việc đã làm"
        REMINDED = "REMINDED", "Nhắc lại"
        ESCALATED = "ESCALATED", "Chuyển cấp trên"
        SENT = "SENT", "Đã gửi tin"
        RECOMPUTED = "RECOMPUTED", "Tính lại vì số liệu đến muộn"
        SHELVED = "SHELVED", "Tạm gác"
        UNSHELVED = "UNSHELVED", "Thôi tạm gác"

    alarm = models.ForeignKey(Alarm, models.CASCADE, related_name="steps")
    what = models.CharField(max_length=12, choices=What)
    at = models.DateTimeField()
    by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    text = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.alarm_id} {self.what}"


class Shelving(models.Model):
    """A rule kept quiet until an instant, for a reason. It goes on judging; nobody is called."""

    rule = models.ForeignKey(AlarmRule, models.CASCADE, related_name="shelvings")
    from_at = models.DateTimeField()
    until = models.DateTimeField("đến lúc")
    reason = models.CharField("lý do", max_length=200)
    by = models.ForeignKey(Person, models.PROTECT, related_name="+")
    ended_at = models.DateTimeField(null=True, blank=True)  # by hand, before its time

    class Meta:
        ordering = ["-from_at"]

    def __str__(self) -> str:
        return f"{self.rule_id} → {self.until}"


class Maintenance(models.Model):
    """Planned work on a station or a device, during which its alarms are suppressed."""

    work = models.ForeignKey(Work, models.CASCADE, related_name="maintenances")
    device = models.ForeignKey(Device, models.CASCADE, null=True, blank=True, related_name="maintenances")
    from_at = models.DateTimeField("từ lúc")
    until = models.DateTimeField("đến lúc")
    reason = models.CharField("nội dung", max_length=200)
    by = models.ForeignKey(Person, models.PROTECT, related_name="+")

    class Meta:
        ordering = ["-from_at"]
        constraints = [models.CheckConstraint(condition=Q(from_at__lt=F("until")), name="maintenance_runs_forward")]

    def __str__(self) -> str:
        return f"{self.work_id} {self.from_at}"


class MeasureFact(models.Model):
    """Volume, continuity and the like of a work on a day, from rollups: what the indicators take (measures.py)."""

    work = models.ForeignKey(Work, models.CASCADE, related_name="+")
    day = models.DateField()
    key = models.CharField(max_length=60)  # metric key
    number = models.BigIntegerField()  # in last decimals of the metric
    weight = models.BigIntegerField(default=1)  # for means over days: what the number counts for
    is_estimated = models.BooleanField(default=False)  # part of the day had no readings
    is_simulated = models.BooleanField(default=False)
    coverage_pct = models.PositiveSmallIntegerField(default=100)
    computed_at = models.DateTimeField()
    reason = models.CharField(max_length=200, blank=True)  # «đã tính lại vì …»

    class Meta:
        constraints = [models.UniqueConstraint(fields=["key", "work", "day"], name="one_daily_fact")]
        indexes = [models.Index(fields=["key", "day"])]

    def __str__(self) -> str:
        return f"{self.work_id} {self.key} {self.day}"


class DeviceImport(models.Model):
    """A sheet of devices, channels or readings that somebody uploaded, and what became of its rows."""

    class Kind(models.TextChoices):
        DEVICES = "DEVICES", "Thiết bị"
        CHANNELS = "CHANNELS", "Kênh đo"
        READINGS = "READINGS", "Số đọc"

    kind = models.CharField("loại", max_length=10, choices=Kind)
    file = models.ForeignKey(StoredFile, models.PROTECT, related_name="+")
    file_name = models.CharField(max_length=200)
    uploaded_by = models.ForeignKey(Person, models.PROTECT, related_name="+")
    uploaded_at = models.DateTimeField()
    job = models.ForeignKey(Job, models.SET_NULL, null=True, related_name="+")
    received = models.PositiveIntegerField(default=0)  # rows
    stored = models.PositiveIntegerField(default=0)  # before it is applied: good rows
    corrected = models.PositiveIntegerField(default=0)
    duplicate = models.PositiveIntegerField(default=0)  # nothing new in them
    rejected = models.PositiveIntegerField(default=0)
    found = models.JSONField(default=dict)  # what its page shows: problems by cell, first good rows
    applied_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.file_name
