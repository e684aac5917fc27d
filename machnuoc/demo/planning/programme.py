"""Load the criteria programme of Khánh Hòa: agencies, shares to reach, positions, roadmaps, what differs."""

from datetime import date, datetime
from decimal import Decimal

from django.db import transaction

from machnuoc.core import audit
from machnuoc.core.models import AuditEntry, Passage
from machnuoc.demo.planning import read_khanh_hoa as read
from machnuoc.places import operations as places
from machnuoc.places.models import Organisation, PrintedName, Subject
from machnuoc.planning import programme_operations as operations
from machnuoc.planning.models import CriteriaSet, Criterion, Plan, Programme, SubIndicator

_AUDIT = "demo.khanh_hoa.programme"
audit.describe(_AUDIT, "nạp {count} dòng chương trình nông thôn mới của Khánh Hòa")

SET_KEYS = (
    "xa-ntm-2021-2025",
    "xa-ntm-nang-cao-2021-2025",
    "xa-ntm-kieu-mau-2021-2025",
    "huyen-ntm-2021-2025",
    "huyen-ntm-nang-cao-2021-2025",
)
# Sub-indicators of the district set that the plan names and the set does not hold: number → name, unit, entry, passage.
_DISTRICT_PARTS: dict[str, tuple[str, str, str, str]] = {
    "2.1": (
        "Hệ thống giao thông trên địa bàn huyện đảm bảo kết nối tới các xã và được bảo trì hàng năm", "", "JUDGED",
        "phu-luc-huyen.cam-lam.2.1",
    ),
    "2.2": ("Tỷ lệ km đường huyện đạt chuẩn theo quy hoạch", "%", "RATIO", "phu-luc-huyen.cam-lam.2.2"),
    "3.1": (
        "Hệ thống thủy lợi liên xã đồng bộ với hệ thống thủy lợi các xã theo quy hoạch", "", "JUDGED",
        "phu-luc-huyen.cam-lam.3.1",
    ),
    "5.3": (
        "Tỷ lệ trường Trung học phổ thông đạt chuẩn quốc gia mức độ 1 trở lên", "%", "RATIO",
        "phu-luc-huyen.cam-lam.5.3",
    ),
    "8.3": (
        "Có kế hoạch, đề án kiểm kê, kiểm soát, bảo vệ chất lượng nước; phục hồi cảnh quan, cải tạo hệ sinh thái ao hồ "
        "và các nguồn nước mặt trên địa bàn huyện", "", "JUDGED", "phu-luc-huyen.van-ninh.8.3",
    ),
}  # fmt: skip
_FROZEN_ON = date(2024, 3, 8)  # the plan's own day: its roadmap is not to be changed once it is in the plan


@transaction.atomic
def load_programme(now: datetime) -> None:
    """Put the programme with all that the plan says legibly. Idempotent; what people have entered since stays."""
    plan = Plan.objects.get(key=read.PLAN_KEY)
    passages = {row.key: row for row in Passage.objects.filter(document__key=read.DOCUMENT_KEY)}
    organisations = {
        row.subject.key: row
        for row in Organisation.objects.filter(subject__key__startswith="org.kh.").select_related("subject")
    }
    roadmap, assessments = read.list_roadmap(), read.list_assessments()
    unit_keys = {row.unit_key for row in assessments}
    unit_keys |= {key for row in roadmap for key in (row.unit_key, row.district_key)}
    units = {row.key: row for row in Subject.objects.filter(key__in=unit_keys)}
    sets = {row.key: row for row in CriteriaSet.objects.filter(key__in=SET_KEYS)}
    _put_district_parts(passages)
    programme = operations.put_programme(
        plan, sets=[sets[key] for key in SET_KEYS], units=units.values(), passage=passages["mo-dau.3"]
    )
    content = _Content(programme, passages, organisations, units, sets)
    count = content.put_agencies() + content.put_goals() + content.put_assessments(assessments, now)
    count += content.put_roadmap(roadmap)
    for row in read.list_deadlines():
        operations.put_deadline(
            programme, step=row.step, opens_month=row.opens_month, month=row.month, day=row.day,
            is_exclusive=row.is_exclusive, as_printed=row.text_printed, passage=passages[row.passage_key],
            recorded_in_bulk=True,
        )  # fmt: skip
        count += 1
    count += _put_readings(plan, passages)
    if not AuditEntry.objects.filter(action=_AUDIT).exists():
        audit.record(_AUDIT, actor=None, target=programme, count=count)


def _kept(number: Decimal | None) -> Decimal | None:
    """Return the number with the four decimals that are kept (one length of road is printed with five)."""
    return number.quantize(Decimal("0.0001")) if number is not None else None


def _put_district_parts(passages: dict[str, Passage]) -> None:
    """Complete the district set where the plan names sub-indicators that the set does not hold."""
    held = set(
        SubIndicator.objects.filter(criterion__criteria_set__key="huyen-ntm-2021-2025").values_list("number", flat=True)
    )
    for number, (name, unit, entry, passage_key) in _DISTRICT_PARTS.items():
        if number not in held:
            operations.put_sub_indicator(
                operations.get_criterion("huyen-ntm-2021-2025", number.split(".")[0]), number=number, name=name,
                unit=unit, entry=entry, passage=passages[passage_key],
            )  # fmt: skip


def _put_readings(plan: Plan, passages: dict[str, Passage]) -> int:
    """Keep where the plan contradicts itself, and what of it could not be read."""
    differing, unread = read.list_discrepancies(), read.list_unread()
    for said in differing:
        operations.put_discrepancy(
            plan, about=said.about, first=said.first, first_passage=passages[said.first_passage_key],
            second=said.second, second_passage=passages[said.second_passage_key], note=said.note,
            recorded_in_bulk=True,
        )  # fmt: skip
    for row in unread:
        operations.put_unread_row(
            plan, order=row.order, section=row.section, text=row.text_printed, reason=row.reason, recorded_in_bulk=True
        )
    return len(differing) + len(unread)


class _Content:
    """What the rows refer to, read once, and the programme into which they go."""

    def __init__(
        self, programme: Programme, passages: dict[str, Passage], organisations: dict[str, Organisation],
        units: dict[str, Subject], sets: dict[str, CriteriaSet],
    ) -> None:  # fmt: skip
        self.programme, self.passages, self.organisations = programme, passages, organisations
        self.units, self.sets = units, sets
        self.criteria: dict[tuple[str, str], Criterion] = {
            (row.criteria_set.key, row.number): row
            for row in Criterion.objects.filter(criteria_set__key__in=SET_KEYS).select_related("criteria_set")
        }
        self.parts: dict[tuple[str, str], SubIndicator] = {
            (row.criterion.criteria_set.key, row.number): row
            for row in SubIndicator.objects.filter(criterion__criteria_set__key__in=SET_KEYS).select_related(
                "criterion__criteria_set"
            )
        }

    def put_agencies(self) -> int:
        """Put appendix 06."""
        rows = read.list_responsibilities()
        for row in rows:
            part = self.parts[row.set_key, row.sub_indicator] if row.sub_indicator else None
            whole = self.criteria[row.set_key, row.criterion] if row.criterion and part is None else None
            operations.put_responsibility(
                self.programme, order=row.order, agency_as_printed=row.agency_printed, text=row.text_printed,
                organisation=self.organisations[row.agency_key], criterion=whole, sub_indicator=part,
                passage=self.passages[row.passage_key], recorded_in_bulk=True,
            )  # fmt: skip
        return len(rows)

    def put_goals(self) -> int:
        """Put appendix 01."""
        rows = read.list_criterion_goals()
        for row in rows:
            operations.put_criterion_goal(
                self.programme, criterion=self.criteria[row.set_key, row.criterion], year=row.year,
                share_pct=row.share_pct, as_printed=row.as_printed, passage=self.passages[row.passage_key],
                recorded_in_bulk=True,
            )  # fmt: skip
        return len(rows)

    def put_assessments(self, rows: list[read.AssessmentRow], now: datetime) -> int:
        """Put the legible rows of appendices 02-05, then the criteria that follow from «đạt 14/19 … chưa đạt gồm»."""
        for row in rows:
            part = self.parts[row.set_key, row.sub_indicator] if row.sub_indicator else None
            operations.assess(
                self.programme, self.units[row.unit_key], year=row.year, sub_indicator=part,
                criterion=self.criteria[row.set_key, row.criterion], numerator=row.numerator,
                denominator=_kept(row.denominator), measured=row.measured, measured_as_printed=row.measured_printed,
                required=row.required, required_comparator=row.comparator or "GE",
                required_as_printed=row.required_printed, result=row.result, agency_as_printed=row.agency_printed,
                agency=self.organisations[row.agency_key] if row.agency_key else None, solution=row.solution_printed,
                target_quarter_start=row.target_quarter_start, target_as_printed=row.target_printed,
                passage=self.passages[row.passage_key], now=now, recorded_in_bulk=True,
            )  # fmt: skip
        told = {(row.unit_key, row.set_key, row.criterion) for row in rows if not row.sub_indicator}
        count = len(rows)
        for position in read.list_positions():
            unit, criteria_set = self.units[position.unit_key], self.sets[position.set_key]
            passage = self.passages[position.passage_key]
            operations.put_position(
                self.programme, unit, criteria_set=criteria_set, year=position.year, met_count=position.met_count,
                criteria_count=position.criteria_count, not_met_as_printed=", ".join(position.not_met),
                text=position.text_printed, passage=passage, recorded_in_bulk=True,
            )  # fmt: skip
            for (set_key, number), criterion in self.criteria.items():
                is_met = number not in position.not_met
                if set_key != position.set_key or (position.unit_key, set_key, number) in told:
                    continue
                if is_met and not position.is_whole:
                    continue
                operations.assess(
                    self.programme, unit, year=position.year, criterion=criterion,
                    result="MET" if is_met else "NOT_MET", passage=passage, now=now, recorded_in_bulk=True,
                )  # fmt: skip
                count += 1
        return count

    def put_roadmap(self, rows: list[read.RoadmapRow]) -> int:
        """Put appendices 07-09, keep how they spell the communes, and freeze the roadmap."""
        for row in rows:
            operations.put_roadmap_entry(
                self.programme, unit=self.units.get(row.unit_key), name_as_printed=row.name_printed,
                district_as_printed=self.units[row.district_key].name, tier=row.tier, year=row.year,
                is_recognised=row.is_recognised, passage=self.passages[row.passage_key], recorded_in_bulk=True,
            )  # fmt: skip
        totals = read.list_roadmap_totals()
        for total in totals:
            operations.put_roadmap_total(
                self.programme, tier=total.tier, year=total.year, count=total.count, cumulative=total.cumulative,
                share_as_printed=total.share_printed, passage=self.passages[total.passage_key], recorded_in_bulk=True,
            )  # fmt: skip
        text = self.passages["vii.2.4"]
        operations.freeze_roadmap(
            self.programme, on_date=_FROZEN_ON, text="Không tiếp tục đề nghị điều chỉnh lộ trình các xã", passage=text
        )
        self._put_spellings()
        return len(rows) + len(totals)

    def _put_spellings(self) -> None:
        held = set(
            PrintedName.objects.filter(passage__in=self.passages.values()).values_list("subject_id", "text")
        )  # most loads find them all there
        for row in read.list_units():
            unit = self.units.get(row.unit_key)
            if unit is None or row.certainty == "stated" or (unit.pk, row.name_printed) in held:
                continue
            held.add((unit.pk, row.name_printed))
            certainty = PrintedName.Certainty.APPARENT if row.certainty == "apparent" else PrintedName.Certainty.STATED
            places.put_printed_name(
                unit, row.name_printed, certainty=certainty, note=row.note, passage=self.passages[row.passage_key]
            )
