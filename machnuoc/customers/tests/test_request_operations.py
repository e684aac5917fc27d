"""What happens to a request, from its receipt to its end."""

import threading
from datetime import date, datetime, timedelta

import pytest
from django.db import connection as database
from django.db import connections
from django.utils import timezone

from machnuoc.core import files, jobs
from machnuoc.core.models import AuditEntry, Notice, Sending
from machnuoc.core.periods import LOCAL_ZONE, Period
from machnuoc.customers import request_categories, request_operations, request_queries, request_routing, work_orders
from machnuoc.customers.models import Category, Request, RequestEvent, WorkOrder
from machnuoc.customers.request_operations import ChangedMeanwhile, RequestError
from machnuoc.customers.tests.fixtures_requests import NOW, World, make_world, png
from machnuoc.places.models import Subject
from machnuoc.works.models import Work

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def desk(db: None) -> World:
    return make_world()


def answered(world: World, request: Request, at: datetime = NOW + HOUR) -> Request:
    request.refresh_from_db()
    return request_operations.answer(
        request, text="Đã sửa xong lúc 9 giờ.", by=world.station, now=at, version=request.version
    )


def told(person) -> list[str]:
    return list(Notice.objects.filter(person=person).order_by("pk").values_list("text", flat=True))


# --- receiving


def test_a_request_gets_its_clock_its_unit_and_a_code(desk):
    made = desk.receive()

    assert made.code == f"PA-2026-{made.pk:06d}" and len(made.token) == 43
    assert (made.operator, made.unit, made.state) == (desk.operator, desk.team, "NEW")
    assert made.due_at == NOW + 24 * HOUR
    assert made.phone == "0905999888"
    assert told(desk.station) and not told(desk.far_station)
    assert "Lê Văn Thử" not in str(AuditEntry.objects.get(action="customers.request.received").detail)


def test_a_category_without_a_known_limit_has_no_clock(desk):
    made = desk.receive("nuoc-yeu")

    assert made.due_at is None
    assert request_categories.limit_text(made.category) == "chưa có quy định"


def test_a_complaint_about_a_bill_has_fifteen_working_days_of_the_operator(desk):
    request_categories.set_hours(desk.operator, weekdays="123456", spans="07:00-11:00", hotline="", by=desk.leader)

    made = desk.receive("khieu-nai-hoa-don", connection=desk.connection())

    assert made.due_at == datetime(2026, 7, 24, tzinfo=LOCAL_ZONE)  # Saturdays count: the end of Thursday 23 July


@pytest.mark.parametrize(
    ("given", "work"),
    [
        ({"latitude": 15.21, "longitude": 108.71}, "Nhà máy Đông"),
        ({"latitude": 15.2, "longitude": 108.21}, "Nhà máy Tây"),
    ],
)
def test_a_point_belongs_to_the_nearest_work(desk, given, work):
    assert desk.receive(work=None, **given).work.subject.name == work


def test_a_commune_belongs_to_the_work_that_serves_it(desk):
    made = desk.receive(work=None, place=desk.commune)

    assert (made.work, made.unit, made.place) == (desk.work, desk.team, desk.commune)


def test_a_place_that_nobody_serves_is_refused_with_what_to_do(desk):
    with pytest.raises(request_routing.NoOperator, match="Chọn đúng xã"):
        desk.receive(work=None, latitude=10.0, longitude=106.0)
    assert not Request.objects.exists()


def test_the_closest_rule_of_routing_wins(desk):
    category = Category.objects.get(key="mat-nuoc")
    set_to = {"by": desk.leader}
    request_operations.set_routing(desk.operator, work=None, category=None, unit=desk.operator, **set_to)
    assert desk.receive().unit == desk.operator
    request_operations.set_routing(desk.operator, work=None, category=category, unit=desk.far_team, **set_to)
    assert desk.receive().unit == desk.far_team
    request_operations.set_routing(desk.operator, work=desk.work, category=None, unit=desk.team, **set_to)
    assert desk.receive().unit == desk.team

    with pytest.raises(RequestError, match="không thuộc"):
        request_operations.set_routing(desk.operator, work=None, category=None, unit=desk.other, **set_to)


def test_a_form_sent_twice_is_one_request(desk):
    given = {
        "category": Category.objects.get(key="khac"), "channel": "PUBLIC", "text": "Vòi chung bị hỏng.", "now": NOW,
        "work": desk.work,
    }  # fmt: skip
    first, is_new = request_operations.receive_once("n" * 32, **given)
    again, is_new_again = request_operations.receive_once("n" * 32, **given)

    assert (is_new, is_new_again) == (True, False)
    assert first == again and Request.objects.count() == 1


def test_a_form_that_was_refused_may_be_sent_again(desk):
    given = {"category": Category.objects.get(key="khac"), "channel": "PUBLIC", "now": NOW, "work": desk.work}
    with pytest.raises(RequestError):
        request_operations.receive_once("m" * 32, text="", **given)

    assert request_operations.receive_once("m" * 32, text="Vòi chung bị hỏng.", **given)[1]


# --- answering


def test_an_answer_reaches_the_sender_and_only_it_does(desk, settings):
    made = desk.receive()
    assert not Sending.objects.exists()  # a stranger's form alone sends nothing anywhere

    answered(desk, made)

    made.refresh_from_db()
    assert made.state == "ANSWERED" and made.handler == desk.station
    assert set(Sending.objects.values_list("address", flat=True)) == {"thu@example.vn", "84905999888"}
    assert Sending.objects.first().url == f"/cong-khai/phan-anh/{made.token}/"


def test_of_two_who_answer_one_after_the_other_the_second_is_told(desk):
    made = desk.receive()
    seen = made.version
    request_operations.answer(made, text="Câu trả lời một.", by=desk.station, now=NOW, version=seen)

    with pytest.raises(ChangedMeanwhile, match="vừa có người khác"):
        request_operations.answer(made, text="Câu trả lời hai.", by=desk.office, now=NOW, version=seen)

    assert made.events.filter(kind="ANSWER").count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_who_answer_at_once_one_answers():
    world = make_world()
    made = world.receive()
    barrier, outcomes = threading.Barrier(2), []

    def answer(person):
        barrier.wait()
        try:
            request_operations.answer(made, text=f"Trả lời của {person}.", by=person, now=NOW, version=1)
            outcomes.append("answered")
        except ChangedMeanwhile:
            outcomes.append("told")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=answer, args=(one,)) for one in (world.station, world.office)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["answered", "told"]
    assert made.events.filter(kind="ANSWER").count() == 1


def test_a_reply_opens_the_request_again_with_a_new_clock(desk):
    made = answered(desk, desk.receive())
    later = NOW + 5 * HOUR

    request_operations.reply(made, text="Vẫn chưa có nước.", now=later)

    made.refresh_from_db()
    assert (made.state, made.clock_from_at, made.due_at) == ("ASSIGNED", later, later + 24 * HOUR)
    assert made.answered_at is None
    assert any("mở lại" in text for text in told(desk.station))


def test_a_reply_before_the_answer_leaves_the_clock_alone(desk):
    made = desk.receive()

    request_operations.reply(made, text="Thêm: cả xóm mất nước.", now=NOW + HOUR)

    made.refresh_from_db()
    assert (made.state, made.due_at) == ("NEW", NOW + 24 * HOUR)


def test_replies_end_somewhere(desk):
    made = desk.receive()
    for number in range(request_operations.REPLIES_MAX):
        request_operations.reply(made, text=f"Phản hồi {number}", now=NOW)

    with pytest.raises(RequestError, match="đường dây nóng"):
        request_operations.reply(made, text="Thêm nữa", now=NOW)


def test_what_was_closed_long_ago_is_a_new_matter(desk):
    made = answered(desk, desk.receive())
    request_operations.close(made, by=desk.station, now=NOW + 2 * HOUR, version=made.version)

    with pytest.raises(RequestError, match="Gửi một phản ánh mới"):
        request_operations.reply(made, text="Lại mất nước.", now=NOW + 40 * DAY)


def test_only_what_was_answered_is_closed_and_only_once(desk):
    made = desk.receive()
    with pytest.raises(RequestError, match="chỉ đóng phản ánh đã trả lời"):
        request_operations.close(made, by=desk.station, now=NOW)
    answered(desk, made)

    assert request_operations.close_answered(NOW + 9 * DAY) == 1
    assert request_operations.close_answered(NOW + 9 * DAY) == 0


def test_an_answer_is_rated_once(desk):
    made = desk.receive()
    with pytest.raises(RequestError, match="chưa được trả lời"):
        request_operations.rate(made, stars=5, note="", now=NOW)
    answered(desk, made)
    request_operations.rate(made, stars=4, note="Nhanh", now=NOW)

    with pytest.raises(RequestError, match="đã đánh giá"):
        request_operations.rate(made, stars=1, note="", now=NOW)
    made.refresh_from_db()
    assert made.rating == 4


def test_a_unit_or_person_of_elsewhere_is_not_given_the_request(desk):
    made = desk.receive()
    order = {"by": desk.office, "now": NOW, "version": made.version}

    with pytest.raises(RequestError, match="không thuộc"):
        request_operations.assign(made, unit=desk.other, handler=None, **order)
    with pytest.raises(RequestError, match="không được giao"):
        request_operations.assign(made, unit=desk.team, handler=desk.stranger, **order)
    request_operations.assign(made, unit=desk.far_team, handler=desk.far_station, **order)

    assert request_queries.visible(desk.far_station, "serve").filter(pk=made.pk).exists()


def test_another_category_has_another_clock_from_the_same_moment(desk):
    made = desk.receive("nuoc-yeu")

    changed = request_operations.change(
        made, category=Category.objects.get(key="vo-ong-phan-phoi"), urgency="HIGH", connection=None, work=desk.work,
        by=desk.station, now=NOW + HOUR, version=made.version,
    )  # fmt: skip

    assert changed.due_at == NOW + 24 * HOUR


# --- merging, disputes


def test_a_merged_request_keeps_its_sender_informed(desk):
    main, twin = desk.receive(), desk.receive(email="hai@example.vn", phone="")
    request_operations.merge(twin, main, by=desk.station, now=NOW, version=twin.version)
    Sending.objects.all().delete()

    answered(desk, main)

    assert "hai@example.vn" in set(Sending.objects.values_list("address", flat=True))
    twin.refresh_from_db()
    said = [event.text for event in request_queries.public_events(twin)]
    assert "Đã sửa xong lúc 9 giờ." in said
    assert request_queries.standing_of(twin).state == "ANSWERED"


def test_who_was_merged_rates_each_answer_too(desk):
    main, twin = desk.receive(), desk.receive()
    request_operations.merge(twin, main, by=desk.station, now=NOW, version=twin.version)
    answered(desk, main)
    request_operations.rate(twin, stars=1, note="", now=NOW + HOUR)
    request_operations.reply(twin, text="Vẫn chưa có nước.", now=NOW + HOUR)

    answered(desk, main)

    request_operations.rate(twin, stars=5, note="", now=NOW + HOUR)
    assert Request.objects.get(pk=twin.pk).rating == 5


def test_what_one_sender_says_another_never_reads(desk):
    main, twin = desk.receive(), desk.receive()
    request_operations.merge(twin, main, by=desk.station, now=NOW, version=twin.version)
    main.refresh_from_db()
    request_operations.reply(main, text="Số nhà tôi là 7.", now=NOW + HOUR)
    request_operations.reply(twin, text="Nhà tôi có người ốm.", now=NOW + HOUR)

    assert not any("ốm" in event.text for event in request_queries.public_events(main))
    assert not any(
        "số nhà" in event.text.lower() for event in request_queries.public_events(Request.objects.get(pk=twin.pk))
    )
    assert main.events.filter(kind="REPLY", text__contains="ốm", is_public=False).exists()


def test_merging_carries_along_what_was_merged_before_and_never_goes_in_circles(desk):
    first, second, third = desk.receive(), desk.receive(), desk.receive()
    request_operations.merge(first, second, by=desk.station, now=NOW, version=first.version)
    second.refresh_from_db()
    request_operations.merge(second, third, by=desk.station, now=NOW, version=second.version)

    first.refresh_from_db()
    assert first.merged_into == third
    with pytest.raises(RequestError, match="nhận gộp"):
        third.refresh_from_db()
        request_operations.merge(third, first, by=desk.station, now=NOW, version=third.version)
    with pytest.raises(RequestError, match="chính nó"):
        request_operations.merge(third, third, by=desk.station, now=NOW, version=third.version)


def test_a_dispute_stands_until_its_answer_also_when_merged(desk):
    mine, neighbours = desk.connection(), desk.connection()
    first = desk.receive("khieu-nai-hoa-don", connection=mine)
    again = desk.receive("khieu-nai-hoa-don", connection=mine)
    assert request_queries.has_open_dispute(mine.pk) and not request_queries.has_open_dispute(neighbours.pk)

    request_operations.merge(again, first, by=desk.station, now=NOW, version=again.version)
    assert request_queries.connections_in_dispute([mine.pk, neighbours.pk]) == {mine.pk}
    answered(desk, first)
    assert not request_queries.has_open_dispute(mine.pk)
    request_operations.reply(Request.objects.get(pk=first.pk), text="Tôi không đồng ý.", now=NOW + DAY)
    assert request_queries.has_open_dispute(mine.pk)

    foreign = desk.receive("khieu-nai-hoa-don", connection=neighbours)
    with pytest.raises(RequestError, match="trả lời riêng"):
        first.refresh_from_db()
        request_operations.merge(foreign, first, by=desk.station, now=NOW, version=foreign.version)


def test_another_matter_of_the_connection_is_no_dispute(desk):
    connection = desk.connection()
    desk.receive("mat-nuoc", connection=connection)

    assert not request_queries.has_open_dispute(connection.pk)


# --- duplicates


def test_duplicates_are_near_recent_open_and_of_one_kind(desk):
    here = {"latitude": 15.2000, "longitude": 108.7000}
    known = desk.receive(**here)
    desk.receive("nuoc-yeu", **here)
    desk.receive(now=NOW - 8 * DAY, **here)
    desk.receive(latitude=15.2100, longitude=108.7000)  # 1,1 km away

    found = request_queries.find_duplicates(
        category_id=known.category_id, now=NOW, latitude=15.2010, longitude=108.7010
    )

    assert [one.request for one in found] == [known]
    assert 140 < found[0].distance_m < 170


def test_the_same_connection_is_a_duplicate_without_a_point_and_neighbours_bills_are_not(desk):
    mine, next_door = desk.connection(), desk.connection()
    known = desk.receive("khieu-nai-hoa-don", connection=mine)
    search = {"category_id": known.category_id, "now": NOW, "latitude": 15.2001, "longitude": 108.7001}

    assert [one.request for one in request_queries.find_duplicates(**search, connection_id=mine.pk)] == [known]
    assert request_queries.find_duplicates(**search, connection_id=next_door.pk) == []


def test_what_names_only_the_commune_is_like_what_else_happens_there(desk):
    known = desk.receive(work=None, place=desk.commune)
    elsewhere = desk.receive(latitude=15.2000, longitude=108.7000)
    search = {"category_id": known.category_id, "now": NOW, "place_id": desk.commune.pk}
    Request.objects.filter(pk=elsewhere.pk).update(place=desk.commune)

    without_point = request_queries.find_duplicates(**search)
    far_away = request_queries.find_duplicates(**search, latitude=15.2500, longitude=108.7000)

    assert {one.request for one in without_point} == {known, elsewhere}
    assert [one.request for one in far_away] == [known]
    assert not any(one.is_same_connection for one in without_point)


def test_a_request_gets_the_work_that_was_not_known_and_none_of_another_operator(desk):
    made = desk.receive(work=None, place=desk.commune)
    Request.objects.filter(pk=made.pk).update(work=None)
    made.refresh_from_db()
    facts = {"category": made.category, "urgency": "NORMAL", "connection": None, "by": desk.office, "now": NOW}

    with pytest.raises(RequestError, match="đơn vị cấp nước khác"):
        request_operations.change(made, work=desk.other_work, version=made.version, **facts)
    changed = request_operations.change(made, work=desk.far_work, version=made.version, **facts)

    assert changed.work == desk.far_work
    assert "Công trình:" in changed.events.filter(kind="NOTE").get().text


# --- escalation


def test_those_above_are_told_at_eighty_and_at_a_hundred_percent_once_each(desk):
    made = desk.receive()
    assert request_operations.escalate_due(NOW + 19 * HOUR) == 0

    assert request_operations.escalate_due(NOW + 20 * HOUR) == 1
    assert request_operations.escalate_due(NOW + 20 * HOUR) == 0
    assert "80 %" in told(desk.station)[-1] and not told(desk.leader)
    assert request_operations.escalate_due(NOW + 25 * HOUR) == 1
    assert request_operations.escalate_due(NOW + 26 * HOUR) == 0
    assert "quá hạn 1 giờ" in told(desk.leader)[-1]
    made.refresh_from_db()
    assert made.escalated_pct == 100


def test_a_job_that_slept_tells_once_and_an_answer_stops_it(desk):
    late, done = desk.receive(), desk.receive()
    answered(desk, done)

    assert request_operations.escalate_due(NOW + 50 * HOUR) == 1
    assert not RequestEvent.objects.filter(request=done, kind="ESCALATED").exists()
    assert RequestEvent.objects.filter(request=late, kind="ESCALATED").count() == 1


@pytest.mark.parametrize("task", ["customers.escalate_requests", "customers.close_answered", "customers.open311"])
def test_the_worker_knows_its_recurring_work(desk, task):
    desk.receive(now=timezone.now() - 3 * DAY)
    jobs.enqueue(task)

    done = jobs.run_next(timezone.now())

    assert done is not None and (done.task, done.state) == (task, "DONE"), done.message
    assert bool(told(desk.leader)) == (task == "customers.escalate_requests")


# --- work orders


def test_a_request_becomes_a_work_order_in_one_step_and_hears_of_its_end(desk):
    made = desk.receive()
    order = work_orders.create(
        kind="REPAIR", text="Kiểm tra van đầu xóm", now=NOW, by=desk.office, request=made, assignee=desk.station
    )
    work_orders.start(order, by=desk.station, now=NOW + HOUR)
    work_orders.finish(order, note="Thay van hỏng", by=desk.station, now=NOW + 2 * HOUR)

    assert order.code == f"PCV-2026-{order.pk:06d}" and order.unit == desk.team
    public = [event.text for event in request_queries.public_events(made)]
    assert sum(order.code in text for text in public) == 3
    assert not any("Thay van" in text for text in public)
    with pytest.raises(work_orders.WorkOrderError, match="đã xong"):
        work_orders.cancel(order, why="nhầm", by=desk.office, now=NOW)
    assert WorkOrder.objects.get().done_note == "Thay van hỏng"


def test_a_request_that_no_operator_got_is_of_the_work_that_goes_to_see(desk):
    made = desk.receive()
    work = made.work or Work.objects.filter(operator=made.operator).first()
    Request.objects.filter(pk=made.pk).update(operator=None, work=None)

    order = work_orders.create(kind="REPAIR", text="Xem đường ống", now=NOW, by=desk.office, request=made, work=work)

    made.refresh_from_db()
    assert (order.work, made.work) == (work, work)


def test_the_program_itself_may_end_an_order(desk):
    made = desk.receive()
    answered(desk, made)
    order = work_orders.create(kind="CUT_OFF", text="Ngừng cấp", now=NOW, by=None, request=made)

    work_orders.finish(order, note="Khách hàng đã trả nợ", by=None, now=NOW + HOUR)

    order.refresh_from_db()
    assert order.state == "DONE" and order.assignee is None


# --- rights


def test_each_sees_the_requests_of_their_own_scope(desk):
    here, there = desk.receive(), desk.receive(work=desk.far_work)
    foreign = desk.receive(work=desk.other_work)

    def seen(person, action="serve"):
        return set(request_queries.visible(person, action))

    assert seen(desk.station) == {here}
    assert seen(desk.office) == {here, there}
    assert seen(desk.stranger) == {foreign}
    assert seen(desk.agency) == set() and seen(desk.agency, "view") == {here, there}
    assert request_queries.may(desk.station, "serve", here) and not request_queries.may(desk.station, "serve", there)
    assert request_queries.served_among(desk.station, [here, there, foreign]) == {here.pk}


# --- statistics


def test_statistics_count_what_a_hand_counts(desk):
    month = Period.parse("2026-07")
    quick, slow, open_one, late, merged = (desk.receive() for _ in range(5))
    no_limit = desk.receive("nuoc-yeu")
    desk.receive(now=NOW - 30 * DAY)  # of June, still open
    answered(desk, quick, NOW + 2 * HOUR)
    answered(desk, slow, NOW + 30 * HOUR)
    answered(desk, no_limit, NOW + 10 * HOUR)
    request_operations.rate(quick, stars=5, note="", now=NOW + 3 * HOUR)
    request_operations.merge(merged, open_one, by=desk.station, now=NOW, version=merged.version)
    Request.objects.filter(pk=open_one.pk).update(due_at=NOW + 90 * DAY)

    report = request_queries.statistics(month, [desk.work.pk], now=NOW + 60 * DAY)

    total = report.total
    assert (total.received, total.answered, total.with_limit, total.in_time) == (6, 3, 2, 1)
    assert total.in_time_pct == 50
    assert (total.median_hours, total.p90_hours) == (10, pytest.approx(26))
    assert (total.open, total.overdue) == (3, 2)  # the late one of July and that of June
    assert (total.ratings, total.rating_mean) == (1, 5)
    assert set(report.by_category) == {"Mất nước", "Nước yếu"}
    assert [(line.work_id, line.found) for line in report.by_place] == [(desk.work.pk, total)]
    assert late.state == "NEW"


def test_requests_without_a_work_are_a_line_of_their_operator_and_the_lines_add_up(desk):
    Subject.objects.filter(pk=desk.far_work.pk).update(name=desk.work.subject.name)  # two works of one name
    _, second, unclear, foreign = (desk.receive() for _ in range(4))
    Request.objects.filter(pk=second.pk).update(work=desk.far_work)
    Request.objects.filter(pk=unclear.pk).update(work=None)
    Request.objects.filter(pk=foreign.pk).update(work=None, operator=desk.other)

    report = request_queries.statistics(Period.parse("2026-07"), now=NOW + 60 * DAY)

    assert sum(line.found.received for line in report.by_place) == report.total.received == 4
    assert [line.work_id for line in report.by_place[-2:]] == [None, None]
    assert {line.name for line in report.by_place[-2:]} == {
        f"Chưa rõ công trình ({one.subject.name})" for one in (desk.operator, desk.other)
    }
    assert report.unclear == 4  # two received, both still open
    assert report.nowhere == 0


def test_a_request_of_nobody_and_nowhere_is_told_apart_from_those_of_a_place(desk):
    placed, lost = desk.receive(), desk.receive()
    Request.objects.filter(pk=placed.pk).update(work=None, operator=None, place=desk.commune)
    Request.objects.filter(pk=lost.pk).update(work=None, operator=None, place=None)

    report = request_queries.statistics(Period.parse("2026-07"), now=NOW + 60 * DAY)

    assert [line.name for line in report.by_place] == ["Chưa rõ công trình", "Chưa rõ công trình (Xã Thử)"]
    assert (report.unclear, report.nowhere) == (4, 2)


def test_statistics_of_nothing_have_no_times(desk):
    total = request_queries.statistics(Period.parse("2026-01"), now=NOW).total

    assert (total.received, total.median_hours, total.in_time_pct) == (0, None, None)


# --- erasure


def test_nothing_personal_of_an_erased_customer_is_left(desk, django_capture_on_commit_callbacks):
    connection = desk.connection()
    customer = connection.customer
    by_connection = desk.receive(connection=connection, photos=request_operations.keep_photos([_upload()], by=None))
    by_phone = desk.receive(phone=customer.phone, email="", name="Trần Thị Mẫu 1")
    main = desk.receive()
    request_operations.merge(by_phone, main, by=desk.station, now=NOW, version=by_phone.version)
    request_operations.reply(by_phone, text="Tôi là Trần Thị Mẫu.", now=NOW)
    work_orders.create(kind="REPAIR", text="Sửa ống nhà Trần Thị Mẫu", now=NOW, by=desk.leader, request=by_connection)
    answered(desk, by_connection)
    untouched = desk.receive()
    picture = files.path_of(by_connection.photos.get().file)
    assert picture.exists()

    with django_capture_on_commit_callbacks(execute=True):
        count = request_operations.erase_customer(customer, by=desk.leader, now=NOW)

    assert count == 2
    assert not by_connection.photos.exists() and not picture.exists()
    for row in Request.objects.filter(pk__in=[by_connection.pk, by_phone.pk]):
        assert not any([row.name, row.phone, row.email, row.address, row.latitude])
    said = " ".join(RequestEvent.objects.values_list("text", flat=True))
    assert "Mẫu" not in said
    assert "Mẫu" not in str([*WorkOrder.objects.values_list("text"), *Notice.objects.values_list("text")])
    assert not Sending.objects.filter(address__contains="mau1@").exists()
    assert "Mẫu" not in str(list(AuditEntry.objects.values_list("detail", flat=True)))
    untouched.refresh_from_db()
    assert untouched.name == "Lê Văn Thử"


class _upload:  # noqa: N801 - stands for an uploaded file
    name = "anh.png"

    def read(self, size: int) -> bytes:
        return png()[:size]


def test_loading_categories_twice_adds_none_and_keeps_what_people_changed(desk):
    category = Category.objects.get(key="nuoc-yeu")
    request_categories.change_category(
        category, clock_unit="HOURS", allowed=6, document="Quy chế 1", is_verified=True, is_active=True, is_public=True,
        by=desk.leader,
    )  # fmt: skip

    assert request_categories.load_categories() == 0
    category.refresh_from_db()
    assert category.allowed == 6
    with pytest.raises(request_categories.CustomersError, match="căn cứ"):
        request_categories.change_category(
            category, clock_unit="HOURS", allowed=6, document=" ", is_verified=True, is_active=True, is_public=True,
            by=desk.leader,
        )  # fmt: skip


def test_the_holidays_of_viet_nam_are_known():
    assert date(2026, 9, 2) in request_categories.holidays_vn()
    assert date(2026, 7, 6) not in request_categories.holidays_vn()
    assert database.vendor in {"sqlite", "postgresql"}
