"""Criteria programmes: assessments, thresholds, roadmaps, dossiers, through the operations that people use."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from machnuoc.core.models import AuditEntry, Person
from machnuoc.core.periods import Period
from machnuoc.indicators import catalogue
from machnuoc.indicators import operations as indicators
from machnuoc.indicators.models import Metric, State, Value
from machnuoc.places.models import AdministrativeUnit, Subject, Succession
from machnuoc.planning import criteria_files, plan_operations, programme_operations
from machnuoc.planning.errors import ChangedMeanwhile, PlanningError
from machnuoc.planning.models import Assessment, CriteriaSet, Criterion, Dossier, Programme, SubIndicator

pytestmark = pytest.mark.django_db

NOW = datetime(2024, 6, 1, 2, 0, tzinfo=UTC)
BASIC, ADVANCED = "xa-ntm-2021-2025", "xa-ntm-nang-cao-2021-2025"


def _unit(key: str, name: str, level: str, parent: Subject | None = None, valid_to: date | None = None) -> Subject:
    subject = Subject.objects.create(kind=Subject.Kind.UNIT, key=key, name=name, valid_to=valid_to)
    AdministrativeUnit.objects.create(
        subject=subject, level=level, unit_type="Xã", code=str(subject.pk)[-5:], full_name=f"Xã {name}",
        parent_id=parent.pk if parent else None, is_in_force=valid_to is None,
    )  # fmt: skip
    return subject


@pytest.fixture
def base() -> None:
    catalogue.load_catalogue(NOW)
    programme_operations.load_criteria_sets(NOW)


@pytest.fixture
def province() -> Subject:
    return _unit("vn.khanh-hoa-cu", "Khánh Hòa", "PROVINCE", valid_to=date(2025, 7, 1))


@pytest.fixture
def district(province: Subject) -> Subject:
    return _unit("vn.khanh-hoa-cu.khanh-son-huyen", "Khánh Sơn", "DISTRICT", province, date(2025, 7, 1))


@pytest.fixture
def mountain_commune(district: Subject) -> Subject:
    return _unit("vn.test.son-binh", "Sơn Bình", "COMMUNE", district, date(2025, 7, 1))


@pytest.fixture
def commune(province: Subject) -> Subject:
    other = _unit("vn.test.dien-khanh", "Diên Khánh", "DISTRICT", province, date(2025, 7, 1))
    return _unit("vn.test.dien-tho", "Diên Thọ", "COMMUNE", other, date(2025, 7, 1))


@pytest.fixture
def programme(province: Subject, commune: Subject, mountain_commune: Subject, base: None) -> Programme:
    plan = plan_operations.put_plan(key="kh.test", name="Kế hoạch NTM", short_name="NTM", territory=province)
    return programme_operations.put_programme(
        plan, sets=CriteriaSet.objects.filter(key__in=[BASIC, ADVANCED]), units=[commune, mountain_commune]
    )


@pytest.fixture
def clerk() -> Person:
    return Person.objects.create_user("thu", full_name="Trần Thị Thu")


@pytest.fixture
def colleague() -> Person:
    return Person.objects.create_user("nam", full_name="Lê Văn Nam")


def _sub(number: str, key: str = BASIC) -> SubIndicator:
    return programme_operations.get_sub_indicator(key, number)


def test_every_installation_has_the_criteria_sets_with_what_is_known_of_them(base):
    sets = {row.key: row for row in CriteriaSet.objects.all()}

    assert {row.key for row in criteria_files.list_sets()} == set(sets)
    assert Criterion.objects.filter(criteria_set=sets[BASIC]).count() == sets[BASIC].criteria_stated == 19
    # 17.1a is our own split of 17.1, so the set has one row more than the decision counts.
    counted = SubIndicator.objects.filter(criterion__criteria_set=sets[BASIC]).exclude(number="17.1a")
    assert counted.count() == sets[BASIC].sub_indicators_stated == 57
    assert SubIndicator.objects.filter(criterion__criteria_set=sets[ADVANCED]).count() == 75
    new = sets["xa-ntm-2026-2030"]
    assert (new.criteria_stated, new.sub_indicators_stated, new.criteria.count()) == (10, 47, 10)
    assert not SubIndicator.objects.filter(criterion__criteria_set=new).exists()


def test_water_sub_indicators_are_bound_to_the_indicators_of_the_catalogue(base):
    bound = {
        (part.criterion.criteria_set.key, part.number): part.metric.key
        for part in SubIndicator.objects.filter(metric__isnull=False).select_related(
            "criterion__criteria_set", "metric"
        )
    }

    assert bound == {
        (BASIC, "17.1"): "rural.clean_pct",
        (BASIC, "17.1a"): "rural.clean_piped_pct",
        (ADVANCED, "18.1"): "rural.clean_piped_pct",
        (ADVANCED, "18.2"): "rural.litres_per_person_day",
        (ADVANCED, "18.3"): "rural.schemes_sustainable_pct",
        ("huyen-ntm-2021-2025", "8.1"): "rural.clean_piped_pct",
        ("huyen-ntm-2021-2025", "8.2"): "rural.schemes_sustainable_pct",
    }


def test_loading_the_sets_again_changes_nothing_and_keeps_what_people_completed(base):
    part = _sub("17.4")
    part.name = "Tên đã đối chiếu"
    part.save()

    assert programme_operations.load_criteria_sets(NOW) == 0
    assert _sub("17.4").name == "Tên đã đối chiếu"


def test_a_ratio_is_judged_from_numerator_and_denominator_against_the_threshold_of_the_district(
    programme, mountain_commune, clerk
):
    row = programme_operations.assess(
        programme, mountain_commune, sub_indicator=_sub("17.1"), year=2024, numerator=Decimal(199),
        denominator=Decimal(1000), by=clerk, now=NOW,
    )  # fmt: skip

    assert row.measured == Decimal("19.9")
    assert (row.required, row.required_as_printed) == (20, "≥20% (≥10% từ hệ thống cấp nước tập trung)")
    assert row.result == Assessment.Result.NOT_MET
    assert AuditEntry.objects.filter(action="planning.assessment.saved", actor=clerk).count() == 1


def test_without_a_known_threshold_the_result_waits_for_a_person(programme, commune, clerk):
    row = programme_operations.assess(
        programme,
        commune,
        sub_indicator=_sub("17.1"),
        year=2024,
        numerator=Decimal(1),
        denominator=Decimal(2),
        by=clerk,
    )

    assert (row.measured, row.required, row.result) == (50, None, "NOT_ASSESSED")


def test_people_never_enter_the_percentage_itself(programme, commune, clerk):
    with pytest.raises(PlanningError, match="nhập tử số và mẫu số"):
        programme_operations.assess(
            programme, commune, sub_indicator=_sub("17.1"), year=2024, measured=Decimal(50), by=clerk
        )


@pytest.mark.parametrize(
    ("numerator", "denominator", "message"),
    [
        ("3", "2", "lớn hơn mẫu số"),
        ("3", "0", "lớn hơn 0"),
        ("3", None, "cả tử số và mẫu số"),
        ("-1", "2", "không thể âm"),
    ],
)
def test_impossible_parts_are_refused_in_words(programme, commune, clerk, numerator, denominator, message):
    with pytest.raises(PlanningError, match=message):
        programme_operations.assess(
            programme, commune, sub_indicator=_sub("17.1"), year=2024, numerator=Decimal(numerator),
            denominator=Decimal(denominator) if denominator else None, by=clerk,
        )  # fmt: skip


def test_a_result_that_contradicts_the_numbers_is_refused(programme, mountain_commune, clerk):
    with pytest.raises(PlanningError, match="chưa đạt"):
        programme_operations.assess(
            programme, mountain_commune, sub_indicator=_sub("17.1"), year=2024, numerator=Decimal(1),
            denominator=Decimal(10), result="MET", by=clerk,
        )  # fmt: skip


def test_the_second_of_two_people_on_one_cell_is_told_and_nothing_is_overwritten(programme, commune, clerk, colleague):
    order = {"sub_indicator": _sub("17.3"), "year": 2024, "version": 0}
    programme_operations.assess(programme, commune, result="MET", by=clerk, **order)

    with pytest.raises(ChangedMeanwhile, match="Trần Thị Thu"):
        programme_operations.assess(programme, commune, result="NOT_MET", by=colleague, **order)

    assert Assessment.objects.get().result == "MET"


def test_what_a_cell_said_before_stays_in_its_history(programme, commune, clerk, colleague):
    first = programme_operations.assess(
        programme, commune, sub_indicator=_sub("17.3"), year=2024, result="NOT_MET", solution="Dọn kênh", by=clerk
    )
    programme_operations.assess(
        programme, commune, sub_indicator=_sub("17.3"), year=2024, result="MET", version=first.version, by=colleague,
        reason="Đã dọn xong",
    )  # fmt: skip

    change = first.changes.get()
    assert (change.before["result"], change.before["solution"]) == ("NOT_MET", "Dọn kênh")
    assert (change.by, change.reason) == (colleague, "Đã dọn xong")


def test_loading_the_document_again_leaves_what_a_person_assessed(programme, commune, clerk):
    order = {"sub_indicator": _sub("17.3"), "year": 2024}
    programme_operations.assess(programme, commune, result="NOT_MET", **order)
    programme_operations.assess(programme, commune, result="MET", by=clerk, **order)

    programme_operations.assess(programme, commune, result="NOT_MET", **order)

    assert Assessment.objects.get().result == "MET"


def test_a_later_threshold_ends_the_one_before_and_judges_again_what_people_entered(programme, mountain_commune, clerk):
    part = _sub("17.1")
    row = programme_operations.assess(
        programme, mountain_commune, sub_indicator=part, year=2024, numerator=Decimal(3), denominator=Decimal(10),
        by=clerk,
    )  # fmt: skip
    assert row.result == "MET"

    programme_operations.put_threshold(
        part, amount=Decimal(35), territory=Subject.objects.get(key="vn.khanh-hoa-cu.khanh-son-huyen"),
        valid_from=date(2024, 1, 1), by=clerk,
    )  # fmt: skip

    row.refresh_from_db()
    assert (row.result, row.required, row.version) == ("NOT_MET", 35, 2)
    assert programme_operations.required_of(part, mountain_commune, 2023).amount == 20


@pytest.mark.parametrize("amount", [-1, 101, 2147483648])
def test_a_share_that_cannot_be_is_no_threshold(base, clerk, amount):
    part = _sub("17.1")

    with pytest.raises(PlanningError, match="không thể là"):
        programme_operations.put_threshold(part, amount=Decimal(amount), valid_from=date(2024, 1, 1), by=clerk)


def test_bound_cells_are_filled_from_the_figures_and_leave_what_people_entered(
    programme, mountain_commune, commune, clerk
):
    metric = Metric.objects.get(key="rural.clean_pct")
    for unit, pct in ((mountain_commune, 251), (commune, 800)):
        Value.objects.create(
            metric=metric, subject=unit, period_kind="Y", period_start=date(2024, 1, 1), number=pct,
            state=State.APPROVED, computed_at=NOW,
        )  # fmt: skip
    programme_operations.assess(
        programme,
        commune,
        sub_indicator=_sub("17.1"),
        year=2024,
        numerator=Decimal(1),
        denominator=Decimal(4),
        by=clerk,
    )

    assert programme_operations.assess_bound(programme, 2024, by=clerk, now=NOW) == 1
    assert programme_operations.assess_bound(programme, 2024, by=clerk, now=NOW) == 0

    filled = Assessment.objects.get(unit=mountain_commune)
    assert (filled.measured, filled.result, filled.value.number) == (Decimal("25.1"), "MET", 251)
    assert Assessment.objects.get(unit=commune).measured == 25


def test_the_six_indicators_compute_from_what_the_commune_enters(base):
    commune = _unit("vn.test.cam-tan", "Cẩm Tân", "COMMUNE")
    year = Period.parse("2026")
    entered = {
        "rural.households": 1000, "rural.households_hygienic": 950, "rural.households_clean_piped": 200,
        "rural.households_clean_own": 300, "rural.poor_households": 0, "rural.water_supplied_m3": 36_500,
        "rural.people_supplied": 1000, "rural.days_supplied": 365, "rural.schemes": 4, "rural.schemes_sustainable": 1,
    }  # fmt: skip
    for key, number in entered.items():
        indicators.state_fact(
            metric=Metric.objects.get(key=key), subject=commune, period=year, number=Decimal(number),
            state=State.APPROVED, now=NOW,
        )  # fmt: skip
    indicators.recompute_dirty(NOW)

    found = dict(Value.objects.filter(subject=commune, metric__kind="INDICATOR").values_list("metric__key", "number"))
    assert found["rural.hygienic_pct"] == 950
    assert (found["rural.clean_pct"], found["rural.clean_piped_pct"], found["rural.clean_own_pct"]) == (500, 200, 300)
    assert found["rural.litres_per_person_day"] == 1000  # 100,0 litres
    assert found["rural.schemes_sustainable_pct"] == 250
    assert found.get("rural.poor_clean_pct") is None  # no poor households: no rate, not zero


def test_a_frozen_roadmap_changes_only_by_a_named_decision_and_stays_in_the_log(programme, commune, clerk):
    entry = programme_operations.put_roadmap_entry(
        programme, unit=commune, name_as_printed="D.Thọ", district_as_printed="Diên Khánh", tier="ADVANCED", year=2024
    )
    programme_operations.freeze_roadmap(
        programme, on_date=date(2024, 3, 8), text="Không tiếp tục đề nghị điều chỉnh lộ trình", by=clerk
    )

    with pytest.raises(programme_operations.RoadmapFrozen, match="văn bản cho phép"):
        programme_operations.change_roadmap(entry, to_year=2025, reason="Thiếu vốn", by=clerk)
    programme_operations.change_roadmap(
        entry, to_year=2025, reason="Thiếu vốn", decision="Văn bản 12/UBND-KT ngày 02/5/2024", version=1, by=clerk
    )

    entry.refresh_from_db()
    programme.refresh_from_db()
    assert (entry.year, entry.version, programme.roadmap_version) == (2025, 2, 2)
    change = entry.changes.get()
    assert (change.from_year, change.after_freeze, change.decision[:7]) == (2024, True, "Văn bản")


def test_the_roadmap_of_a_commune_merged_after_the_freeze_is_kept_and_goes_nowhere_else(programme, commune, clerk):
    today_commune = _unit("vn.test.dien-dien", "Diên Điền", "COMMUNE")
    Succession.objects.create(
        predecessor_id=commune.pk, successor_id=today_commune.pk, relation="whole", on_date=date(2025, 7, 1)
    )
    entry = programme_operations.put_roadmap_entry(
        programme, unit=commune, name_as_printed="D.Thọ", tier="ADVANCED", year=2025
    )
    programme_operations.freeze_roadmap(programme, on_date=date(2024, 3, 8), text="Đã chốt", by=clerk)

    with pytest.raises(programme_operations.UnitEnded, match="nay thuộc Xã Diên Điền"):
        programme_operations.change_roadmap(entry, to_year=2026, reason="Sáp nhập", decision="QĐ 1", by=clerk)
    with pytest.raises(programme_operations.UnitEnded, match="kết thúc ngày 01/07/2025"):
        programme_operations.assess(programme, commune, sub_indicator=_sub("17.3"), year=2026, result="MET", by=clerk)

    entry.refresh_from_db()
    assert (entry.unit, entry.year, entry.changes.count()) == (commune, 2025, 0)


def _dossier(programme: Programme, commune: Subject, by: Person) -> Dossier:
    programme_operations.put_deadline(
        programme, step="DISTRICT", month=9, day=25, is_exclusive=True, as_printed="trước ngày 25/9"
    )
    programme_operations.put_deadline(
        programme, step="PROVINCE", month=10, day=20, is_exclusive=True, as_printed="trước ngày 20/10"
    )
    programme_operations.put_deadline(
        programme, step="APPRAISED", opens_month=11, month=12, as_printed="thẩm định trong tháng 11, 12"
    )
    return programme_operations.open_dossier(
        programme, commune, tier="BASIC", year=2024, on_date=date(2024, 8, 1), by=by
    )


def test_a_dossier_goes_from_commune_to_decision_with_the_last_lawful_day_of_each_step(programme, commune, clerk):
    programme_operations.put_roadmap_entry(programme, unit=commune, name_as_printed="D.Thọ", tier="BASIC", year=2024)
    dossier = _dossier(programme, commune, clerk)
    today = date(2024, 12, 31)

    for step, day in (
        ("DISTRICT", date(2024, 9, 24)),
        ("PROVINCE", date(2024, 10, 20)),
        ("APPRAISED", date(2024, 12, 5)),
    ):
        programme_operations.advance_dossier(dossier, step, on_date=day, today=today, by=clerk)
    done = programme_operations.advance_dossier(
        dossier, "RECOGNISED", on_date=date(2024, 12, 20), today=today, decision="QĐ 99/QĐ-UBND", by=clerk
    )

    events = {event.step: event for event in done.events.all()}
    assert events["DISTRICT"].due_on == date(2024, 9, 24)  # «trước ngày 25/9» leaves the 25th out
    assert events["PROVINCE"].on_date > events["PROVINCE"].due_on  # late is told, not refused
    assert events["APPRAISED"].due_on == date(2024, 12, 31)
    entry = programme.roadmap.get()
    assert (entry.is_recognised, entry.recognised_by) == (True, "QĐ 99/QĐ-UBND")


def test_a_dossier_takes_no_step_out_of_order_or_in_the_future_and_is_returned_with_a_reason(programme, commune, clerk):
    dossier = _dossier(programme, commune, clerk)
    move = {"on_date": date(2024, 9, 1), "today": date(2024, 9, 1), "by": clerk}

    with pytest.raises(PlanningError, match="Bước tiếp theo"):
        programme_operations.advance_dossier(dossier, "RECOGNISED", decision="QĐ 1", **move)
    with pytest.raises(PlanningError, match="chưa đến"):
        programme_operations.advance_dossier(dossier, "DISTRICT", **{**move, "on_date": date(2024, 9, 2)})
    programme_operations.advance_dossier(dossier, "DISTRICT", version=1, **move)
    with pytest.raises(PlanningError, match="ghi rõ cần bổ sung gì"):
        programme_operations.advance_dossier(dossier, "RETURNED", **move)
    with pytest.raises(ChangedMeanwhile):
        programme_operations.advance_dossier(dossier, "PROVINCE", version=1, **move)
    returned = programme_operations.advance_dossier(dossier, "RETURNED", text="Thiếu biên bản", version=2, **move)

    assert (returned.step, returned.version) == ("RETURNED", 3)
    assert programme_operations.next_steps(returned) == ("DISTRICT", "PROVINCE")
