import json
import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from machnuoc.core import audit, permissions
from machnuoc.core.models import AuditEntry, AuditSeal, Document, Person, SealedEntry

MORNING = datetime(2026, 7, 1, 1, 0, tzinfo=UTC)
TABLES = ["core_auditentry", "core_auditseal", "core_sealedentry"]


@pytest.fixture
def lan(db) -> Person:
    return Person.objects.create_user("lan", "mot mat khau dai", full_name="Trần Thị Lan")


@pytest.fixture
def plan(db) -> Document:
    return Document.objects.create(key="ke-hoach", number="79/KH-TTNS", title="Kế hoạch", issuer="Trung tâm")


@pytest.fixture
def judge(monkeypatch):
    """Return a dict {action: may}; it decides for everybody."""
    allowed: dict[str, bool] = {}
    monkeypatch.setattr(permissions, "_judge", lambda person, action, *rest: allowed.get(action, False))
    monkeypatch.setattr(permissions, "_overseer", lambda person, action: None)
    return allowed


def tamper(*statements: tuple[str, list[object]]) -> None:
    """Change the database as somebody would who has it all in hand: without the triggers."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            for table in TABLES:
                cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER {table}_append_only")
        else:
            cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE '%append_only%'")
            triggers = cursor.fetchall()
            for name, _ in triggers:
                cursor.execute(f"DROP TRIGGER {name}")
        for statement, values in statements:
            cursor.execute(statement, values)
        if connection.vendor == "postgresql":
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            for table in TABLES:
                cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER {table}_append_only")
        else:
            for _, sql in triggers:
                cursor.execute(sql)


def record_and_seal(count: int, actor: Person | None = None) -> AuditSeal:
    for number in range(count):
        audit.record("core.document.recorded", actor=actor, number=number)
    made = audit.seal(timezone.now())
    assert made is not None
    return made


@pytest.mark.django_db
def test_an_entry_says_who_did_what_to_which_object(lan, plan):
    entry = audit.record("core.passage.recorded", actor=lan, target=plan, key="ii.2", day=MORNING.date())

    entry.refresh_from_db()
    assert (entry.actor, entry.target_kind, entry.target_id) == (lan, "core.document", str(plan.pk))
    assert entry.detail == {"key": "ii.2", "day": "2026-07-01"}
    assert audit.sentence(entry) == f"Trần Thị Lan ghi đoạn trích ii.2 của {plan}"


@pytest.mark.django_db
def test_an_act_that_is_rolled_back_leaves_no_entry(lan):
    with pytest.raises(RuntimeError), transaction.atomic():
        audit.record("core.document.recorded", actor=lan)
        raise RuntimeError

    assert not AuditEntry.objects.exists()


@pytest.mark.django_db
def test_a_sentence_survives_a_missing_target_an_unknown_action_and_a_missing_detail(plan):
    gone = audit.record("core.document.changed", actor=None, target=plan)
    plan.delete()
    unknown = audit.record("old.action", actor=None)
    lacking = audit.record("core.passage.changed", actor=None)

    assert "không còn" in audit.sentence(gone)
    assert audit.sentence(unknown) == "Hệ thống: old.action"
    assert audit.sentence(lacking) == "Hệ thống sửa đoạn trích … của"


@pytest.mark.django_db
def test_many_sentences_take_one_query_for_each_kind_of_target(lan, django_assert_num_queries):
    for number in range(5):
        paper = Document.objects.create(key=f"van-ban-{number}", title="Văn bản", issuer="Sở")
        audit.record("core.document.recorded", actor=lan, target=paper)
    entries = list(audit.list_entries())

    with django_assert_num_queries(1):
        assert len(audit.sentences(entries)) == 5


@pytest.mark.django_db
def test_keys_in_the_detail_are_told_by_their_names_asked_once(lan, monkeypatch):
    asked = []

    def names(keys: set[str]) -> dict[str, str]:
        asked.append(keys)
        return {"a.b": "«Số hộ»"}

    monkeypatch.setitem(audit._sentences, "thu.ghi", "ghi {metric}")
    monkeypatch.setitem(audit._namers, "thu.ghi", {"metric": names})
    for key in ("a.b", "a.b", "gone"):
        audit.record("thu.ghi", actor=lan, metric=key)

    told = audit.sentences(audit.list_entries())

    assert [text.removeprefix(f"{lan.full_name} ") for text in told] == ["ghi gone", "ghi «Số hộ»", "ghi «Số hộ»"]
    assert asked == [{"a.b", "gone"}]


@pytest.mark.django_db
@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("change", ["UPDATE {} SET {} = {}", "DELETE FROM {}"])
def test_the_database_refuses_to_change_or_remove_what_is_recorded(table, change):
    record_and_seal(1)
    column = {"core_auditentry": "count", "core_auditseal": "entry_count", "core_sealedentry": "seal_id"}[table]

    with pytest.raises(IntegrityError, match="chỉ được ghi thêm"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(change.format(table, column, column))


@pytest.mark.django_db
def test_what_is_sealed_once_is_not_sealed_again_and_the_chain_holds(lan):
    first = record_and_seal(3, lan)
    second = record_and_seal(2)
    audit.record("core.document.recorded", actor=lan)

    result = audit.verify()

    assert (first.previous_hash, second.previous_hash) == (audit.FIRST_HASH, first.hash)
    assert (result.sealed, result.unsealed, result.problems) == (5, 1, [])
    assert result.is_sound and result.last_hash == second.hash


@pytest.mark.django_db
def test_with_nothing_new_there_is_no_seal():
    record_and_seal(1)

    assert audit.seal(timezone.now()) is None
    assert AuditSeal.objects.count() == 1


@pytest.mark.django_db
def test_a_seal_takes_a_limited_number_of_entries(monkeypatch):
    monkeypatch.setattr(audit, "SEAL_AT_MOST", 2)
    for _ in range(5):
        audit.record("core.document.recorded", actor=None)

    assert [made.entry_count for made in iter(lambda: audit.seal(timezone.now()), None)] == [2, 2, 1]
    assert audit.verify().problems == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE core_auditentry SET action = 'other' WHERE id = %s",
        "UPDATE core_auditentry SET count = 9 WHERE id = %s",
        "UPDATE core_auditentry SET detail = '{\"number\": 7}' WHERE id = %s",
        "UPDATE core_auditentry SET actor_id = NULL WHERE id = %s",
        "UPDATE core_auditentry SET at = '2020-01-01 00:00:00+00:00' WHERE id = %s",
    ],
)
def test_a_changed_entry_is_found(lan, change):
    record_and_seal(2, lan)
    broken = record_and_seal(2, lan)
    entry_id = SealedEntry.objects.filter(seal=broken).earliest("entry_id").entry_id

    tamper((change, [entry_id]))

    problems = audit.verify().problems
    assert len(problems) == 1
    assert f"#{broken.pk} " in problems[0] and "không khớp mã băm" in problems[0]


@pytest.mark.django_db
def test_a_removed_entry_is_found():
    made = record_and_seal(3)
    entry_id = SealedEntry.objects.filter(seal=made).earliest("entry_id").entry_id

    tamper(
        ("DELETE FROM core_sealedentry WHERE entry_id = %s", [entry_id]),
        ("DELETE FROM core_auditentry WHERE id = %s", [entry_id]),
    )

    [problem] = audit.verify().problems
    assert "phủ 3 bản ghi nhưng nay có 2" in problem


@pytest.mark.django_db
def test_a_changed_seal_is_found_in_itself_and_in_the_link_that_follows():
    first = record_and_seal(1)
    record_and_seal(1)

    tamper(("UPDATE core_auditseal SET hash = %s WHERE id = %s", ["a" * 64, first.pk]))

    problems = audit.verify().problems
    assert [("băm" in text, "đứt" in text) for text in problems] == [(True, False), (False, True)]


@pytest.mark.django_db
def test_a_removed_seal_breaks_the_chain():
    record_and_seal(1)
    middle = record_and_seal(1)
    record_and_seal(1)

    tamper(
        ("DELETE FROM core_sealedentry WHERE seal_id = %s", [middle.pk]),
        ("DELETE FROM core_auditseal WHERE id = %s", [middle.pk]),
    )

    result = audit.verify()
    assert len(result.problems) == 1 and "chuỗi bị đứt" in result.problems[0]
    assert result.unsealed == 1


@pytest.mark.django_db
def test_the_chain_cannot_fork():
    first = record_and_seal(1)

    with pytest.raises(IntegrityError), transaction.atomic():
        AuditSeal.objects.create(
            sealed_at=timezone.now(), previous_hash=first.previous_hash, hash="b" * 64, entry_count=1
        )


@pytest.mark.django_db(transaction=True)
def test_two_sealers_at_once_make_one_chain():
    for _ in range(40):
        audit.record("core.document.recorded", actor=None)
    start = threading.Barrier(4)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            start.wait()
            for _ in range(5):
                audit.seal(timezone.now())
                audit.record("core.document.recorded", actor=None)
        except BaseException as reason:
            failures.append(reason)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while audit.seal(timezone.now()):
        continue

    result = audit.verify()
    assert failures == []
    assert (result.sealed, result.unsealed, result.problems) == (60, 0, [])


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_an_entry_that_commits_late_is_taken_by_the_next_seal():
    recorded, may_commit = threading.Event(), threading.Event()

    def slow_act() -> None:
        with transaction.atomic():
            audit.record("core.document.recorded", actor=None, slow=True)
            recorded.set()
            may_commit.wait(10)
        connection.close()

    slow = threading.Thread(target=slow_act)
    slow.start()
    recorded.wait(10)
    first = record_and_seal(1)
    may_commit.set()
    slow.join()
    second = audit.seal(timezone.now())

    late = AuditEntry.objects.get(detail__slow=True)
    assert late.pk < SealedEntry.objects.get(seal=first).entry_id
    assert late.sealed.seal == second
    assert audit.verify().problems == []


@pytest.mark.django_db
def test_entries_are_found_by_person_family_of_action_and_time(lan):
    mine = audit.record("works.capacity.recorded", actor=lan)
    other = audit.record("works.created", actor=None)
    audit.record("worksheet.made", actor=None)

    assert list(audit.list_entries(actor_id=lan.pk)) == [mine]
    assert list(audit.list_entries(action="works")) == [other, mine]
    assert list(audit.list_entries(action="works.capacity.recorded")) == [mine]
    assert not audit.list_entries(start_at=timezone.now() + timedelta(hours=1)).exists()


@pytest.mark.django_db
def test_the_page_is_for_those_who_may_read_the_audit(client, lan, judge):
    client.force_login(lan)

    for name in ("core:audit", "core:export_audit"):
        assert client.get(reverse(name)).status_code == 403
    judge["read_audit"] = True
    for name in ("core:audit", "core:export_audit"):
        assert client.get(reverse(name)).status_code == 200
    client.logout()
    assert client.get(reverse("core:audit")).status_code == 302


@pytest.mark.django_db
def test_the_page_shows_sentences_and_filters_by_day(client, lan, plan, judge):
    judge["read_audit"] = True
    audit.record("core.document.recorded", actor=lan, target=plan)
    client.force_login(lan)

    page = client.get(reverse("core:audit")).content.decode()
    empty = client.get(reverse("core:audit"), {"end_date": "2020-01-01"}).content.decode()
    backwards = client.get(
        reverse("core:audit"), {"start_date": "2026-02-01", "end_date": "2026-01-01"}
    ).content.decode()

    assert "Trần Thị Lan ghi nhận văn bản 79/KH-TTNS Kế hoạch" in page and "chờ niêm phong" in page
    assert "Không có bản ghi nào" in empty
    assert "Ngày cuối phải từ ngày đầu trở đi" in backwards


@pytest.mark.django_db
def test_the_page_takes_as_many_queries_for_many_entries_as_for_one(client, lan, plan, judge):
    judge["read_audit"] = True
    client.force_login(lan)

    def count_queries() -> int:
        with CaptureQueriesContext(connection) as queries:
            client.get(reverse("core:audit"))
        return len(queries)

    audit.record("core.document.recorded", actor=lan, target=plan)
    count_queries()  # what is asked for once and then remembered
    for_one = count_queries()
    for _ in range(30):
        audit.record("core.document.recorded", actor=lan, target=plan)
    assert count_queries() == for_one


@pytest.mark.django_db
def test_the_export_is_a_spreadsheet_that_runs_no_formulas_and_is_itself_recorded(client, lan, judge):
    judge["read_audit"] = True
    lan.full_name = '=HYPERLINK("x")'
    lan.save()
    audit.record("core.document.recorded", actor=lan)
    client.force_login(lan)

    response = client.get(reverse("core:export_audit"))
    text = b"".join(response.streaming_content).decode()

    assert text.startswith("\ufeffSố,Thời điểm,Người thực hiện")
    assert "'=HYPERLINK" in text
    assert len(text.splitlines()) == 2
    assert AuditEntry.objects.get(action="core.audit.exported").count == 1


@pytest.mark.django_db
def test_detail_is_kept_as_json_of_the_canonical_kind():
    entry = audit.record("core.document.recorded", actor=None, ids=[3, 1], nested={"b": 1, "a": "Đ"})

    assert json.loads(json.dumps(AuditEntry.objects.get(pk=entry.pk).detail)) == {
        "ids": [3, 1],
        "nested": {"a": "Đ", "b": 1},
    }
