import io

import openpyxl
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone

from machnuoc.core.periods import Period
from machnuoc.indicators import entry
from machnuoc.indicators.models import Fact, ImportBatch, LateException, Submission, SubmissionLine
from machnuoc.indicators.tests import entry_world
from machnuoc.indicators.tests.test_sheets import GOOD, make_book


@pytest.fixture
def world(db):
    return entry_world.make_world()


@pytest.fixture
def month():
    """The screens ask the real clock, so the sheets of these tests are of the current month."""
    return Period.containing(timezone.localdate(), "M")


def enter(client, person):
    client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
    return client


def open_sheet(world, month):
    return entry.open_submission(world.form, world.south, month, world.writer, timezone.now())


def page_of(submission):
    return reverse("indicators:submission", args=[submission.pk])


def typed(submission, cells, action="save", **more):
    """cells: {(metric, subject): text}; as a page sends them that was opened when the cells were empty."""
    data = {"version": submission.version, "action": action, **more}
    for (metric, subject), text in cells.items():
        data[f"v-{metric.pk}-{subject.pk}"] = text
        data.setdefault(f"was-{metric.pk}-{subject.pk}", "|00|")
    return data


def both(world, first="425", second="277"):
    return {(world.households, world.nghia_phu): first, (world.households, world.duc_thang): second}


def sent(world, month):
    submission = open_sheet(world, month)
    now = timezone.now()
    cells = {(metric.pk, subject.pk): text for (metric, subject), text in both(world).items()}
    entry.save_cells(submission, cells, version=None, by=world.writer, now=now)
    return entry.submit(submission, version=None, by=world.writer, now=now)


def text_of(answer):
    return answer.content.decode()


def test_the_list_shows_what_is_owed_and_opens_it(client, world, month):
    enter(client, world.writer)

    listed = client.get(reverse("indicators:forms"))
    opened = client.post(
        reverse("indicators:open_form"), {"target": f"{world.form.pk}:{world.south.pk}", "period": month.key}
    )

    assert "Báo cáo trạm" in text_of(listed) and month.label_vi in text_of(listed)
    assert opened.url == page_of(Submission.objects.get())


def test_pages_offer_the_last_whole_period_first(client, world, month):
    enter(client, world.writer)

    for name in ("indicators:forms", "indicators:import"):
        assert client.get(reverse(name)).context["form"].fields["period"].initial == month.previous.key


def test_nobody_opens_the_sheet_of_another_organisation(client, world, month):
    enter(client, world.writer)

    client.post(reverse("indicators:open_form"), {"target": f"{world.form.pk}:{world.north.pk}", "period": month.key})

    assert not Submission.objects.exists()


def test_somebody_without_forms_sees_what_to_do(client, world):
    answer = enter(client, world.stranger).get(reverse("indicators:forms"))

    assert "Bạn chưa được giao nhập biểu nào" in text_of(answer)


def test_cells_are_typed_saved_and_shown_the_vietnamese_way(client, world, month):
    submission = open_sheet(world, month)
    enter(client, world.writer)

    client.post(page_of(submission), typed(submission, both(world, first="1.288")))
    shown = text_of(client.get(page_of(submission)))

    assert 'value="1.288"' in shown and "1.565" in shown  # the total row


def test_a_bad_cell_stays_on_screen_with_its_error(client, world, month):
    submission = open_sheet(world, month)

    answer = enter(client, world.writer).post(page_of(submission), typed(submission, both(world, first="1,288.5")))

    assert answer.status_code == 422
    assert 'value="1,288.5"' in text_of(answer) and "không phải số nguyên" in text_of(answer)
    assert SubmissionLine.objects.get().subject == world.duc_thang


def test_two_people_in_one_sheet_lose_nothing(client, world, month):
    submission = open_sheet(world, month)
    key = (world.households.pk, world.nghia_phu.pk)
    entry.save_cells(submission, {key: "500"}, version=1, by=world.colleague, now=timezone.now())
    mine = typed(submission, both(world), version=1)

    answer = enter(client, world.writer).post(page_of(submission), mine)
    shown = text_of(answer)

    assert answer.status_code == 409
    assert "Trần Văn Cùng" in shown and "Người khác vừa ghi: 500" in shown and 'value="425"' in shown
    assert SubmissionLine.objects.get().number == 500


def test_a_cell_that_was_not_touched_is_not_sent_back_over_a_newer_one(client, world, month):
    submission = open_sheet(world, month)
    key = (world.households.pk, world.nghia_phu.pk)
    result = entry.save_cells(submission, {key: "500"}, version=1, by=world.colleague, now=timezone.now())
    untouched = typed(result.submission, {(world.households, world.nghia_phu): ""})

    enter(client, world.writer).post(page_of(submission), untouched)

    assert SubmissionLine.objects.get().number == 500


def test_save_and_send_in_one_step_then_approve(client, world, month):
    submission = open_sheet(world, month)

    enter(client, world.writer).post(page_of(submission), typed(submission, both(world), action="submit"))
    submission.refresh_from_db()
    looked_at = text_of(enter(client, world.leader).get(page_of(submission)))
    client.post(page_of(submission), {"action": "approve", "version": submission.version})
    submission.refresh_from_db()

    assert "Trả lại để sửa" in looked_at and 'name="v-' not in looked_at
    assert submission.status == "APPROVED" and Fact.objects.count() == 2


def test_an_unfinished_sheet_says_what_is_missing(client, world, month):
    submission = open_sheet(world, month)

    answer = enter(client, world.writer).post(page_of(submission), {"action": "submit", "version": 1})

    assert answer.status_code == 422
    assert "Nghĩa Phú · Số hộ đấu nối: chưa có số" in text_of(answer)


def test_a_returned_sheet_shows_the_reason(client, world, month):
    submission = sent(world, month)

    enter(client, world.leader).post(page_of(submission), {"action": "return", "reason": "Số hộ lạ"})
    enter(client, world.writer)

    assert "Bị trả lại: Số hộ lạ" in text_of(client.get(page_of(submission)))
    assert "Lý do: Số hộ lạ" in text_of(client.get(reverse("indicators:forms")))


@pytest.mark.parametrize("action", ["approve", "return", "reopen"])
def test_writers_do_not_decide(client, world, month, action):
    submission = sent(world, month)

    answer = enter(client, world.writer).post(page_of(submission), {"action": action, "reason": "x"})

    assert answer.status_code == 403
    assert Submission.objects.get().status == "SUBMITTED"


@pytest.mark.parametrize("who", ["northerner", "stranger"])
def test_a_sheet_out_of_reach_does_not_exist(client, world, month, who):
    submission = sent(world, month)

    assert enter(client, getattr(world, who)).get(page_of(submission)).status_code == 404


def test_comments_are_shown_as_text(client, world, month):
    submission = sent(world, month)

    enter(client, world.leader).post(page_of(submission), {"action": "comment", "text": "<b>Xem</b> lại"})

    assert "&lt;b&gt;Xem&lt;/b&gt; lại" in text_of(client.get(page_of(submission)))


def test_the_queue_approves_many_at_once(client, world, month):
    submission = sent(world, month)
    enter(client, world.leader)

    listed = text_of(client.get(reverse("indicators:queue")))
    client.post(
        reverse("indicators:queue"), {"chosen": [submission.pk], f"version-{submission.pk}": submission.version}
    )

    assert "Trạm Nam" in listed
    assert Submission.objects.get().status == "APPROVED"


def test_the_queue_leaves_what_asks_for_a_look(client, world, month):
    submission = sent(world, month)
    SubmissionLine.objects.filter(subject=world.nghia_phu).update(is_estimated=True)

    enter(client, world.leader).post(reverse("indicators:queue"), {"chosen": [submission.pk]})

    assert Submission.objects.get().status == "SUBMITTED"


@pytest.mark.parametrize(("look", "found"), [("", True), ("none", True), ("some", False), ("late", False)])
def test_the_queue_is_filtered(client, world, month, look, found):
    sent(world, month)

    answer = enter(client, world.leader).get(reverse("indicators:queue"), {"look": look, "q": "tram nam"})

    assert ("Báo cáo trạm</a>" in text_of(answer)) is found


def test_the_queue_is_for_those_who_decide(client, world):
    assert enter(client, world.writer).get(reverse("indicators:queue")).status_code == 403


def test_late_entry_is_opened_from_above(client, world):
    day = timezone.localdate()
    data = {
        "target": f"{world.form.pk}:{world.south.pk}", "until_date": day.replace(year=day.year + 1).isoformat()
        if (day.month, day.day) != (2, 29) else f"{day.year + 1}-03-01",
        "period": Period.containing(day, "M").shift(-5).key, "reason": "Lũ làm mất số liệu",
    }  # fmt: skip

    refused = enter(client, world.writer).post(reverse("indicators:late_exceptions"), data)
    given = enter(client, world.leader).post(reverse("indicators:late_exceptions"), data)

    assert refused.status_code == 200 and given.status_code == 302
    assert LateException.objects.get().granted_by == world.leader


def test_a_sheet_is_uploaded_looked_at_taken_and_undone(client, world, month):
    enter(client, world.writer)
    upload = SimpleUploadedFile("t.xlsx", make_book([*GOOD[:1], ["cong-trinh.duc-thang", "", "1,288.5"]]))

    received = client.post(reverse("indicators:import"), {"form": world.form.pk, "period": month.key, "file": upload})
    shown = text_of(client.get(received.url))
    client.post(received.url, {"mode": "GOOD"})
    done = text_of(client.get(received.url))
    stored = SubmissionLine.objects.count()
    client.post(received.url, {"action": "undo"})

    assert "Ô C3: “1,288.5” không phải số nguyên" in shown
    assert "Hoàn tác cả tệp" in done and stored == 2
    assert not SubmissionLine.objects.exists() and ImportBatch.objects.get().undone_by == world.writer


def test_a_refused_upload_says_why_beside_the_field(client, world, month):
    upload = SimpleUploadedFile("t.xlsm", b"x")

    answer = enter(client, world.writer).post(
        reverse("indicators:import"), {"form": world.form.pk, "period": month.key, "file": upload}
    )

    assert answer.status_code == 422 and "macro" in text_of(answer)


def test_nobody_sees_the_import_of_another(client, world, month):
    enter(client, world.writer)
    upload = SimpleUploadedFile("t.xlsx", make_book(GOOD))
    received = client.post(reverse("indicators:import"), {"form": world.form.pk, "period": month.key, "file": upload})

    assert enter(client, world.colleague).get(received.url).status_code == 404


def test_the_template_is_handed_out(client, world, month):
    enter(client, world.writer)
    address = reverse("indicators:import_template")

    book = client.get(address, {"form": world.form.key, "period": month.key})
    text = client.get(address, {"form": world.form.key, "period": month.key, "kind": "csv"})
    foreign = client.get(address, {"form": world.form.key, "period": month.key, "organisation": world.north.pk})

    sheet = openpyxl.load_workbook(io.BytesIO(book.content))["Số liệu"]
    assert {row[1] for row in sheet.iter_rows(min_row=2, values_only=True)} == {"Nghĩa Phú", "Đức Thắng"}
    assert "Nghĩa Phú" in text.content.decode("utf-8-sig")
    assert foreign.status_code == 404


@pytest.mark.parametrize("name", ["forms", "queue"])
@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_lists_are_exported(client, world, month, name, kind):
    sent(world, month)

    answer = enter(client, world.leader).get(reverse(f"indicators:{name}"), {"export": kind})

    assert answer.status_code == 200 and b"".join(answer.streaming_content)


def test_a_sheet_is_exported_with_its_figures(client, world, month):
    submission = sent(world, month)

    answer = enter(client, world.leader).get(page_of(submission), {"export": "xlsx"})

    book = openpyxl.load_workbook(io.BytesIO(b"".join(answer.streaming_content)))
    assert [cell.value for cell in book["Báo cáo trạm"][2]][:3] == ["cong-trinh.nghia-phu", "Nghĩa Phú", 425]


@pytest.mark.parametrize("name", ["forms", "queue", "import", "import_template", "late_exceptions"])
def test_a_visitor_is_asked_to_sign_in(client, db, name):
    assert client.get(reverse(f"indicators:{name}")).url.startswith("/dang-nhap/")


def test_the_lists_take_the_same_queries_for_any_number_of_sheets(client, world, month, django_assert_max_num_queries):
    for back in range(6):
        entry.give_late_exception(
            world.form, world.south, month.shift(-back - 1), until_date=timezone.localdate().replace(year=2100),
            reason="x", by=world.leader, now=timezone.now(),
        ) if back else None  # fmt: skip
        submission = entry.open_submission(world.form, world.south, month.shift(-back), world.writer, timezone.now())
        cells = {(metric.pk, subject.pk): text for (metric, subject), text in both(world).items()}
        entry.save_cells(submission, cells, version=None, by=world.writer, now=timezone.now())
    enter(client, world.writer)
    with django_assert_max_num_queries(15):
        client.get(reverse("indicators:forms"))
    enter(client, world.leader)
    with django_assert_max_num_queries(15):
        client.get(reverse("indicators:queue"))


def test_a_long_sheet_is_filled_in_page_by_page(client, world, month):
    for number in range(120):
        entry_world.make_work(f"cong-trinh.dai-{number}", f"Dài {number:03}", world.south)
    submission = open_sheet(world, month)
    enter(client, world.writer)

    second = text_of(client.get(page_of(submission), {"page": 2}))
    answer = client.post(page_of(submission), typed(submission, {(world.households, world.nghia_phu): "5"}, page=2))

    assert second.count("entry-input") == 2 * 22
    assert answer.url.endswith("?page=2") and SubmissionLine.objects.get().number == 5
