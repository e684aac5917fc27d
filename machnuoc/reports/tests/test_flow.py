"""A report from draft to receipt, on the loaded plans; what is frozen, replayed and compared with today."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.core.exceptions import PermissionDenied

from machnuoc.core.models import Person
from machnuoc.core.periods import Period
from machnuoc.indicators import operations as indicators
from machnuoc.indicators.models import Fact, Metric, State
from machnuoc.places.models import Subject
from machnuoc.reports import operations, replay, snapshot
from machnuoc.reports.errors import ChangedMeanwhile, NotNow, ReportsError
from machnuoc.reports.models import Delivery, Report
from machnuoc.reports.tests.conftest import NOW

pytestmark = pytest.mark.usefixtures("demo_data", "db")

LATER = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
OCTOBER = Period.parse("2026-10")


def read_all(report: Report, by: Person) -> None:
    for section in report.sections.all():
        if section.suggestion:
            operations.mark_read(section, version=section.version, by=by, now=NOW)
        else:
            operations.save_section(section, "Không có.", version=section.version, by=by, now=NOW)


def sign_off(report: Report, writer: Person, director: Person, now: datetime = NOW):
    read_all(report, writer)
    operations.submit(report, by=writer, now=now)
    return operations.approve(report, by=director, now=now)


def send(report: Report, writer: Person, director: Person) -> snapshot.Snapshot:
    sign_off(report, writer, director)
    taken = operations.issue(report, number="5/BC-TTNS", issued_on=date(2026, 11, 12), by=writer, now=NOW)
    operations.send(report, channel=Delivery.Channel.FILE, to="Sở Nông nghiệp và Môi trường", by=writer, now=NOW)
    return taken


def state_households(station: str, period: str, number: int, now: datetime) -> None:
    indicators.state_fact(
        metric=Metric.objects.get(key="works.households_connected"), subject=Subject.objects.get(key=station),
        period=Period.parse(period), number=Decimal(number), state=State.APPROVED, now=now,
    )  # fmt: skip
    indicators.recompute_dirty(now)


def figure(report: Report, key: str) -> str:
    return report.figures.get(key=key).display


def test_a_prepared_report_has_figures_of_the_system_and_sentences_built_from_them(report):
    total = report.figures.get(key="growth/total/base")

    assert total.display == "25.330"
    assert total.value.metric.key == "works.households_connected"
    assert figure(report, "growth/total/plan") == "1.600"
    assert "25.330 hộ đấu nối" in report.sections.get(key="growth").suggestion
    assert report.title == "Kết quả thực hiện Kế hoạch số 79/KH-TTNS tháng 10 năm 2026"
    assert report.to_as_printed == "Sở Nông nghiệp và Môi trường tỉnh Quảng Ngãi"
    assert report.place_name == "Quảng Ngãi"


def test_the_rows_of_the_stations_add_up_to_the_total(report):
    rows = report.figures.filter(key__startswith="growth/", key__endswith="/plan").exclude(key="growth/total/plan")

    assert sum(Decimal(row.raw) for row in rows) == 1600


def test_preparing_twice_gives_the_same_report(report, centre, writer):
    again = operations.prepare("qn_monthly", centre, OCTOBER, by=writer, now=LATER)

    assert again.pk == report.pk
    assert Report.objects.count() == 1


def test_a_report_with_an_unread_suggestion_is_not_submitted(report, writer):
    with pytest.raises(ReportsError, match="gợi ý chưa có ai đọc"):
        operations.submit(report, by=writer, now=NOW)

    assert Report.objects.get().state == Report.State.DRAFT


def test_checks_name_what_is_missing_and_what_is_simulated(report):
    found = operations.checks(report, now=NOW)

    kinds = {check.kind for check in found}
    assert {"missing", "simulated", "unread", "empty"} <= kinds
    assert [check.severity for check in found] == sorted(
        (check.severity for check in found), key=["error", "warning", "info"].index
    )


def test_two_people_writing_one_section_do_not_overwrite_each_other(report, writer, colleague):
    section = report.sections.get(key="obstacles")
    operations.save_section(section, "Thiếu vốn.", version=section.version, by=writer, now=NOW)

    with pytest.raises(ChangedMeanwhile, match="vừa được người khác lưu"):
        operations.save_section(section, "Không có.", version=section.version, by=colleague, now=NOW)

    assert report.sections.get(key="obstacles").text == "Thiếu vốn."


def test_two_people_may_write_different_sections_at_once(report, writer, colleague):
    first, second = report.sections.get(key="obstacles"), report.sections.get(key="requests")

    operations.save_section(first, "Thiếu vốn.", version=first.version, by=writer, now=NOW)
    operations.save_section(second, "Cấp thêm vốn.", version=second.version, by=colleague, now=NOW)

    assert set(report.sections.exclude(text="").values_list("text", flat=True)) == {"Thiếu vốn.", "Cấp thêm vốn."}


def test_refreshing_keeps_the_words_of_people_and_asks_to_read_what_has_changed(report, writer):
    read_all(report, writer)
    section = report.sections.get(key="growth")
    operations.save_section(section, "Bài viết của phòng.", version=section.version, by=writer, now=NOW)
    state_households("work.qn.binh-minh", "2026-09", 200, NOW)

    operations.refresh_figures(report, by=writer, now=NOW)

    section = report.sections.get(key="growth")
    assert section.text == "Bài viết của phòng."
    assert section.read_at is None
    assert figure(report, "growth/work.qn.binh-minh/now") == "200"
    assert report.sections.get(key="requests").read_at is not None  # its suggestion is the same as before


def test_only_who_may_approve_signs(report, writer, director):
    read_all(report, writer)
    operations.submit(report, by=writer, now=NOW)
    stranger = Person.objects.get(username="qn.binhchanh")

    for person in (writer, stranger):
        with pytest.raises(PermissionDenied):
            operations.approve(report, by=person, now=NOW)
    operations.approve(report, by=director, now=NOW)

    assert Report.objects.get().state == Report.State.APPROVED


def test_a_stranger_may_not_write(report):
    stranger = Person.objects.get(username="cb.baolac")
    section = report.sections.first()

    with pytest.raises(PermissionDenied):
        operations.save_section(section, "x", version=section.version, by=stranger, now=NOW)


def test_a_report_is_returned_with_a_reason_and_submitted_again(report, writer, director):
    read_all(report, writer)
    operations.submit(report, by=writer, now=NOW)

    with pytest.raises(ReportsError, match="lý do"):
        operations.return_report(report, " ", by=director, now=NOW)
    operations.return_report(report, "Bổ sung khó khăn của trạm.", by=director, now=NOW)
    assert Report.objects.get().state == Report.State.RETURNED
    operations.submit(report, by=writer, now=NOW)

    assert [event.what for event in report.events.all()][-3:] == ["submitted", "returned", "submitted"]


def test_figures_that_change_after_submitting_hold_the_signature_back(report, writer, director):
    read_all(report, writer)
    operations.submit(report, by=writer, now=NOW)
    state_households("work.qn.binh-minh", "2026-09", 200, NOW)

    with pytest.raises(ReportsError, match="đã đổi sau khi trình"):
        operations.approve(report, by=director, now=NOW)

    assert Report.objects.get().state == Report.State.SUBMITTED
    assert not snapshot.Snapshot.objects.exists()


def test_a_signed_report_is_frozen_with_its_leaf_facts_and_replays_to_the_same_figures(report, writer, director):
    taken = sign_off(report, writer, director)

    content = snapshot.read(taken)
    replayed = replay.replay(content)
    assert replayed.is_same
    assert replayed.figures["growth/total/base"] == "25330"
    facts = [node for node in content["nodes"].values() if node["how"] == "fact"]
    assert len(facts) >= 29
    assert {node["fact"]["document"] for node in facts} >= {"doc.qn.79-kh-ttns-2026"}
    assert snapshot.hash_of(content) == taken.content_hash


def test_a_snapshot_whose_number_was_tampered_with_does_not_replay(report, writer, director):
    content = snapshot.read(sign_off(report, writer, director))
    leaf = next(
        key for key, node in content["nodes"].items()
        if key.startswith("works.households_connected|work.qn.binh-minh|2025") and node["how"] == "fact"
    )  # fmt: skip

    content["nodes"][leaf]["fact"]["number"] += 1

    assert not replay.replay(content).is_same


def test_number_and_date_are_entered_from_the_clerk_and_printed(report, writer, director):
    sign_off(report, writer, director)

    with pytest.raises(ReportsError, match="chưa đúng"):
        operations.issue(report, number="năm", issued_on=date(2026, 11, 12), by=writer, now=NOW)
    with pytest.raises(ReportsError, match="sau hôm nay"):
        operations.issue(report, number="5/BC-TTNS", issued_on=date(2026, 11, 30), by=writer, now=NOW)
    taken = operations.issue(report, number="5/BC-TTNS", issued_on=date(2026, 11, 12), by=writer, now=NOW)

    content = snapshot.read(taken)
    assert content["document"]["header"]["number"] == "05/BC-TTNS"
    assert content["after"] == report.snapshots.last().content_hash
    assert replay.replay(content).is_same


def test_a_number_is_given_once_a_year(report, writer, director, centre):
    send(report, writer, director)
    other = operations.prepare("qn_monthly", centre, Period.parse("2026-09"), by=writer, now=NOW)
    sign_off(other, writer, director)

    with pytest.raises(ReportsError, match="đã dùng trong năm 2026"):
        operations.issue(other, number="05/BC-TTNS", issued_on=date(2026, 11, 12), by=writer, now=NOW)


def test_steps_are_not_skipped(report, writer, director):
    with pytest.raises(NotNow):
        operations.issue(report, number="5/BC-TTNS", issued_on=date(2026, 11, 12), by=writer, now=NOW)
    with pytest.raises(NotNow):
        operations.send(report, channel=Delivery.Channel.FILE, to="Sở", by=writer, now=NOW)
    sign_off(report, writer, director)
    section = report.sections.first()
    with pytest.raises(NotNow):
        operations.save_section(section, "sửa sau khi ký", version=section.version, by=writer, now=NOW)


def test_after_late_data_the_replay_is_equal_and_the_comparison_says_what_changed_and_why(report, writer, director):
    taken = send(report, writer, director)
    before = replay.replay(snapshot.read(taken)).figures

    state_households("work.qn.binh-minh", "2026-09", 250, LATER)

    content = snapshot.read(taken)
    assert replay.replay(content).is_same
    assert replay.replay(content).figures == before
    changes = {change.key: change for change in snapshot.compare_with_today(taken, today=NOW.date()).changes}
    assert set(changes) >= {
        "growth/work.qn.binh-minh/now", "growth/work.qn.binh-minh/added", "growth/total/now", "growth/total/added",
    }  # fmt: skip
    station = changes["growth/work.qn.binh-minh/now"]
    assert station.after == "250\u00a0hộ"
    assert "số liệu được sửa ngày 20/11/2026" in station.sentence
    assert "Trạm Bình Minh" in changes["growth/total/now"].sentence
    assert "growth/work.qn.binh-chanh/now" not in changes


def test_data_that_were_missing_are_told_as_late(report, writer, director):
    fact = Fact.objects.get(
        metric__key="works.households_connected", subject__key="work.qn.binh-minh", period_kind="M",
        period_start=date(2026, 9, 1), superseded_at=None,
    )  # fmt: skip
    indicators.withdraw_fact(fact, reason="chưa đối chiếu", by=None, now=NOW)
    indicators.recompute_dirty(NOW)
    operations.refresh_figures(report, by=writer, now=NOW)
    taken = send(report, writer, director)

    state_households("work.qn.binh-minh", "2026-09", 250, LATER)

    (change,) = [
        change
        for change in snapshot.compare_with_today(taken, today=NOW.date()).changes
        if change.key == "growth/total/now"
    ]
    assert "đã thay đổi vì số liệu đến muộn ngày 20/11/2026" in change.sentence


def test_nothing_changed_is_said_too(report, writer, director):
    taken = send(report, writer, director)

    comparison = snapshot.compare_with_today(taken, today=NOW.date())

    assert comparison.is_same
    assert comparison.unchanged > 100


def test_a_sent_report_is_corrected_by_another_one_and_stays_as_it_was(report, writer, director):
    taken = send(report, writer, director)
    section = report.sections.get(key="obstacles")
    state_households("work.qn.binh-minh", "2026-09", 250, LATER)

    new = operations.correct(report, "Trạm Bình Minh gửi lại số liệu.", by=writer, now=LATER)

    assert new.corrects_id == report.pk
    assert figure(new, "growth/work.qn.binh-minh/now") == "250"
    assert figure(report, "growth/work.qn.binh-minh/now") != "250"
    assert "thay thế Báo cáo số 05/BC-TTNS" in new.title
    assert new.sections.get(key="obstacles").text == section.text
    assert replay.replay(snapshot.read(taken)).is_same
    changed = [check for check in operations.checks(new, now=LATER) if check.kind == "changed"]
    assert any("Trạm Bình Minh" in check.text for check in changed)
    with pytest.raises(NotNow, match="đã có báo cáo đính chính"):
        operations.correct(report, "lần nữa", by=writer, now=LATER)


def test_the_receipt_of_the_receiver_ends_the_way(report, writer, director):
    send(report, writer, director)
    row = report.deliveries.get()

    operations.receive(row, "Văn bản đến số 1234", by=writer, now=LATER)

    assert Report.objects.get(pk=report.pk).state == Report.State.RECEIVED
    assert report.deliveries.get().receipt == "Văn bản đến số 1234"


def test_a_recipient_that_no_longer_exists_holds_the_report_back_until_a_successor_is_addressed(report, writer):
    read_all(report, writer)
    Subject.objects.filter(organisation=report.to_organisation).update(valid_to=date(2025, 7, 1))
    report.refresh_from_db()

    with pytest.raises(ReportsError, match="đã kết thúc hoạt động từ ngày 01/07/2025"):
        operations.submit(report, by=writer, now=NOW)
    operations.save_details(
        report, version=report.version, by=writer, now=NOW, to_as_printed="Ủy ban nhân dân tỉnh Quảng Ngãi"
    )
    operations.submit(report, by=writer, now=NOW)

    assert Report.objects.get().state == Report.State.SUBMITTED
