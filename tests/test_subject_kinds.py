"""Tables that share the primary key of a subject, checked for the kind of that subject by the database itself."""

import pytest
from django.db import IntegrityError, transaction

from machnuoc.places.models import AdministrativeUnit, Organisation, Subject, UrbanArea
from machnuoc.planning.models import Project
from machnuoc.works.models import Work

Kind = Subject.Kind


def make_subject(kind: str, key: str = "") -> Subject:
    return Subject.objects.create(kind=kind, key=key or f"doi-tuong-{Subject.objects.count()}", name="Đối tượng")


def make_commune(key: str = "xa") -> AdministrativeUnit:
    return AdministrativeUnit.objects.create(
        subject=make_subject(Kind.UNIT, key), level="COMMUNE", unit_type="Xã", code=key[:5], full_name="Xã"
    )


def rows_of_each_table(subject: Subject) -> list:
    return [
        AdministrativeUnit(subject=subject, level="COMMUNE", unit_type="Xã", code="00001", full_name="Xã"),
        UrbanArea(subject=subject, commune=make_commune()),
        Organisation(subject=subject, kind="OPERATOR"),
        Work(subject=subject, kind=Work.Kind.values[0], sector=Work.Sector.values[0]),
        Project(subject=subject),
    ]


@pytest.mark.django_db
@pytest.mark.parametrize("kind", Kind.values)
def test_a_table_takes_subjects_of_its_own_kind_alone(kind):
    fitting = {
        AdministrativeUnit: Kind.UNIT,
        UrbanArea: Kind.URBAN_AREA,
        Organisation: Kind.ORGANISATION,
        Work: Kind.WORK,
        Project: Kind.PROJECT,
    }
    for row in rows_of_each_table(make_subject(kind)):
        if kind == fitting[type(row)]:
            row.save(force_insert=True)
        else:
            with pytest.raises(IntegrityError, match="chỉ nhận đối tượng loại"), transaction.atomic():
                row.save(force_insert=True)


@pytest.mark.django_db
def test_a_row_cannot_be_moved_to_a_subject_of_another_kind():
    unit = make_commune()
    work = make_subject(Kind.WORK)

    with pytest.raises(IntegrityError, match="chỉ nhận đối tượng loại UNIT"), transaction.atomic():
        AdministrativeUnit.objects.filter(pk=unit.pk).update(subject=work)


@pytest.mark.django_db
def test_the_kind_of_a_subject_never_changes():
    unit = make_commune()

    with pytest.raises(IntegrityError, match="không đổi được"), transaction.atomic():
        Subject.objects.filter(pk=unit.pk).update(kind=Kind.WORK)
    Subject.objects.filter(pk=unit.pk).update(kind=Kind.UNIT, name="Xã Bình Sơn")
