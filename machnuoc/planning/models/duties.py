"""Report duties: who owes what to whom by when, and each time it falls due."""

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from machnuoc.core.models import Passage, Person
from machnuoc.indicators.models import PeriodKind
from machnuoc.places.models import Organisation, Subject
from machnuoc.planning.models.plans import Plan


class Duty(models.Model):
    """A duty to report (or to hand in, hold, appraise): a rule of dates with its edge as printed."""

    class Timing(models.TextChoices):
        RECURRING = "RECURRING", "Định kỳ"
        ONCE = "ONCE", "Một lần"
        AD_HOC = "AD_HOC", "Đột xuất"
        CONTINUOUS = "CONTINUOUS", "Không ghi thời hạn"

    class Edge(models.TextChoices):
        INCLUSIVE = "INCLUSIVE", "chậm nhất ngày (tính cả ngày đó)"
        EXCLUSIVE = "EXCLUSIVE", "trước ngày (không tính ngày đó)"
        WITHIN = "WITHIN", "trong tháng (đến hết tháng)"

    class Shift(models.TextChoices):
        NONE = "NONE", "không dời"
        BEFORE = "BEFORE", "dời về ngày làm việc trước đó"
        AFTER = "AFTER", "dời sang ngày làm việc kế tiếp"

    class Covers(models.TextChoices):
        """Which period the report is about, counted from the day it is due."""

        SAME = "SAME", "kỳ có ngày đến hạn"
        PREVIOUS = "PREVIOUS", "kỳ liền trước"
        NONE = "NONE", "không theo kỳ"

    key = models.CharField(max_length=80, unique=True)
    plan = models.ForeignKey(Plan, models.CASCADE, null=True, blank=True, related_name="duties")
    order = models.PositiveIntegerField(default=0)
    name = models.CharField("tên", max_length=300)
    subject = models.ForeignKey(Subject, models.PROTECT, related_name="+")  # the territory; decides who may read it
    to_organisation = models.ForeignKey(Organisation, models.PROTECT, null=True, blank=True, related_name="+")
    to_as_printed = models.CharField("gửi đến như in", max_length=300, blank=True)
    from_as_printed = models.CharField("đơn vị báo cáo như in", max_length=300, blank=True)
    timing = models.CharField("loại", max_length=10, choices=Timing, default=Timing.RECURRING)
    rule = models.CharField("quy tắc (RFC 5545)", max_length=200, blank=True)  # «FREQ=MONTHLY;BYMONTHDAY=14»
    starts_on = models.DateField("áp dụng từ", null=True, blank=True)
    ends_on = models.DateField("áp dụng đến hết", null=True, blank=True)
    edge = models.CharField("mốc", max_length=9, choices=Edge, default=Edge.INCLUSIVE)
    edge_as_printed = models.CharField("mốc như in", max_length=200, blank=True)
    shift = models.CharField("khi trùng ngày nghỉ", max_length=6, choices=Shift, default=Shift.NONE)
    grace_days = models.PositiveSmallIntegerField("số ngày châm chước", default=0)
    covers = models.CharField("kỳ báo cáo", max_length=8, choices=Covers, default=Covers.SAME)
    period_kind = models.CharField(max_length=1, choices=PeriodKind, blank=True)
    opens_days_before = models.PositiveSmallIntegerField("mở trước hạn (ngày)", default=14)
    channel = models.CharField("hình thức gửi", max_length=120, blank=True)
    report_kind = models.CharField("mẫu báo cáo", max_length=60, blank=True)  # key of a kind in the reports room
    passage = models.ForeignKey(Passage, models.PROTECT, null=True, blank=True, related_name="+")
    is_active = models.BooleanField(default=True)
    note = models.TextField("ghi chú", blank=True)
    version = models.PositiveIntegerField(default=1)

    class Meta:
        verbose_name = "nghĩa vụ báo cáo"
        ordering = ["plan_id", "order", "id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(timing__in=["AD_HOC", "CONTINUOUS"]) | ~Q(rule=""), name="a_dated_duty_has_a_rule"
            )
        ]

    def __str__(self) -> str:
        return self.name


class DutyUnit(models.Model):
    """An organisation that owes the report, from when to when."""

    duty = models.ForeignKey(Duty, models.CASCADE, related_name="units")
    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="duties")
    valid_from = models.DateField(null=True, blank=True)
    valid_to = models.DateField(null=True, blank=True)  # exclusive

    class Meta:
        constraints = [models.UniqueConstraint(fields=["duty", "organisation"], name="unit_once_in_duty")]

    def __str__(self) -> str:
        return f"{self.duty_id} {self.organisation_id}"


class DutyInstance(models.Model):
    """One time that one organisation owes the report. Its state follows from the dates, so it is not stored."""

    duty = models.ForeignKey(Duty, models.CASCADE, related_name="instances")
    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="duty_instances")
    rule_date = models.DateField("ngày theo quy tắc")  # what the rule says («trước ngày 15/11» → 15/11)
    last_day = models.DateField("ngày cuối còn đúng hạn")  # after the edge and the working-day shift
    grace_until = models.DateField("còn coi là đúng hạn đến hết")  # the last day, and the days of grace after it
    opens_on = models.DateField("mở từ ngày")
    period_kind = models.CharField(max_length=1, choices=PeriodKind, blank=True)
    period_start = models.DateField(null=True, blank=True)
    reason = models.CharField("lý do (đột xuất)", max_length=300, blank=True)
    submitted_on = models.DateField("đã gửi ngày", null=True, blank=True)
    submitted_by = models.ForeignKey(Person, models.PROTECT, null=True, blank=True, related_name="+")
    submitted_note = models.CharField("văn bản, cách gửi", max_length=300, blank=True)
    waived_by = models.ForeignKey(Person, models.PROTECT, null=True, blank=True, related_name="+")
    waived_reason = models.CharField("lý do miễn", max_length=300, blank=True)

    class Meta:
        ordering = ["last_day", "duty_id", "organisation_id"]
        constraints = [
            models.UniqueConstraint(fields=["duty", "organisation", "rule_date"], name="one_instance_a_date"),
            models.CheckConstraint(
                condition=Q(waived_by__isnull=True) | ~Q(waived_reason=""), name="a_waiver_has_a_reason"
            ),
            models.CheckConstraint(condition=Q(grace_until__gte=F("last_day")), name="grace_follows_the_last_day"),
        ]
        indexes = [models.Index(fields=["organisation", "last_day"], name="instance_by_unit_and_day")]

    def __str__(self) -> str:
        return f"{self.duty_id} {self.organisation_id} {self.rule_date}"


class DutyEvent(models.Model):
    """What happened to an instance: asked for, sent, taken back, waived; with the words of who did it."""

    class Kind(models.TextChoices):
        ASKED = "ASKED", "yêu cầu đột xuất"
        SUBMITTED = "SUBMITTED", "ghi nhận đã gửi"
        REOPENED = "REOPENED", "mở lại"
        WAIVED = "WAIVED", "miễn"

    instance = models.ForeignKey(DutyInstance, models.CASCADE, related_name="events")
    kind = models.CharField(max_length=10, choices=Kind)
    on_date = models.DateField(null=True, blank=True)  # SUBMITTED: the day of sending
    text = models.CharField(max_length=300)
    person = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["instance_id", "-id"]

    def __str__(self) -> str:
        return f"{self.instance_id} {self.kind}"


class DutyReminder(models.Model):
    """A reminder or escalation that was sent, so that each is sent once."""

    instance = models.ForeignKey(DutyInstance, models.CASCADE, related_name="reminders")
    stage = models.CharField(max_length=20)  # OPENED, D7, D3, D1, DUE, LATE1, LATE7 …
    sent_at = models.DateTimeField(default=timezone.now)
    count = models.PositiveSmallIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["instance", "stage"], name="one_reminder_a_stage")]

    def __str__(self) -> str:
        return f"{self.instance_id} {self.stage}"


class FeedToken(models.Model):
    """The secret address of a person's iCalendar feed. Only its hash is kept."""

    person = models.OneToOneField(Person, models.CASCADE, related_name="calendar_feed")
    token_hash = models.CharField(max_length=64, unique=True)
    made_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.person_id}"
