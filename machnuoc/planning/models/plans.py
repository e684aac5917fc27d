"""Plans, their targets, where the targets stand, and what the lead unit proposes when one is at risk."""

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from machnuoc.core.models import Document, Passage, Person
from machnuoc.indicators.models import Metric, PeriodKind, Value
from machnuoc.places.models import Organisation, Subject


class Plan(models.Model):
    """A plan that somebody signed. Its number, date and signer are the document's; it may carry out other plans."""

    class Status(models.TextChoices):
        DRAFT = "DRAFT", "Dự thảo"
        IN_FORCE = "IN_FORCE", "Đang thực hiện"
        ENDED = "ENDED", "Đã hết kỳ"
        REPLACED = "REPLACED", "Đã được thay thế"

    key = models.CharField(max_length=60, unique=True)
    name = models.CharField("tên", max_length=400)
    short_name = models.CharField("tên ngắn", max_length=120)
    document = models.ForeignKey(Document, models.PROTECT, null=True, blank=True, related_name="plans")
    issuer = models.ForeignKey(Organisation, models.PROTECT, null=True, blank=True, related_name="issued_plans")
    territory = models.ForeignKey(Subject, models.PROTECT, related_name="+")  # decides who may read it
    field = models.CharField("lĩnh vực", max_length=10, default="ALL")  # Grant.Field
    valid_from = models.DateField("từ ngày", null=True, blank=True)
    valid_to = models.DateField("đến trước ngày", null=True, blank=True)  # exclusive
    status = models.CharField("tình trạng", max_length=10, choices=Status, default=Status.IN_FORCE)
    carries_out = models.ManyToManyField("self", symmetrical=False, blank=True, related_name="carried_out_by")
    note = models.TextField("ghi chú", blank=True)
    version = models.PositiveIntegerField(default=1)  # counts edits: two people cannot overwrite each other unseen

    class Meta:
        verbose_name = "kế hoạch"
        ordering = ["-valid_from", "key"]
        constraints = [
            models.CheckConstraint(
                condition=Q(valid_to__isnull=True) | Q(valid_from__isnull=True) | Q(valid_from__lt=F("valid_to")),
                name="plan_runs_forward",
            )
        ]

    def __str__(self) -> str:
        return self.short_name


class PlanBasis(models.Model):
    """A legal basis («Căn cứ …»), as printed; the document where we hold it."""

    plan = models.ForeignKey(Plan, models.CASCADE, related_name="bases")
    order = models.PositiveSmallIntegerField(default=0)
    text = models.CharField("căn cứ", max_length=600)
    document = models.ForeignKey(Document, models.PROTECT, null=True, blank=True, related_name="+")
    passage = models.ForeignKey(Passage, models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        ordering = ["plan_id", "order"]
        constraints = [models.UniqueConstraint(fields=["plan", "order"], name="basis_order_in_plan")]

    def __str__(self) -> str:
        return self.text


class PlanAmendment(models.Model):
    """A change of the plan in mid-course: what the amending document says, from when."""

    plan = models.ForeignKey(Plan, models.CASCADE, related_name="amendments")
    document = models.ForeignKey(Document, models.PROTECT, null=True, blank=True, related_name="+")
    reference = models.CharField("văn bản điều chỉnh", max_length=200)  # number and date as printed
    effective_on = models.DateField("hiệu lực từ")
    summary = models.CharField("nội dung điều chỉnh", max_length=600)
    made_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    made_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["plan_id", "effective_on", "id"]

    def __str__(self) -> str:
        return self.reference


class Target(models.Model):
    """What a plan promises: a figure of a subject, compared with a number at a due date."""

    class Comparator(models.TextChoices):
        GE = "GE", "≥"
        GT = "GT", ">"
        LE = "LE", "≤"
        LT = "LT", "<"
        EQ = "EQ", "="
        ABOUT = "ABOUT", "khoảng"
        RANGE = "RANGE", "trong khoảng"
        NONE_LEFT = "NONE_LEFT", "không còn"
        KEEP = "KEEP", "giữ vững"
        JUDGED = "JUDGED", "đánh giá định tính"

    class MeasuredAs(models.TextChoices):
        LEVEL = "LEVEL", "giá trị của kỳ"
        GROWTH = "GROWTH", "tăng thêm so với gốc"
        TOTAL = "TOTAL", "cộng dồn trong kỳ kế hoạch"

    class PartsCheck(models.TextChoices):
        NONE = "NONE", "không đối chiếu"
        SUM = "SUM", "các phần cộng lại bằng chỉ tiêu chung"
        EACH = "EACH", "mỗi phần đạt ít nhất như chỉ tiêu chung"

    plan = models.ForeignKey(Plan, models.CASCADE, related_name="targets")
    key = models.CharField(max_length=80)
    order = models.PositiveIntegerField(default=0)
    name = models.CharField("chỉ tiêu", max_length=300)
    text = models.TextField("nguyên văn", blank=True)
    section = models.CharField("mục", max_length=120, blank=True)
    passage = models.ForeignKey(Passage, models.PROTECT, null=True, blank=True, related_name="+")
    subject = models.ForeignKey(Subject, models.PROTECT, related_name="targets")
    metric = models.ForeignKey(Metric, models.PROTECT, null=True, blank=True, related_name="targets")
    measured_as = models.CharField("cách đo", max_length=8, choices=MeasuredAs, default=MeasuredAs.LEVEL)
    comparator = models.CharField("so sánh", max_length=10, choices=Comparator)
    comparator_as_printed = models.CharField("chữ như in", max_length=60, blank=True)  # «ít nhất», «phấn đấu … khoảng»
    amount = models.DecimalField("mức", max_digits=20, decimal_places=4, null=True, blank=True)
    upper = models.DecimalField("đến", max_digits=20, decimal_places=4, null=True, blank=True)  # RANGE only
    unit = models.CharField("đơn vị", max_length=20, blank=True)
    decimals = models.PositiveSmallIntegerField("số lẻ như in", default=0)  # «khoảng 15 %» is met by what rounds to 15
    baseline = models.DecimalField("gốc", max_digits=20, decimal_places=4, null=True, blank=True)
    baseline_period_start = models.DateField("kỳ gốc", null=True, blank=True)
    baseline_text = models.CharField("gốc như in", max_length=200, blank=True)
    period_kind = models.CharField(max_length=1, choices=PeriodKind, default=PeriodKind.YEAR)
    period_start = models.DateField("kỳ phải đạt", null=True, blank=True)
    due_on = models.DateField("ngày phải đạt", null=True, blank=True)  # the last day that still counts
    accountable = models.ForeignKey(Person, models.PROTECT, null=True, blank=True, related_name="+")
    accountable_text = models.CharField("người chịu trách nhiệm", max_length=200, blank=True)
    parent = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="parts")
    parts_check = models.CharField("đối chiếu các phần", max_length=4, choices=PartsCheck, default=PartsCheck.NONE)
    is_active = models.BooleanField(default=True)
    note = models.TextField("ghi chú", blank=True)
    version = models.PositiveIntegerField(default=1)

    class Meta:
        verbose_name = "chỉ tiêu kế hoạch"
        ordering = ["plan_id", "order", "id"]
        constraints = [
            models.UniqueConstraint(fields=["plan", "key"], name="target_key_in_plan"),
            models.CheckConstraint(
                condition=Q(comparator__in=["NONE_LEFT", "KEEP", "JUDGED"]) | Q(amount__isnull=False),
                name="a_counted_target_has_an_amount",
            ),
            models.CheckConstraint(
                condition=~Q(comparator="RANGE") | Q(upper__isnull=False, amount__lte=F("upper")),
                name="a_range_runs_upward",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class TargetUnit(models.Model):
    """Who leads a target and who helps; the text as printed where it names no organisation that we hold."""

    class Role(models.TextChoices):
        LEAD = "LEAD", "Chủ trì"
        COOPERATE = "COOPERATE", "Phối hợp"

    target = models.ForeignKey(Target, models.CASCADE, related_name="units")
    role = models.CharField(max_length=9, choices=Role)
    organisation = models.ForeignKey(Organisation, models.PROTECT, null=True, blank=True, related_name="target_units")
    name_as_printed = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["target_id", "-role", "id"]

    def __str__(self) -> str:
        return self.name_as_printed or str(self.organisation)


class TargetPoint(models.Model):
    """The path to the target: what should be reached by the end of a month, quarter or year."""

    target = models.ForeignKey(Target, models.CASCADE, related_name="path")
    period_kind = models.CharField(max_length=1, choices=PeriodKind)
    period_start = models.DateField()
    amount = models.DecimalField(max_digits=20, decimal_places=4)
    passage = models.ForeignKey(Passage, models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        ordering = ["target_id", "period_start"]
        constraints = [
            models.UniqueConstraint(fields=["target", "period_kind", "period_start"], name="one_point_a_period")
        ]

    def __str__(self) -> str:
        return f"{self.target_id} {self.period_kind}{self.period_start}"


class TargetChange(models.Model):
    """What a target said before it was changed, with the amendment or the reason. Targets are never changed unseen."""

    target = models.ForeignKey(Target, models.CASCADE, related_name="changes")
    amendment = models.ForeignKey(PlanAmendment, models.PROTECT, null=True, blank=True, related_name="target_changes")
    before = models.JSONField()
    reason = models.CharField("lý do", max_length=300)
    made_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    made_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.reason


class TargetJudgement(models.Model):
    """What the judge of a qualitative target said on a day."""

    target = models.ForeignKey(Target, models.CASCADE, related_name="judgements")
    judged_on = models.DateField()
    is_met = models.BooleanField("đạt")
    text = models.CharField("nhận xét", max_length=600)
    judged_by = models.ForeignKey(Person, models.PROTECT, related_name="+")
    recorded_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-judged_on", "-id"]

    def __str__(self) -> str:
        return self.text


class Status(models.TextChoices):
    """Where a target stands. MISSED: its day has come and it is not met. EXPIRED: its day passed without a figure."""

    MET = "MET", "Đạt"
    ON_TRACK = "ON_TRACK", "Đúng tiến độ"
    AT_RISK = "AT_RISK", "Có nguy cơ"
    MISSED = "MISSED", "Không đạt"
    EXPIRED = "EXPIRED", "Đã hết kỳ"
    NO_DATA = "NO_DATA", "Chưa có số liệu"


class Standing(models.Model):
    """Where a target stands today, computed from the facts; recomputed when they change or the day turns."""

    target = models.OneToOneField(Target, models.CASCADE, primary_key=True, related_name="standing")
    status = models.CharField(max_length=8, choices=Status)
    reached = models.DecimalField("đã đạt", max_digits=20, decimal_places=4, null=True)  # in the target's own measure
    value = models.ForeignKey(Value, models.SET_NULL, null=True, related_name="+")  # the figure that it rests on
    as_of_kind = models.CharField(max_length=1, choices=PeriodKind, blank=True)
    as_of_start = models.DateField(null=True)
    forecast = models.DecimalField("dự báo", max_digits=20, decimal_places=4, null=True)
    forecast_low = models.DecimalField(max_digits=20, decimal_places=4, null=True)  # 80 % interval
    forecast_high = models.DecimalField(max_digits=20, decimal_places=4, null=True)
    forecast_method = models.CharField(max_length=20, blank=True)
    reason = models.CharField(max_length=600)
    series_hash = models.CharField(max_length=64, blank=True)  # of the history: an unchanged one is not forecast again
    computed_on = models.DateField()
    computed_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["status"], name="standing_by_status")]

    def __str__(self) -> str:
        return f"{self.target_id} {self.status}"


class StandingChange(models.Model):
    """A past standing, kept when the status or the figure changed, so that a month can be judged as it looked then."""

    target = models.ForeignKey(Target, models.CASCADE, related_name="standing_changes")
    on_date = models.DateField()
    status = models.CharField(max_length=8, choices=Status)
    reached = models.DecimalField(max_digits=20, decimal_places=4, null=True)
    forecast = models.DecimalField(max_digits=20, decimal_places=4, null=True)
    reason = models.CharField(max_length=600)

    class Meta:
        ordering = ["target_id", "-on_date", "-id"]
        constraints = [models.UniqueConstraint(fields=["target", "on_date"], name="one_standing_a_day")]

    def __str__(self) -> str:
        return f"{self.target_id} {self.on_date}"


class Proposal(models.Model):
    """What the lead unit of a target at risk owes: cause, solution, new date, and who approved it."""

    class Cause(models.TextChoices):
        OBJECTIVE = "OBJECTIVE", "Khách quan"
        SUBJECTIVE = "SUBJECTIVE", "Chủ quan"

    class State(models.TextChoices):
        DRAFT = "DRAFT", "Đang soạn"
        SUBMITTED = "SUBMITTED", "Chờ duyệt"
        RETURNED = "RETURNED", "Bị trả lại"
        APPROVED = "APPROVED", "Đã duyệt"

    target = models.ForeignKey(Target, models.CASCADE, related_name="proposals")
    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="+")
    cause_kind = models.CharField("loại nguyên nhân", max_length=10, choices=Cause)
    cause = models.TextField("nguyên nhân")
    solution = models.TextField("giải pháp")
    new_date = models.DateField("thời hạn mới", null=True, blank=True)
    state = models.CharField(max_length=9, choices=State, default=State.DRAFT)
    made_by = models.ForeignKey(Person, models.PROTECT, related_name="+")
    made_at = models.DateTimeField(default=timezone.now)
    submitted_at = models.DateTimeField(null=True)
    decided_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    decided_at = models.DateTimeField(null=True)
    decision = models.CharField("ý kiến duyệt", max_length=500, blank=True)
    version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"Đề xuất giải pháp cho «{self.target}»"
