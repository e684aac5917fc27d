"""Metrics (measures and indicators), their formulas and bands, facts, submissions and values.

A number is stored as a whole number of the metric's last decimal (`number` = value × 10^decimals), so that every
database adds alike. Missing has no row or an empty number, never zero.
"""

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from machnuoc.core.models import Passage, Person
from machnuoc.places.models import Organisation, Subject


class PeriodKind(models.TextChoices):
    YEAR = "Y", "Năm"
    HALF = "H", "6 tháng"
    QUARTER = "Q", "Quý"
    MONTH = "M", "Tháng"
    WEEK = "W", "Tuần"
    DAY = "D", "Ngày"


class Scenario(models.TextChoices):
    ACTUAL = "A", "Thực hiện"
    PLAN = "P", "Kế hoạch"


class State(models.IntegerChoices):
    """How sure a number is; the state of a sum is the weakest (highest) of its parts."""

    MEASURED = 0, "Đo được"
    APPROVED = 1, "Đã duyệt"
    STATED = 2, "Theo văn bản"
    ENTERED = 3, "Đã nhập, chưa duyệt"
    ESTIMATED = 4, "Ước tính"
    SIMULATED = 5, "Mô phỏng"


class Metric(models.Model):
    """A measure (atomic quantity) or an indicator (formula over measures)."""

    class Kind(models.TextChoices):
        MEASURE = "MEASURE", "Đại lượng"
        INDICATOR = "INDICATOR", "Chỉ tiêu"

    class Source(models.TextChoices):
        ENTERED = "ENTERED", "nhập, nhập tệp hoặc theo văn bản"
        PROVIDED = "PROVIDED", "hệ thống tự lấy từ hồ sơ"
        COMPUTED = "COMPUTED", "tính theo công thức"
        STATED = "STATED", "chỉ có trong văn bản"

    class Direction(models.TextChoices):
        HIGHER = "HIGHER", "càng cao càng tốt"
        LOWER = "LOWER", "càng thấp càng tốt"
        NEUTRAL = "NEUTRAL", "không phân tốt xấu"

    class TimeHow(models.TextChoices):
        SUM = "SUM", "cộng"
        LAST = "LAST", "lấy cuối kỳ"
        MEAN = "MEAN", "bình quân"
        NONE = "NONE", "không gộp"

    class PartsHow(models.TextChoices):
        SUM = "SUM", "cộng"
        COUNT = "COUNT", "đếm"
        MIN = "MIN", "nhỏ nhất"
        MAX = "MAX", "lớn nhất"
        NONE = "NONE", "không gộp"

    key = models.CharField("khóa", max_length=60, unique=True)
    kind = models.CharField(max_length=10, choices=Kind)
    name = models.CharField("tên", max_length=200)
    short_name = models.CharField("tên ngắn", max_length=60)
    definition = models.TextField("định nghĩa", blank=True)
    unit = models.CharField("đơn vị", max_length=12)
    decimals = models.PositiveSmallIntegerField("số lẻ", default=0)
    subject_kind = models.CharField("tính cho", max_length=12, choices=Subject.Kind)
    period_kinds = models.CharField("kỳ", max_length=6, default="Y")  # letters of PeriodKind, finest first
    source = models.CharField(max_length=10, choices=Source)
    time_how = models.CharField("gộp theo thời gian", max_length=4, choices=TimeHow, default=TimeHow.SUM)
    parts_how = models.CharField("gộp theo nơi", max_length=5, choices=PartsHow, default=PartsHow.SUM)
    direction = models.CharField("chiều", max_length=7, choices=Direction, default=Direction.NEUTRAL)
    minimum = models.DecimalField(max_digits=18, decimal_places=4, null=True, blank=True)
    maximum = models.DecimalField(max_digits=18, decimal_places=4, null=True, blank=True)
    max_change_pct = models.PositiveIntegerField(
        null=True, blank=True
    )  # a larger change since last asks for a second look
    field = models.CharField(max_length=10, default="ALL")  # Grant.Field that may enter and approve it
    order = models.PositiveIntegerField(default=0)
    confidence = models.CharField(max_length=10, default="verified")
    passage = models.ForeignKey(Passage, models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        verbose_name = "chỉ tiêu"
        ordering = ["order", "key"]

    def __str__(self) -> str:
        return self.name


class FormulaVersion(models.Model):
    """How an indicator is computed, from a period on: factor × numerator / denominator."""

    metric = models.ForeignKey(Metric, models.CASCADE, related_name="formulas")
    version = models.PositiveSmallIntegerField(default=1)
    numerator = models.CharField("tử số", max_length=2000)
    denominator = models.CharField("mẫu số", max_length=2000, blank=True)
    factor = models.PositiveIntegerField("hệ số", default=1)
    numerator_decimals = models.PositiveSmallIntegerField(default=0)
    denominator_decimals = models.PositiveSmallIntegerField(default=0)
    valid_from = models.DateField(null=True, blank=True)
    valid_to = models.DateField(null=True, blank=True)
    passage = models.ForeignKey(Passage, models.PROTECT, null=True, blank=True, related_name="+")
    created_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["metric_id", "-version"]
        constraints = [
            models.UniqueConstraint(fields=["metric", "version"], name="formula_version_once"),
            models.UniqueConstraint(fields=["metric"], condition=Q(valid_to__isnull=True), name="one_live_formula"),
        ]

    def __str__(self) -> str:
        return f"{self.metric_id} v{self.version}"


class BandScheme(models.Model):
    """A dated set of bands. It belongs to a plan or law and to one metric (so to one basis), maybe to one territory."""

    metric = models.ForeignKey(Metric, models.CASCADE, related_name="band_schemes")
    name = models.CharField("tên", max_length=200)
    scope = models.ForeignKey(Subject, models.PROTECT, null=True, blank=True, related_name="+")
    valid_from = models.DateField(null=True, blank=True)
    valid_to = models.DateField(null=True, blank=True)
    passage = models.ForeignKey(Passage, models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["metric", "scope"],
                condition=Q(valid_to__isnull=True),
                name="one_live_band_scheme",
                nulls_distinct=False,
            )
        ]

    def __str__(self) -> str:
        return self.name


class Band(models.Model):
    class Severity(models.TextChoices):
        GOOD = "good", "tốt"
        INFO = "info", "bình thường"
        WARNING = "warning", "cần chú ý"
        DANGER = "danger", "cần xử lý"

    scheme = models.ForeignKey(BandScheme, models.CASCADE, related_name="bands")
    order = models.PositiveSmallIntegerField()
    code = models.CharField(max_length=20)
    label = models.CharField(max_length=60)
    severity = models.CharField(max_length=8, choices=Severity)
    lower = models.DecimalField(max_digits=14, decimal_places=4, null=True, blank=True)
    lower_inclusive = models.BooleanField(default=True)
    upper = models.DecimalField(max_digits=14, decimal_places=4, null=True, blank=True)
    upper_inclusive = models.BooleanField(default=False)

    class Meta:
        ordering = ["scheme_id", "order"]
        constraints = [models.UniqueConstraint(fields=["scheme", "code"], name="band_code_in_scheme")]

    def __str__(self) -> str:
        return self.label


class EntryForm(models.Model):
    """A sheet that organisations fill in every period: its lines are measures, its rows the subjects they hold."""

    key = models.CharField(max_length=60, unique=True)
    name = models.CharField("tên biểu", max_length=200)
    period_kind = models.CharField(max_length=1, choices=PeriodKind)
    subject_kind = models.CharField(max_length=12, choices=Subject.Kind)
    field = models.CharField(max_length=10, default="ALL")
    due_day = models.PositiveSmallIntegerField("hạn nộp: ngày", null=True, blank=True)  # of the month after, inclusive
    lock_after_days = models.PositiveSmallIntegerField("khóa sau (ngày)", default=45)
    passage = models.ForeignKey(Passage, models.PROTECT, null=True, blank=True, related_name="+")
    metrics = models.ManyToManyField(Metric, through="EntryFormLine")
    organisations = models.ManyToManyField(Organisation, related_name="entry_forms")  # who fills it in

    def __str__(self) -> str:
        return self.name


class EntryFormLine(models.Model):
    form = models.ForeignKey(EntryForm, models.CASCADE, related_name="lines")
    metric = models.ForeignKey(Metric, models.PROTECT, related_name="+")
    order = models.PositiveSmallIntegerField(default=0)
    is_required = models.BooleanField(default=True)

    class Meta:
        ordering = ["form_id", "order"]
        constraints = [models.UniqueConstraint(fields=["form", "metric"], name="metric_once_in_form")]

    def __str__(self) -> str:
        return f"{self.form_id} {self.metric_id}"


class LateException(models.Model):
    """Leave for one organisation to enter a locked period until a day, given by a named person for a reason."""

    form = models.ForeignKey(EntryForm, models.CASCADE, related_name="late_exceptions")
    organisation = models.ForeignKey(Organisation, models.CASCADE, related_name="+")
    period_start = models.DateField()
    until_date = models.DateField("mở đến hết ngày")
    reason = models.CharField("lý do", max_length=300)
    granted_by = models.ForeignKey(Person, models.PROTECT, related_name="+")
    granted_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.form_id} {self.organisation_id} {self.period_start}"


class Submission(models.Model):
    """What one organisation says for one form and period: draft → submitted → returned or approved."""

    class Status(models.TextChoices):
        DRAFT = "DRAFT", "Đang nhập"
        SUBMITTED = "SUBMITTED", "Chờ duyệt"
        RETURNED = "RETURNED", "Bị trả lại"
        APPROVED = "APPROVED", "Đã duyệt"

    form = models.ForeignKey(EntryForm, models.PROTECT, related_name="submissions")
    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="submissions")
    period_start = models.DateField()
    status = models.CharField(max_length=10, choices=Status, default=Status.DRAFT)
    version = models.PositiveIntegerField(default=1)
    is_late = models.BooleanField(default=False)
    is_simulated = models.BooleanField("mô phỏng", default=False)
    created_by = models.ForeignKey(Person, models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    submitted_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    submitted_at = models.DateTimeField(null=True)
    decided_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    decided_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-period_start", "organisation_id"]
        constraints = [
            models.UniqueConstraint(fields=["form", "organisation", "period_start"], name="one_submission_a_period")
        ]

    def __str__(self) -> str:
        return f"«{self.form}» kỳ từ {self.period_start:%d/%m/%Y} của «{self.organisation}»"


class SubmissionLine(models.Model):
    submission = models.ForeignKey(Submission, models.CASCADE, related_name="lines")
    metric = models.ForeignKey(Metric, models.PROTECT, related_name="+")
    subject = models.ForeignKey(Subject, models.PROTECT, related_name="+")
    number = models.BigIntegerField(null=True, blank=True)
    is_estimated = models.BooleanField("ước tính", default=False)
    is_confirmed = models.BooleanField("đã xem lại cảnh báo", default=False)
    note = models.CharField("ghi chú", max_length=300, blank=True)
    import_batch = models.ForeignKey("ImportBatch", models.SET_NULL, null=True, blank=True, related_name="lines")
    import_cell = models.CharField(max_length=40, blank=True)  # «Số liệu!D7», empty once typed over

    class Meta:
        constraints = [models.UniqueConstraint(fields=["submission", "metric", "subject"], name="cell_once")]

    def __str__(self) -> str:
        return f"{self.submission_id} {self.metric_id} {self.subject_id}"


class SubmissionEvent(models.Model):
    """The history of a submission in sentences: saved, submitted, returned with a reason, approved, commented."""

    submission = models.ForeignKey(Submission, models.CASCADE, related_name="events")
    at = models.DateTimeField(default=timezone.now)
    person = models.ForeignKey(Person, models.PROTECT, related_name="+")
    what = models.CharField(max_length=20)
    text = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.submission_id} {self.what}"


class ImportBatch(models.Model):
    """One sheet taken into the drafts of one form and period, with what was there before, so that it can be undone."""

    class Mode(models.TextChoices):
        ALL = "ALL", "Tất cả hoặc không dòng nào"
        GOOD = "GOOD", "Chỉ các dòng hợp lệ"

    form = models.ForeignKey(EntryForm, models.PROTECT, related_name="imports")
    period_start = models.DateField()
    file = models.ForeignKey("core.StoredFile", models.PROTECT, related_name="+")
    file_name = models.CharField("tên tệp", max_length=200)  # as uploaded this time: the same bytes are kept once
    mode = models.CharField(max_length=4, choices=Mode, blank=True)
    uploaded_by = models.ForeignKey(Person, models.PROTECT, related_name="+")
    uploaded_at = models.DateTimeField()
    applied_at = models.DateTimeField(null=True)
    undone_at = models.DateTimeField(null=True)
    undone_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    received = models.PositiveIntegerField(default=0)  # rows: received = stored + skipped + rejected
    stored = models.PositiveIntegerField(default=0)
    skipped = models.PositiveIntegerField(default=0)
    rejected = models.PositiveIntegerField(default=0)
    previous_cells = models.JSONField(default=list)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(received=F("stored") + F("skipped") + F("rejected")), name="import_rows_add_up"
            ),
            models.CheckConstraint(
                condition=Q(undone_at__isnull=True) | Q(applied_at__isnull=False),
                name="only_an_applied_import_is_undone",
            ),
        ]

    def __str__(self) -> str:
        return self.file_name


class Fact(models.Model):
    """A number (or bound, or class) that somebody or a document states. Never edited: superseded, with a reason."""

    metric = models.ForeignKey(Metric, models.PROTECT, related_name="facts")
    subject = models.ForeignKey(Subject, models.PROTECT, related_name="facts")
    period_kind = models.CharField(max_length=1, choices=PeriodKind)
    period_start = models.DateField()
    scenario = models.CharField(max_length=1, choices=Scenario, default=Scenario.ACTUAL)
    number = models.BigIntegerField(null=True)
    low = models.BigIntegerField(null=True)
    low_open = models.BooleanField(default=False)
    high = models.BigIntegerField(null=True)
    high_open = models.BooleanField(default=False)
    stated_band = models.ForeignKey(Band, models.PROTECT, null=True, related_name="+")
    state = models.PositiveSmallIntegerField(choices=State)
    qualifier = models.CharField(max_length=60, blank=True)  # «khoảng», «ước thực hiện», as printed
    note = models.CharField(max_length=300, blank=True)
    passage = models.ForeignKey(Passage, models.PROTECT, null=True, related_name="+")
    submission = models.ForeignKey(Submission, models.PROTECT, null=True, related_name="facts")
    import_file = models.ForeignKey("core.StoredFile", models.PROTECT, null=True, related_name="+")
    import_cell = models.CharField(max_length=40, blank=True)  # «Trang tính 1!D7»
    recorded_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    recorded_at = models.DateTimeField(default=timezone.now)
    superseded_at = models.DateTimeField(null=True)
    superseded_by = models.ForeignKey("self", models.PROTECT, null=True, related_name="supersedes")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["metric", "subject", "period_kind", "period_start", "scenario"],
                condition=Q(superseded_at__isnull=True),
                name="one_live_fact",
            ),
            models.CheckConstraint(
                condition=Q(number__isnull=False)
                | Q(low__isnull=False)
                | Q(high__isnull=False)
                | Q(stated_band__isnull=False),
                name="a_fact_says_something",
            ),
            models.CheckConstraint(
                condition=Q(low__isnull=True) | Q(high__isnull=True) | Q(low__lte=F("high")), name="fact_bounds_ordered"
            ),
        ]
        indexes = [models.Index(fields=["subject", "metric"], name="fact_by_subject")]

    def __str__(self) -> str:
        return f"{self.metric_id} {self.subject_id} {self.period_kind}{self.period_start}"


class Value(models.Model):
    """The figure: (metric, subject, period, scenario) → number, bound or class, with state, coverage and version."""

    metric = models.ForeignKey(Metric, models.PROTECT, related_name="values", db_index=False)
    subject = models.ForeignKey(Subject, models.PROTECT, related_name="values", db_index=False)
    period_kind = models.CharField(max_length=1, choices=PeriodKind)
    period_start = models.DateField()
    scenario = models.CharField(max_length=1, choices=Scenario, default=Scenario.ACTUAL)
    number = models.BigIntegerField(null=True)
    low = models.BigIntegerField(null=True)
    low_open = models.BooleanField(default=False)
    high = models.BigIntegerField(null=True)
    high_open = models.BooleanField(default=False)
    band = models.ForeignKey(Band, models.PROTECT, null=True, related_name="+", db_index=False)
    state = models.PositiveSmallIntegerField(choices=State)
    numerator = models.BigIntegerField(null=True)
    denominator = models.BigIntegerField(null=True)
    parts_present = models.PositiveIntegerField(default=1)
    parts_total = models.PositiveIntegerField(default=1)
    formula = models.ForeignKey(FormulaVersion, models.PROTECT, null=True, related_name="+", db_index=False)
    fact = models.ForeignKey(Fact, models.PROTECT, null=True, related_name="values", db_index=False)
    version = models.PositiveIntegerField(default=1)
    computed_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["metric", "period_kind", "period_start", "scenario", "subject"], name="one_value"
            ),
        ]
        indexes = [
            models.Index(
                fields=["subject", "metric", "period_kind", "scenario", "period_start"], name="value_newest_of_subject"
            ),
            # The few figures that warn by themselves. No constants: SQLite could not tell that a query means these.
            models.Index(fields=["metric"], condition=Q(numerator__gt=F("denominator")), name="value_over_its_whole"),
            models.Index(fields=["metric"], condition=Q(number__isnull=True), name="value_without_number"),
            models.Index(
                fields=["metric"], condition=Q(parts_present__lt=F("parts_total")), name="value_of_some_parts"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.metric_id} {self.subject_id} {self.period_kind}{self.period_start} = {self.number}"


class ValueChange(models.Model):
    """What a value was before it changed, and why it changed. One row a replaced version."""

    value = models.ForeignKey(Value, models.CASCADE, related_name="changes")
    version = models.PositiveIntegerField()
    number = models.BigIntegerField(null=True)
    low = models.BigIntegerField(null=True)
    high = models.BigIntegerField(null=True)
    band = models.ForeignKey(Band, models.PROTECT, null=True, related_name="+")
    state = models.PositiveSmallIntegerField(choices=State)
    numerator = models.BigIntegerField(null=True)
    denominator = models.BigIntegerField(null=True)
    parts_present = models.PositiveIntegerField(default=1)
    parts_total = models.PositiveIntegerField(default=1)
    formula = models.ForeignKey(FormulaVersion, models.PROTECT, null=True, related_name="+")
    fact = models.ForeignKey(Fact, models.PROTECT, null=True, related_name="+")
    computed_at = models.DateTimeField()
    replaced_at = models.DateTimeField()
    reason = models.CharField(max_length=200)

    class Meta:
        ordering = ["value_id", "-version"]
        constraints = [models.UniqueConstraint(fields=["value", "version"], name="value_version_once")]

    def __str__(self) -> str:
        return f"{self.value_id} v{self.version}"


class DirtyRange(models.Model):
    """Late or changed facts: which figures must be computed again, and why."""

    metric = models.ForeignKey(Metric, models.CASCADE, related_name="+")
    subject = models.ForeignKey(Subject, models.CASCADE, null=True, related_name="+")  # empty: all of them
    period_kind = models.CharField(max_length=1, choices=PeriodKind)
    from_date = models.DateField()
    to_date = models.DateField()  # exclusive
    reason = models.CharField(max_length=200)
    marked_at = models.DateTimeField(default=timezone.now)
    can_wait = models.BooleanField(default=False)  # nobody stands before it: not computed in the answer to a person

    class Meta:
        indexes = [models.Index(fields=["id"], condition=models.Q(can_wait=False), name="dirty_range_not_waiting")]

    def __str__(self) -> str:
        return f"{self.metric_id} {self.subject_id} {self.from_date}"
