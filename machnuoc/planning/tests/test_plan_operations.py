"""Plans and targets are written once, changed openly, and never by two people unseen."""

from datetime import date
from decimal import Decimal

import pytest

from machnuoc.core.models import AuditEntry
from machnuoc.core.periods import Period
from machnuoc.places.models import Organisation, Subject
from machnuoc.planning import plan_operations as operations
from machnuoc.planning import plan_queries
from machnuoc.planning.errors import ChangedMeanwhile, PlanningError
from machnuoc.planning.models import Plan, Target

pytestmark = pytest.mark.usefixtures("demo_data", "db")


def _plan() -> Plan:
    return Plan.objects.get(key="qn.79-2026")


def _put(**changed: object) -> Target:
    said: dict[str, object] = {
        "plan": _plan(), "key": "thu", "name": "Số hộ thử", "subject": Subject.objects.get(key="vn.quang-ngai"),
        "comparator": "GE", "amount": Decimal(100), "unit": "household", "period": Period.parse("2026"),
    }  # fmt: skip
    return operations.put_target(**{**said, **changed})  # type: ignore[arg-type]


def test_a_target_is_due_on_the_last_day_of_its_period_unless_said_otherwise():
    assert _put().due_on == date(2026, 12, 31)
    assert _put(key="khac", due_on=date(2026, 11, 14)).due_on == date(2026, 11, 14)


def test_putting_the_same_target_again_changes_nothing():
    units = [operations.lead(Organisation.objects.get(subject__key="org.qn.trung-tam"), "Trung tâm")]
    path = [operations.Point(Period.parse("2026-Q2"), Decimal(40))]
    target = _put(units=units, path=path)
    before = AuditEntry.objects.count()

    again = _put(units=units, path=path)

    assert (again.pk, again.version) == (target.pk, 1)
    assert AuditEntry.objects.count() == before
    assert not again.changes.exists()


def test_a_changed_promise_keeps_what_was_promised_before():
    target = _put(path=[operations.Point(Period.parse("2026-Q2"), Decimal(40))])

    _put(amount=Decimal(120), reason="Điều chỉnh giữa năm")

    change = target.changes.get()
    assert change.before["amount"] == "100.0000"
    assert change.before["path"] == [{"period": "2026-Q2", "amount": "40.0000"}]
    assert change.reason == "Điều chỉnh giữa năm"


def test_two_people_editing_one_target_do_not_overwrite_each_other():
    seen = _put()
    _put(amount=Decimal(110), version=seen.version)

    with pytest.raises(ChangedMeanwhile, match="vừa được người khác sửa"):
        _put(amount=Decimal(120), version=seen.version)

    assert Target.objects.get(pk=seen.pk).amount == 110


def test_a_counted_target_without_a_number_and_a_range_upside_down_are_refused():
    with pytest.raises(PlanningError, match="chưa có mức"):
        _put(amount=None)
    with pytest.raises(PlanningError, match="khoảng"):
        _put(comparator="RANGE", amount=Decimal(24), upper=Decimal(20))


def test_a_target_cannot_be_a_part_of_itself():
    whole = _put()
    part = _put(key="phan", parent=whole)

    with pytest.raises(PlanningError, match="phần của chính nó"):
        _put(parent=part)


@pytest.mark.parametrize(("unit", "amount"), [("household", "1288.5"), ("customer", "0.5"), ("work", "2.5")])
def test_what_is_counted_whole_is_not_promised_in_parts(unit, amount):
    with pytest.raises(PlanningError, match="phải là số nguyên, không phải"):
        _put(amount=Decimal(amount), unit=unit)


def test_a_station_that_shall_not_grow_is_said_so():
    still = Target.objects.filter(plan__key="qn.79-2026", parent__key="khach-hang", amount=0).first()
    digital = Target.objects.get(plan__key="qn.79-2026", key="chuyen-doi-so")

    assert still is not None
    assert plan_queries.promised(still) == "không giao phát triển thêm"
    assert plan_queries.promised(digital) == "hoàn thành 2 nhiệm vụ"
