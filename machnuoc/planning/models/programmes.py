"""Criteria programmes (nông thôn mới): dated criteria sets, who meets what, roadmaps, dossiers."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from machnuoc.core.models import Document, Passage, Person, StoredFile
from machnuoc.indicators.models import Metric, Value
from machnuoc.places.models import Organisation, Subject
from machnuoc.planning.models.plans import Plan


class CriteriaSet(models.Model):
    """A set of criteria as dated data (xã NTM 2021–2025, xã NTM nâng cao, huyện NTM, the set of 2026–2030 …)."""

    class Level(models.TextChoices):
        COMMUNE = "COMMUNE", "Xã"
        DISTRICT = "DISTRICT", "Huyện"
        PROVINCE = "PROVINCE", "Tỉnh"

    class Tier(models.TextChoices):
        BASIC = "BASIC", "Nông thôn mới"
        ADVANCED = "ADVANCED", "Nông thôn mới nâng cao"
        MODEL = "MODEL", "Nông thôn mới kiểu mẫu"

    key = models.CharField(max_length=60, unique=True)
    name = models.CharField("tên", max_length=300)
    level = models.CharField(max_length=8, choices=Level)
    tier = models.CharField(max_length=8, choices=Tier)
    document = models.ForeignKey(Document, models.PROTECT, null=True, blank=True, related_name="+")
    document_as_printed = models.CharField("văn bản", max_length=200, blank=True)
    valid_from = models.DateField(null=True, blank=True)
    valid_to = models.DateField(null=True, blank=True)
    criteria_stated = models.PositiveSmallIntegerField(null=True, blank=True)  # as the document counts them
    sub_indicators_stated = models.PositiveSmallIntegerField(null=True, blank=True)
    confidence = models.CharField(max_length=10, default="verified")
    note = models.TextField("ghi chú", blank=True)

    class Meta:
        ordering = ["-valid_from", "level", "tier"]

    def __str__(self) -> str:
        return self.name


class Criterion(models.Model):
    criteria_set = models.ForeignKey(CriteriaSet, models.CASCADE, related_name="criteria")
    number = models.CharField("số", max_length=8)
    order = models.PositiveSmallIntegerField()
    name = models.CharField("tiêu chí", max_length=300)
    confidence = models.CharField(max_length=10, default="verified")
    passage = models.ForeignKey(Passage, models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        ordering = ["criteria_set_id", "order"]
        constraints = [models.UniqueConstraint(fields=["criteria_set", "number"], name="criterion_once_in_set")]

    def __str__(self) -> str:
        return f"Tiêu chí {self.number}. {self.name}"


class SubIndicator(models.Model):
    """A sub-indicator (chỉ tiêu 17.1). Bound to a metric where the system computes it; else people enter its parts."""

    class Entry(models.TextChoices):
        RATIO = "RATIO", "tử số và mẫu số"
        NUMBER = "NUMBER", "một con số"
        JUDGED = "JUDGED", "đạt hay chưa đạt"

    criterion = models.ForeignKey(Criterion, models.CASCADE, related_name="sub_indicators")
    number = models.CharField("số", max_length=8)
    order = models.PositiveSmallIntegerField()
    name = models.CharField("chỉ tiêu", max_length=500)
    unit = models.CharField("đơn vị", max_length=20, blank=True)
    entry = models.CharField(max_length=6, choices=Entry, default=Entry.JUDGED)
    numerator_label = models.CharField("tử số", max_length=200, blank=True)
    denominator_label = models.CharField("mẫu số", max_length=200, blank=True)
    metric = models.ForeignKey(Metric, models.PROTECT, null=True, blank=True, related_name="sub_indicators")
    confidence = models.CharField(max_length=10, default="verified")
    passage = models.ForeignKey(Passage, models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        ordering = ["criterion_id", "order"]
        constraints = [models.UniqueConstraint(fields=["criterion", "number"], name="sub_indicator_once")]

    def __str__(self) -> str:
        return f"Chỉ tiêu {self.number}. {self.name}"


class Threshold(models.Model):
    """What a sub-indicator requires, of a region, commune group or territory, in a span of years. None is in code."""

    sub_indicator = models.ForeignKey(SubIndicator, models.CASCADE, related_name="thresholds")
    region = models.CharField("vùng", max_length=12, blank=True)
    commune_group = models.PositiveSmallIntegerField("nhóm xã", null=True, blank=True)
    territory = models.ForeignKey(Subject, models.PROTECT, null=True, blank=True, related_name="+")
    valid_from = models.DateField(null=True, blank=True)
    valid_to = models.DateField(null=True, blank=True)
    comparator = models.CharField(max_length=4, default="GE")  # GE, GT, LE, LT, EQ as in Target.Comparator
    amount = models.DecimalField("mức", max_digits=14, decimal_places=4, null=True, blank=True)
    text = models.CharField("yêu cầu như in", max_length=300, blank=True)
    source = models.CharField("nguồn", max_length=200, blank=True)  # where no passage that we hold says it
    confidence = models.CharField(max_length=10, default="verified")
    passage = models.ForeignKey(Passage, models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        ordering = ["sub_indicator_id", "-valid_from", "id"]
        constraints = [
            models.CheckConstraint(condition=Q(amount__isnull=False) | ~Q(text=""), name="a_threshold_says_something")
        ]

    def __str__(self) -> str:
        return self.text or f"{self.comparator} {self.amount}"


class UnitProfile(models.Model):
    """What a commune is for the thresholds: region and, from 2026, commune group."""

    subject = models.ForeignKey(Subject, models.CASCADE, related_name="criteria_profiles")
    region = models.CharField("vùng", max_length=12, blank=True)
    commune_group = models.PositiveSmallIntegerField("nhóm xã", null=True, blank=True)
    valid_from = models.DateField(null=True, blank=True)
    valid_to = models.DateField(null=True, blank=True)
    confidence = models.CharField(max_length=10, default="verified")

    def __str__(self) -> str:
        return f"{self.subject_id} {self.region}"


class Programme(models.Model):
    """A plan that follows places against criteria: its sets, its calendar of recognition, its frozen roadmap."""

    plan = models.OneToOneField(Plan, models.CASCADE, primary_key=True, related_name="programme")
    sets = models.ManyToManyField(CriteriaSet, related_name="programmes")
    units = models.ManyToManyField(Subject, related_name="programmes")  # communes and districts followed
    roadmap_version = models.PositiveSmallIntegerField(default=1)
    roadmap_frozen_on = models.DateField(null=True, blank=True)
    roadmap_frozen_text = models.CharField(max_length=300, blank=True)  # «Không tiếp tục đề nghị điều chỉnh lộ trình»
    passage = models.ForeignKey(Passage, models.PROTECT, null=True, blank=True, related_name="+")

    def __str__(self) -> str:
        return self.plan.short_name


class Responsibility(models.Model):
    """Which agency follows and appraises which criterion or sub-indicator (appendix 06 of seed 004)."""

    programme = models.ForeignKey(Programme, models.CASCADE, related_name="responsibilities")
    order = models.PositiveSmallIntegerField(default=0)
    agency_as_printed = models.CharField("cơ quan như in", max_length=200)
    organisation = models.ForeignKey(Organisation, models.PROTECT, null=True, blank=True, related_name="+")
    criterion = models.ForeignKey(Criterion, models.CASCADE, null=True, blank=True, related_name="responsibilities")
    sub_indicator = models.ForeignKey(
        SubIndicator, models.CASCADE, null=True, blank=True, related_name="responsibilities"
    )
    text = models.CharField("như in", max_length=300)
    valid_from = models.DateField(null=True, blank=True)
    valid_to = models.DateField(null=True, blank=True)
    passage = models.ForeignKey(Passage, models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        ordering = ["programme_id", "order", "id"]

    def __str__(self) -> str:
        return f"{self.agency_as_printed}: {self.text}"


class CriterionGoal(models.Model):
    """Which share of the places is to meet a criterion by the end of a year (appendix 01 of seed 004)."""

    programme = models.ForeignKey(Programme, models.CASCADE, related_name="goals")
    criterion = models.ForeignKey(Criterion, models.CASCADE, related_name="goals")
    year = models.PositiveSmallIntegerField("đến hết năm")
    share_pct = models.DecimalField("tỷ lệ phải đạt", max_digits=5, decimal_places=2)
    as_printed = models.CharField("như in", max_length=120, blank=True)
    passage = models.ForeignKey(Passage, models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        ordering = ["programme_id", "criterion_id", "year", "id"]
        constraints = [
            # One criterion may stand in several lines of the table, with different shares: each is kept as printed.
            models.UniqueConstraint(fields=["programme", "criterion", "year", "as_printed"], name="goal_printed_once")
        ]

    def __str__(self) -> str:
        return f"{self.criterion_id} {self.year}: {self.share_pct} %"


class Assessment(models.Model):
    """One place against one sub-indicator (or a whole criterion) in one year, and what is done about it."""

    class Result(models.TextChoices):
        MET = "MET", "Đạt"
        NOT_MET = "NOT_MET", "Chưa đạt"
        NOT_ASSESSED = "NOT_ASSESSED", "Chưa đánh giá"
        NOT_APPLICABLE = "NOT_APPLICABLE", "Không áp dụng"

    programme = models.ForeignKey(Programme, models.CASCADE, related_name="assessments")
    unit = models.ForeignKey(Subject, models.PROTECT, related_name="assessments")
    criterion = models.ForeignKey(Criterion, models.PROTECT, related_name="assessments")
    sub_indicator = models.ForeignKey(
        SubIndicator, models.PROTECT, null=True, blank=True, related_name="assessments"
    )  # empty: the criterion as a whole
    year = models.PositiveSmallIntegerField("năm")
    numerator = models.DecimalField("tử số", max_digits=16, decimal_places=4, null=True, blank=True)
    denominator = models.DecimalField("mẫu số", max_digits=16, decimal_places=4, null=True, blank=True)
    measured = models.DecimalField("hiện trạng", max_digits=16, decimal_places=4, null=True, blank=True)
    measured_as_printed = models.CharField("hiện trạng như in", max_length=600, blank=True)
    value = models.ForeignKey(
        Value, models.SET_NULL, null=True, blank=True, related_name="+"
    )  # where bound to a metric
    required_comparator = models.CharField(max_length=4, default="GE")
    required = models.DecimalField("yêu cầu", max_digits=16, decimal_places=4, null=True, blank=True)
    required_as_printed = models.CharField("yêu cầu như in", max_length=300, blank=True)
    result = models.CharField("kết quả", max_length=14, choices=Result, default=Result.NOT_ASSESSED)
    agency_as_printed = models.CharField("cơ quan phụ trách như in", max_length=300, blank=True)
    agency = models.ForeignKey(Organisation, models.PROTECT, null=True, blank=True, related_name="+")
    solution = models.TextField("giải pháp", blank=True)
    target_quarter_start = models.DateField("dự kiến đạt", null=True, blank=True)
    target_as_printed = models.CharField(max_length=60, blank=True)
    objective_cause = models.TextField("nguyên nhân khách quan", blank=True)
    files = models.ManyToManyField(StoredFile, related_name="+")
    passage = models.ForeignKey(Passage, models.PROTECT, null=True, blank=True, related_name="+")
    assessed_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    assessed_at = models.DateTimeField(null=True)
    version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["unit_id", "criterion_id", "sub_indicator_id"]
        constraints = [
            models.UniqueConstraint(
                fields=["programme", "unit", "criterion", "sub_indicator", "year"],
                name="one_assessment_a_year",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                condition=Q(denominator__isnull=True) | Q(denominator__gt=0), name="assessment_divides_by_something"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.unit_id} {self.criterion_id} {self.year}"


class AssessmentChange(models.Model):
    assessment = models.ForeignKey(Assessment, models.CASCADE, related_name="changes")
    before = models.JSONField()
    by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    at = models.DateTimeField(default=timezone.now)
    reason = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.assessment_id} {self.at}"


class StatedPosition(models.Model):
    """What a document says of a place as a whole: «NTM đạt 14/19 tiêu chí, 05 tiêu chí chưa đạt gồm …»."""

    programme = models.ForeignKey(Programme, models.CASCADE, related_name="positions")
    unit = models.ForeignKey(Subject, models.PROTECT, related_name="+")
    criteria_set = models.ForeignKey(CriteriaSet, models.PROTECT, related_name="+")
    year = models.PositiveSmallIntegerField()
    met_count = models.PositiveSmallIntegerField(null=True)
    criteria_count = models.PositiveSmallIntegerField(null=True)
    not_met_as_printed = models.CharField(max_length=200, blank=True)
    text = models.CharField("như in", max_length=600)
    passage = models.ForeignKey(Passage, models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["programme", "unit", "criteria_set", "year"], name="one_position_a_year")
        ]

    def __str__(self) -> str:
        return self.text


class RoadmapEntry(models.Model):
    """The year in which a place is to be (or was) recognised at a tier."""

    programme = models.ForeignKey(Programme, models.CASCADE, related_name="roadmap")
    unit = models.ForeignKey(Subject, models.PROTECT, null=True, related_name="roadmap_entries")
    name_as_printed = models.CharField(max_length=200)
    district_as_printed = models.CharField(max_length=120, blank=True)
    level = models.CharField(max_length=8, choices=CriteriaSet.Level)
    tier = models.CharField(max_length=8, choices=CriteriaSet.Tier)
    year = models.PositiveSmallIntegerField()
    is_recognised = models.BooleanField("đã công nhận", default=False)  # as the document tells it: years before it
    recognised_by = models.CharField("quyết định công nhận", max_length=200, blank=True)
    passage = models.ForeignKey(Passage, models.PROTECT, null=True, blank=True, related_name="+")
    version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["programme_id", "tier", "year", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["programme", "level", "tier", "name_as_printed", "district_as_printed"],
                name="place_once_in_roadmap",
            )
        ]

    def __str__(self) -> str:
        return f"{self.name_as_printed} {self.year}"


class RoadmapChange(models.Model):
    """A change of the roadmap. After the freeze only with a named decision; always with a reason."""

    entry = models.ForeignKey(RoadmapEntry, models.CASCADE, related_name="changes")
    from_year = models.PositiveSmallIntegerField()
    to_year = models.PositiveSmallIntegerField()
    after_freeze = models.BooleanField(default=False)
    decision = models.CharField("văn bản cho phép", max_length=200, blank=True)
    reason = models.CharField("lý do", max_length=300)
    by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(after_freeze=False) | ~Q(decision=""), name="a_frozen_roadmap_needs_a_decision"
            )
        ]

    def __str__(self) -> str:
        return f"{self.from_year} → {self.to_year}"


class RoadmapTotal(models.Model):
    """What the document prints for a year: count, cumulative count, share. Shown beside what its rows add up to."""

    programme = models.ForeignKey(Programme, models.CASCADE, related_name="roadmap_totals")
    level = models.CharField(max_length=8, choices=CriteriaSet.Level)
    tier = models.CharField(max_length=8, choices=CriteriaSet.Tier)
    year = models.PositiveSmallIntegerField(null=True)  # empty: the total line
    count = models.PositiveSmallIntegerField(null=True)
    cumulative = models.PositiveSmallIntegerField(null=True)
    share_as_printed = models.CharField(max_length=20, blank=True)
    passage = models.ForeignKey(Passage, models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        ordering = ["programme_id", "level", "tier", "year"]
        constraints = [
            models.UniqueConstraint(
                fields=["programme", "level", "tier", "year"], name="one_roadmap_total_a_year", nulls_distinct=False
            )
        ]

    def __str__(self) -> str:
        return f"{self.tier} {self.year}"


class Dossier(models.Model):
    """The recognition of one place at one tier: commune report, district dossier, appraisal, decision."""

    class Step(models.TextChoices):
        PREPARING = "PREPARING", "Xã đang hoàn tất báo cáo"
        DISTRICT = "DISTRICT", "Đã gửi cấp trên hoàn tất hồ sơ"
        PROVINCE = "PROVINCE", "Đã trình tỉnh"
        APPRAISED = "APPRAISED", "Hội đồng đã thẩm định"
        RECOGNISED = "RECOGNISED", "Đã có quyết định công nhận"
        RETURNED = "RETURNED", "Trả lại để bổ sung"

    programme = models.ForeignKey(Programme, models.CASCADE, related_name="dossiers")
    unit = models.ForeignKey(Subject, models.PROTECT, related_name="dossiers")
    tier = models.CharField(max_length=8, choices=CriteriaSet.Tier)
    year = models.PositiveSmallIntegerField()
    step = models.CharField(max_length=10, choices=Step, default=Step.PREPARING)
    decision = models.CharField("quyết định", max_length=200, blank=True)
    decided_on = models.DateField("ngày quyết định", null=True, blank=True)
    version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["-year", "unit_id"]
        constraints = [models.UniqueConstraint(fields=["programme", "unit", "tier", "year"], name="one_dossier_a_year")]

    def __str__(self) -> str:
        return f"{self.unit_id} {self.tier} {self.year}"


class RecognitionDeadline(models.Model):
    """The day of the year by which a step of every dossier must be done, with its edge as printed."""

    programme = models.ForeignKey(Programme, models.CASCADE, related_name="deadlines")
    step = models.CharField(max_length=10, choices=Dossier.Step)  # the step that is reached by doing it
    opens_month = models.PositiveSmallIntegerField(
        null=True, blank=True
    )  # «trong tháng 11, 12»: from day 1 of month 11
    month = models.PositiveSmallIntegerField("tháng")
    day = models.PositiveSmallIntegerField("ngày", null=True, blank=True)  # empty: the last day of the month
    is_exclusive = models.BooleanField("trước ngày", default=False)  # «trước ngày 25/9» ends with the 24th
    as_printed = models.CharField("như in", max_length=200)
    passage = models.ForeignKey(Passage, models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        ordering = ["programme_id", "month", "day"]
        constraints = [
            models.UniqueConstraint(fields=["programme", "step"], name="one_deadline_a_step"),
            models.CheckConstraint(
                condition=Q(month__range=(1, 12)) & (Q(day__isnull=True) | Q(day__range=(1, 31))),
                name="deadline_is_a_day_of_the_year",
            ),
        ]

    def __str__(self) -> str:
        return self.as_printed


class DossierEvent(models.Model):
    dossier = models.ForeignKey(Dossier, models.CASCADE, related_name="events")
    step = models.CharField(max_length=10, choices=Dossier.Step)
    on_date = models.DateField("ngày")
    due_on = models.DateField("hạn", null=True)  # the last day that still counted
    text = models.CharField("ghi chú", max_length=500, blank=True)
    files = models.ManyToManyField(StoredFile, related_name="+")
    by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.dossier_id} {self.step}"


class Discrepancy(models.Model):
    """Two places of one document that say different things of the same. Both are shown; neither is chosen."""

    plan = models.ForeignKey(Plan, models.CASCADE, related_name="discrepancies")
    about = models.CharField("về", max_length=300)
    first = models.CharField(max_length=300)
    first_passage = models.ForeignKey(Passage, models.PROTECT, null=True, blank=True, related_name="+")
    second = models.CharField(max_length=300)
    second_passage = models.ForeignKey(Passage, models.PROTECT, null=True, blank=True, related_name="+")
    note = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["plan_id", "id"]
        constraints = [models.UniqueConstraint(fields=["plan", "about"], name="discrepancy_once")]

    def __str__(self) -> str:
        return self.about


class UnreadRow(models.Model):
    """A row of a document that could not be read with certainty. It is left out of everything and listed here."""

    plan = models.ForeignKey(Plan, models.CASCADE, related_name="unread_rows")
    order = models.PositiveIntegerField(default=0)
    section = models.CharField("mục", max_length=120)
    text = models.TextField("như trong bản quét")
    reason = models.CharField("vì sao không đọc được", max_length=300)

    class Meta:
        ordering = ["plan_id", "order", "id"]

    def __str__(self) -> str:
        return self.reason
