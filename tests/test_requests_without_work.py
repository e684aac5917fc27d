"""Requests of which no work is known count for whose they are: in sums, indicators, lineage, reports and by scope."""

from datetime import datetime, timedelta

import pytest
from django.test import Client
from django.utils import timezone

from machnuoc.core.models import AuditEntry, Person
from machnuoc.core.periods import LOCAL_ZONE, Period
from machnuoc.customers import figures, visibility
from machnuoc.customers.models import Category, Request
from machnuoc.customers.tests.world import Centre, make_centre, make_operator, make_person
from machnuoc.indicators import lineage, operations, queries
from machnuoc.indicators.catalogue import load_catalogue
from machnuoc.indicators.forms import NewMetric
from machnuoc.indicators.models import Value
from machnuoc.places import operations as places
from machnuoc.places import queries as place_queries
from machnuoc.places.models import AdministrativeUnit, Grant, Organisation, Subject
from machnuoc.reports import replay, snapshot
from machnuoc.works.models import Work

JULY = Period.parse("2026-07")
NOW = datetime(2026, 8, 3, 9, 0, tzinfo=LOCAL_ZONE)
START = datetime(2026, 7, 1, 8, tzinfo=LOCAL_ZONE)


@pytest.fixture(autouse=True)
def _a_day_with_few_months_to_count(monkeypatch):
    monkeypatch.setattr(timezone, "now", lambda: NOW)
    monkeypatch.setattr(figures, "FIRST_MONTHS", 1)
    monkeypatch.setattr(figures, "LATE_MONTHS", 1)


@pytest.fixture
def country(db) -> Subject:
    country = Subject.objects.create(kind=Subject.Kind.COUNTRY, key="vn", name="Việt Nam")
    places.rebuild_containment([country.pk])
    return country


def make_unit(key: str, level: str, above: Subject) -> AdministrativeUnit:
    subject = Subject.objects.create(kind=Subject.Kind.UNIT, key=key, name=key)
    places.set_parents(subject, "TERRITORY", [above])
    parent = AdministrativeUnit.objects.filter(pk=above.pk).first()
    return AdministrativeUnit.objects.create(
        subject=subject, level=level, unit_type="", code=str(subject.pk % 99_999), full_name=key, parent=parent
    )


@pytest.fixture
def province(country) -> AdministrativeUnit:
    return make_unit("vn.tinh", "PROVINCE", country)


@pytest.fixture
def commune(province) -> AdministrativeUnit:
    return make_unit("vn.tinh.xa", "COMMUNE", province.subject)


@pytest.fixture
def centre(province) -> Centre:
    """The operator runs two works of the province."""
    load_catalogue(NOW)
    centre = make_centre()
    places.put_organisation(
        key=centre.operator.subject.key, name=centre.operator.subject.name, kind=Organisation.Kind.OPERATOR,
        territory=province,
    )  # fmt: skip
    for work in Work.objects.filter(operator=centre.operator).select_related("subject"):
        places.set_parents(work.subject, "OPERATED_BY", [centre.operator.subject], rebuild=False)
        places.set_parents(work.subject, "TERRITORY", [province.subject])
    return centre


def ask(
    operator: Organisation | None, work: Work | None = None, *, hours: int | None = None, place: Subject | None = None,
    limit: int | None = 24,
) -> Request:  # fmt: skip
    """Store a request of July, answered after so many hours, with a limit of so many."""
    number = Request.objects.count()
    return Request.objects.create(
        code=f"PA{number}", category=Category.objects.order_by("pk").first(), channel="PHONE", operator=operator,
        work=work, place=place, text="Nước yếu", received_at=START, clock_from_at=START, token=f"t{number}",
        due_at=START + timedelta(hours=limit) if limit else None, state="ANSWERED" if hours else "NEW",
        answered_at=START + timedelta(hours=hours) if hours else None,
    )  # fmt: skip


def count() -> None:
    figures.mark_measures(NOW)
    operations.recompute_dirty(NOW)


def outside(whole: Organisation | Subject) -> Subject:
    return Subject.objects.get(kind=Subject.Kind.OUTSIDE, key=place_queries.outside_works_key(whole.pk))


def find(key: str, subject: Subject | Organisation | Work | AdministrativeUnit) -> Value | None:
    return (
        Value.objects.filter(metric__key=key, subject_id=subject.pk, period_kind="M", period_start=JULY.start_date)
        .select_related("metric", "subject", "band", "fact", "formula")
        .first()
    )


def number(key: str, subject: Subject | Organisation | Work | AdministrativeUnit) -> int | None:
    found = find(key, subject)
    return found.number if found else None


def test_an_operators_sum_holds_its_works_and_what_is_of_none_of_them(centre, province, country):
    ask(centre.operator, centre.binh_chanh, hours=10)
    ask(centre.operator, hours=2)
    ask(centre.operator)
    ask(Organisation.objects.get(subject__key="org.thu.khac"))  # of an operator without a territory
    centre.connection()
    count()

    assert number("requests.received", outside(centre.operator)) == 2
    assert number("requests.received", centre.binh_chanh) == 1
    of_operator, of_province = find("requests.received", centre.operator), find("requests.received", province)
    assert (of_operator.number, of_operator.parts_present, of_operator.parts_total) == (3, 2, 3)
    assert (of_province.number, of_province.parts_present, of_province.parts_total) == (3, 2, 3)
    assert number("requests.received", country) == 4
    connections = find("customers.connections", centre.operator)
    assert (connections.number, connections.parts_present, connections.parts_total) == (1, 1, 2)


def test_an_operator_without_works_has_a_figure_too(centre):
    newcomer = make_operator("org.thu.moi", "Công ty mới")
    ask(newcomer, hours=3)
    count()

    assert number("requests.received", newcomer) == 1
    assert number("requests.mean_answer_hours", newcomer) == 30
    assert find("customers.connections", newcomer) is None


def test_without_an_operator_a_request_counts_for_its_place_and_with_both_once(centre, commune, province, country):
    ask(None, place=commune.subject)
    ask(centre.operator, place=commune.subject)
    ask(None)  # nobody's: it counts nowhere
    count()

    assert number("requests.received", outside(commune)) == 1
    assert number("requests.received", outside(centre.operator)) == 1
    assert number("requests.received", province) == number("requests.received", country) == 2


def test_an_indicator_is_sum_over_sum_with_the_part_outside_works(centre):
    ask(centre.operator, centre.binh_chanh, hours=10)
    for _ in range(3):
        ask(centre.operator, hours=2)
    ask(centre.operator, hours=30)
    count()

    mean, in_time = find("requests.mean_answer_hours", centre.operator), find("requests.in_time_pct", centre.operator)
    assert mean.number == 92  # (10 + 3 × 2 + 30) / 5 hours, in tenths
    assert (in_time.number, in_time.numerator, in_time.denominator) == (800, 4, 5)
    assert (mean.parts_present, mean.parts_total) == (2, 3)
    assert lineage.recheck(mean).is_same and lineage.recheck(in_time).is_same


def test_a_part_outside_works_without_a_rate_of_its_own_still_adds_up(centre):
    ask(centre.operator, centre.binh_chanh, hours=10)
    ask(centre.operator, hours=2, limit=None)
    count()

    in_time = find("requests.in_time_pct", centre.operator)
    assert (in_time.number, in_time.parts_present) == (1000, 2)
    assert lineage.recheck(in_time).is_same


def test_the_lineage_of_an_operator_names_the_part_and_leads_to_its_requests(centre):
    ask(centre.operator, centre.binh_chanh, hours=10)
    ask(centre.operator)
    count()
    value = lineage.get_value(find("requests.received", centre.operator).pk, centre.clerk)

    (parts,) = lineage.lineage(value, centre.clerk).children
    assert parts.title == "Cộng từ 2 nơi"
    assert [(part.title, part.value.number) for part in parts.children] == [
        ("Không rõ công trình – Trung tâm Nước thử", 1), ("Trạm Bình Chánh", 1),
    ]  # fmt: skip

    part = lineage.get_value(parts.children[0].value.pk, centre.clerk)
    assert lineage.recheck(part).is_same
    record, waiting = lineage.lineage(part, centre.clerk).children
    assert record.title == "Phản ánh, yêu cầu không rõ công trình: 1 tiếp nhận trong kỳ, 0 đã trả lời (0 trong hạn)"
    client = sign_in(centre.clerk)
    for node in (record, waiting):
        page = client.get(node.url)
        assert [row.code for row in page.context["page"]] == ["PA1"]
    assert [row.name for row in queries.rank(part.metric, JULY, "A", centre.clerk, level="part")] == [
        "Không rõ công trình – Trung tâm Nước thử", "Trạm Bình Chánh",
    ]  # fmt: skip
    assert "Không rõ công trình – Trung tâm Nước thử" in client.get(f"/so-lieu/{part.pk}/").content.decode()


def sign_in(person: Person) -> Client:
    client = Client()
    client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
    return client


def test_a_grant_on_one_work_does_not_reach_the_part_outside_works(centre, province):
    ask(centre.operator, centre.binh_chanh, hours=10)
    ask(centre.operator)
    count()
    part = find("requests.received", outside(centre.operator))

    with pytest.raises(Value.DoesNotExist):
        lineage.get_value(part.pk, centre.station)
    for reader in (centre.clerk, centre.agency, make_person("thu.tinh", Grant.Role.LEADER, province.subject)):
        assert lineage.get_value(part.pk, reader) == part
    of_province = lineage.get_value(find("requests.received", province).pk, centre.station)
    mine, beyond = lineage.lineage(of_province, centre.station).children[0].children
    assert (mine.title, beyond.title) == ("Trạm Bình Chánh", "1 nơi ngoài phạm vi của bạn")
    listed = sign_in(centre.station).get(f"/phan-anh/?work=outside-{centre.operator.pk}&state=all")
    assert "PA1" not in [row.code for row in listed.context["page"]]


def test_a_place_where_nobody_asked_is_no_gap_that_the_overview_warns_of(centre):
    ask(centre.operator, centre.binh_chanh, hours=10)
    count()
    of_operator = Value.objects.get(
        metric__key="requests.in_time_pct", subject_id=centre.operator.pk, period_kind="Y",
        period_start=JULY.start_date.replace(month=1),
    )  # fmt: skip
    assert of_operator.parts_present < of_operator.parts_total

    assert queries.list_warnings(centre.clerk) == []


def test_a_request_that_gets_its_work_later_corrects_both(centre):
    moved = ask(centre.operator, hours=2)
    count()
    assert number("requests.received", outside(centre.operator)) == 1

    Request.objects.filter(pk=moved.pk).update(work=centre.nghia_phu)
    count()

    assert number("requests.received", outside(centre.operator)) is None
    assert number("requests.mean_answer_hours", outside(centre.operator)) is None
    assert number("requests.received", centre.nghia_phu) == 1
    of_operator = find("requests.received", centre.operator)
    assert (of_operator.number, of_operator.parts_present, of_operator.parts_total) == (1, 1, 2)


def test_what_was_stored_before_counts_for_thirteen_months_back(centre, monkeypatch):
    monkeypatch.setattr(figures, "FIRST_MONTHS", 13)
    ask(centre.operator, centre.binh_chanh)
    count()
    early = START - timedelta(days=200)
    ask(centre.operator)
    Request.objects.filter(work=None).update(received_at=early, clock_from_at=early)
    count()

    then = Period.containing(early.date(), "M")
    values = Value.objects.filter(metric__key="requests.received", subject_id=centre.operator.pk, period_kind="M")
    assert values.get(period_start=then.start_date).number == 1


def test_a_report_with_the_part_outside_works_replays_to_the_same(centre, country):
    ask(centre.operator, centre.binh_chanh, hours=10)
    ask(centre.operator, hours=2)
    ask(make_operator("org.thu.moi", "Công ty mới"), hours=5)
    count()
    values = list(Value.objects.select_related("metric", "subject", "band", "fact").order_by("pk"))

    freezer = snapshot._Freezer()
    node_of = freezer.freeze(values)
    content = {**freezer.as_data(), "taken_at": NOW.isoformat(), "figures": []}

    assert replay.replay(content).differences == ()
    node = content["nodes"][node_of[find("requests.received", centre.operator).pk]]
    assert any(outside(centre.operator).key in part for part in node["parts"])


def test_the_part_is_opened_once_and_follows_the_name_of_its_organisation(centre):
    one = places.put_outside_works(centre.operator.subject)
    assert places.put_outside_works(centre.operator.subject) == one

    places.put_organisation(key=centre.operator.subject.key, name="Trung tâm " * 19, kind=Organisation.Kind.OPERATOR)

    one.refresh_from_db()
    assert one.name.startswith("Không rõ công trình – Trung tâm Trung tâm") and len(one.name) == 200
    assert AuditEntry.objects.filter(action="places.outside_works.added").count() == 1


def test_nothing_is_measured_or_granted_on_the_part_outside_works(centre):
    part = places.put_outside_works(centre.operator.subject)

    assert Subject.Kind.OUTSIDE not in dict(NewMetric().fields["subject_kind"].choices)
    assert part not in place_queries.find_subjects("Trung tâm Nước thử", Subject.objects.all())
    assert part.pk not in visibility.list_work_names(centre.clerk)
