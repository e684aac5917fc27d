"""What somebody tries who wants more than is theirs, or wants the program to fall over."""

import json
import os
from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from machnuoc.core import audit, files, tokens
from machnuoc.core.middleware import client_address
from machnuoc.core.models import Person
from machnuoc.indicators import entry
from machnuoc.indicators.models import EntryForm, SubmissionEvent, Value
from machnuoc.places import access
from machnuoc.places import operations as places
from machnuoc.places.models import Grant, Organisation, Subject

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("demo")]
BACKEND = "django.contrib.auth.backends.ModelBackend"


def browser_of(username: str) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(Person.objects.get(username=username), backend=BACKEND)
    return client


def make_admin(username: str, scope: Subject, field: str = "ALL") -> Person:
    person = Person.objects.create_user(username, "mot-mat-khau-dai", full_name=f"Quản trị {username}")
    places.give_grant(person=person, role=Grant.Role.ADMIN, scope=scope, field=field, by=None)
    return person


@pytest.fixture
def quang_ngai() -> Subject:
    return Subject.objects.get(unit__level="PROVINCE", unit__full_name="Tỉnh Quảng Ngãi", unit__is_in_force=True)


@pytest.fixture
def country() -> Subject:
    return Subject.objects.get(kind=Subject.Kind.COUNTRY)


# --- rights that one does not have ------------------------------------------------------------------------------


def test_who_administers_one_field_takes_over_no_account_that_may_do_more(country):
    rural = make_admin("chi-nong-thon", country, "RURAL")
    over_all = Person.objects.get(username="quantri")

    assert not access.is_over(rural, over_all)
    assert access.is_over(over_all, rural)
    answer = browser_of(rural.username).post(reverse("places:reset_password", args=[over_all.pk]))
    assert answer.status_code == 403


def test_who_administers_one_field_still_helps_those_of_the_field(country, quang_ngai):
    rural = make_admin("chi-nong-thon", country, "RURAL")
    helper = Person.objects.create_user("nguoi-nhap", "mot-mat-khau-dai", full_name="Người nhập")
    places.give_grant(person=helper, role=Grant.Role.STATION, scope=quang_ngai, field="RURAL", by=None)

    assert access.is_over(rural, helper)


def test_a_manager_downloads_no_file_of_another_province():
    theirs = files.store(
        b"a;b\n1;2\n", name="cao-bang.csv", by=Person.objects.get(username="cb.capnuoc"), kinds=frozenset({"csv"})
    )
    ours = files.store(
        b"a;b\n3;4\n", name="quang-ngai.csv", by=Person.objects.get(username="qn.binhchanh"), kinds=frozenset({"csv"})
    )

    def status(username: str, file: files.StoredFile) -> int:
        return browser_of(username).get(reverse("core:file", args=[file.pk])).status_code

    assert [status("qn.khkt", ours), status("quantri", ours), status("quantri", theirs)] == [200, 200, 200]
    assert [status("qn.khkt", theirs), status("cb.baolac", theirs), status("qn.nghiaphu", ours)] == [403, 403, 403]


def test_a_leader_reads_the_acts_of_their_own_people_only():
    theirs, ours = (Person.objects.get(username=name) for name in ("cb.capnuoc", "qn.binhchanh"))
    for person in (theirs, ours):
        audit.record("core.password.changed", actor=person, target=person)
    leader = browser_of("qn.lanhdao")

    page = leader.get(reverse("core:audit")).content.decode()
    exported = b"".join(leader.get(reverse("core:export_audit")).streaming_content).decode()  # type: ignore[attr-defined]
    asked = leader.get(reverse("core:audit"), {"person": str(theirs.pk)}).content.decode()
    everything = browser_of("quantri").get(reverse("core:audit")).content.decode()

    assert ours.full_name in page and ours.full_name in exported
    for text in (page, exported, asked):
        assert theirs.full_name not in text
    assert theirs.full_name in everything and ours.full_name in everything


def test_who_administers_a_province_does_not_steer_the_jobs_of_all(quang_ngai):
    make_admin("chi-quang-ngai", quang_ngai)
    local = browser_of("chi-quang-ngai")

    assert local.get(reverse("core:jobs")).status_code == 403
    assert reverse("core:jobs") not in local.get("/").content.decode()
    assert local.post(reverse("core:cancel_job", args=[1])).status_code == 403


def test_a_borrowed_administration_gives_nothing_that_lasts_longer(quang_ngai):
    lender = make_admin("chi-quang-ngai", quang_ngai)
    borrower = Person.objects.create_user("nguoi-thay", "mot-mat-khau-dai", full_name="Người thay")
    today = timezone.localdate()
    ends = today + timedelta(days=7)
    places.lend_grant(lender.grants.get(), to=borrower, valid_from=today, valid_to=ends, by=lender)

    with pytest.raises(places.PlacesError, match="ủy quyền"):
        places.give_grant(person=borrower, role=Grant.Role.ADMIN, scope=quang_ngai, by=borrower)
    with pytest.raises(places.PlacesError, match="ủy quyền"):
        places.give_grant(
            person=borrower, role=Grant.Role.ADMIN, scope=quang_ngai, valid_to=ends + timedelta(days=1), by=borrower
        )
    places.give_grant(person=borrower, role=Grant.Role.LEADER, scope=quang_ngai, valid_to=ends, by=borrower)


def test_the_api_does_not_tell_an_organisation_out_of_scope_from_none():
    person = Person.objects.get(username="qn.nghiaphu")
    _, raw = tokens.create_token(person=person, name="x", now=timezone.now(), can_write=True)

    def answer(key: str) -> tuple[int, bytes]:
        body = {"form_key": EntryForm.objects.values_list("key", flat=True)[0], "organisation_key": key}
        got = Client().post(
            "/api/v1/submissions", json.dumps(body | {"period": "2026-07"}), content_type="application/json",
            headers={"Authorization": f"Bearer {raw}"},
        )  # fmt: skip
        return got.status_code, got.content

    assert answer("org.cb.cap-nuoc-cao-bang") == answer("org.khong-co") and answer("org.khong-co")[0] == 404


# --- what makes the program fall over ---------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["²", "٣", "9" * 5000, "-1", "1e3", "x"])
@pytest.mark.parametrize("name", ["page", "group", "version"])
def test_a_strange_number_in_an_address_is_no_error_of_the_program(name, text):
    pk = Value.objects.order_by("pk").values_list("pk", flat=True)[0]
    client = browser_of("quantri")

    for address in (reverse("indicators:value", args=[pk]), reverse("indicators:value_branch", args=[pk])):
        assert client.get(address, {name: text}).status_code in {200, 404}


def test_nul_is_refused_in_forms_and_in_any_body_of_the_api():
    person = Person.objects.get(username="qn.nghiaphu")
    form = EntryForm.objects.get(key="tram-thang")
    organisation = Organisation.objects.get(subject__key="org.qn.tram-nghia-phu")
    now = timezone.now()
    last_month = timezone.localdate(now).replace(day=1)
    submission = entry.open_submission(form, organisation, entry.Period.containing(last_month, "M"), person, now)
    client = browser_of("qn.nghiaphu")

    answer = client.post(reverse("indicators:submission", args=[submission.pk]), {"action": "comment", "text": "a\0b"})
    assert answer.status_code == 400
    assert not SubmissionEvent.objects.filter(what="commented").exists()
    _, raw = tokens.create_token(person=person, name="x", now=now, can_write=True)
    body = '{"form_key": "a\\u0000b", "organisation_key": "x", "period": "2026-07"}'
    for content_type in ("application/json", "text/plain", "application/vnd.api+json"):
        answer = Client().post(
            "/api/v1/submissions", body, content_type=content_type, headers={"Authorization": f"Bearer {raw}"}
        )
        assert answer.status_code == 400, content_type


def test_a_body_without_end_fills_no_disk_not_even_before_sign_in(settings, monkeypatch):
    settings.UPLOAD_MAX_BYTES = 100_000
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 1_000
    sizes: list[int] = []
    complete = TemporaryFileUploadHandler.file_complete

    def measure(handler: TemporaryFileUploadHandler, file_size: int):  # type: ignore[no-untyped-def]
        sizes.append(os.path.getsize(handler.file.temporary_file_path()))
        return complete(handler, file_size)

    monkeypatch.setattr(TemporaryFileUploadHandler, "file_complete", measure)
    Client().post(reverse("core:sign_in"), {"f": SimpleUploadedFile("to.bin", bytes(5_000_000))})
    answer = browser_of("qn.binhchanh").post(
        reverse("indicators:import"),
        {
            "form": EntryForm.objects.get(key="tram-thang").pk,
            "period": "2026-07",
            "file": SimpleUploadedFile("to.xlsx", bytes(5_000_000)),
        },
    )

    assert len(sizes) == 2 and max(sizes) <= 100_001
    assert answer.status_code == 422 and "quá lớn" in answer.content.decode()


# --- what stays behind, and who is who --------------------------------------------------------------------------


def test_no_cache_keeps_what_a_person_was_shown():
    client = browser_of("qn.khkt")

    for address in ("/", reverse("works:list"), "/api/v1/works", reverse("places:units")):
        assert "private" in client.get(address).headers["Cache-Control"], address
    assert "no-store" in client.get("/").headers["Cache-Control"]


def test_behind_a_front_server_the_address_it_saw_counts_and_nothing_else(rf, settings):
    def address(**headers: str) -> str:
        return client_address(rf.get("/", REMOTE_ADDR="10.0.0.1", **headers))

    settings.IS_BEHIND_PROXY = False
    assert address(HTTP_X_FORWARDED_FOR="203.0.113.5") == "10.0.0.1"
    settings.IS_BEHIND_PROXY = True
    assert address(HTTP_X_FORWARDED_FOR="1.2.3.4, 203.0.113.5") == "203.0.113.5"
    assert address(HTTP_X_FORWARDED_FOR="1.2.3.4, <script>") == "10.0.0.1"
    assert address() == "10.0.0.1"
