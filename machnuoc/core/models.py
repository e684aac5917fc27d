"""People, the audit trail, documents and files, search, jobs and notices."""

import re

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models import Q
from django.utils import timezone


class PersonManager(BaseUserManager["Person"]):
    def create_user(self, username: str, password: str | None = None, **fields: object) -> "Person":
        person = self.model(username=self.model.normalize_username(username), **fields)
        person.set_password(password)
        person.save(using=self._db)
        return person


class Person(AbstractBaseUser):
    """Someone who signs in. What they may do is not here: it lies in the grants of `places`."""

    username = models.CharField("tên đăng nhập", max_length=60, unique=True)
    full_name = models.CharField("họ và tên", max_length=120)
    title = models.CharField("chức vụ", max_length=120, blank=True)
    email = models.EmailField("thư điện tử", blank=True)
    phone = models.CharField("điện thoại", max_length=20, blank=True)
    is_active = models.BooleanField("còn hoạt động", default=True)
    is_demo = models.BooleanField("tài khoản dùng thử", default=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = PersonManager()
    USERNAME_FIELD = "username"
    REQUIRED_FIELDS = ["full_name"]

    class Meta:
        verbose_name = "người dùng"
        ordering = ["full_name", "pk"]

    def __str__(self) -> str:
        return self.full_name


class AuditEntry(models.Model):
    """One act, written in the transaction of the act. Append-only (a database trigger refuses change and removal).

    `detail` holds ids, keys and counts, never personal data.
    """

    at = models.DateTimeField(db_index=True)
    actor = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    action = models.CharField(max_length=60, db_index=True)
    target_kind = models.CharField(max_length=40, blank=True)
    target_id = models.CharField(max_length=64, blank=True)
    count = models.PositiveIntegerField(default=1)
    detail = models.JSONField(default=dict)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["target_kind", "target_id"], name="audit_by_target")]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.action} {self.target_kind}#{self.target_id}"


class AuditSeal(models.Model):
    """One link of the chain: the hash of a batch of entries and of the link before."""

    sealed_at = models.DateTimeField()
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64, unique=True)
    entry_count = models.PositiveIntegerField()

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["previous_hash"], name="audit_chain_does_not_fork")]

    def __str__(self) -> str:
        return f"#{self.pk} {self.hash[:12]}"


class SealedEntry(models.Model):
    """Which seal covers an entry. Entries that commit late are taken by the next seal."""

    entry = models.OneToOneField(AuditEntry, models.PROTECT, primary_key=True, related_name="sealed")
    seal = models.ForeignKey(AuditSeal, models.PROTECT, related_name="entries")

    def __str__(self) -> str:
        return f"{self.entry_id} in {self.seal_id}"


class StoredFile(models.Model):
    """A file on disk under its SHA-256; the same bytes are kept once."""

    sha256 = models.CharField(max_length=64, unique=True)
    name = models.CharField("tên tệp", max_length=200)
    media_type = models.CharField(max_length=100)
    size_bytes = models.PositiveBigIntegerField()
    uploaded_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    uploaded_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name


class Document(models.Model):
    """An official document that figures and facts come from. Number and date may be blank, as printed."""

    class Confidence(models.TextChoices):
        VERIFIED = "verified", "đã đối chiếu văn bản"
        RECALLED = "recalled", "chưa đối chiếu văn bản"

    key = models.CharField(max_length=80, unique=True)
    kind = models.CharField("loại văn bản", max_length=40, blank=True)  # «Kế hoạch»
    number = models.CharField("số, ký hiệu", max_length=60, blank=True)
    title = models.CharField("trích yếu", max_length=400)
    issuer = models.CharField("cơ quan ban hành", max_length=200)
    issue_date = models.DateField("ngày ban hành", null=True, blank=True)
    issue_date_as_printed = models.CharField(max_length=60, blank=True)
    signer = models.CharField("người ký", max_length=120, blank=True)
    note = models.TextField("ghi chú", blank=True)
    confidence = models.CharField(max_length=10, choices=Confidence, default=Confidence.VERIFIED)
    file = models.ForeignKey(StoredFile, models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        verbose_name = "văn bản"
        ordering = ["title"]

    def __str__(self) -> str:
        return f"{self.number} {self.title}".strip()

    @property
    def short_name(self) -> str:
        """«Kế hoạch 79/KH-TTNS»; without a number «Kế hoạch (số để trống), UBND tỉnh Cao Bằng, 5/2026»."""
        kind = self.kind or "Văn bản"
        if self.number:
            return f"{kind} {self.number}" if self.kind else self.number
        issuer = self.issuer.replace("Ủy ban nhân dân", "UBND")
        return ", ".join(filter(None, [f"{kind} (số để trống)", issuer, self._month]))

    @property
    def _month(self) -> str:
        """«5/2026», also of a date that is printed without its day; empty where none is known."""
        if self.issue_date:
            return f"{self.issue_date.month}/{self.issue_date.year}"
        printed = re.search(r"tháng\s+(\d{1,2})\s+năm\s+(\d{4})", self.issue_date_as_printed)
        return f"{int(printed[1])}/{printed[2]}" if printed else ""


class Passage(models.Model):
    """A place in a document that says something we use, quoted as printed."""

    document = models.ForeignKey(Document, models.PROTECT, related_name="passages")
    key = models.CharField(max_length=80)
    order = models.PositiveIntegerField(default=0)
    section = models.CharField("mục", max_length=120)
    text = models.TextField("trích nguyên văn")

    class Meta:
        ordering = ["document_id", "order", "id"]
        constraints = [models.UniqueConstraint(fields=["document", "key"], name="passage_key_in_document")]

    def __str__(self) -> str:
        return f"{self.document.short_name}, {self.section}"


class SearchEntry(models.Model):
    """What the search box finds: one row an object, with its text folded (no diacritics, lower case).

    Indexed by trigrams: GIN with pg_trgm on PostgreSQL, an FTS5 shadow table on SQLite (migration 0002).
    """

    kind = models.CharField(max_length=20)
    object_id = models.BigIntegerField()
    subject_id = models.BigIntegerField(null=True)  # decides who may find it; empty = whoever is signed in
    title = models.CharField(max_length=300)
    subtitle = models.CharField(max_length=300, blank=True)
    url = models.CharField(max_length=200)
    weight = models.SmallIntegerField(default=0)
    folded = models.TextField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["kind", "object_id"], name="one_search_entry_an_object")]

    def __str__(self) -> str:
        return f"{self.kind} {self.title}"


class Job(models.Model):
    """Background work. Enqueued in the transaction that causes it; may run twice without harm."""

    class State(models.TextChoices):
        QUEUED = "QUEUED", "Đang chờ"
        RUNNING = "RUNNING", "Đang chạy"
        DONE = "DONE", "Xong"
        FAILED = "FAILED", "Thất bại"
        CANCELLED = "CANCELLED", "Đã hủy"

    task = models.CharField(max_length=80)
    arguments = models.JSONField(default=dict)
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    run_after_at = models.DateTimeField(default=timezone.now)
    attempts = models.PositiveSmallIntegerField(default=0)
    max_attempts = models.PositiveSmallIntegerField(default=3)
    enqueued_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    enqueued_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True)
    heartbeat_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    progress_done = models.PositiveIntegerField(default=0)
    progress_total = models.PositiveIntegerField(default=0)
    message = models.CharField(max_length=500, blank=True)
    schedule = models.CharField(max_length=80, blank=True)  # the recurring schedule that made it, if any

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["state", "run_after_at"], name="job_queue")]
        constraints = [
            models.UniqueConstraint(
                fields=["schedule"],
                condition=Q(state__in=["QUEUED", "RUNNING"]) & ~Q(schedule=""),
                name="one_waiting_job_a_schedule",
            )
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.task} {self.state}"


class Notice(models.Model):
    """An in-app message to one person."""

    person = models.ForeignKey(Person, models.CASCADE, related_name="notices")
    kind = models.CharField(max_length=40)
    text = models.CharField(max_length=400)
    url = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    read_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["person", "read_at"], name="notice_inbox")]

    def __str__(self) -> str:
        return self.text


class ApiToken(models.Model):
    """A token for programs. Only its hash is stored; it carries its person's grants, read-only unless said."""

    person = models.ForeignKey(Person, models.CASCADE, related_name="tokens")
    name = models.CharField("tên", max_length=80)
    token_hash = models.CharField(max_length=64, unique=True)
    prefix = models.CharField(max_length=8)
    can_write = models.BooleanField("được ghi", default=False)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField("hết hạn", null=True, blank=True)
    last_used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class IdempotentWrite(models.Model):
    """The answer to a write of the API under its Idempotency-Key: the same key gets the same answer again."""

    person = models.ForeignKey(Person, models.CASCADE, related_name="+")
    key = models.CharField(max_length=120)
    request_hash = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField()
    body = models.TextField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["person", "key"], name="idempotency_key_once")]

    def __str__(self) -> str:
        return self.key


class Sending(models.Model):
    """A message on its way out of the program: the outbox. One row a message, channel and address."""

    class Channel(models.TextChoices):
        IN_APP = "IN_APP", "Trong chương trình"
        EMAIL = "EMAIL", "Thư điện tử"
        SMS = "SMS", "Tin nhắn SMS"
        ZALO = "ZALO", "Zalo ZNS"
        WEBHOOK = "WEBHOOK", "Webhook"

    class State(models.TextChoices):
        QUEUED = "QUEUED", "Chờ gửi"
        SENT = "SENT", "Đã gửi"
        FAILED = "FAILED", "Không gửi được"
        UNCONFIGURED = "UNCONFIGURED", "Chưa cấu hình"

    key = models.CharField(max_length=120, unique=True)  # what it is about: the same thing is told once
    channel = models.CharField("kênh", max_length=8, choices=Channel)
    person = models.ForeignKey(Person, models.CASCADE, null=True, related_name="sendings")
    address = models.CharField("gửi đến", max_length=300)
    title = models.CharField("tiêu đề", max_length=200)
    text = models.CharField("nội dung", max_length=600)
    url = models.CharField(max_length=300, blank=True)  # within the site
    secret = models.CharField(max_length=80, blank=True)  # WEBHOOK: what it is signed with
    is_secret = models.BooleanField(default=False)  # its text is for the receiver alone, and gone once it is sent
    state = models.CharField("trạng thái", max_length=12, choices=State, default=State.QUEUED)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)  # from then on the message is of no use
    error = models.CharField("lỗi", max_length=300, blank=True)
    created_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["state", "next_try_at"], name="outbox")]

    def __str__(self) -> str:
        return f"{self.channel} {self.key}"


class Roster(models.Model):
    """Who answers, and when, for what one subject (an organisation, a work) covers."""

    subject_id = models.BigIntegerField(unique=True)  # of places, which decides who sees and who manages it
    name = models.CharField("tên", max_length=160)
    webhook_url = models.CharField("địa chỉ webhook", max_length=300, blank=True)
    webhook_key = models.CharField(max_length=80, blank=True)
    version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Shift(models.Model):
    """One person, each week on that day and these hours. An end at or before the beginning is on the next day."""

    class Weekday(models.IntegerChoices):
        MONDAY = 0, "Thứ Hai"
        TUESDAY = 1, "Thứ Ba"
        WEDNESDAY = 2, "Thứ Tư"
        THURSDAY = 3, "Thứ Năm"
        FRIDAY = 4, "Thứ Sáu"
        SATURDAY = 5, "Thứ Bảy"
        SUNDAY = 6, "Chủ nhật"

    roster = models.ForeignKey(Roster, models.CASCADE, related_name="shifts")
    weekday = models.PositiveSmallIntegerField("thứ", choices=Weekday)
    start = models.TimeField("từ")  # local time
    end = models.TimeField("đến")
    person = models.ForeignKey(Person, models.CASCADE, related_name="shifts", verbose_name="người trực")
    valid_from = models.DateField("từ ngày", null=True, blank=True)
    valid_to = models.DateField("đến trước ngày", null=True, blank=True)

    class Meta:
        ordering = ["weekday", "start", "id"]

    def __str__(self) -> str:
        return f"{self.roster_id} {self.weekday} {self.start:%H:%M} {self.person_id}"


class ShiftOverride(models.Model):
    """Someone else for a span: in place of one person, or of whoever would be on."""

    roster = models.ForeignKey(Roster, models.CASCADE, related_name="overrides")
    from_at = models.DateTimeField("từ lúc")
    until = models.DateTimeField("đến lúc")
    person = models.ForeignKey(Person, models.CASCADE, related_name="+", verbose_name="người trực thay")
    instead_of = models.ForeignKey(
        Person, models.CASCADE, null=True, blank=True, related_name="+", verbose_name="thay cho"
    )
    reason = models.CharField("lý do", max_length=200, blank=True)
    made_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")

    class Meta:
        ordering = ["from_at"]
        constraints = [
            models.CheckConstraint(condition=Q(from_at__lt=models.F("until")), name="shift_override_runs_forward")
        ]

    def __str__(self) -> str:
        return f"{self.roster_id} {self.from_at}"


class EscalationLevel(models.Model):
    """Who is called next when those on duty do not answer. Level 1 is the duty itself and has no row."""

    roster = models.ForeignKey(Roster, models.CASCADE, related_name="levels")
    level = models.PositiveSmallIntegerField("cấp")  # 2, 3 …
    after_min = models.PositiveSmallIntegerField("gọi sau (phút)")  # since the level before was called
    people = models.ManyToManyField(Person, related_name="+", verbose_name="người được gọi")

    class Meta:
        ordering = ["level"]
        constraints = [models.UniqueConstraint(fields=["roster", "level"], name="escalation_level_once")]

    def __str__(self) -> str:
        return f"{self.roster_id} cấp {self.level}"
