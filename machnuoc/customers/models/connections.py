"""Connections and how they come about: application, quote, contract, installation, first bill; what changes later."""

from django.db import models
from django.db.models import F, Q

from machnuoc.core.models import Document, Person, StoredFile
from machnuoc.customers.models.parties import Customer
from machnuoc.places.models import Subject
from machnuoc.works.models import Work


class Group(models.TextChoices):
    """Who pays which price. Of codes that tariffs use."""

    SH = "SH", "Sinh hoạt hộ dân cư"
    SH_NGHEO = "SH_NGHEO", "Hộ nghèo, cận nghèo, gia đình chính sách"
    HCSN = "HCSN", "Cơ quan hành chính, đơn vị sự nghiệp"
    SX = "SX", "Hoạt động sản xuất vật chất"
    KDDV = "KDDV", "Kinh doanh dịch vụ"


class Connection(models.Model):
    """A point where a work gives water to a customer (đấu nối). A shared meter serves several households."""

    class Status(models.TextChoices):
        PENDING = "PENDING", "Chưa lắp đặt"
        ACTIVE = "ACTIVE", "Đang sử dụng"
        SUSPENDED = "SUSPENDED", "Tạm ngừng theo yêu cầu"
        CUT_OFF = "CUT_OFF", "Ngừng cấp vì nợ"
        CLOSED = "CLOSED", "Đã chấm dứt"

    class Origin(models.TextChoices):
        NEW = "NEW", "Phát triển mới"
        EXISTING = "EXISTING", "Có trước khi dùng hệ thống"
        HANDOVER = "HANDOVER", "Tiếp nhận cùng công trình"  # does not count toward the growth target

    code = models.CharField("mã đấu nối", max_length=24, unique=True)
    work = models.ForeignKey(Work, models.PROTECT, related_name="connections", verbose_name="công trình")
    customer = models.ForeignKey(Customer, models.PROTECT, related_name="connections", verbose_name="khách hàng")
    place = models.ForeignKey(  # the commune, or a village of it
        Subject, models.PROTECT, null=True, blank=True, related_name="+", verbose_name="địa bàn"
    )
    address = models.CharField("địa chỉ đấu nối", max_length=300)
    latitude = models.FloatField("vĩ độ", null=True, blank=True)
    longitude = models.FloatField("kinh độ", null=True, blank=True)
    group = models.CharField("đối tượng", max_length=10, choices=Group, default=Group.SH)
    households = models.PositiveIntegerField("số hộ dùng chung", default=1)
    persons = models.PositiveIntegerField("số người tính định mức", default=0)  # today's; history in NormPersons
    status = models.CharField("tình trạng", max_length=10, choices=Status, default=Status.PENDING)
    origin = models.CharField("nguồn gốc", max_length=10, choices=Origin, default=Origin.NEW)
    connected_date = models.DateField("ngày đấu nối", null=True, blank=True)
    closed_date = models.DateField("ngày chấm dứt", null=True, blank=True)
    route = models.ForeignKey(
        "customers.Route", models.SET_NULL, null=True, blank=True, related_name="connections", verbose_name="tuyến"
    )
    route_order = models.PositiveIntegerField("thứ tự trên tuyến", default=0)
    folded = models.CharField(max_length=400, default="")  # « code name address », folded: what the search looks in
    is_simulated = models.BooleanField("mô phỏng", default=False)
    note = models.CharField("ghi chú", max_length=300, blank=True)
    imported_in = models.ForeignKey(  # the sheet it came with, so that a whole sheet can be taken back
        "customers.ConnectionImport", models.SET_NULL, null=True, blank=True, related_name="connections"
    )
    version = models.PositiveIntegerField(default=1)

    class Meta:
        verbose_name = "đấu nối"
        constraints = [
            models.CheckConstraint(condition=Q(households__gte=1), name="connection_serves_a_household"),
            models.CheckConstraint(
                condition=Q(status="PENDING") | Q(connected_date__isnull=False), name="connection_in_use_has_a_date"
            ),
            models.CheckConstraint(
                condition=Q(closed_date__isnull=True) | Q(connected_date__lte=F("closed_date")),
                name="connection_closed_after_it_began",
            ),
        ]
        indexes = [
            models.Index(fields=["work", "code"], name="connection_by_work"),
            models.Index(fields=["route", "route_order"], name="connection_on_route"),
            models.Index(fields=["work", "status", "connected_date"], name="connection_by_status"),
            models.Index(fields=["work", "status", "code"], name="connection_listed_by_status"),
            models.Index(fields=["work", "group", "code"], name="connection_listed_by_group"),
            models.Index(  # all that counting looks at, so that a million are counted without reading their rows
                fields=["work", "is_simulated", "status", "group", "connected_date", "closed_date", "households"],
                name="connection_counted",
            ),
            models.Index(fields=["connected_date", "origin"], name="connection_by_day"),
        ]

    def __str__(self) -> str:
        return self.code


class UseShare(models.Model):
    """The share of a connection's water that goes to one use, in a span of time. Without rows: all to its group."""

    connection = models.ForeignKey(Connection, models.CASCADE, related_name="shares")
    group = models.CharField("đối tượng", max_length=10, choices=Group)
    share_pct = models.PositiveSmallIntegerField("tỷ lệ (%)")
    valid_from = models.DateField("từ ngày")
    valid_to = models.DateField("đến trước ngày", null=True, blank=True)

    class Meta:
        ordering = ["connection_id", "valid_from", "group"]
        constraints = [
            models.UniqueConstraint(fields=["connection", "group", "valid_from"], name="use_share_once"),
            models.CheckConstraint(condition=Q(share_pct__range=(1, 100)), name="use_share_is_a_share"),
            models.CheckConstraint(
                condition=Q(valid_to__isnull=True) | Q(valid_from__lt=F("valid_to")), name="use_share_runs_forward"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.connection_id} {self.group} {self.share_pct}%"


class NormPersons(models.Model):
    """How many persons are registered for the norm, in a span of time, with the papers that show it."""

    connection = models.ForeignKey(Connection, models.CASCADE, related_name="norms")
    persons = models.PositiveSmallIntegerField("số người")
    valid_from = models.DateField("từ ngày")
    valid_to = models.DateField("đến trước ngày", null=True, blank=True)
    paper = models.ForeignKey(StoredFile, models.PROTECT, null=True, blank=True, related_name="+")
    decided_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")

    class Meta:
        ordering = ["connection_id", "valid_from"]
        constraints = [
            models.UniqueConstraint(
                fields=["connection"], condition=Q(valid_to__isnull=True), name="one_live_norm_a_connection"
            ),
            models.CheckConstraint(
                condition=Q(valid_to__isnull=True) | Q(valid_from__lt=F("valid_to")), name="norm_runs_forward"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.connection_id} {self.persons} người"


class PovertyYear(models.Model):
    """A household on the list of poor, near-poor or policy households of a year, with its decision."""

    class Kind(models.TextChoices):
        POOR = "POOR", "Hộ nghèo"
        NEAR_POOR = "NEAR_POOR", "Hộ cận nghèo"
        POLICY = "POLICY", "Gia đình chính sách"

    customer = models.ForeignKey(Customer, models.CASCADE, related_name="poverty_years")
    year = models.PositiveSmallIntegerField("năm")
    kind = models.CharField("diện", max_length=10, choices=Kind)
    decision = models.CharField("quyết định", max_length=120, blank=True)
    document = models.ForeignKey(Document, models.PROTECT, null=True, blank=True, related_name="+")
    imported_in = models.ForeignKey(
        "customers.ConnectionImport", models.SET_NULL, null=True, blank=True, related_name="poverty_years"
    )

    class Meta:
        constraints = [models.UniqueConstraint(fields=["customer", "year"], name="one_poverty_row_a_year")]

    def __str__(self) -> str:
        return f"{self.customer_id} {self.year} {self.kind}"


class Contract(models.Model):
    """The service contract of one customer for one connection. A transfer ends one and begins another."""

    connection = models.ForeignKey(Connection, models.CASCADE, related_name="contracts")
    customer = models.ForeignKey(Customer, models.PROTECT, related_name="contracts")
    number = models.CharField("số hợp đồng", max_length=60, unique=True)
    signed_date = models.DateField("ngày ký")
    ended_date = models.DateField("chấm dứt ngày", null=True, blank=True)
    end_reason = models.CharField("lý do chấm dứt", max_length=200, blank=True)
    paper = models.ForeignKey(StoredFile, models.PROTECT, null=True, blank=True, related_name="+")
    late_interest_basis_points = models.PositiveIntegerField("lãi chậm nộp (‱/năm)", default=0)

    class Meta:
        ordering = ["-signed_date", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["connection"], condition=Q(ended_date__isnull=True), name="one_live_contract_a_connection"
            )
        ]

    def __str__(self) -> str:
        return self.number


class ConnectionEvent(models.Model):
    """What happened to a connection, in its own words; the audit trail says who wrote it."""

    class Kind(models.TextChoices):
        CREATED = "CREATED", "Lập hồ sơ"
        INSTALLED = "INSTALLED", "Lắp đặt, mở nước"
        TRANSFERRED = "TRANSFERRED", "Chuyển tên"
        SUSPENDED = "SUSPENDED", "Tạm ngừng"
        REOPENED = "REOPENED", "Mở lại"
        CUT_OFF = "CUT_OFF", "Ngừng cấp"
        CLOSED = "CLOSED", "Chấm dứt"
        METER = "METER", "Thay đồng hồ"
        CHANGED = "CHANGED", "Sửa hồ sơ"

    connection = models.ForeignKey(Connection, models.CASCADE, related_name="events")
    kind = models.CharField(max_length=12, choices=Kind)
    on_date = models.DateField()
    at = models.DateTimeField()
    by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    text = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.connection_id} {self.kind} {self.on_date}"


class Application(models.Model):
    """A wish for a new connection, followed from survey to first bill."""

    class Stage(models.TextChoices):
        SURVEYED = "SURVEYED", "Khảo sát nhu cầu"
        REQUESTED = "REQUESTED", "Đã đề nghị"
        QUOTED = "QUOTED", "Đã báo giá"
        CONTRACTED = "CONTRACTED", "Đã ký hợp đồng"
        INSTALLED = "INSTALLED", "Đã lắp đặt"
        BILLED = "BILLED", "Có hóa đơn đầu tiên"
        REFUSED = "REFUSED", "Không thực hiện được"
        WITHDRAWN = "WITHDRAWN", "Khách hàng rút đề nghị"

    code = models.CharField("mã hồ sơ", max_length=24, unique=True)
    work = models.ForeignKey(Work, models.PROTECT, related_name="applications", verbose_name="công trình")
    stage = models.CharField("bước", max_length=10, choices=Stage, default=Stage.REQUESTED)
    name = models.CharField("họ tên, tên đơn vị", max_length=160)
    phone = models.CharField("điện thoại", max_length=20, blank=True)
    email = models.EmailField("thư điện tử", blank=True)
    kind = models.CharField("loại khách hàng", max_length=10, choices=Customer.Kind, default=Customer.Kind.HOUSEHOLD)
    group = models.CharField("đối tượng", max_length=10, choices=Group, default=Group.SH)
    is_group_confirmed = models.BooleanField(default=True)  # False: said by who applies; it sets the price
    households = models.PositiveIntegerField("số hộ", default=1)
    persons = models.PositiveIntegerField("số người", default=0)
    place = models.ForeignKey(Subject, models.PROTECT, null=True, blank=True, related_name="+", verbose_name="địa bàn")
    address = models.CharField("địa chỉ lắp đặt", max_length=300)
    latitude = models.FloatField("vĩ độ", null=True, blank=True)
    longitude = models.FloatField("kinh độ", null=True, blank=True)
    survey_date = models.DateField("hẹn khảo sát ngày", null=True, blank=True)
    due_date = models.DateField("hẹn xong bước tiếp theo ngày", null=True, blank=True)  # emptied by every step
    quote_vnd = models.PositiveBigIntegerField("chi phí lắp đặt (đồng)", null=True, blank=True)
    connection = models.OneToOneField(
        Connection, models.PROTECT, null=True, blank=True, related_name="application", verbose_name="đấu nối"
    )
    source = models.CharField("nguồn", max_length=20, default="counter")  # counter, portal, public, field, campaign
    is_simulated = models.BooleanField("mô phỏng", default=False)
    created_at = models.DateTimeField()
    version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["work", "stage"], name="application_by_stage"),
            models.Index(fields=["phone"], name="application_by_phone"),
            models.Index(fields=["email"], name="application_by_email"),
        ]

    def __str__(self) -> str:
        return self.code


class ApplicationStep(models.Model):
    """One step of an application: when it was done, by whom, with which paper."""

    application = models.ForeignKey(Application, models.CASCADE, related_name="steps")
    stage = models.CharField(max_length=10, choices=Application.Stage)
    at = models.DateTimeField()
    by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    note = models.CharField("ghi chú", max_length=300, blank=True)
    paper = models.ForeignKey(StoredFile, models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.application_id} {self.stage}"


class QuoteItem(models.Model):
    """One line of the quote for an installation. amount_vnd: quantity × price_vnd, rounded half up once."""

    application = models.ForeignKey(Application, models.CASCADE, related_name="quote_items")
    title = models.CharField("khoản mục", max_length=160)
    quantity = models.DecimalField("số lượng", max_digits=12, decimal_places=3)
    unit = models.CharField("đơn vị", max_length=20, blank=True)
    price_vnd = models.PositiveBigIntegerField("đơn giá (đồng)")
    amount_vnd = models.PositiveBigIntegerField("thành tiền (đồng)")

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.application_id} {self.title}"


class ApplicationMessage(models.Model):
    """What who applies says about their application, and what they are answered."""

    class Kind(models.TextChoices):
        ACCEPTED = "ACCEPTED", "Đồng ý báo giá"
        QUESTION = "QUESTION", "Câu hỏi"
        ANSWER = "ANSWER", "Trả lời"

    application = models.ForeignKey(Application, models.CASCADE, related_name="messages")
    step = models.ForeignKey(  # where it stood then: an acceptance is of one quote
        ApplicationStep, models.SET_NULL, null=True, related_name="+"
    )
    kind = models.CharField(max_length=8, choices=Kind)
    at = models.DateTimeField()
    by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")  # empty: who applies
    text = models.CharField(max_length=1_000, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["application", "step"], condition=Q(kind="ACCEPTED"), name="one_acceptance_a_quote"
            )
        ]

    def __str__(self) -> str:
        return f"{self.application_id} {self.kind}"
