"""Pages of requests: who gets in, what each sees, strangers and machines at the public form."""

from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from machnuoc.core.models import Person
from machnuoc.customers import request_forms, request_operations, request_queries, request_spam, work_orders
from machnuoc.customers.models import (
    AnswerTemplate,
    Category,
    DataAccess,
    Open311Endpoint,
    PublicPost,
    Request,
    Routing,
    ServiceHours,
    WorkOrder,
)
from machnuoc.customers.tests.fixtures_requests import World, make_world, png
from machnuoc.customers.tests.fixtures_requests import photo as make_photo
from machnuoc.places.models import Subject

PUBLIC = "/cong-khai/phan-anh/"


@pytest.fixture
def desk(db: None) -> World:
    return make_world()


def browser(person: Person | None = None, **options: object) -> Client:
    client = Client(**options)
    if person is not None:
        client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
    return client


def now_request(desk: World, **fields: object) -> Request:
    return desk.receive(now=timezone.now(), **fields)


def public_data(desk: World, *, age_s: float = 30, **fields: object) -> dict[str, object]:
    return {
        "category": Category.objects.get(key="mat-nuoc").pk, "text": "Cả xóm mất nước từ tối qua.",
        "place": desk.commune.pk, "phone": "0905 111 222", "website": "",
        "stamp": request_spam.make_stamp(timezone.now() - timedelta(seconds=age_s)), **fields,
    }  # fmt: skip


# --- the public form


def test_a_stranger_reports_without_an_account_and_follows_by_the_link(desk):
    client = browser()
    assert client.get(PUBLIC).status_code == 200

    answer = client.post(PUBLIC, public_data(desk), follow=True)

    made = Request.objects.get()
    assert answer.redirect_chain == [(f"{PUBLIC}{made.token}/", 302)]
    page = answer.content.decode()
    assert made.code in page and "còn 23 giờ 59 phút" in page.lower()
    assert (made.channel, made.unit, made.phone) == ("PUBLIC", desk.team, "0905111222")
    # No other site is told the address. «no-referrer» would hide the origin too, and every reply would be refused.
    assert answer["Referrer-Policy"] == "same-origin" and "noindex" in answer["X-Robots-Tag"]


def test_the_form_pressed_twice_is_one_request(desk):
    client, data = browser(), public_data(desk)
    first, second = client.post(PUBLIC, data), client.post(PUBLIC, data)

    assert first["Location"] == second["Location"]
    assert Request.objects.count() == 1


@pytest.mark.parametrize(
    "change", [{"age_s": 1}, {"age_s": 60 * 60 * 20}, {"stamp": "forged"}, {"stamp": ""}, {"website": "http://spam"}]
)
def test_what_looks_like_a_machine_has_to_answer_a_sum(desk, change):
    client, data = browser(), public_data(desk, **change)

    asked = client.post(PUBLIC, data)

    assert asked.status_code == 422 and "không phải là máy" in asked.content.decode()
    assert not Request.objects.exists()
    question = asked.context["sum"]
    first, second = question.text.split(" + ")
    wrong = client.post(PUBLIC, {**data, "sum_answer": "99", "sum_stamp": question.stamp})
    assert wrong.status_code == 422 and not Request.objects.exists()
    right = {**data, "sum_answer": str(int(first) + int(second)), "sum_stamp": question.stamp}
    assert client.post(PUBLIC, right).status_code == 302
    client.post(PUBLIC, right)
    assert Request.objects.count() == 1  # one sum is good for one


def test_one_address_sends_only_so_many_and_others_go_on(desk):
    client = browser(REMOTE_ADDR="203.0.113.7")
    for _ in range(request_spam.AN_HOUR):
        request_spam.count_try(request_spam.address_hash(client.get(PUBLIC).wsgi_request), timezone.now())

    assert client.post(PUBLIC, public_data(desk)).status_code == 429
    assert browser(REMOTE_ADDR="203.0.113.8").post(PUBLIC, public_data(desk)).status_code == 302
    assert "203.0.113" not in str(list(PublicPost.objects.values_list("address_hash", flat=True)))


def test_who_may_send_no_more_still_looks_up_what_was_sent(desk):
    client = browser(REMOTE_ADDR="203.0.113.7")
    address = request_spam.address_hash(client.get(PUBLIC).wsgi_request)
    made = now_request(desk, phone="0905 999 888")
    sent = [PublicPost(nonce=f"n{n}", address_hash=address, at=timezone.now(), request=made) for n in range(30)]
    PublicPost.objects.bulk_create(sent)
    said = {"code": made.code, "phone": "0905999888"}

    assert client.post(PUBLIC, public_data(desk)).status_code == 429
    assert client.post(f"{PUBLIC}tra-cuu/", said).status_code == 302

    for _ in range(request_spam.GUESSES_AN_HOUR):
        request_spam.count_try(address, timezone.now())
    assert client.post(f"{PUBLIC}tra-cuu/", said).status_code == 429


def test_the_public_pages_name_the_hot_line_the_place_and_each_other(desk):
    ServiceHours.objects.create(operator=desk.operator, hotline="1900 545 520")
    pointed = now_request(desk, work=None, latitude=15.2, longitude=108.7, address="", place=None)
    told = now_request(desk, work=None, place=desk.commune, address="Cạnh chợ")
    Request.objects.filter(pk=pointed.pk).update(place=None)

    form = browser().get(PUBLIC).content.decode()

    assert 'href="tel:1900545520"' in form
    assert 'href="/cong-khai/tinh-tien-nuoc/"' in form and 'href="/cong-khai/chat-luong-nuoc/"' in form
    assert "vị trí đã đánh dấu trên bản đồ" in browser().get(f"{PUBLIC}{pointed.token}/").content.decode()
    assert f"Cạnh chợ, {desk.commune.name}" in browser().get(f"{PUBLIC}{told.token}/").content.decode()


def test_a_stranger_who_follows_a_wrong_link_is_led_to_the_public_pages(desk):
    stranger = browser().get(f"{PUBLIC}{'x' * 30}/")
    clerk = browser(desk.station).get(f"{PUBLIC}{'x' * 30}/")

    assert (stranger.status_code, clerk.status_code) == (404, 404)
    assert f'href="{PUBLIC}tra-cuu/"' in stranger.content.decode()
    assert "Về Tổng quan" not in stranger.content.decode() and "Về Tổng quan" in clerk.content.decode()


def test_communes_stand_in_the_order_of_the_vietnamese_alphabet(db):
    for name in ("Hoà An", "Đông Sơn", "Hạ Lang", "An Phú", "Ea Kar"):
        Subject.objects.create(kind=Subject.Kind.UNIT, key=f"thu/{name}", name=name)

    choices = request_forms.PlaceChoice(Subject.objects.filter(key__startswith="thu/")).choices

    assert [str(label) for _, label in choices][1:] == ["An Phú", "Đông Sơn", "Ea Kar", "Hạ Lang", "Hoà An"]


def test_a_form_without_a_place_is_told_so_and_keeps_what_was_written(desk):
    answer = browser().post(PUBLIC, public_data(desk, place=""))

    assert answer.status_code == 422
    page = answer.content.decode()
    assert "Chọn xã, phường" in page and "Cả xóm mất nước" in page


def test_a_place_that_nobody_serves_is_told_so(desk):
    answer = browser().post(PUBLIC, public_data(desk, place="", latitude="10.1", longitude="105.9"))

    assert answer.status_code == 422 and "Chưa có đơn vị cấp nước nào" in answer.content.decode()


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.jpg", b"MZ\x90\x00 program"), ("a.svg", b"<svg onload=alert(1)>"), ("a.png", png()[:30]),
     ("a.php", b"<?php ?>"),
     ("../../x.png", b"GIF89a"), ("a.jpg", b"")],
)  # fmt: skip
def test_a_hostile_upload_is_refused_with_its_name_and_nothing_is_kept(desk, name, content):
    upload = SimpleUploadedFile(name, content, "image/png")

    answer = browser().post(PUBLIC, public_data(desk, photos=upload))

    assert answer.status_code == 422
    assert not Request.objects.exists()


def test_four_photos_are_one_too_many(desk):
    photos = [SimpleUploadedFile(f"{number}.png", png(), "image/png") for number in range(4)]

    answer = browser().post(PUBLIC, public_data(desk, photos=photos))

    assert answer.status_code == 422 and "tối đa 3 ảnh" in answer.content.decode()


def test_a_photo_is_kept_without_what_it_tells_and_only_its_sender_and_handlers_see_it(desk):
    client = browser()
    upload = SimpleUploadedFile(
        "nha-toi.jpg", make_photo(60, 40, orientation=6, secret="GPS of my house"), "image/jpeg"
    )
    client.post(PUBLIC, public_data(desk, photos=upload))
    made = Request.objects.get()
    photo = made.photos.get()

    shown = client.get(f"{PUBLIC}{made.token}/anh/{photo.pk}/")

    assert shown.status_code == 200 and shown["Content-Type"] == "image/jpeg"
    assert b"GPS" not in shown.content and shown["X-Content-Type-Options"] == "nosniff"
    other = now_request(desk)
    assert client.get(f"{PUBLIC}{other.token}/anh/{photo.pk}/").status_code == 404
    inside = f"/phan-anh/{made.code}/anh/{photo.pk}/"
    assert browser(desk.station).get(inside).status_code == 200
    assert browser(desk.far_station).get(inside).status_code == 404
    assert browser(desk.agency).get(inside).status_code == 404


def test_words_of_strangers_are_shown_as_words(desk):
    client = browser()
    client.post(PUBLIC, public_data(desk, text="<script>alert(1)</script> nước đục", name="<b>An</b>"))
    made = Request.objects.get()

    for page in (client.get(f"{PUBLIC}{made.token}/"), browser(desk.station).get(f"/phan-anh/{made.code}/"),
                 browser(desk.station).get("/phan-anh/")):  # fmt: skip
        assert "<script>alert" not in page.content.decode() and "<b>An" not in page.content.decode()


def test_a_wrong_token_opens_nothing(desk):
    for token in ("x", "a" * 43, "a" * 400):
        assert browser().get(f"{PUBLIC}{token}/").status_code == 404


def test_the_sender_replies_and_rates_on_the_page(desk):
    made = now_request(desk)
    request_operations.answer(made, text="Đã sửa xong rồi.", by=desk.station, now=timezone.now(), version=made.version)
    client, page = browser(), f"{PUBLIC}{made.token}/"

    assert client.post(page, {"act": "rate", "stars": "6"}).status_code == 422
    assert client.post(page, {"act": "rate", "stars": "4"}).status_code == 302
    assert client.post(page, {"act": "reply", "text": "Lại mất nước."}).status_code == 302

    made.refresh_from_db()
    assert (made.state, made.rating) == ("ASSIGNED", 4)


def test_code_and_phone_lead_to_the_page_and_guessing_ends(desk):
    made = now_request(desk, phone="0905 111 222")
    client, page = browser(), "/cong-khai/phan-anh/tra-cuu/"

    found = client.post(page, {"code": made.code.lower(), "phone": "+84 905 111 222"})
    assert found["Location"] == f"{PUBLIC}{made.token}/"
    statuses = [client.post(page, {"code": made.code, "phone": f"090500000{n}"}).status_code for n in range(7)]
    assert statuses == [422] * 6 + [429]


# --- the desk


def test_only_those_of_the_place_see_a_request_and_only_those_who_serve_its_words(desk):
    made = now_request(desk)
    page = f"/phan-anh/{made.code}/"

    inside = browser(desk.station).get(page).content.decode()
    assert "Lê Văn Thử" in inside and "0905 999 888" in inside and "Mất nước từ sáng sớm" in inside
    outside = browser(desk.agency).get(page)
    assert outside.status_code == 200
    masked = outside.content.decode()
    assert "Lê V. T." in masked and "Lê Văn Thử" not in masked and "999 888" not in masked
    assert "Mất nước từ sáng sớm" not in masked and made.token not in masked and "12 đường Thử" not in masked
    assert browser(desk.far_station).get(page).status_code == 404
    assert browser(desk.stranger).get(page).status_code == 404
    assert browser().get(page).status_code == 302


def test_each_look_at_senders_is_written_down_once_a_page(desk):
    now_request(desk), now_request(desk)

    browser(desk.station).get("/phan-anh/")
    browser(desk.agency).get("/phan-anh/")

    looks = DataAccess.objects.all()
    assert [(one.person, one.what, one.count) for one in looks] == [(desk.station, "LIST", 2)]


@pytest.mark.parametrize(
    "act", ["giao", "sua", "ghi-chu", "tra-loi", "tu-choi", "dong", "mo-lai", "gop", "phieu", "open311"]
)
def test_only_those_who_serve_act(desk, act):
    made = now_request(desk)
    page = f"/phan-anh/{made.code}/{act}/"

    assert browser(desk.agency).post(page).status_code == 403
    assert browser(desk.far_station).post(page).status_code == 404
    assert browser().post(page).status_code == 302
    assert browser(desk.station).get(page).status_code == 405
    assert browser(desk.station).post(page).status_code in {302, 422}


def test_a_handler_goes_through_all_of_it_on_screen(desk):
    client, made = browser(desk.station), now_request(desk)

    def act(name: str, prefix: str, **data: object) -> None:
        made.refresh_from_db()
        said = {f"{prefix}-{key}": value for key, value in {"version": made.version, **data}.items()}
        answer = client.post(f"/phan-anh/{made.code}/{name}/", said)
        assert answer.status_code == 302, answer.context["form"].errors if "form" in answer.context else answer.content

    act("giao", "assign", unit=desk.team.pk, handler=desk.station.pk, note="Xem van")
    broken = Category.objects.get(key="vo-ong-phan-phoi")
    act("sua", "change", category=broken.pk, urgency="HIGH", connection="", work=desk.work.pk)
    act("phieu", "order", kind="REPAIR", text="Thay van")
    act("ghi-chu", "note", text="Đã gọi lại")
    act("tra-loi", "answer", text="Đã thay van, nước đã có.")
    act("dong", "close")
    act("mo-lai", "reopen", text="Bấm nhầm")

    made.refresh_from_db()
    assert made.state == "ASSIGNED" and WorkOrder.objects.get().request == made
    assert client.get(f"/phan-anh/{made.code}/").status_code == 200


def test_an_answer_that_came_second_is_told_and_not_lost(desk):
    client, made = browser(desk.station), now_request(desk)
    seen = made.version
    request_operations.note(made, text="Ghi chú", by=desk.office, now=timezone.now())
    request_operations.answer(made, text="Câu trả lời trước.", by=desk.office, now=timezone.now(), version=seen)

    answer = client.post(f"/phan-anh/{made.code}/tra-loi/", {"answer-text": "Câu của tôi.", "answer-version": seen})

    assert answer.status_code == 422
    page = answer.content.decode()
    assert "vừa có người khác xử lý" in page and "Câu của tôi." in page


def test_what_was_written_over_a_change_can_be_sent_again_knowingly(desk):
    client, made = browser(desk.station), now_request(desk)
    seen = made.version
    request_operations.reply(made, text="Thêm một điều.", now=timezone.now())
    page = f"/phan-anh/{made.code}/tra-loi/"

    told = client.post(page, {"answer-text": "Câu của tôi.", "answer-version": seen})
    shown = told.context["answer_form"]

    again = {"answer-text": shown["text"].value(), "answer-version": shown["version"].value()}
    assert told.status_code == 422 and client.post(page, again).status_code == 302


def test_a_caller_is_known_by_the_phone_and_duplicates_are_proposed(desk):
    connection = desk.connection()
    known = now_request(desk, connection=connection)
    foreign = desk.connection(desk.far_work)

    hints = browser(desk.station).post(
        "/phan-anh/moi/goi-y/", {"phone": connection.customer.phone, "category": known.category_id}
    ).content.decode()  # fmt: skip

    assert connection.code in hints and connection.customer.name in hints and known.code in hints
    assert DataAccess.objects.get().count == 2  # the caller, and the words of the other request
    other = browser(desk.station).post("/phan-anh/moi/goi-y/", {"phone": foreign.customer.phone}).content.decode()
    assert foreign.code not in other
    assert browser(desk.agency).post("/phan-anh/moi/goi-y/").status_code == 403
    odd = {"phone": "0" * 300, "category": "x" * 40, "latitude": "nan", "longitude": "1e999", "connection": "\\"}
    assert browser(desk.station).post("/phan-anh/moi/goi-y/", odd).status_code == 200


def test_a_phone_is_never_asked_for_in_an_address(desk):
    phone = desk.connection().customer.phone
    client = browser(desk.station)

    assert client.get("/phan-anh/moi/goi-y/", {"phone": phone}).status_code == 405
    assert phone not in client.get("/phan-anh/moi/", {"phone": phone}).content.decode()


def test_a_request_is_taken_down_by_phone_once(desk):
    connection = desk.connection()
    client = browser(desk.station)
    nonce = client.get("/phan-anh/moi/").context["form"].initial["nonce"]
    data = {
        "channel": "PHONE", "phone": "0905123401", "name": "Bà Mẫu", "connection": connection.code, "nonce": nonce,
        "category": Category.objects.get(key="mat-nuoc").pk, "urgency": "HIGH", "text": "Không có nước.",
    }  # fmt: skip

    first, second = client.post("/phan-anh/moi/", data), client.post("/phan-anh/moi/", data)

    made = Request.objects.get()
    assert first["Location"] == second["Location"] == f"/phan-anh/{made.code}/"
    assert (made.connection, made.work, made.latitude) == (connection, desk.work, connection.latitude)
    foreign = desk.connection(desk.far_work)
    refused = client.post("/phan-anh/moi/", {**data, "nonce": "z" * 32, "connection": foreign.code})
    assert refused.status_code == 422 and "Không có đấu nối" in refused.content.decode()


@pytest.mark.parametrize(
    "query",
    ["", "?state=all", "?clock=overdue", "?clock=soon", "?clock=none", "?q=thu", "?q=0905999888", "?q=%25_%27",
     "?mine=on", "?category=999999&work=abc&state=nothing", "?from_date=2026-01-01&to_date=2026-13-99", "?page=99"],
)  # fmt: skip
def test_the_list_and_the_map_take_any_filter(desk, query):
    now_request(desk, latitude=15.2, longitude=108.7)
    client = browser(desk.station)

    assert client.get(f"/phan-anh/{query}").status_code == 200
    assert client.get(f"/phan-anh/ban-do/{query}").status_code == 200


def test_late_ones_come_first_then_what_is_due_next(desk):
    now = timezone.now()
    later, late, free = (
        desk.receive(now=now),
        desk.receive(now=now - timedelta(days=2)),
        desk.receive("nuoc-yeu", now=now),
    )
    soon = desk.receive("ro-ri-mang-dich-vu", now=now)

    rows = browser(desk.station).get("/phan-anh/").context["rows"]

    assert [one.pk for one in rows] == [late.pk, soon.pk, later.pk, free.pk]


def test_words_and_senders_are_found_by_those_who_serve_alone(desk):
    now_request(desk)

    assert len(browser(desk.station).get("/phan-anh/?q=Lê Văn").context["rows"]) == 1
    assert len(browser(desk.agency).get("/phan-anh/?q=Lê Văn").context["rows"]) == 0
    assert len(browser(desk.agency).get("/phan-anh/?q=PA-").context["rows"]) == 1


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_an_export_is_masked_like_the_screen_and_written_down(desk, kind):
    now_request(desk)
    inside = b"".join(browser(desk.station).get(f"/phan-anh/?export={kind}").streaming_content)
    outside = b"".join(browser(desk.agency).get(f"/phan-anh/?export={kind}").streaming_content)

    if kind == "csv":
        assert "Lê Văn Thử" in inside.decode() and "Lê Văn Thử" not in outside.decode()
        assert "0905999888" not in outside.decode().replace(" ", "")
    assert DataAccess.objects.filter(what="EXPORT").count() == 1


@pytest.mark.parametrize(
    "page", ["/phan-anh/", "/phan-anh/?state=all&q=nuoc", "/phan-anh/ban-do/", "/phan-anh/thong-ke/", "/phan-anh/loai/",
             "/phieu-cong-viec/", "/cong-khai/phan-anh/"],
)  # fmt: skip
def test_pages_ask_no_more_for_more_rows(desk, django_assert_max_num_queries, page):
    for _ in range(12):
        made = now_request(desk, latitude=15.2, longitude=108.7)
        work_orders.create(kind="REPAIR", text="Sửa", request=made, now=timezone.now(), by=desk.office)
    client = browser(desk.office)
    client.get(page)

    with django_assert_max_num_queries(15):
        assert client.get(page).status_code == 200


@pytest.mark.parametrize(
    "query", ["", "?period=2026-Q3", "?period=2026", "?period=never", "?export=csv", "?export=xlsx"]
)
def test_statistics_are_shown_for_any_period(desk, query):
    now_request(desk)

    assert browser(desk.agency).get(f"/phan-anh/thong-ke/{query}").status_code == 200


# --- settings and work orders


def test_managers_of_the_operator_set_routing_hours_and_templates(desk):
    client = browser(desk.leader)
    base, operator = "/phan-anh/cai-dat/", desk.operator.pk
    assert client.get(base).status_code == 200

    routing = {
        "routing-operator": operator,
        "routing-unit": desk.far_team.pk,
        "routing-work": "",
        "routing-category": "",
    }
    assert client.post(f"{base}routing/", routing).status_code == 302
    hours = {
        "hours-operator": operator,
        "hours-weekdays": "123456",
        "hours-spans": "07:00-11:00",
        "hours-hotline": "1900",
    }
    assert client.post(f"{base}hours/", hours).status_code == 302
    assert client.post(f"{base}hours/", {**hours, "hours-spans": "11-7"}).status_code == 422
    template = {"template-operator": operator, "template-name": "Đang sửa", "template-text": "Đang sửa, xin chờ."}
    assert client.post(f"{base}template/", template).status_code == 302
    assert client.post(f"{base}template/", template).status_code == 422
    endpoint = {"endpoint-operator": operator, "endpoint-name": "Tỉnh", "endpoint-url": "http://127.0.0.1/v2"}
    assert client.post(f"{base}endpoint/", endpoint).status_code == 422
    assert client.post(f"{base}endpoint/", {**endpoint, "endpoint-url": "https://vi-du.vn/v2/"}).status_code == 302
    assert Open311Endpoint.objects.get().url == "https://vi-du.vn/v2"

    for what, row in [("routing", Routing.objects.get()), ("template", AnswerTemplate.objects.get())]:
        assert browser(desk.stranger).post(f"{base}{what}/{row.pk}/bo/").status_code == 404
        assert client.post(f"{base}{what}/{row.pk}/bo/").status_code == 302
    assert browser(desk.station).get(base).status_code == 403
    assert browser(desk.stranger).post(f"{base}routing/", routing).status_code == 422  # not of theirs
    assert client.post(f"{base}nothing/").status_code == 404


def test_work_orders_have_their_own_list_and_end(desk):
    connection = desk.connection()
    client = browser(desk.station)
    data = {"kind": "METER_CHECK", "text": "Kiểm tra đồng hồ", "connection": connection.code}

    answer = client.post("/phieu-cong-viec/moi/", data)

    order = WorkOrder.objects.get()
    page = f"/phieu-cong-viec/{order.code}/"
    assert answer["Location"] == page
    assert client.get("/phieu-cong-viec/").status_code == 200
    assert client.get("/phieu-cong-viec/?state=overdue&kind=x&q=PCV").status_code == 200
    assert client.post(f"{page}xong/", {"note": ""}).status_code == 422
    assert client.post(f"{page}bat-dau/").status_code == 302
    assert client.post(f"{page}xong/", {"note": "Đồng hồ tốt"}).status_code == 302
    assert client.post(f"{page}huy/", {"note": "x"}).status_code == 422
    assert client.get(page).status_code == 200
    assert browser(desk.far_station).get(page).status_code == 404
    assert browser(desk.agency).get("/phieu-cong-viec/").status_code == 403
    assert client.get("/phieu-cong-viec/?export=csv&state=all").status_code == 200


def test_a_request_without_a_work_gets_a_work_order_that_says_where_to_go(desk):
    made = now_request(desk, work=None, place=desk.commune, latitude=15.2, longitude=108.7, address="Cạnh chợ")
    Request.objects.filter(pk=made.pk).update(work=None, unit=desk.operator)
    client, data = (
        browser(desk.office),
        {"order-kind": "REPAIR", "order-text": "Mở van", "order-unit": desk.far_team.pk},
    )

    refused = client.post(f"/phan-anh/{made.code}/phieu/", data)
    foreign = client.post(f"/phan-anh/{made.code}/phieu/", {**data, "order-work": desk.other_work.pk})
    done = client.post(f"/phan-anh/{made.code}/phieu/", {**data, "order-work": desk.work.pk})

    assert (refused.status_code, foreign.status_code, done.status_code) == (422, 422, 302)
    made.refresh_from_db()
    assert (made.state, made.work) == ("ASSIGNED", desk.work)
    order = WorkOrder.objects.get()
    sent, office = (browser(who).get(f"/phieu-cong-viec/{order.code}/") for who in (desk.far_station, desk.office))
    page = sent.content.decode()
    assert "Cạnh chợ, " in page and "0905 999 888" in page and "geo:15.200000,108.700000" in page
    assert f'href="/phan-anh/{made.code}/"' not in page  # who is sent may not read what was said
    assert f'href="/phan-anh/{made.code}/"' in office.content.decode()


def test_each_look_at_work_orders_of_customers_is_written_down_once(desk):
    connection, client = desk.connection(), browser(desk.station)
    said = {"kind": "METER_CHECK", "by": desk.station, "now": timezone.now()}
    order = work_orders.create(text="Gọi bà Hoa, 0905 111 222", connection=connection, **said)
    work_orders.create(text="Rửa bể lắng", work=connection.work, **said)

    for address in ("/phieu-cong-viec/", "/phieu-cong-viec/?export=csv", f"/phieu-cong-viec/{order.code}/"):
        answer = client.get(address)
        assert b"0905 111 222" in b"".join(answer)

    looks = DataAccess.objects.order_by("pk").values_list("what", "count", "customer", "purpose")
    assert list(looks) == [
        ("LIST", 1, None, "Danh sách phiếu công việc"), ("EXPORT", 1, None, "Xuất phiếu công việc"),
        ("PAGE", 1, connection.customer_id, f"Xem phiếu {order.code}"),
    ]  # fmt: skip
    client.get("/phieu-cong-viec/?q=khong-co")
    assert DataAccess.objects.count() == 3  # a look at nothing


def test_categories_are_read_by_all_and_changed_by_who_manages_everything(desk):
    assert "chưa có quy định" in browser(desk.station).get("/phan-anh/loai/").content.decode()
    assert browser(desk.leader).get("/phan-anh/loai/mat-nuoc/").status_code == 403


def test_addresses_are_named():
    assert reverse("customers:request_list") == "/phan-anh/"
    assert reverse("customers:work_order_list") == "/phieu-cong-viec/"


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("2001:db8::1", "2001:db8::2", True), ("2001:db8::1", "2001:db8:0:1::1", False),
        ("203.0.113.7", "203.0.113.8", False), ("::ffff:203.0.113.7", "203.0.113.7", True),
        ("fe80::1%eth0", "fe80::2", True),
    ],
)  # fmt: skip
def test_of_ipv6_a_network_is_one_caller(rf, one, other, is_same):
    hashes = [request_spam.address_hash(rf.get("/", REMOTE_ADDR=address)) for address in (one, other)]

    assert (hashes[0] == hashes[1]) is is_same


def test_all_faults_of_the_public_form_stand_at_their_fields_and_the_photo_is_asked_for_again(desk):
    photo = SimpleUploadedFile("anh.jpg", b"\xff\xd8\xff", "image/jpeg")

    answer = browser().post(PUBLIC, public_data(desk, place="", phone="abc", photos=photo))

    assert answer.status_code == 422 and set(answer.context["form"].errors) == {"place", "phone"}
    assert "Chọn lại ảnh" in answer.content.decode()
    assert "Chọn lại ảnh" not in browser().post(PUBLIC, public_data(desk, place="")).content.decode()


@pytest.mark.parametrize(("phone", "is_tied"), [("right", True), ("0905 111 222", False), ("", False)])
def test_a_complaint_about_a_bill_is_tied_to_its_connection_if_the_phone_agrees(desk, phone, is_tied):
    home = desk.connection(address="Thôn Bí Mật 77")
    dispute = Category.objects.filter(is_bill_dispute=True, is_public=True).first()
    said = public_data(
        desk, category=dispute.pk, account=home.code.lower(), text="Hóa đơn tháng này sai.",
        phone=home.customer.phone if phone == "right" else phone,
    )  # fmt: skip

    page = browser().post(PUBLIC, said, follow=True)

    made = Request.objects.get()
    assert (made.connection == home) is is_tied and made.connection in {home, None}
    assert request_queries.has_open_dispute(home.pk) is is_tied
    assert page.status_code == 200 and home.address not in page.content.decode()  # nobody is told where it lies
    assert home.code.lower() in made.text.lower()
