"""What writes works, on the loaded plans."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from machnuoc.core import search
from machnuoc.core.models import AuditEntry, Person
from machnuoc.core.periods import Period
from machnuoc.indicators import operations as indicator_operations
from machnuoc.indicators.models import Value
from machnuoc.places import access
from machnuoc.places import operations as places
from machnuoc.places.models import Organisation, Subject
from machnuoc.works import operations, queries
from machnuoc.works.models import ServiceArea, TreatmentTrain, Work, WorkOperator

pytestmark = pytest.mark.usefixtures("demo_data", "db")
TODAY = date(2026, 6, 2)
NOW = datetime(2026, 6, 2, 3, 0, tzinfo=UTC)


def get_work(key: str) -> Work:
    return Work.objects.select_related("subject", "operator__subject", "parent").get(subject__key=key)


def number_of(metric: str, subject_key: str, year: int) -> int | None:
    value = Value.objects.filter(
        metric__key=metric, subject__key=subject_key, period_kind="Y", period_start=date(year, 1, 1), scenario="A"
    ).first()
    return value.number if value else None


@pytest.fixture
def cooperative() -> Organisation:
    unit = Organisation.objects.get(subject__key="org.qn.trung-tam").territory
    return places.put_organisation(
        key="org.test.htx", name="Hợp tác xã nước Bình Minh", kind=Organisation.Kind.OPERATOR, territory=unit
    )


@pytest.fixture
def planner() -> Person:
    return Person.objects.get(username="qn.khkt")


# --- who runs it


def test_handing_over_ends_the_former_operator_on_that_day(cooperative, planner):
    work = get_work("work.qn.binh-minh")
    former = work.operator

    operations.hand_over(work, cooperative, from_date=date(2026, 3, 1), by=planner)

    history = queries.get_page(get_work("work.qn.binh-minh"), today=TODAY).operators
    spans = [(row.organisation_id, row.valid_from, row.valid_to) for row in history]
    assert spans == [(cooperative.pk, date(2026, 3, 1), None), (former.pk, None, date(2026, 3, 1))]
    assert get_work("work.qn.binh-minh").operator == cooperative
    assert AuditEntry.objects.filter(action="works.operator.set", target_id=str(work.pk), actor=planner).exists()


def test_a_work_handed_over_leaves_the_scope_of_those_who_ran_it(cooperative, planner):
    work = get_work("work.qn.binh-minh")
    assert access.may(planner, "view", work.pk)

    operations.hand_over(work, cooperative, from_date=date(2026, 3, 1), by=planner)

    assert not access.may(planner, "view", work.pk)


def test_a_hand_over_needs_a_day_after_the_former_one(cooperative, planner):
    work = get_work("work.qn.binh-minh")
    centre = work.operator
    with pytest.raises(operations.WorksError, match="Cần ngày chuyển giao"):
        operations.hand_over(work, cooperative, by=planner)
    operations.hand_over(work, cooperative, from_date=date(2026, 3, 1), by=planner)

    for day in (date(2026, 3, 1), date(2025, 12, 31)):
        with pytest.raises(operations.WorksError, match="sau ngày đơn vị này bắt đầu"):
            operations.hand_over(get_work("work.qn.binh-minh"), centre, from_date=day, by=planner)

    assert WorkOperator.objects.filter(work=work).count() == 2


def test_sub_schemes_are_handed_over_with_their_work(cooperative, planner):
    operations.hand_over(get_work("work.qn.nghia-phu"), cooperative, from_date=date(2026, 3, 1), by=planner)

    assert get_work("work.qn.co-luy-lang-ca").operator == cooperative
    assert not access.may(planner, "view", get_work("work.qn.co-luy-lang-ca").pk)


def test_the_sums_of_both_operators_follow_a_hand_over_from_its_year_on(cooperative, planner):
    operations.hand_over(get_work("work.qn.binh-minh"), cooperative, from_date=date(2026, 3, 1), by=planner)
    indicator_operations.recompute_dirty(NOW)

    assert number_of("works.households_planned", "org.qn.trung-tam", 2026) == 26_930 - 300
    assert number_of("works.households_planned", "org.test.htx", 2026) == 300
    assert number_of("works.households_connected", "org.qn.trung-tam", 2025) == 25_330
    assert number_of("works.households_planned", "vn.quang-ngai", 2026) == 26_930


def test_setting_the_same_operator_again_changes_nothing(planner):
    work = get_work("work.qn.binh-minh")
    before = AuditEntry.objects.count()

    operations.set_operator(work, work.operator, team=work.team, by=planner)

    assert AuditEntry.objects.count() == before


# --- what it can carry


def test_a_new_design_changes_the_figures_from_its_day_on_and_not_those_before(planner):
    work = get_work("work.qn.binh-minh")
    assert number_of("works.utilisation_planned_pct", "work.qn.binh-minh", 2026) == 500  # 300 of 600

    operations.record_capacity(
        work, kind="DESIGN", basis="HOUSEHOLDS", amount=Decimal(800), from_date=date(2026, 1, 1), by=planner
    )
    indicator_operations.recompute_dirty(NOW)

    assert number_of("works.utilisation_planned_pct", "work.qn.binh-minh", 2026) == 375  # 300 of 800
    assert number_of("works.utilisation_households_pct", "work.qn.binh-minh", 2025) == 142  # 85 of 600, as before
    assert number_of("works.households_design", "work.qn.binh-minh", 2025) == 600
    assert number_of("works.households_design", "org.qn.trung-tam", 2026) == 34_657 + 200
    history = queries.get_page(work, today=TODAY).capacities
    assert [(row.amount, row.valid_from, row.valid_to) for row in history] == [
        (800, date(2026, 1, 1), None),
        (600, None, date(2026, 1, 1)),
    ]


@pytest.mark.parametrize(
    ("amount", "from_date", "told"),
    [
        (Decimal(-1), date(2026, 1, 1), "không thể âm"),
        (Decimal("10.5"), date(2026, 1, 1), "số nguyên"),
        (Decimal(700), None, "Cần ngày bắt đầu của công suất mới"),
    ],
)
def test_a_capacity_that_cannot_be_is_refused_and_nothing_changes(amount, from_date, told):
    work = get_work("work.qn.binh-minh")

    with pytest.raises(operations.WorksError, match=told):
        operations.record_capacity(work, kind="DESIGN", basis="HOUSEHOLDS", amount=amount, from_date=from_date)

    assert [row.amount for row in work.capacities.all()] == [600]


def test_two_capacities_cannot_overlap():
    work = get_work("work.qn.binh-minh")
    told = {"kind": "DESIGN", "basis": "HOUSEHOLDS"}
    operations.record_capacity(work, **told, amount=Decimal(800), from_date=date(2026, 1, 1))

    with pytest.raises(operations.WorksError, match="sau ngày bắt đầu của công suất này"):
        operations.record_capacity(work, **told, amount=Decimal(900), from_date=date(2026, 1, 1))


def test_recording_the_same_capacity_twice_changes_nothing():
    work = get_work("work.qn.binh-minh")
    told = {"kind": "EFFECTIVE", "basis": "M3D", "amount": Decimal("250.5"), "from_date": date(2026, 1, 1)}

    first = operations.record_capacity(work, **told)

    assert operations.record_capacity(work, **told) == first


# --- the rest of the record


def test_a_status_cannot_begin_before_the_one_it_follows():
    work = get_work("work.qn.binh-minh")
    operations.set_status(work, Work.Status.STOPPED, from_date=date(2026, 2, 1), reason="Sửa giếng")

    with pytest.raises(operations.WorksError, match="01/02/2026"):
        operations.set_status(work, Work.Status.RUNNING, from_date=date(2026, 1, 1))
    with pytest.raises(operations.WorksError, match="Không có tình trạng"):
        operations.set_status(work, "LOST")

    assert get_work("work.qn.binh-minh").status == Work.Status.STOPPED


def test_a_place_no_longer_served_stays_in_the_history():
    work = get_work("work.qn.binh-minh")
    former = work.service_areas.get().place
    other = Subject.objects.get(unit__parent__subject__key="vn.quang-ngai", unit__code="21040")

    operations.set_service_areas(work, [(other, "")], from_date=date(2026, 4, 1))

    rows = ServiceArea.objects.filter(work=work).values_list("place_id", "valid_from", "valid_to")
    assert set(rows) == {(former.pk, None, date(2026, 4, 1)), (other.pk, date(2026, 4, 1), None)}


def test_a_work_is_found_by_a_name_that_a_document_prints():
    work = get_work("work.qn.binh-minh")

    operations.add_alias(work, "Hệ Bình Minh Thượng", certainty="apparent")

    assert list(search.matching_ids("work", "he binh minh thuong")) == [work.pk]


def test_two_people_who_edit_one_work_do_not_overwrite_each_other():
    work = get_work("work.qn.binh-minh")
    told = {"key": "work.qn.binh-minh", "kind": work.kind, "sector": work.sector, "version": work.subject.version}
    operations.put_work(name="Trạm Bình Minh 1", **told)

    with pytest.raises(places.ChangedMeanwhile, match="vừa được người khác sửa"):
        operations.put_work(name="Trạm Bình Minh 2", **told)

    assert get_work("work.qn.binh-minh").subject.name == "Trạm Bình Minh 1"


def test_a_new_work_gets_a_key_of_its_own_name(planner):
    centre = Organisation.objects.get(subject__key="org.qn.trung-tam")
    commune = Subject.objects.get(unit__parent__subject__key="vn.quang-ngai", unit__code="21040").unit
    told = {
        "name": "Trạm Đông Hà", "kind": "STATION", "sector": "RURAL", "operator": centre, "territories": [commune],
        "status": "RUNNING", "by": planner,
    }  # fmt: skip

    first, second = operations.add_work(**told), operations.add_work(**told)

    assert (first.subject.key, second.subject.key) == ("work.tram-dong-ha", "work.tram-dong-ha-2")
    assert access.may(planner, "view", first.pk)
    assert Subject.objects.get(key="vn.quang-ngai").contains.filter(descendant_id=first.pk).exists()


def test_a_work_is_not_part_of_itself_and_takes_no_key_of_another_kind():
    work = get_work("work.qn.binh-minh")
    with pytest.raises(operations.WorksError, match=r"phần của chính nó"):
        operations.put_work(key="work.qn.binh-minh", name="x", kind="SUBSCHEME", sector="RURAL", parent=work)
    with pytest.raises(operations.WorksError, match=r"Khóa «org\.qn\.trung-tam» đã dùng"):
        operations.put_work(key="org.qn.trung-tam", name="x", kind="STATION", sector="RURAL")


def test_a_household_of_a_new_sub_scheme_is_counted_in_the_work_once(planner):
    parent = get_work("work.qn.binh-minh")
    part = operations.add_work(
        name="Phân hệ Thôn Đông", kind="SUBSCHEME", sector="RURAL", parent=parent, operator=parent.operator, by=planner
    )
    metric = Value.objects.filter(metric__key="works.households_connected").first().metric
    indicator_operations.state_fact(
        metric=metric, subject=part.subject, period=Period.parse("2025"), number=Decimal(15), state=2, now=NOW
    )
    indicator_operations.recompute_dirty(NOW)

    row = queries.get_page(parent, today=TODAY).row
    assert (row.connected, row.connected_own) == (100, 85)
    assert number_of("works.households_connected", "org.qn.trung-tam", 2025) == 25_345


def test_treatment_steps_are_kept_as_the_plan_of_lai_chau_prints_them():
    train = TreatmentTrain.objects.get(key="train.surface")

    assert train.steps == ["sơ lắng", "trộn", "phản ứng keo tụ", "lắng", "lọc nhanh", "khử trùng"]
    assert train.passage.document.key
