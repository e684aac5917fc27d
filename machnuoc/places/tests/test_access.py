"""Who may do what where."""

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from machnuoc.core import audit
from machnuoc.core.models import AuditEntry, Notice, Person
from machnuoc.places import access, operations, queries
from machnuoc.places.models import Grant, Subject

pytestmark = pytest.mark.django_db

# The table of rights as the rules say it, written a second time by hand.
ALLOWED = {
    "ADMIN": "view manage administer read_audit export",
    "LEADER": "view approve manage read_audit export serve classify bill",
    "DEPARTMENT": "view enter manage review export serve classify read_meters collect bill",
    "STATION": "view enter export serve classify read_meters collect",
    "COMMUNE": "view enter export",
    "AGENCY": "view approve review export",
    "CASHIER": "export serve collect",
    "READER": "read_meters",
    "PARTNER": "view",
}
ACTIONS = [
    "view", "enter", "approve", "review", "manage", "administer", "read_audit", "export",
    "serve", "classify", "read_meters", "collect", "bill",
]  # fmt: skip


def fresh(person: Person) -> Person:
    """Return the person as the next request reads them."""
    return Person.objects.get(pk=person.pk)


@pytest.mark.parametrize("role", Grant.Role.values)
@pytest.mark.parametrize("action", ACTIONS)
def test_a_role_may_do_exactly_what_the_table_says(make_person, station, cao_bang_operator, role, action):
    person = make_person("ai-do", role, station.subject)
    expected = action in ALLOWED[role].split()

    assert access.may(person, action, station.subject) is expected
    assert access.may(person, action) is expected
    assert access.may(person, action, cao_bang_operator.subject) is False
    assert (station.pk in set(access.visible_subject_ids(person, action))) is expected


def test_the_table_names_every_action():
    assert set(ACTIONS) == access.ACTIONS
    assert set(ALLOWED) == set(Grant.Role.values)


def test_an_unknown_action_is_a_defect_not_a_no(make_person, station):
    with pytest.raises(ValueError, match="unknown action"):
        access.may(make_person("ai-do", "ADMIN", station.subject), "destroy", station.subject)


def test_a_stranger_may_nothing(make_person, station):
    from django.contrib.auth.models import AnonymousUser

    assert not access.may(make_person("khong-quyen"), "view", station.subject)
    assert not access.may(AnonymousUser(), "view")


def test_a_territory_reaches_the_organisations_in_it(make_person, quang_ngai, station, cao_bang_operator):
    person = make_person("so-nnmt", "AGENCY", quang_ngai.subject)

    assert access.may(person, "approve", station.subject)
    assert not access.may(person, "view", cao_bang_operator.subject)


def test_an_organisation_reaches_its_subtree_and_not_its_parent(make_person, water_centre, station):
    leader = make_person("lanh-dao", "LEADER", water_centre.subject)
    clerk = make_person("tram", "STATION", station.subject)

    assert access.may(leader, "approve", station.subject)
    assert access.may(clerk, "enter", station.subject)
    assert not access.may(clerk, "view", water_centre.subject)


def test_what_lies_in_a_scope_is_read_once_and_anew_after_a_move(
    make_person, station, cao_bang_operator, django_assert_num_queries
):
    person = make_person("so-nganh", "AGENCY", station.subject)
    station_id, moved = station.subject.pk, Subject.objects.create(kind=Subject.Kind.WORK, key="work.thu", name="Thử")
    operations.set_parents(moved, "OPERATED_BY", [station.subject])
    assert access.may(person, "view", moved)

    with django_assert_num_queries(0):
        assert access.may(person, "approve", moved) and access.reaches(person, [station_id], moved.pk)
    operations.set_parents(moved, "OPERATED_BY", [cao_bang_operator.subject])

    assert not access.may(person, "approve", moved)


def test_a_single_work_is_a_scope(make_person, station):
    work, other = (
        Subject.objects.create(kind=Subject.Kind.WORK, key=f"work.{number}", name=f"Trạm {number}") for number in (1, 2)
    )
    for subject in (work, other):
        operations.set_parents(subject, "OPERATED_BY", [station.subject])
    person = make_person("mot-tram", "STATION", work)

    assert access.may(person, "enter", work)
    assert not access.may(person, "view", other)
    assert not access.may(person, "view", station.subject)


def test_only_the_whole_country_sees_everything(make_person, country, quang_ngai):
    assert access.sees_everything(make_person("a", "ADMIN", country), "administer")
    assert not access.sees_everything(make_person("b", "PARTNER", country), "administer")
    assert not access.sees_everything(make_person("c", "ADMIN", quang_ngai.subject))


def test_a_field_limits_what_is_done_there(make_person, station):
    person = make_person("do-thi", "STATION", station.subject, field="URBAN")

    assert access.may(person, "enter", station.subject, "URBAN")
    assert not access.may(person, "enter", station.subject, "RURAL")


@pytest.mark.parametrize(
    ("starts_in", "ends_in", "holds"), [(-9, -1, False), (-9, 0, False), (-9, 1, True), (1, 9, False), (0, None, True)]
)
def test_a_grant_holds_from_its_first_day_until_before_its_last(make_person, station, starts_in, ends_in, holds):
    today = timezone.localdate()
    person = make_person(
        "co-han",
        "STATION",
        station.subject,
        valid_from=today + timedelta(days=starts_in),
        valid_to=None if ends_in is None else today + timedelta(days=ends_in),
    )

    assert access.may(person, "view", station.subject) is holds


def test_who_is_deactivated_may_nothing(admin, make_person, station):
    person = make_person("nghi-viec", "STATION", station.subject)

    operations.set_active(person, False, by=admin)

    assert not access.may(fresh(person), "view", station.subject)


# --- lending


@pytest.fixture
def lent(make_person, station):
    today = timezone.localdate()
    lender, stand_in = make_person("truong-tram", "STATION", station.subject), make_person("thay-mat")
    loan = operations.lend_grant(
        lender.grants.get(), to=stand_in, valid_from=today, valid_to=today + timedelta(days=7), by=lender
    )
    return lender, stand_in, loan


def test_a_loan_lets_somebody_stand_in_and_tells_them(lent, station):
    _, stand_in, _ = lent

    assert access.may(fresh(stand_in), "enter", station.subject)
    assert "ủy quyền cho bạn" in Notice.objects.get(person=stand_in).text


def test_a_loan_ends_with_the_lenders_own_grant(lent, station, admin):
    lender, stand_in, _ = lent
    Grant.objects.filter(person=lender).update(valid_from=timezone.localdate() - timedelta(days=5))

    operations.end_grant(lender.grants.get(), on_date=timezone.localdate(), by=admin)

    assert not access.may(fresh(stand_in), "enter", station.subject)


def test_a_loan_ends_when_the_lender_is_deactivated(lent, station, admin):
    lender, stand_in, _ = lent

    operations.set_active(lender, False, by=admin)

    assert not access.may(fresh(stand_in), "enter", station.subject)


def test_a_loan_is_not_lent_on(lent, make_person):
    _, stand_in, loan = lent
    today = timezone.localdate()

    with pytest.raises(operations.PlacesError, match="không ủy quyền lại"):
        operations.lend_grant(
            loan, to=make_person("nguoi-thu-ba"), valid_from=today, valid_to=today + timedelta(days=1), by=stand_in
        )


def test_nobody_lends_what_is_not_theirs(lent, make_person):
    lender, _, _ = lent
    today = timezone.localdate()
    thief = make_person("ke-gian")

    with pytest.raises(operations.PlacesError, match="Chỉ người giữ quyền"):
        operations.lend_grant(
            lender.grants.get(), to=thief, valid_from=today, valid_to=today + timedelta(days=1), by=thief
        )


def test_the_lender_takes_a_loan_back(lent, station):
    lender, stand_in, loan = lent

    operations.end_loan(loan, on_date=timezone.localdate(), by=lender)

    assert not access.may(fresh(stand_in), "enter", station.subject)


def test_the_same_loan_twice_in_one_week_is_refused(lent):
    lender, stand_in, _ = lent
    today = timezone.localdate()

    with pytest.raises(operations.PlacesError, match="trùng"):
        operations.lend_grant(
            lender.grants.get(), to=stand_in, valid_from=today, valid_to=today + timedelta(days=2), by=lender
        )


# --- giving


def test_an_administrator_gives_only_inside_the_own_scope(make_person, quang_ngai, station, cao_bang_operator):
    local_admin, clerk = make_person("qt-qn", "ADMIN", quang_ngai.subject), make_person("can-bo")

    operations.give_grant(person=clerk, role="STATION", scope=station.subject, by=local_admin)
    with pytest.raises(PermissionDenied):
        operations.give_grant(person=clerk, role="STATION", scope=cao_bang_operator.subject, by=local_admin)

    assert [grant.scope_id for grant in clerk.grants.all()] == [station.pk]


def test_an_administrator_of_one_field_does_not_give_all_fields(make_person, quang_ngai, station):
    rural_admin = make_person("qt-nt", "ADMIN", quang_ngai.subject, field="RURAL")
    clerk = make_person("can-bo")

    operations.give_grant(person=clerk, role="STATION", scope=station.subject, field="RURAL", by=rural_admin)
    for field in ("ALL", "URBAN"):
        with pytest.raises(PermissionDenied):
            operations.give_grant(person=clerk, role="STATION", scope=station.subject, field=field, by=rural_admin)


def test_a_leader_gives_nothing(make_person, station):
    with pytest.raises(PermissionDenied):
        operations.give_grant(
            person=make_person("can-bo"),
            role="STATION",
            scope=station.subject,
            by=make_person("lanh-dao", "LEADER", station.subject),
        )


def test_giving_the_same_grant_twice_makes_one(admin, make_person, station):
    clerk = make_person("can-bo")

    for _ in range(2):
        operations.give_grant(person=clerk, role="STATION", scope=station.subject, by=admin)

    assert clerk.grants.count() == 1
    assert AuditEntry.objects.filter(action="places.grant.given", actor=admin).count() == 1


def test_nobody_ends_their_own_administration(admin):
    with pytest.raises(operations.PlacesError, match="của chính mình"):
        operations.end_grant(admin.grants.get(), on_date=timezone.localdate(), by=admin)


# --- people


def test_a_new_person_gets_a_password_that_is_kept_nowhere(admin, station):
    person, password = operations.add_person(
        username="moi", full_name="Lê Thị Mới", role="STATION", scope=station.subject, by=admin
    )

    assert person.check_password(password)
    assert len(password) == 19
    assert password not in str(list(AuditEntry.objects.values()))
    assert access.may(person, "enter", station.subject)


def test_a_user_name_is_taken_whatever_its_case(admin, make_person):
    make_person("nguyenvana")

    with pytest.raises(operations.PlacesError, match="Đã có người dùng"):
        operations.add_person(username="NguyenVanA", full_name="Người khác", by=admin)


def test_a_local_administrator_must_give_a_first_grant(make_person, quang_ngai):
    local_admin = make_person("qt-qn", "ADMIN", quang_ngai.subject)

    with pytest.raises(operations.PlacesError, match="Chọn vai trò và phạm vi"):
        operations.add_person(username="moi", full_name="Người mới", by=local_admin)


def test_a_password_reset_is_no_way_to_more_rights(make_person, country, quang_ngai, station):
    local_admin = make_person("qt-qn", "ADMIN", quang_ngai.subject)
    boss = make_person("qt-tw", "ADMIN", country)
    operations.give_grant(person=boss, role="STATION", scope=station.subject, by=local_admin)

    assert boss in queries.list_people(local_admin)  # seen, for there is a grant in scope
    for act in (operations.reset_password, lambda person, by: operations.set_active(person, False, by=by)):
        with pytest.raises(PermissionDenied, match="ngoài phạm vi"):
            act(boss, by=local_admin)


def test_a_local_administrator_sees_only_grants_of_the_own_scope(make_person, country, quang_ngai, station, cao_bang):
    local_admin = make_person("qt-qn", "ADMIN", quang_ngai.subject)
    both = make_person("hai-noi", "AGENCY", cao_bang.subject)
    operations.give_grant(person=both, role="AGENCY", scope=quang_ngai.subject, by=None)
    make_person("cao-bang", "AGENCY", cao_bang.subject)

    people = {person.username: person for person in queries.list_people(local_admin)}

    assert set(people) == {"qt-qn", "hai-noi"}
    assert [grant.scope_id for grant in people["hai-noi"].shown_grants] == [quang_ngai.pk]


def test_the_acts_on_people_read_as_sentences(admin):
    person, _ = operations.add_person(username="moi", full_name="Lê Thị Mới", by=admin)
    operations.set_active(person, False, by=admin)

    texts = audit.sentences(AuditEntry.objects.filter(actor=admin).order_by("pk"))

    assert texts == ["Người quan-tri tạo tài khoản của Lê Thị Mới", "Người quan-tri ngừng tài khoản của Lê Thị Mới"]
