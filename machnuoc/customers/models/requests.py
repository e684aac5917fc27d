"""Requests and complaints with a clock, what was done about each, and the work orders they became."""

from django.db import models
from django.db.models import Q

from machnuoc.core.models import Person, StoredFile
from machnuoc.customers.models.connections import Connection
from machnuoc.places.models import Organisation, Subject
from machnuoc.works.models import Work


class Category(models.Model):
    """What a request is about, how long the answer may take and by which document, and who gets it."""

    class Clock(models.TextChoices):
        HOURS = "HOURS", "giờ"
        WORKING_HOURS = "WORKING_HOURS", "giờ làm việc"
        DAYS = "DAYS", "ngày"
        WORKING_DAYS = "WORKING_DAYS", "ngày làm việc"

    key = models.CharField(max_length=40, unique=True)  # also service_code of Open311
    name = models.CharField("tên", max_length=120)
    description = models.CharField("mô tả", max_length=300, blank=True)
    order = models.PositiveSmallIntegerField(default=0)
    clock = models.CharField("tính theo", max_length=14, choices=Clock, blank=True)
    allowed = models.PositiveSmallIntegerField("hạn trả lời", null=True, blank=True)  # empty: no limit is known
    document = models.CharField("căn cứ", max_length=300, blank=True)
    is_verified = models.BooleanField(default=False)  # of the document; false: «chưa đối chiếu văn bản»
    is_public = models.BooleanField("người dân gửi được", default=True)
    is_bill_dispute = models.BooleanField("khiếu nại hóa đơn", default=False)  # no cut-off while one is open
    is_violation = models.BooleanField("phản ánh vi phạm", default=False)
    is_active = models.BooleanField("đang dùng", default=True)

    class Meta:
        ordering = ["order", "name"]

    def __str__(self) -> str:
        return self.name


class Routing(models.Model):
    """Who gets the requests of a work and category. The closest row wins: both, work, category, neither."""

    operator = models.ForeignKey(Organisation, models.CASCADE, related_name="routings")
    work = models.ForeignKey(Work, models.CASCADE, null=True, blank=True, related_name="+")
    category = models.ForeignKey(Category, models.CASCADE, null=True, blank=True, related_name="+")
    unit = models.ForeignKey(Organisation, models.PROTECT, related_name="+", verbose_name="đơn vị xử lý")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["operator", "work", "category"], nulls_distinct=False, name="one_routing_a_place"
            )
        ]

    def __str__(self) -> str:
        return f"{self.operator_id} {self.work_id} {self.category_id}"


class Request(models.Model):
    """What someone asked or complained about, with its clock."""

    class Channel(models.TextChoices):
        PORTAL = "PORTAL", "Trang khách hàng"
        PUBLIC = "PUBLIC", "Trang công khai"
        PHONE = "PHONE", "Đường dây nóng"
        COUNTER = "COUNTER", "Tại quầy"
        FIELD = "FIELD", "Tại hiện trường"
        OPEN311 = "OPEN311", "Open311"

    class Urgency(models.TextChoices):
        LOW = "LOW", "Không gấp"
        NORMAL = "NORMAL", "Bình thường"
        HIGH = "HIGH", "Gấp"
        EMERGENCY = "EMERGENCY", "Khẩn cấp"

    class State(models.TextChoices):
        NEW = "NEW", "Mới nhận"
        ASSIGNED = "ASSIGNED", "Đang xử lý"
        ANSWERED = "ANSWERED", "Đã trả lời"
        CLOSED = "CLOSED", "Đã đóng"
        MERGED = "MERGED", "Gộp vào phản ánh khác"
        REJECTED = "REJECTED", "Không thuộc phạm vi"

    code = models.CharField("mã phản ánh", max_length=24, unique=True)
    category = models.ForeignKey(Category, models.PROTECT, related_name="requests", verbose_name="loại")
    channel = models.CharField("kênh", max_length=8, choices=Channel)
    operator = models.ForeignKey(Organisation, models.PROTECT, null=True, blank=True, related_name="requests")
    work = models.ForeignKey(Work, models.PROTECT, null=True, blank=True, related_name="requests")
    connection = models.ForeignKey(Connection, models.PROTECT, null=True, blank=True, related_name="requests")
    place = models.ForeignKey(Subject, models.PROTECT, null=True, blank=True, related_name="+", verbose_name="địa bàn")
    latitude = models.FloatField("vĩ độ", null=True, blank=True)
    longitude = models.FloatField("kinh độ", null=True, blank=True)
    address = models.CharField("địa điểm", max_length=300, blank=True)
    text = models.TextField("nội dung")
    urgency = models.CharField("mức độ", max_length=10, choices=Urgency, default=Urgency.NORMAL)
    # Personal data of who reports; emptied by erasure.
    name = models.CharField("người phản ánh", max_length=160, blank=True)
    phone = models.CharField("điện thoại", max_length=20, blank=True)
    email = models.EmailField("thư điện tử", blank=True)
    state = models.CharField("tình trạng", max_length=9, choices=State, default=State.NEW)
    unit = models.ForeignKey(
        Organisation, models.PROTECT, null=True, blank=True, related_name="+", verbose_name="đơn vị xử lý"
    )
    handler = models.ForeignKey(
        Person, models.PROTECT, null=True, blank=True, related_name="+", verbose_name="người xử lý"
    )
    received_at = models.DateTimeField("nhận lúc")
    clock_from_at = models.DateTimeField("tính giờ từ")  # renewed when a reply reopens it
    due_at = models.DateTimeField("hạn trả lời", null=True, blank=True)
    answered_at = models.DateTimeField("trả lời lúc", null=True, blank=True)
    closed_at = models.DateTimeField("đóng lúc", null=True, blank=True)
    escalated_at = models.DateTimeField(null=True, blank=True)
    escalated_pct = models.PositiveSmallIntegerField(default=0)  # 80, 100: what of the clock was told to those above
    merged_into = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="merged")
    rating = models.PositiveSmallIntegerField("đánh giá", null=True, blank=True)
    rating_note = models.CharField("ý kiến", max_length=300, blank=True)
    token = models.CharField(max_length=43, unique=True)  # with it the sender follows it without signing in
    is_simulated = models.BooleanField("mô phỏng", default=False)
    version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(rating__isnull=True) | Q(rating__range=(1, 5)), name="rating_is_one_to_five"
            )
        ]
        indexes = [
            models.Index(fields=["state", "due_at"], name="request_by_due"),
            models.Index(fields=["work", "received_at"], name="request_by_work"),
            models.Index(fields=["received_at"], name="request_by_time"),
        ]

    def __str__(self) -> str:
        return self.code


class RequestEvent(models.Model):
    """One thing said or done about a request. What is public the sender reads too."""

    class Kind(models.TextChoices):
        RECEIVED = "RECEIVED", "Tiếp nhận"
        ASSIGNED = "ASSIGNED", "Chuyển xử lý"
        NOTE = "NOTE", "Ghi chú nội bộ"
        ANSWER = "ANSWER", "Trả lời"
        REPLY = "REPLY", "Người gửi phản hồi"
        REOPENED = "REOPENED", "Mở lại"
        ESCALATED = "ESCALATED", "Báo lãnh đạo"
        MERGED = "MERGED", "Gộp"
        WORK_ORDER = "WORK_ORDER", "Lập phiếu công việc"
        CLOSED = "CLOSED", "Đóng"
        RATED = "RATED", "Đánh giá"

    request = models.ForeignKey(Request, models.CASCADE, related_name="events")
    kind = models.CharField(max_length=10, choices=Kind)
    at = models.DateTimeField()
    by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")  # empty: the sender, or the program
    text = models.TextField(blank=True)
    is_public = models.BooleanField(default=False)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.request_id} {self.kind}"


class RequestPhoto(models.Model):
    """A picture that came with a request or an answer."""

    request = models.ForeignKey(Request, models.CASCADE, related_name="photos")
    file = models.ForeignKey(StoredFile, models.PROTECT, related_name="+")  # or a paper, as PDF
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.request_id} {self.file_id}"

    @property
    def is_picture(self) -> bool:
        return self.file.media_type.startswith("image/")


class WorkOrder(models.Model):
    """Work in the field that a request, a meter or a debt asked for. Stock and crew come later."""

    class Kind(models.TextChoices):
        REPAIR = "REPAIR", "Sửa chữa"
        METER_CHECK = "METER_CHECK", "Kiểm tra đồng hồ"
        METER_SWAP = "METER_SWAP", "Thay đồng hồ"
        INSTALL = "INSTALL", "Lắp đặt đấu nối"
        CUT_OFF = "CUT_OFF", "Ngừng cấp nước"
        REOPEN = "REOPEN", "Mở nước lại"
        OTHER = "OTHER", "Việc khác"

    class State(models.TextChoices):
        OPEN = "OPEN", "Chưa làm"
        STARTED = "STARTED", "Đang làm"
        DONE = "DONE", "Đã xong"
        CANCELLED = "CANCELLED", "Đã hủy"

    code = models.CharField("mã phiếu", max_length=24, unique=True)
    kind = models.CharField("loại việc", max_length=12, choices=Kind)
    state = models.CharField("tình trạng", max_length=9, choices=State, default=State.OPEN)
    request = models.ForeignKey(Request, models.PROTECT, null=True, blank=True, related_name="work_orders")
    connection = models.ForeignKey(Connection, models.PROTECT, null=True, blank=True, related_name="work_orders")
    work = models.ForeignKey(Work, models.PROTECT, related_name="work_orders")
    unit = models.ForeignKey(Organisation, models.PROTECT, null=True, blank=True, related_name="+")
    assignee = models.ForeignKey(Person, models.PROTECT, null=True, blank=True, related_name="+")
    text = models.CharField("nội dung", max_length=500)
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    due_at = models.DateTimeField("hạn", null=True, blank=True)
    done_at = models.DateTimeField("xong lúc", null=True, blank=True)
    done_note = models.CharField("kết quả", max_length=500, blank=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.code


class ServiceHours(models.Model):
    """When an operator works, for clocks in working hours. Without a row: `clock.OFFICE_HOURS`."""

    operator = models.OneToOneField(Organisation, models.CASCADE, related_name="service_hours")
    weekdays = models.CharField("ngày làm việc", max_length=7, default="12345")  # 1 is Monday
    spans = models.CharField("giờ làm việc", max_length=60, default="07:30-11:30,13:30-17:00")
    hotline = models.CharField("đường dây nóng", max_length=40, blank=True)  # shown to senders

    def __str__(self) -> str:
        return f"{self.operator_id} {self.weekdays} {self.spans}"


class AnswerTemplate(models.Model):
    """A text that handlers begin an answer with."""

    operator = models.ForeignKey(Organisation, models.CASCADE, related_name="answer_templates")
    category = models.ForeignKey(Category, models.CASCADE, null=True, blank=True, related_name="+", verbose_name="loại")
    name = models.CharField("tên mẫu", max_length=80)
    text = models.TextField("nội dung", max_length=2_000)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["operator", "name"], name="answer_template_once")]

    def __str__(self) -> str:
        return self.name


class PublicPost(models.Model):
    """One form sent from the public page: counted by a hash of the network address, and taken once."""

    nonce = models.CharField(max_length=32, unique=True)
    address_hash = models.CharField(max_length=64)
    at = models.DateTimeField()
    request = models.ForeignKey(Request, models.CASCADE, null=True, blank=True, related_name="+")

    class Meta:
        indexes = [models.Index(fields=["address_hash", "at"], name="public_post_by_address")]

    def __str__(self) -> str:
        return f"{self.nonce} {self.at:%Y-%m-%d %H:%M}"


class Open311Endpoint(models.Model):
    """Another Open311 server to which an operator passes requests on, of one category or of all."""

    operator = models.ForeignKey(Organisation, models.CASCADE, related_name="open311_endpoints")
    category = models.ForeignKey(Category, models.CASCADE, null=True, blank=True, related_name="+", verbose_name="loại")
    name = models.CharField("nơi nhận", max_length=120)
    url = models.CharField("địa chỉ", max_length=300)  # up to and without /services.json
    jurisdiction = models.CharField("jurisdiction_id", max_length=120, blank=True)
    service_code = models.CharField("service_code bên nhận", max_length=80, blank=True)  # empty: the category's key
    api_key = models.CharField("api_key", max_length=200, blank=True)
    is_automatic = models.BooleanField("chuyển ngay khi tiếp nhận", default=False)
    is_active = models.BooleanField("đang dùng", default=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["operator", "category", "url"], nulls_distinct=False, name="one_open311_endpoint"
            )
        ]

    def __str__(self) -> str:
        return self.name


class Open311Copy(models.Model):
    """A request as another Open311 server holds it."""

    class State(models.TextChoices):
        WAITING = "WAITING", "Chờ gửi"
        OPEN = "OPEN", "Bên nhận đang xử lý"
        CLOSED = "CLOSED", "Bên nhận đã xong"
        FAILED = "FAILED", "Không gửi được"

    request = models.ForeignKey(Request, models.CASCADE, related_name="copies")
    endpoint = models.ForeignKey(Open311Endpoint, models.PROTECT, related_name="copies")
    state = models.CharField("tình trạng", max_length=7, choices=State, default=State.WAITING)
    remote_id = models.CharField("mã bên nhận", max_length=120, blank=True)
    remote_token = models.CharField(max_length=120, blank=True)  # until the other side gives the id
    status_notes = models.CharField("lời bên nhận", max_length=1_000, blank=True)
    made_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, blank=True)
    next_at = models.DateTimeField(null=True, blank=True)  # when to send or ask again; empty: never
    attempts = models.PositiveSmallIntegerField(default=0)
    error = models.CharField("lỗi", max_length=300, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["request", "endpoint"], name="one_copy_a_server")]
        indexes = [models.Index(fields=["next_at"], condition=Q(next_at__isnull=False), name="open311_copy_due")]

    def __str__(self) -> str:
        return f"{self.request_id} {self.endpoint_id} {self.state}"
