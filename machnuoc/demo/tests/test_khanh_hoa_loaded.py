"""The loaded programme of Khánh Hòa: what a person finds in it, and that loading it again changes nothing."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from machnuoc.core.models import AuditEntry, Person
from machnuoc.demo.planning import khanh_hoa, programme
from machnuoc.demo.planning import read_khanh_hoa as read
from machnuoc.demo.tests.database import LOADED_AT
from machnuoc.indicators.models import Fact, State, Value, ValueChange
from machnuoc.places.models import PrintedName, Subject
from machnuoc.planning import plan_operations
from machnuoc.planning import programme_operations as operations
from machnuoc.planning.models import (
    Assessment,
    AssessmentChange,
    CriterionGoal,
    Discrepancy,
    Plan,
    Programme,
    ProgrammeFund,
    RecognitionDeadline,
    Responsibility,
    RoadmapEntry,
    RoadmapTotal,
    Standing,
    StatedPosition,
    Target,
    TargetChange,
    UnreadRow,
)

pytestmark = pytest.mark.usefixtures("demo_data", "db")


@pytest.fixture
def loaded() -> Programme:
    return Programme.objects.select_related("plan").get(plan__key=read.PLAN_KEY)


def count_rows() -> dict[str, int]:
    models = (
        Assessment, AssessmentChange, CriterionGoal, Discrepancy, Fact, ProgrammeFund, RecognitionDeadline,
        Responsibility, RoadmapEntry, RoadmapTotal, StatedPosition, Target, TargetChange, UnreadRow, PrintedName,
        AuditEntry, Value, ValueChange,
    )  # fmt: skip
    return {model.__name__: model.objects.count() for model in models}


def test_loading_again_changes_nothing():
    before = count_rows()

    programme.load_programme(LOADED_AT)
    khanh_hoa.load_khanh_hoa_figures(LOADED_AT)
    khanh_hoa.load_khanh_hoa_targets(LOADED_AT)
    khanh_hoa.load_khanh_hoa_funds(LOADED_AT)

    assert count_rows() == before


def test_all_that_the_files_say_is_there(loaded):
    assert loaded.roadmap.count() == len(read.list_roadmap())
    assert loaded.responsibilities.count() == len(read.list_responsibilities())
    assert loaded.goals.count() == len(read.list_criterion_goals())
    assert loaded.positions.count() == len(read.list_positions())
    assert loaded.plan.discrepancies.count() == len(read.list_discrepancies())
    assert loaded.plan.unread_rows.count() == len(read.list_unread())
    assert loaded.plan.targets.count() == len(read.list_targets())
    assert loaded.plan.funds.count() == len(read.list_funds())
    assert loaded.sets.count() == 5


def test_clean_water_of_son_binh_is_not_met_and_says_what_is_asked_and_who_helps(loaded):
    row = loaded.assessments.get(
        unit__key="vn.khanh-hoa-cu.khanh-son-huyen.son-binh-xa", sub_indicator__number="17.1", year=2024
    )

    assert row.result == Assessment.Result.NOT_MET
    assert (row.required, row.required_comparator, row.measured) == (Decimal(20), "GE", None)
    assert row.required_as_printed == "≥20% (≥10% từ hệ thống cấp nước tập trung)"
    assert row.agency.subject.key == "org.kh.cc-thuy-loi"
    assert str(row.target_quarter_start) == "2024-10-01"


def test_a_share_is_computed_from_its_two_numbers_and_the_printed_one_is_kept(loaded):
    row = loaded.assessments.get(unit__key__endswith=".cam-tan-xa", sub_indicator__number="12.3")

    assert row.measured == Decimal("23.3672")
    assert row.measured_as_printed == "xã đạt 25,37% (1059/4532)"


def test_a_stated_list_of_unmet_criteria_makes_all_others_met(loaded):
    results = dict(
        loaded.assessments.filter(
            unit__key__endswith=".ninh-tan-xa", criterion__criteria_set__key="xa-ntm-2021-2025", sub_indicator=None
        ).values_list("criterion__number", "result")
    )

    assert len(results) == 19
    assert {number for number, result in results.items() if result == "NOT_MET"} == {
        "1",
        "2",
        "5",
        "13",
        "14",
        "15",
        "17",
    }


def test_a_list_that_is_cut_makes_no_criterion_met(loaded):
    results = loaded.assessments.filter(
        unit__key__endswith=".cam-hai-dong-xa", criterion__criteria_set__tier="ADVANCED", sub_indicator=None
    ).values_list("criterion__number", "result")

    assert dict(results) == {"1": "NOT_MET", "6": "NOT_MET", "8": "NOT_MET"}


def test_a_printed_sum_that_does_not_add_up_makes_no_criterion_met(loaded):
    its = {"unit__key__endswith": ".son-binh-xa", "criterion__criteria_set__tier": "BASIC"}
    results = dict(loaded.assessments.filter(**its, sub_indicator=None).values_list("criterion__number", "result"))

    assert "MET" not in results.values()
    assert loaded.positions.get(unit__key__endswith=".son-binh-xa").text.startswith("đạt 14/15 tiêu chí")
    assert loaded.plan.discrepancies.filter(about="Sơn Bình: số tiêu chí đã đạt").exists()


def test_communes_are_counted_by_district_of_their_time_and_add_up_to_the_province():
    last = {"metric__key": "ntm.communes_basic", "period_kind": "Y", "period_start": date(2022, 1, 1)}
    numbers = dict(Value.objects.filter(**last).values_list("subject__key", "number"))

    whole = numbers.pop("vn.khanh-hoa-cu")

    assert whole == sum(numbers.values()) == 63
    assert numbers["vn.khanh-hoa-cu.dien-khanh-huyen"] == 15  # Diên Đồng among them, although it is in no list of units
    assert not Value.objects.filter(**last | {"period_start": date(2023, 1, 1)}).exists()


def test_shares_are_taken_of_the_communes_that_the_plan_counts():
    shares = {
        (value.metric.key, value.period_kind): (value.numerator, value.denominator, value.number)
        for value in Value.objects.filter(
            metric__key__in=["ntm.communes_basic_pct", "ntm.communes_advanced_pct"], subject__key="vn.khanh-hoa-cu",
            period_start__in=[date(2022, 1, 1), date(2024, 2, 1)],
        ).select_related("metric")
    }  # fmt: skip

    assert shares == {
        ("ntm.communes_basic_pct", "Y"): (63, 92, 685),
        ("ntm.communes_basic_pct", "M"): (64, 92, 696),
        ("ntm.communes_advanced_pct", "Y"): (10, 92, 109),
        ("ntm.communes_advanced_pct", "M"): (12, 92, 130),
    }


def test_a_promise_whose_time_is_over_says_what_was_known_last():
    plan_operations.recompute_standings(datetime(2026, 11, 1, tzinfo=UTC), tell=False)
    of = {
        row.target.key: row for row in Standing.objects.filter(target__plan__key=read.PLAN_KEY).select_related("target")
    }

    assert of["xa-ntm"].status == of["xa-ntm.dien-khanh"].status == "EXPIRED"
    assert "đến 29/02/2024: 64 xã, phải đạt 76 xã; trước đó: năm 2022: 63 xã." in of["xa-ntm"].reason
    assert "gần nhất: năm 2022: 15 xã" in of["xa-ntm.dien-khanh"].reason
    assert of["xa-ntm"].value.state == State.STATED
    assert of["xa-ntm"].value.fact.passage.key == "mo-dau.2"


def test_the_page_of_the_plan_shows_every_discrepancy_and_every_row_left_out(client):
    client.force_login(Person.objects.get(username="quantri"), backend="django.contrib.auth.backends.ModelBackend")

    page = client.get(f"/ke-hoach/{read.PLAN_KEY}/").content.decode()

    assert f'không khớp <span class="count">{len(read.list_discrepancies())}</span>' in page
    assert f'chưa đọc được <span class="count">{len(read.list_unread())}</span>' in page
    assert "Sơn Bình: số tiêu chí đã đạt" in page


def test_the_roadmap_is_frozen_and_moves_only_with_a_decision(loaded):
    entry = loaded.roadmap.get(unit__key__endswith=".ninh-an-xa", tier="BASIC")

    with pytest.raises(operations.RoadmapFrozen):
        operations.change_roadmap(entry, to_year=2024, reason="Xã xin làm sớm")


def test_communes_that_had_gone_before_2025_keep_their_place_without_a_unit(loaded):
    assert {
        (row.name_as_printed, row.district_as_printed) for row in loaded.roadmap.filter(unit__isnull=True)
    } == {("Ninh Vân", "Ninh Hòa"), ("Diện Đồng", "Diên Khánh"), ("Diện Xuân", "Diên Khánh")}  # fmt: skip


def test_a_commune_is_found_by_the_name_as_printed():
    assert Subject.objects.get(printed_names__text="Ninh Thành").name == "Ninh Thân"
    assert (
        PrintedName.objects.get(text="Ninh Thành", passage__key="i.2.b.1").certainty == PrintedName.Certainty.APPARENT
    )


def test_districts_lead_their_part_of_the_target_of_the_province():
    plan = Plan.objects.get(key=read.PLAN_KEY)
    whole = plan.targets.get(key="xa-ntm")

    assert sum(part.amount for part in whole.parts.all()) == whole.amount == 76
    part = whole.parts.get(subject__key="vn.khanh-hoa-cu.dien-khanh-huyen")
    assert part.units.get().organisation.subject.key == "org.kh.ubnd-dien-khanh-huyen"


def test_an_authority_that_is_no_more_is_known_as_such():
    ended = dict(
        Subject.objects.filter(key__startswith="org.kh.", valid_to__isnull=False).values_list("key", "valid_to")
    )

    assert str(ended["org.kh.so-nnptnt"]) == "2025-03-01"
    assert len([key for key, day in ended.items() if key.startswith("org.kh.ubnd-") and str(day) == "2025-07-01"]) == 8
