"""Subjects (what a figure is about), administrative units through time, urban areas, organisations, grants."""

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from machnuoc.core.models import Passage, Person


class Subject(models.Model):
    """Anything that a figure can be about. Rooms keep their own table with the same primary key."""

    class Kind(models.TextChoices):
        COUNTRY = "COUNTRY", "Cả nước"
        UNIT = "UNIT", "Đơn vị hành chính"
        VILLAGE = "VILLAGE", "Thôn, bản, tổ"
        URBAN_AREA = "URBAN_AREA", "Khu vực đô thị"
        ORGANISATION = "ORGANISATION", "Tổ chức"
        WORK = "WORK", "Công trình"
        PROJECT = "PROJECT", "Dự án"
        OUTSIDE = "OUTSIDE", "Ngoài công trình"  # of an organisation or place, but of none of its works

    kind = models.CharField(max_length=12, choices=Kind)
    key = models.CharField(max_length=120, unique=True)
    name = models.CharField("tên", max_length=200)
    valid_from = models.DateField("hiệu lực từ", null=True, blank=True)  # empty = not known
    valid_to = models.DateField("hết hiệu lực", null=True, blank=True)  # exclusive; empty = in force
    latitude = models.FloatField("vĩ độ", null=True, blank=True)
    longitude = models.FloatField("kinh độ", null=True, blank=True)
    version = models.PositiveIntegerField(default=1)  # counts edits: two people cannot overwrite each other unseen

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(fields=["id", "kind"], name="subject_kind_is_referable"),
            models.CheckConstraint(
                condition=Q(valid_to__isnull=True) | Q(valid_from__isnull=True) | Q(valid_from__lt=F("valid_to")),
                name="subject_validity_runs_forward",
            ),
            models.CheckConstraint(
                condition=Q(latitude__isnull=True) | Q(latitude__range=(-90, 90)), name="subject_latitude_on_earth"
            ),
            models.CheckConstraint(
                condition=Q(longitude__isnull=True) | Q(longitude__range=(-180, 180)), name="subject_longitude_on_earth"
            ),
        ]
        indexes = [models.Index(fields=["kind", "name"], name="subject_by_kind")]

    def __str__(self) -> str:
        return self.name


class Containment(models.Model):
    """Who lies in whom, through all levels (a closure): territory, organisation tree, works of an operator.

    Includes each subject in itself. A grant on the ancestor reaches the descendant; a sum over the ancestor runs
    over the descendants. Kept by `operations.place_subject`.
    """

    ancestor = models.ForeignKey(Subject, models.CASCADE, related_name="contains")
    descendant = models.ForeignKey(Subject, models.CASCADE, related_name="contained_in")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["ancestor", "descendant"], name="containment_once")]
        indexes = [models.Index(fields=["descendant", "ancestor"], name="containment_upwards")]

    def __str__(self) -> str:
        return f"{self.ancestor_id} ⊇ {self.descendant_id}"


class ParentLink(models.Model):
    """The direct links from which the closure is made: child lies in parent, for a reason and a time."""

    class Reason(models.TextChoices):
        TERRITORY = "TERRITORY", "thuộc địa bàn"
        SUBORDINATE = "SUBORDINATE", "trực thuộc"
        OPERATED_BY = "OPERATED_BY", "do … vận hành"
        PART_OF = "PART_OF", "là phần của"

    child = models.ForeignKey(Subject, models.CASCADE, related_name="parent_links")
    parent = models.ForeignKey(Subject, models.PROTECT, related_name="child_links")
    reason = models.CharField(max_length=12, choices=Reason)
    valid_from = models.DateField(null=True, blank=True)
    valid_to = models.DateField(null=True, blank=True)
    passage = models.ForeignKey(Passage, models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["child", "parent", "reason"], condition=Q(valid_to__isnull=True), name="one_live_link"
            ),
            models.CheckConstraint(condition=~Q(child=F("parent")), name="nothing_lies_in_itself"),
        ]

    def __str__(self) -> str:
        return f"{self.child_id} {self.reason} {self.parent_id}"


class AdministrativeUnit(models.Model):
    """A province, district (until 30/06/2025) or commune. Official codes are reused: unique only within validity."""

    class Level(models.TextChoices):
        PROVINCE = "PROVINCE", "Cấp tỉnh"
        DISTRICT = "DISTRICT", "Cấp huyện"
        COMMUNE = "COMMUNE", "Cấp xã"

    subject = models.OneToOneField(Subject, models.CASCADE, primary_key=True, related_name="unit")
    level = models.CharField(max_length=10, choices=Level)
    unit_type = models.CharField("loại", max_length=40)  # Tỉnh, Thành phố, Xã, Phường, Đặc khu, Huyện, Thị xã, Thị trấn
    code = models.CharField("mã", max_length=5)
    full_name = models.CharField("tên đầy đủ", max_length=200)
    name_en = models.CharField(max_length=200, blank=True)
    parent = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="children")
    is_in_force = models.BooleanField(default=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["level", "code"], condition=Q(is_in_force=True), name="code_names_one_unit_in_force"
            )
        ]
        indexes = [models.Index(fields=["level", "parent"], name="unit_by_parent")]

    def __str__(self) -> str:
        return self.full_name


class Succession(models.Model):
    """What became of a unit when the map changed."""

    class Relation(models.TextChoices):
        WHOLE = "whole", "nhập toàn bộ"
        PARTIAL = "partial", "nhập một phần"
        UNCHANGED = "unchanged", "giữ nguyên"
        TYPE_CHANGED = "type_changed", "đổi loại"
        SPECIAL_ZONE = "district_to_special_zone", "huyện thành đặc khu"

    predecessor = models.ForeignKey(AdministrativeUnit, models.PROTECT, related_name="successors")
    successor = models.ForeignKey(AdministrativeUnit, models.PROTECT, related_name="predecessors")
    relation = models.CharField(max_length=24, choices=Relation)
    on_date = models.DateField()
    note_as_printed = models.CharField(max_length=500, blank=True)
    remark = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["predecessor", "successor", "on_date"], name="succession_once")]

    def __str__(self) -> str:
        return f"{self.predecessor_id} → {self.successor_id} {self.on_date}"


class UrbanArea(models.Model):
    """A town area (khu vực đô thị). Since the mergers it is a part of a commune, and has no code of its own."""

    subject = models.OneToOneField(Subject, models.CASCADE, primary_key=True, related_name="urban_area")
    commune = models.ForeignKey(AdministrativeUnit, models.PROTECT, related_name="urban_areas")
    former_unit = models.ForeignKey(AdministrativeUnit, models.PROTECT, null=True, blank=True, related_name="+")
    note = models.CharField(max_length=500, blank=True)
    passage = models.ForeignKey(Passage, models.PROTECT, null=True, blank=True, related_name="+")

    def __str__(self) -> str:
        return self.subject.name


class PrintedName(models.Model):
    """A name under which a document prints a subject: other spelling, scan error, former or second name."""

    class Certainty(models.TextChoices):
        STATED = "stated", "văn bản nói rõ"
        APPARENT = "apparent", "có vẻ là một"
        UNCERTAIN = "uncertain", "chưa chắc"

    subject = models.ForeignKey(Subject, models.CASCADE, related_name="printed_names")
    text = models.CharField("tên như in", max_length=300)
    certainty = models.CharField(max_length=10, choices=Certainty, default=Certainty.STATED)
    note = models.CharField("ghi chú", max_length=500, blank=True)
    passage = models.ForeignKey(Passage, models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["subject", "text", "passage"], name="printed_name_once")]

    def __str__(self) -> str:
        return self.text


class Organisation(models.Model):
    """An authority, operator, department, station team, laboratory…"""

    class Kind(models.TextChoices):
        AUTHORITY = "AUTHORITY", "Ủy ban nhân dân"
        AGENCY = "AGENCY", "Sở, ngành"
        CENTRE = "CENTRE", "Trung tâm, ban quản lý"
        OPERATOR = "OPERATOR", "Đơn vị cấp nước"
        DEPARTMENT = "DEPARTMENT", "Phòng chuyên môn"
        STATION = "STATION", "Trạm cấp nước"
        LABORATORY = "LABORATORY", "Phòng thử nghiệm"

    subject = models.OneToOneField(Subject, models.CASCADE, primary_key=True, related_name="organisation")
    kind = models.CharField("loại", max_length=12, choices=Kind)
    parent = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="children")
    territory = models.ForeignKey(
        AdministrativeUnit, models.PROTECT, null=True, blank=True, related_name="organisations"
    )
    address = models.CharField("địa chỉ", max_length=300, blank=True)
    phone = models.CharField("điện thoại", max_length=40, blank=True)
    email = models.EmailField("thư điện tử", blank=True)
    website = models.URLField("trang thông tin", blank=True)
    note = models.CharField(max_length=500, blank=True)
    passage = models.ForeignKey(Passage, models.PROTECT, null=True, blank=True, related_name="+")

    def __str__(self) -> str:
        return self.subject.name


class Grant(models.Model):
    """What a person may do, where, in which field, and when. Several per person; may be lent for a time."""

    class Role(models.TextChoices):
        ADMIN = "ADMIN", "Quản trị hệ thống"
        LEADER = "LEADER", "Lãnh đạo"
        DEPARTMENT = "DEPARTMENT", "Phòng chuyên môn"
        STATION = "STATION", "Trạm cấp nước"
        COMMUNE = "COMMUNE", "Cán bộ xã"
        AGENCY = "AGENCY", "Sở, ngành"
        CASHIER = "CASHIER", "Thu ngân, chăm sóc khách hàng"
        READER = "READER", "Ghi chỉ số"
        PARTNER = "PARTNER", "Đối tác API"

    class Field(models.TextChoices):
        ALL = "ALL", "Mọi lĩnh vực"
        RURAL = "RURAL", "Cấp nước nông thôn"
        URBAN = "URBAN", "Cấp nước đô thị"
        QUALITY = "QUALITY", "Chất lượng nước"

    person = models.ForeignKey(Person, models.CASCADE, related_name="grants")
    role = models.CharField("vai trò", max_length=12, choices=Role)
    scope = models.ForeignKey(Subject, models.PROTECT, related_name="grants")
    field = models.CharField("lĩnh vực", max_length=10, choices=Field, default=Field.ALL)
    valid_from = models.DateField("từ ngày", default=timezone.localdate)
    valid_to = models.DateField("đến trước ngày", null=True, blank=True)
    granted_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    lent_from = models.ForeignKey("self", models.CASCADE, null=True, blank=True, related_name="loans")

    class Meta:
        ordering = ["person_id", "id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(valid_to__isnull=True) | Q(valid_from__lt=F("valid_to")), name="grant_runs_forward"
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_role_display()} của {self.person} tại {self.scope}"
