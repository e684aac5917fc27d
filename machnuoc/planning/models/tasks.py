"""Tasks with owners and products, what was done, meetings whose conclusions become tasks, campaigns."""

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from machnuoc.core.models import Passage, Person, StoredFile
from machnuoc.places.models import Organisation, Subject
from machnuoc.planning.models.plans import Plan, Target


class Task(models.Model):
    """A task of a plan (or of a meeting's conclusions): content, timing, product, state."""

    class Timing(models.TextChoices):
        CONTINUOUS = "CONTINUOUS", "Thường xuyên"
        BY_DATE = "BY_DATE", "Trước ngày"
        QUARTERLY = "QUARTERLY", "Hằng quý"
        MONTHLY = "MONTHLY", "Hằng tháng"
        YEARLY = "YEARLY", "Hằng năm"
        IN_YEAR = "IN_YEAR", "Trong năm"
        AD_HOC = "AD_HOC", "Đột xuất"
        UNSTATED = "UNSTATED", "Văn bản không ghi thời gian"

    class State(models.TextChoices):
        NOT_STARTED = "NOT_STARTED", "Chưa thực hiện"
        DOING = "DOING", "Đang thực hiện"
        DONE = "DONE", "Hoàn thành"
        PAUSED = "PAUSED", "Tạm dừng"
        CANCELLED = "CANCELLED", "Không thực hiện nữa"

    plan = models.ForeignKey(Plan, models.CASCADE, null=True, blank=True, related_name="tasks")
    key = models.CharField(max_length=80, unique=True)
    number = models.CharField("số", max_length=20, blank=True)
    order = models.PositiveIntegerField(default=0)
    section = models.CharField("mục", max_length=160, blank=True)
    content = models.TextField("nội dung")
    product = models.TextField("sản phẩm, kết quả", blank=True)
    timing = models.CharField("thời gian", max_length=10, choices=Timing)
    timing_as_printed = models.CharField("thời gian như in", max_length=200, blank=True)
    starts_on = models.DateField("bắt đầu", null=True, blank=True)
    due_on = models.DateField("hạn", null=True, blank=True)  # the last day that still counts
    subject = models.ForeignKey(Subject, models.PROTECT, related_name="+")  # decides who may read it
    accountable = models.ForeignKey(Person, models.PROTECT, null=True, blank=True, related_name="+")
    target = models.ForeignKey(Target, models.SET_NULL, null=True, blank=True, related_name="tasks")
    passage = models.ForeignKey(Passage, models.PROTECT, null=True, blank=True, related_name="+")
    state = models.CharField("tình trạng", max_length=11, choices=State, default=State.NOT_STARTED)
    share_pct = models.PositiveSmallIntegerField("mức hoàn thành (%)", null=True, blank=True)
    state_at = models.DateTimeField(null=True)  # of the newest progress entry
    import_batch = models.ForeignKey(
        "planning.TaskImport", models.SET_NULL, null=True, blank=True, related_name="tasks"
    )  # the sheet that wrote it last
    version = models.PositiveIntegerField(default=1)

    class Meta:
        verbose_name = "nhiệm vụ"
        ordering = ["plan_id", "order", "id"]
        constraints = [
            models.CheckConstraint(condition=Q(share_pct__isnull=True) | Q(share_pct__lte=100), name="share_to_100")
        ]
        indexes = [models.Index(fields=["due_on"], name="task_by_due")]

    def __str__(self) -> str:
        return self.content if len(self.content) <= 120 else f"{self.content[:117]}…"


class TaskUnit(models.Model):
    """Who leads and who cooperates. A group as printed («Các Trạm cấp nước») has its members as further rows."""

    class Role(models.TextChoices):
        LEAD = "LEAD", "Chủ trì"
        COOPERATE = "COOPERATE", "Phối hợp"

    task = models.ForeignKey(Task, models.CASCADE, related_name="units")
    role = models.CharField(max_length=9, choices=Role)
    organisation = models.ForeignKey(Organisation, models.PROTECT, null=True, blank=True, related_name="task_units")
    name_as_printed = models.CharField(max_length=200, blank=True)
    # What the unit itself said last; the state of the task is made of those of its leads (task_rules.py).
    state = models.CharField(max_length=11, choices=Task.State, default=Task.State.NOT_STARTED)
    share_pct = models.PositiveSmallIntegerField(null=True, blank=True)
    state_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["task_id", "-role", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["task", "role", "organisation"],
                condition=Q(organisation__isnull=False),
                name="unit_once_in_task_role",
            )
        ]
        indexes = [models.Index(fields=["organisation", "role", "state"], name="task_unit_by_state")]

    def __str__(self) -> str:
        return self.name_as_printed or str(self.organisation)


class TaskProgress(models.Model):
    """What a unit says about its part of the task. Never edited: a newer entry follows."""

    task = models.ForeignKey(Task, models.CASCADE, related_name="progress")
    organisation = models.ForeignKey(Organisation, models.PROTECT, null=True, related_name="+")
    state = models.CharField(max_length=11, choices=Task.State)
    share_pct = models.PositiveSmallIntegerField(null=True, blank=True)
    text = models.TextField("kết quả")
    at = models.DateTimeField(default=timezone.now)
    by = models.ForeignKey(Person, models.PROTECT, related_name="+")
    files = models.ManyToManyField(StoredFile, related_name="+")
    is_simulated = models.BooleanField("mô phỏng", default=False)

    class Meta:
        ordering = ["-at", "-id"]

    def __str__(self) -> str:
        return self.text


class TaskComment(models.Model):
    task = models.ForeignKey(Task, models.CASCADE, related_name="comments")
    text = models.TextField("ý kiến")
    at = models.DateTimeField(default=timezone.now)
    by = models.ForeignKey(Person, models.PROTECT, related_name="+")

    class Meta:
        ordering = ["at", "id"]

    def __str__(self) -> str:
        return self.text


class TaskHandover(models.Model):
    """The lead of a task passed from one unit to another, with the reason."""

    task = models.ForeignKey(Task, models.CASCADE, related_name="handovers")
    from_organisation = models.ForeignKey(Organisation, models.PROTECT, null=True, related_name="+")
    to_organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="+")
    on_date = models.DateField("từ ngày")
    reason = models.CharField("lý do", max_length=300)
    by = models.ForeignKey(Person, models.PROTECT, related_name="+")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.reason


class TaskReminder(models.Model):
    """That a reminder went out, so that each goes out once. A task with a new due date is reminded of anew."""

    task = models.ForeignKey(Task, models.CASCADE, related_name="reminders")
    due_on = models.DateField()
    stage = models.CharField(max_length=12)  # task_rules.reminder_stage
    sent_at = models.DateTimeField()
    people = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["task", "due_on", "stage"], name="a_reminder_goes_out_once")]

    def __str__(self) -> str:
        return f"{self.task_id} {self.due_on} {self.stage}"


class TaskImport(models.Model):
    """A sheet of tasks: what it would do, what it did, and what stood there before, so that it can be undone."""

    class Mode(models.TextChoices):
        ALL = "ALL", "Tất cả hoặc không dòng nào"
        GOOD = "GOOD", "Chỉ các dòng hợp lệ"

    plan = models.ForeignKey(Plan, models.PROTECT, related_name="task_imports")
    subject = models.ForeignKey(Subject, models.PROTECT, related_name="+")  # of the tasks it makes
    file = models.ForeignKey(StoredFile, models.PROTECT, related_name="+")
    file_name = models.CharField("tên tệp", max_length=200)  # as uploaded this time: the same bytes are kept once
    uploaded_by = models.ForeignKey(Person, models.PROTECT, related_name="+")
    uploaded_at = models.DateTimeField()
    found = models.JSONField(default=dict)  # what the sheet was seen to hold: hints, problems by cell, first rows
    received = models.PositiveIntegerField(default=0)  # rows: received = stored + skipped + rejected
    stored = models.PositiveIntegerField(default=0)
    skipped = models.PositiveIntegerField(default=0)
    rejected = models.PositiveIntegerField(default=0)
    mode = models.CharField(max_length=4, choices=Mode, blank=True)
    job = models.ForeignKey("core.Job", models.SET_NULL, null=True, blank=True, related_name="+")
    applied_at = models.DateTimeField(null=True)
    before = models.JSONField(default=list)  # of tasks that it changed: fields and units as they were
    undone_at = models.DateTimeField(null=True)
    undone_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(received=F("stored") + F("skipped") + F("rejected")), name="task_import_rows_add_up"
            ),
            models.CheckConstraint(
                condition=Q(undone_at__isnull=True) | Q(applied_at__isnull=False), name="only_taken_tasks_are_undone"
            ),
        ]

    def __str__(self) -> str:
        return self.file_name


class Meeting(models.Model):
    """An inspection or a meeting (đoàn kiểm tra, giao ban) and what it concluded."""

    class Kind(models.TextChoices):
        INSPECTION = "INSPECTION", "Đoàn kiểm tra"
        MEETING = "MEETING", "Cuộc họp, giao ban"

    kind = models.CharField("loại", max_length=10, choices=Kind)
    title = models.CharField("tên", max_length=300)
    plan = models.ForeignKey(Plan, models.SET_NULL, null=True, blank=True, related_name="meetings")
    task = models.ForeignKey(Task, models.SET_NULL, null=True, blank=True, related_name="meetings")  # that asks for it
    host = models.ForeignKey(Organisation, models.PROTECT, related_name="+")
    subject = models.ForeignKey(Subject, models.PROTECT, related_name="+")  # where, of what; decides who may read it
    held_on = models.DateField("ngày")
    place = models.CharField("địa điểm", max_length=200, blank=True)
    attendance = models.TextField("thành phần", blank=True)
    minutes = models.TextField("nội dung", blank=True)
    files = models.ManyToManyField(StoredFile, related_name="+")
    made_by = models.ForeignKey(Person, models.PROTECT, related_name="+")
    made_at = models.DateTimeField(default=timezone.now)
    version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["-held_on", "-id"]

    def __str__(self) -> str:
        return self.title


class Conclusion(models.Model):
    meeting = models.ForeignKey(Meeting, models.CASCADE, related_name="conclusions")
    order = models.PositiveSmallIntegerField(default=0)
    text = models.TextField("kết luận")
    task = models.OneToOneField(Task, models.SET_NULL, null=True, blank=True, related_name="conclusion")

    class Meta:
        ordering = ["meeting_id", "order", "id"]

    def __str__(self) -> str:
        return self.text


class Campaign(models.Model):
    """Communication or training: where, for whom, how many were reached."""

    class Kind(models.TextChoices):
        COMMUNICATION = "COMMUNICATION", "Tuyên truyền"
        TRAINING = "TRAINING", "Tập huấn"

    kind = models.CharField("loại", max_length=13, choices=Kind)
    title = models.CharField("tên", max_length=300)
    plan = models.ForeignKey(Plan, models.SET_NULL, null=True, blank=True, related_name="campaigns")
    task = models.ForeignKey(Task, models.SET_NULL, null=True, blank=True, related_name="campaigns")
    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="+")
    subject = models.ForeignKey(Subject, models.PROTECT, related_name="+")  # where
    place = models.CharField("địa điểm", max_length=200, blank=True)
    from_date = models.DateField("từ ngày")
    to_date = models.DateField("đến hết ngày")
    audience = models.CharField("đối tượng", max_length=200)
    expected_count = models.PositiveIntegerField("số người dự kiến", null=True, blank=True)
    reached_count = models.PositiveIntegerField("số người tham gia", null=True, blank=True)
    result = models.TextField("kết quả", blank=True)
    files = models.ManyToManyField(StoredFile, related_name="+")
    made_by = models.ForeignKey(Person, models.PROTECT, related_name="+")
    made_at = models.DateTimeField(default=timezone.now)
    version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["-from_date", "-id"]
        constraints = [models.CheckConstraint(condition=Q(from_date__lte=F("to_date")), name="campaign_runs_forward")]

    def __str__(self) -> str:
        return self.title
