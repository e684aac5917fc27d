"""Who reads what a plan asks of places that are no more."""

from datetime import date

import pytest
from django.urls import reverse

from machnuoc.core.models import Person
from machnuoc.indicators.models import Value
from machnuoc.places import operations as places
from machnuoc.places.models import Subject
from machnuoc.planning import plan_queries, visibility
from machnuoc.planning.models import Target

pytestmark = pytest.mark.usefixtures("demo_data", "db")


@pytest.fixture
def reader():
    def make(username: str, scope_key: str) -> Person:
        person = Person.objects.create_user(username=username, password="một mật khẩu dài 2026")
        places.give_grant(
            person=person, role="AGENCY", scope=Subject.objects.get(key=scope_key), by=None,
            valid_from=date(2026, 1, 1),
        )  # fmt: skip
        return person

    return make


def list_keys(person: Person) -> set[str]:
    return set(
        Subject.objects.filter(visibility.readable(person, "pk"), key__startswith="vn.").values_list("key", flat=True)
    )


def test_a_province_reads_of_the_communes_and_districts_that_lay_in_it(reader):
    keys = list_keys(reader("khanh.hoa", "vn.khanh-hoa"))

    assert {
        "vn.khanh-hoa-cu", "vn.khanh-hoa-cu.dien-khanh-huyen", "vn.khanh-hoa-cu.cam-lam-huyen.cam-tan-xa",
    } <= keys  # fmt: skip
    assert not {key for key in keys if key.startswith(("vn.quang-ngai", "vn.cao-bang", "vn.lai-chau"))}


def test_a_province_that_kept_its_bounds_reads_of_its_districts(reader):
    assert "vn.lai-chau.sin-ho-huyen" in list_keys(reader("lai.chau", "vn.lai-chau"))


def test_a_commune_of_today_reads_of_those_it_took_in_and_not_of_its_neighbours(reader):
    keys = list_keys(reader("cam.lam", "vn.khanh-hoa.cam-lam-xa"))

    former = {key for key in keys if key.startswith("vn.khanh-hoa-cu.")}
    assert former and all(key.count(".") == 3 for key in former)
    assert "vn.khanh-hoa-cu.khanh-son-huyen.son-binh-xa" not in keys


def test_the_targets_of_a_plan_of_before_the_mergers_are_read_in_the_province_alone(reader):
    ours = Target.objects.filter(plan__key="kh.1355-2024")

    read_here = ours.filter(visibility.readable(reader("khanh.hoa", "vn.khanh-hoa"), "subject_id"))
    read_elsewhere = ours.filter(visibility.readable(reader("cao.bang", "vn.cao-bang"), "subject_id"))

    assert read_here.count() == ours.count() > 0
    assert not read_elsewhere.exists()


def test_a_province_reads_the_figures_of_its_former_districts(reader, client):
    ours, others = reader("khanh.hoa", "vn.khanh-hoa"), reader("cao.bang", "vn.cao-bang")
    target = Target.objects.get(plan__key="kh.1355-2024", key="xa-ntm.khanh-son")
    value = Value.objects.filter(subject=target.subject, metric=target.metric).first()
    assert value is not None
    address = reverse("indicators:value", args=[value.pk])

    assert plan_queries.readable_subject_ids(ours, [target.subject_id]) == {target.subject_id}
    assert plan_queries.readable_subject_ids(others, [target.subject_id]) == set()
    client.force_login(ours)
    assert client.get(address).status_code == 200
    client.force_login(others)
    assert client.get(address).status_code == 404
