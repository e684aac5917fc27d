"""A small world for the tests of entry: a centre with two stations, their works, a form, and the people around it."""

from datetime import date, datetime
from types import SimpleNamespace

from machnuoc.core.models import Person
from machnuoc.core.periods import LOCAL_ZONE, Period
from machnuoc.indicators.models import EntryForm, EntryFormLine, Metric
from machnuoc.places.models import Containment, Grant, Organisation, Subject

JULY = Period.parse("2026-07")
AUGUST = Period.parse("2026-08")


def at(day: int, month: int = 8, hour: int = 9) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=LOCAL_ZONE)


def make_organisation(key, name, kind, parent=None):
    subject = Subject.objects.create(kind=Subject.Kind.ORGANISATION, key=key, name=name)
    organisation = Organisation.objects.create(subject=subject, kind=kind, parent=parent)
    contain(subject, [parent.subject] if parent else [])
    return organisation


def make_work(key, name, organisation, **fields):
    subject = Subject.objects.create(kind=Subject.Kind.WORK, key=key, name=name, **fields)
    contain(subject, [organisation.subject])
    return subject


def contain(subject, parents):
    ancestors = set(Containment.objects.filter(descendant__in=parents).values_list("ancestor_id", flat=True))
    Containment.objects.bulk_create(Containment(ancestor_id=pk, descendant=subject) for pk in {*ancestors, subject.pk})


def make_person(username, name, role=None, scope=None, **fields):
    person = Person.objects.create_user(username, "mat-khau-rat-dai", full_name=name)
    if role:
        Grant.objects.create(person=person, role=role, scope=scope, valid_from=date(2025, 1, 1), **fields)
    return person


def make_metric(key, short_name, **fields):
    defaults = {
        "kind": Metric.Kind.MEASURE, "name": f"{short_name} của công trình", "short_name": short_name,
        "unit": "household", "decimals": 0, "subject_kind": Subject.Kind.WORK, "period_kinds": "MQY",
        "source": Metric.Source.ENTERED, "time_how": Metric.TimeHow.LAST,
    }  # fmt: skip
    return Metric.objects.create(key=key, **{**defaults, **fields})


def make_world() -> SimpleNamespace:
    centre = make_organisation("to-chuc.trung-tam", "Trung tâm Nước sạch", Organisation.Kind.CENTRE)
    south = make_organisation("to-chuc.tram-nam", "Trạm Nam", Organisation.Kind.STATION, centre)
    north = make_organisation("to-chuc.tram-bac", "Trạm Bắc", Organisation.Kind.STATION, centre)
    households = make_metric("thu.ho", "Số hộ đấu nối", minimum=0, maximum=100_000, max_change_pct=20)
    volume = make_metric("thu.san-luong", "Sản lượng", unit="m3", decimals=1, minimum=0, time_how=Metric.TimeHow.SUM)
    form = EntryForm.objects.create(
        key="bao-cao-tram", name="Báo cáo trạm", period_kind="M", subject_kind=Subject.Kind.WORK, field="RURAL",
        due_day=14, lock_after_days=45,
    )  # fmt: skip
    EntryFormLine.objects.create(form=form, metric=households, order=1)
    EntryFormLine.objects.create(form=form, metric=volume, order=2, is_required=False)
    form.organisations.set([south, north])
    return SimpleNamespace(
        centre=centre, south=south, north=north, form=form, households=households, volume=volume,
        nghia_phu=make_work("cong-trinh.nghia-phu", "Nghĩa Phú", south),
        duc_thang=make_work("cong-trinh.duc-thang", "Đức Thắng", south),
        hoa_binh=make_work("cong-trinh.hoa-binh", "Hòa Bình", north),
        writer=make_person("nhap.nam", "Nguyễn Thị Nhập", Grant.Role.STATION, south.subject),
        colleague=make_person("nhap.nam2", "Trần Văn Cùng", Grant.Role.STATION, south.subject),
        northerner=make_person("nhap.bac", "Lê Thị Bắc", Grant.Role.STATION, north.subject),
        planner=make_person("phong", "Phạm Văn Phòng", Grant.Role.DEPARTMENT, centre.subject),
        leader=make_person("lanh-dao", "Đỗ Văn Duyệt", Grant.Role.LEADER, centre.subject),
        second_leader=make_person("lanh-dao2", "Bùi Thị Duyệt", Grant.Role.LEADER, centre.subject),
        stranger=make_person("khach", "Người Lạ"),
    )  # fmt: skip
