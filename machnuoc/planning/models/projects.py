"""Projects and their money, funds of programmes, works that change hands. Money is whole đồng."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from machnuoc.core.models import Passage, Person, StoredFile
from machnuoc.places.models import Organisation, Subject
from machnuoc.planning.models.plans import Plan
from machnuoc.works.models import Work


class Project(models.Model):
    """An investment project: owner, total, when, for whom. It is a subject, so that figures can be about it."""

    class Status(models.TextChoices):
        PREPARING = "PREPARING", "Chuẩn bị đầu tư"
        BUILDING = "BUILDING", "Đang thi công"
        FINISHED = "FINISHED", "Đã hoàn thành"
        SETTLED = "SETTLED", "Đã quyết toán"
        STOPPED = "STOPPED", "Dừng"
        UNKNOWN = "UNKNOWN", "Văn bản không ghi"

    subject = models.OneToOneField(Subject, models.CASCADE, primary_key=True, related_name="project")
    plan = models.ForeignKey(Plan, models.PROTECT, null=True, blank=True, related_name="projects")
    number = models.CharField("TT", max_length=8, blank=True)
    owner = models.ForeignKey(Organisation, models.PROTECT, null=True, blank=True, related_name="owned_projects")
    owner_as_printed = models.CharField("chủ đầu tư", max_length=200, blank=True)
    contractor = models.CharField("nhà thầu", max_length=200, blank=True)
    total_vnd = models.BigIntegerField("tổng mức (đồng)", null=True, blank=True)
    total_as_printed = models.CharField("tổng mức như in", max_length=60, blank=True)  # «0.169» tỷ đồng
    completion_as_printed = models.CharField("thời gian hoàn thành như in", max_length=120, blank=True)
    starts_on = models.DateField("khởi công", null=True, blank=True)
    due_on = models.DateField("phải hoàn thành", null=True, blank=True)  # the last day that still counts
    finished_on = models.DateField("hoàn thành", null=True, blank=True)
    outcome = models.TextField("hiệu quả dự kiến", blank=True)
    people_expected = models.PositiveIntegerField("số người dự kiến được cấp nước", null=True, blank=True)
    people_reached = models.PositiveIntegerField("số người đã được cấp nước", null=True, blank=True)
    work = models.ForeignKey(Work, models.SET_NULL, null=True, blank=True, related_name="projects")
    status = models.CharField("tình trạng", max_length=9, choices=Status, default=Status.UNKNOWN)
    note = models.TextField("ghi chú", blank=True)
    passage = models.ForeignKey(Passage, models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        verbose_name = "dự án"
        ordering = ["plan_id", "number"]
        constraints = [
            models.CheckConstraint(condition=Q(total_vnd__isnull=True) | Q(total_vnd__gte=0), name="total_not_negative")
        ]

    def __str__(self) -> str:
        return self.subject.name


class FundingSource(models.Model):
    """Where the money comes from; the amount where the document gives one."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="sources")
    order = models.PositiveSmallIntegerField(default=0)
    name = models.CharField("nguồn vốn", max_length=300)
    amount_vnd = models.BigIntegerField("số tiền (đồng)", null=True, blank=True)

    class Meta:
        ordering = ["project_id", "order"]

    def __str__(self) -> str:
        return self.name


class YearlyPlan(models.Model):
    """The capital planned for a year, and what was carried over into it with the last lawful day to spend it."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="yearly_plans")
    year = models.PositiveSmallIntegerField("năm")
    amount_vnd = models.BigIntegerField("kế hoạch vốn (đồng)")
    carried_over_vnd = models.BigIntegerField("vốn kéo dài từ năm trước (đồng)", default=0)
    carry_over_until = models.DateField("vốn kéo dài giải ngân đến hết", null=True, blank=True)
    document_as_printed = models.CharField("văn bản giao, cho phép", max_length=200, blank=True)
    made_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    made_at = models.DateTimeField(default=timezone.now)
    is_simulated = models.BooleanField("mô phỏng", default=False)

    class Meta:
        ordering = ["project_id", "year"]
        constraints = [
            models.UniqueConstraint(fields=["project", "year"], name="one_capital_plan_a_year"),
            models.CheckConstraint(
                condition=Q(amount_vnd__gte=0) & Q(carried_over_vnd__gte=0), name="planned_capital_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.project_id} {self.year}"


class Disbursement(models.Model):
    """Money paid out. Never edited: a wrong entry is reversed by its negative, with the reason."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="disbursements")
    on_date = models.DateField("ngày")
    amount_vnd = models.BigIntegerField("số tiền (đồng)")
    source = models.ForeignKey(FundingSource, models.PROTECT, null=True, blank=True, related_name="disbursements")
    from_carry_over = models.BooleanField("từ vốn kéo dài", default=False)
    voucher = models.CharField("chứng từ", max_length=120, blank=True)
    note = models.CharField("ghi chú", max_length=300, blank=True)
    reverses = models.OneToOneField("self", models.PROTECT, null=True, blank=True, related_name="reversed_by")
    recorded_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    recorded_at = models.DateTimeField(default=timezone.now)
    is_simulated = models.BooleanField("mô phỏng", default=False)

    class Meta:
        ordering = ["project_id", "on_date", "id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(amount_vnd__gt=0, reverses__isnull=True) | Q(amount_vnd__lt=0, reverses__isnull=False),
                name="only_a_reversal_is_negative",
            )
        ]

    def __str__(self) -> str:
        return f"{self.project_id} {self.on_date} {self.amount_vnd}"


class AcceptedVolume(models.Model):
    """The value of work accepted (khối lượng nghiệm thu). What is accepted and not paid is a debt."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="accepted_volumes")
    on_date = models.DateField("ngày")
    amount_vnd = models.BigIntegerField("giá trị nghiệm thu (đồng)")
    note = models.CharField("ghi chú", max_length=300, blank=True)
    reverses = models.OneToOneField("self", models.PROTECT, null=True, blank=True, related_name="reversed_by")
    recorded_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    recorded_at = models.DateTimeField(default=timezone.now)
    is_simulated = models.BooleanField("mô phỏng", default=False)

    class Meta:
        ordering = ["project_id", "on_date", "id"]

    def __str__(self) -> str:
        return f"{self.project_id} {self.on_date}"


class Milestone(models.Model):
    project = models.ForeignKey(Project, models.CASCADE, related_name="milestones")
    order = models.PositiveSmallIntegerField(default=0)
    name = models.CharField("mốc", max_length=200)
    planned_on = models.DateField("kế hoạch", null=True, blank=True)
    reached_on = models.DateField("thực tế", null=True, blank=True)
    note = models.CharField("ghi chú", max_length=300, blank=True)

    class Meta:
        ordering = ["project_id", "order", "id"]

    def __str__(self) -> str:
        return self.name


class Obstacle(models.Model):
    """What holds a project up, who must clear it, by when (khó khăn, vướng mắc)."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="obstacles")
    text = models.TextField("vướng mắc")
    owner = models.ForeignKey(Organisation, models.PROTECT, null=True, blank=True, related_name="+")
    raised_on = models.DateField("nêu ngày")
    due_on = models.DateField("phải gỡ trước hết ngày", null=True, blank=True)
    resolved_on = models.DateField("đã gỡ ngày", null=True, blank=True)
    resolution = models.TextField("cách gỡ", blank=True)
    raised_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")

    class Meta:
        ordering = ["project_id", "-raised_on", "-id"]

    def __str__(self) -> str:
        return self.text


class ProgrammeFund(models.Model):
    """Money of a programme as a whole, by kind and year, as the plan states it (seed 004 V)."""

    plan = models.ForeignKey(Plan, models.CASCADE, related_name="funds")
    order = models.PositiveSmallIntegerField(default=0)
    name = models.CharField("khoản", max_length=200)
    kind = models.CharField("loại vốn", max_length=60, blank=True)
    year = models.PositiveSmallIntegerField(null=True, blank=True)  # empty: the whole period
    amount_vnd = models.BigIntegerField("số tiền (đồng)")
    amount_as_printed = models.CharField(max_length=60)
    qualifier = models.CharField("chữ kèm theo", max_length=60, blank=True)  # «bình quân mỗi năm»
    passage = models.ForeignKey(Passage, models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        ordering = ["plan_id", "order"]
        constraints = [models.UniqueConstraint(fields=["plan", "order"], name="fund_order_in_plan")]

    def __str__(self) -> str:
        return self.name


class Handover(models.Model):
    """A work passes to another operator: request → inventory → condition → papers → decision → effective day."""

    class Step(models.TextChoices):
        REQUESTED = "REQUESTED", "Có đề nghị bàn giao"
        INVENTORIED = "INVENTORIED", "Đã kiểm kê tài sản"
        SCORED = "SCORED", "Đã đánh giá hiện trạng"
        PAPERS = "PAPERS", "Đã rà soát hồ sơ"
        DECIDED = "DECIDED", "Đã có quyết định"
        EFFECTIVE = "EFFECTIVE", "Đã tiếp nhận"
        STOPPED = "STOPPED", "Không tiếp nhận"

    plan = models.ForeignKey(Plan, models.SET_NULL, null=True, blank=True, related_name="handovers")
    name = models.CharField("công trình", max_length=300)
    work = models.ForeignKey(Work, models.SET_NULL, null=True, blank=True, related_name="handovers")
    subject = models.ForeignKey(Subject, models.PROTECT, related_name="+")  # where it lies; decides who may read it
    giver = models.ForeignKey(Organisation, models.PROTECT, null=True, blank=True, related_name="+")
    giver_as_printed = models.CharField("bên giao", max_length=200, blank=True)
    receiver = models.ForeignKey(Organisation, models.PROTECT, related_name="+")
    step = models.CharField("bước", max_length=11, choices=Step, default=Step.REQUESTED)
    request_as_printed = models.CharField("văn bản đề nghị", max_length=200, blank=True)
    requested_on = models.DateField("ngày đề nghị", null=True, blank=True)
    inventoried_on = models.DateField("ngày kiểm kê", null=True, blank=True)
    scored_on = models.DateField("ngày đánh giá", null=True, blank=True)
    papers_checked_on = models.DateField("ngày rà soát hồ sơ", null=True, blank=True)
    decision_as_printed = models.CharField("quyết định giao", max_length=200, blank=True)
    decided_on = models.DateField("ngày quyết định", null=True, blank=True)
    effective_on = models.DateField("ngày tiếp nhận", null=True, blank=True)
    opening_households = models.PositiveIntegerField("số hộ khi tiếp nhận", null=True, blank=True)
    opening_meter_m3 = models.DecimalField(
        "chỉ số đồng hồ tổng khi tiếp nhận (m³)", max_digits=14, decimal_places=3, null=True, blank=True
    )
    opening_debt_vnd = models.BigIntegerField("công nợ chuyển sang (đồng)", null=True, blank=True)
    note = models.TextField("ghi chú", blank=True)
    passage = models.ForeignKey(Passage, models.PROTECT, null=True, blank=True, related_name="+")
    version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["-requested_on", "-id"]

    def __str__(self) -> str:
        return self.name


class HandoverItem(models.Model):
    """A line of the inventory with its condition from 1 (hỏng) to 5 (tốt)."""

    handover = models.ForeignKey(Handover, models.CASCADE, related_name="items")
    order = models.PositiveSmallIntegerField(default=0)
    name = models.CharField("tài sản", max_length=200)
    unit = models.CharField("đơn vị", max_length=20, blank=True)
    quantity = models.DecimalField("số lượng", max_digits=12, decimal_places=2, null=True, blank=True)
    condition = models.PositiveSmallIntegerField("tình trạng (1–5)", null=True, blank=True)
    weight = models.PositiveSmallIntegerField("trọng số", default=1)
    note = models.CharField("ghi chú", max_length=300, blank=True)

    class Meta:
        ordering = ["handover_id", "order", "id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(condition__isnull=True) | Q(condition__gte=1, condition__lte=5), name="condition_1_to_5"
            )
        ]

    def __str__(self) -> str:
        return self.name


class HandoverPaper(models.Model):
    """A paper that the giver owes: there, or missing."""

    handover = models.ForeignKey(Handover, models.CASCADE, related_name="papers")
    order = models.PositiveSmallIntegerField(default=0)
    name = models.CharField("hồ sơ", max_length=200)
    is_there = models.BooleanField("đã có", default=False)
    file = models.ForeignKey(StoredFile, models.PROTECT, null=True, blank=True, related_name="+")
    note = models.CharField("ghi chú", max_length=300, blank=True)

    class Meta:
        ordering = ["handover_id", "order", "id"]

    def __str__(self) -> str:
        return self.name


class PlannedPayment(models.Model):
    """What a yearly plan means to pay in one month, where the document or the owner divides the year."""

    yearly_plan = models.ForeignKey(YearlyPlan, models.CASCADE, related_name="months")
    month = models.PositiveSmallIntegerField("tháng")
    amount_vnd = models.BigIntegerField("dự kiến giải ngân (đồng)")

    class Meta:
        ordering = ["yearly_plan_id", "month"]
        constraints = [
            models.UniqueConstraint(fields=["yearly_plan", "month"], name="one_planned_payment_a_month"),
            models.CheckConstraint(
                condition=Q(month__gte=1, month__lte=12) & Q(amount_vnd__gte=0), name="planned_payment_of_a_month"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.yearly_plan_id} {self.month}"


class HandoverMove(models.Model):
    """A step that a handover took, forward or back; back with the reason. Never edited."""

    handover = models.ForeignKey(Handover, models.CASCADE, related_name="moves")
    from_step = models.CharField(max_length=11, choices=Handover.Step, blank=True)
    to_step = models.CharField(max_length=11, choices=Handover.Step)
    on_date = models.DateField("ngày", null=True, blank=True)
    reason = models.CharField("lý do", max_length=300, blank=True)
    made_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    made_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["handover_id", "id"]

    def __str__(self) -> str:
        return f"{self.handover_id} {self.from_step} → {self.to_step}"
