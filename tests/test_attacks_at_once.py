"""Two people in the same moment: what one does is done once, and the other is told or finds it done."""

import threading
from collections.abc import Callable
from datetime import date

import pytest
from django.db import connection

from machnuoc.places.models import AdministrativeUnit, Organisation, Subject
from machnuoc.planning import duty_operations, handover_operations
from machnuoc.planning.models import Duty, DutyInstance, Handover
from machnuoc.works.models import Work

pytestmark = pytest.mark.django_db(transaction=True)
TODAY = date(2026, 11, 22)


def together(act: Callable[[], object], times: int = 4) -> list[Exception]:
    errors: list[Exception] = []
    start = threading.Barrier(times)

    def run() -> None:
        try:
            start.wait(10)
            act()
        except Exception as reason:
            errors.append(reason)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


@pytest.fixture
def place() -> Subject:
    subject = Subject.objects.create(key="vn.thu", kind=Subject.Kind.UNIT, name="Tỉnh Thử")
    AdministrativeUnit.objects.create(
        subject=subject, level=AdministrativeUnit.Level.PROVINCE, full_name="Tỉnh Thử", is_in_force=True
    )
    return subject


def make_organisation(name: str) -> Organisation:
    subject = Subject.objects.create(key=f"org.{name}", kind=Subject.Kind.ORGANISATION, name=name)
    return Organisation.objects.create(subject=subject, kind=Organisation.Kind.STATION)


def test_the_dates_of_a_duty_are_opened_once(place):
    duty_operations.put_duty(
        key="duty.thu", name="Báo cáo tháng", subject=place, rule="FREQ=MONTHLY;BYMONTHDAY=14",
        units=[make_organisation(name) for name in ("a", "b", "c")],
    )  # fmt: skip

    assert together(lambda: duty_operations.open_instances(TODAY)) == []
    rows = DutyInstance.objects.filter(duty=Duty.objects.get())
    assert rows.count() == rows.values("organisation", "rule_date").distinct().count() >= 36


def test_a_work_is_in_one_open_handover(place):
    receiver = make_organisation("nhan")
    subject = Subject.objects.create(key="work.thu", kind=Subject.Kind.WORK, name="Công trình Thử")
    work = Work.objects.create(subject=subject, kind=Work.Kind.SCHEME, sector=Work.Sector.RURAL)

    errors = together(
        lambda: handover_operations.request_handover(
            name="Công trình Thử", place=place, receiver=receiver, work=work, today=TODAY
        )
    )

    assert {type(error) for error in errors} == {handover_operations.HandoverError} and len(errors) == 3
    assert Handover.objects.count() == 1
