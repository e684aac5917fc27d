"""What customers do by themselves: requests, an index, the norm, a new connection, their data. And nobody else's."""

import json
import re
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from machnuoc.billing.tests.fixtures_documents import make_bill
from machnuoc.billing.tests.fixtures_money import issue
from machnuoc.billing.tests.world import AUGUST, JULY, World
from machnuoc.customers import (
    application_operations,
    connection_operations,
    notice_operations,
    privacy,
    request_categories,
    request_operations,
)
from machnuoc.customers.application_operations import ApplicationFacts
from machnuoc.customers.connection_operations import CustomerFacts
from machnuoc.customers.models import (
    Application,
    Category,
    Connection,
    Consent,
    Contract,
    Customer,
    Reading,
    Request,
    RequestEvent,
    Round,
    Route,
)
from machnuoc.customers.notice_operations import NoticeFacts
from machnuoc.customers.request_operations import RequestError
from machnuoc.customers.tests.fixtures_requests import photo
from machnuoc.places.models import AdministrativeUnit, Containment, Subject
from machnuoc.portal import links, service_operations, service_panels, service_queries
from machnuoc.portal.errors import PortalError
from machnuoc.portal.models import PortalAccount, PortalLink
from machnuoc.portal.tests.conftest import make_account
from machnuoc.works.models import ServiceArea

pytestmark = pytest.mark.django_db
LOCAL = ZoneInfo("Asia/Ho_Chi_Minh")
ON_THE_19TH = datetime(2026, 9, 19, 9, 0, tzinfo=LOCAL)  # a day before the reading day of September
SEPTEMBER = date(2026, 9, 1)
NONCE = "0" * 32
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def categories(db: None) -> None:
    request_categories.load_categories()


@pytest.fixture
def account(house: Connection) -> PortalAccount:
    return make_account(house.customer.phone)


@pytest.fixture
def commune(world: World) -> Subject:
    province = Subject.objects.create(key="vn.thu", kind="UNIT", name="Tỉnh Thử")
    unit = AdministrativeUnit.objects.create(
        subject=province, level="PROVINCE", unit_type="Tỉnh", code="98", full_name="Tỉnh Thử"
    )
    made = Subject.objects.create(key="vn.thu.xa", kind="UNIT", name="Xã Thử")
    AdministrativeUnit.objects.create(
        subject=made, level="COMMUNE", unit_type="Xã", code="98001", full_name="Xã Thử", parent=unit
    )
    for above, below in [(province, province), (made, made), (province, made), (province, world.work.subject)]:
        Containment.objects.get_or_create(ancestor=above, descendant=below)
    ServiceArea.objects.create(work=world.work, place=made)
    return made


def upload(name: str = "anh.jpg", content: bytes | None = None) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content if content is not None else photo(80, 60))


def nonce_in(page: str) -> str:
    found = re.search(r'name="nonce" value="([0-9a-f]{32})"', page)
    assert found is not None
    return found.group(1)


def complaint(about: Connection | None, **said: Any) -> dict[str, Any]:
    given = {
        "nonce": NONCE, "category": Category.objects.get(key="mat-nuoc").pk, "text": "Mất nước từ sáng.",
        "connection": about.pk if about else "", "urgency": "NORMAL",
    }  # fmt: skip
    return {**given, **said}


def send(account: PortalAccount, connection: Connection | None, key: str = "mat-nuoc", **said: Any) -> Request:
    given: dict[str, Any] = {"text": "Mất nước từ sáng.", "nonce": NONCE, "now": timezone.now(), **said}
    return service_operations.send_request(
        account, category=Category.objects.get(key=key), connection=connection, **given
    )


# --- requests


def test_a_customer_complains_with_a_photo_is_answered_replies_and_rates(world, house, customer_browser):
    browser = customer_browser(house)
    form = browser.get("/kh/phan-anh/moi/").content.decode()

    sent = browser.post(
        "/kh/phan-anh/moi/", complaint(house, nonce=nonce_in(form), photos=[upload()], urgency="HIGH"), follow=True
    )
    made = Request.objects.get()
    assert made.code in sent.content.decode() and "Còn 24 giờ" not in made.text
    assert (made.channel, made.phone, made.operator) == ("PORTAL", house.customer.phone, world.operator)
    request_operations.answer(
        made, text="Đã mở van, nước có lại.", by=world.station, now=timezone.now(), version=made.version
    )
    page = browser.get(f"/kh/phan-anh/{made.code}/").content.decode()
    assert "Đã mở van, nước có lại." in page and "Người thu.tram" not in page

    rated = browser.post(f"/kh/phan-anh/{made.code}/", {"act": "rate", "stars": "4", "note": "nhanh"}, follow=True)
    replied = browser.post(f"/kh/phan-anh/{made.code}/", {"act": "reply", "text": "Lại mất nước rồi"}, follow=True)

    made.refresh_from_db()
    assert "Bạn đã đánh giá 4/5" in rated.content.decode()
    assert made.state == "ASSIGNED" and made.rating == 4  # the reply opened it again, with a new clock
    assert "Mở lại để xử lý tiếp" in replied.content.decode()
    shown = browser.get(f"/kh/phan-anh/{made.code}/anh/{made.photos.get().pk}/")
    assert shown["Content-Type"] == "image/jpeg"
    assert made.code in browser.get("/kh/").content.decode()


def test_a_form_sent_twice_is_one_request(house, customer_browser):
    browser = customer_browser(house)

    first = browser.post("/kh/phan-anh/moi/", complaint(house))
    second = browser.post("/kh/phan-anh/moi/", complaint(house))

    assert first["Location"] == second["Location"] and Request.objects.count() == 1


def test_the_form_of_another_customer_is_not_taken_for_ones_own(house, neighbour, customer_browser):
    customer_browser(house).post("/kh/phan-anh/moi/", complaint(house))

    answer = customer_browser(neighbour).post("/kh/phan-anh/moi/", complaint(neighbour))

    assert Request.objects.count() == 2
    assert Request.objects.latest("pk").code in answer["Location"]


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ({"category": "9" * 40}, "hợp lệ"), ({"text": ""}, "bắt buộc"), ({"nonce": "không"}, ""),
        ({"connection": ""}, "Chọn đấu nối của bạn"), ({"urgency": "NOW"}, ""),
    ],
)  # fmt: skip
def test_a_request_that_is_not_whole_says_what_is_missing(house, customer_browser, said, text):
    answer = customer_browser(house).post("/kh/phan-anh/moi/", complaint(house, **said))

    assert answer.status_code == 422 and text in answer.content.decode()
    assert not Request.objects.exists()


def test_a_file_that_is_no_picture_is_refused_with_a_sentence(house, customer_browser):
    answer = customer_browser(house).post(
        "/kh/phan-anh/moi/", complaint(house, photos=[upload("anh.jpg", b"<svg onload=alert(1)>")])
    )

    assert answer.status_code == 422 and "không phải ảnh" in answer.content.decode()


def test_the_connection_of_a_neighbour_cannot_be_complained_about(house, neighbour, customer_browser):
    answer = customer_browser(house).post("/kh/phan-anh/moi/", complaint(neighbour))

    assert answer.status_code == 422 and not Request.objects.exists()


def test_a_complaint_about_a_bill_names_its_connection(house, customer_browser, commune):
    about = Category.objects.get(key="khieu-nai-hoa-don").pk

    answer = customer_browser(house).post("/kh/phan-anh/moi/", complaint(None, category=about, place=commune.pk))

    assert "phải chọn đấu nối" in answer.content.decode()


def test_somewhere_else_can_be_reported_too(world, house, customer_browser, commune):
    customer_browser(house).post("/kh/phan-anh/moi/", complaint(None, place=commune.pk, address="Cạnh trường học"))

    made = Request.objects.get()
    assert (made.connection, made.place, made.operator) == (None, commune, world.operator)


def test_ten_requests_a_day_are_enough(account, house):
    for number in range(service_operations.REQUESTS_A_DAY):
        send(account, house, nonce=f"{number:032}")

    with pytest.raises(PortalError, match="Hôm nay"):
        send(account, house, nonce="f" * 32)


def test_what_the_customer_said_by_telephone_is_theirs_and_what_a_neighbour_said_is_not(account, house):
    given = {"channel": "PHONE", "text": "Vòi rò", "now": timezone.now(), "connection": house}
    leak = Category.objects.get(key="ro-ri-mang-dich-vu")
    own = request_operations.receive(category=leak, phone=house.customer.phone, **given)
    request_operations.receive(category=leak, phone="0909000999", name="Hàng xóm", **given)
    request_operations.receive(
        category=Category.objects.get(key="vi-pham-cong-trinh"), phone=house.customer.phone, **given
    )
    request_operations.receive(category=leak, **given)

    assert list(service_queries.list_requests(account)) == [own]


def test_a_copy_of_ones_data_does_not_tell_who_reported_a_violation(house):
    request_operations.receive(
        category=Category.objects.get(key="vi-pham-cong-trinh"), channel="PHONE", text="Nhà này đục ống chung",
        now=timezone.now(), connection=house, name="Hàng xóm Tốt", phone="0909000999",
    )  # fmt: skip

    copied = json.dumps(privacy.copy_of(house.customer), ensure_ascii=False, default=str)

    assert "Hàng xóm Tốt" not in copied and "đục ống chung" not in copied


def test_after_a_transfer_the_new_holder_sees_nothing_of_the_former_ones(world, house, account, customer_browser):
    old = send(account, house)
    Request.objects.filter(pk=old.pk).update(received_at=timezone.now() - 10 * DAY)
    connection_operations.transfer(
        house, to=CustomerFacts("Người Mới", phone="0905777777"), number="HD-MOI", signed_date=timezone.localdate(),
        version=None, by=world.clerk, now=timezone.now(),
    )  # fmt: skip
    browser = customer_browser("0905777777")

    assert browser.get(f"/kh/phan-anh/{old.code}/").status_code == 404
    assert old.code not in browser.get("/kh/phan-anh/").content.decode()


# --- nobody else's


@pytest.fixture
def things(world: World, house: Connection, account: PortalAccount) -> dict[str, Any]:
    """Give the house one of each thing that an address names."""
    papers = [request_operations.keep_photos([upload()], by=None)[0]]
    made = send(account, house, photos=papers)
    contract = Contract.objects.get(connection=house)
    connection_operations.keep_paper(contract, b"%PDF-1.4 hop dong", name="hd.pdf", by=world.clerk)
    applied = application_operations.open_application(
        work=world.work, facts=ApplicationFacts("Nguyễn Văn Thử", "Thôn 9", phone=house.customer.phone), by=None,
        now=timezone.now(), source="portal",
    )  # fmt: skip
    paper = application_operations.keep_paper(b"%PDF-1.4 bao gia", name="bg.pdf", by=world.clerk)
    application_operations.advance(
        applied, at=timezone.now(), by=world.clerk, now=timezone.now(), quote_vnd=5, paper=paper
    )
    return {
        "application_paper": [applied.code, applied.steps.get(paper=paper).pk],
        "requests": [], "request_add": [], "request_detail": [made.code],
        "request_photo": [made.code, made.photos.get().pk], "self_reading": [house.pk], "norm_change": [house.pk],
        "contract_paper": [contract.pk], "applications": [], "application_detail": [applied.code], "notices": [],
        "my_data": [], "my_copy": [house.customer_id], "my_erasure": [],
    }  # fmt: skip


NAMED = ["request_detail", "request_photo", "self_reading", "norm_change", "contract_paper", "application_detail",
         "application_paper", "my_copy"]  # fmt: skip
ALL = [*NAMED, "requests", "request_add", "applications", "notices", "my_data", "my_erasure"]


@pytest.mark.parametrize("name", NAMED)
def test_the_number_of_another_customer_opens_nothing(name, things, house, neighbour, customer_browser):
    address = reverse(f"portal:{name}", args=things[name])
    browser = customer_browser(neighbour)

    assert customer_browser(house).get(address).status_code == 200
    assert browser.get(address).status_code == 404
    assert browser.post(address, {"act": "reply", "text": "Của tôi"}).status_code in {404, 405}
    absent = [part if isinstance(part, int) is False else 10**30 for part in things[name]]
    assert browser.get(reverse(f"portal:{name}", args=absent)).status_code == 404


@pytest.mark.parametrize("name", ALL)
def test_a_stranger_and_the_staff_are_sent_to_sign_in(name, things, world):
    address = reverse(f"portal:{name}", args=things[name])
    staff = Client()
    staff.force_login(world.clerk, backend="django.contrib.auth.backends.ModelBackend")

    for browser in (Client(), staff):
        assert browser.get(address)["Location"].startswith("/kh/dang-nhap/")
        posted = browser.post(address, {})
        assert posted.status_code == 405 or posted["Location"].startswith("/kh/dang-nhap/")


@pytest.mark.parametrize("name", [name for name in ALL if name != "my_copy"])
def test_a_page_asks_the_database_seldom(name, things, house, customer_browser, django_assert_max_num_queries):
    browser = customer_browser(house)
    address = reverse(f"portal:{name}", args=things[name])
    browser.get(address)

    with django_assert_max_num_queries(15):
        answer = browser.get(address)

    if answer.streaming:
        b"".join(answer.streaming_content)


def test_somebody_linked_to_a_connection_sees_nothing_of_its_customer(world, house, things, customer_browser):
    tenant = make_account("0905888888")
    PortalLink.objects.create(
        account=tenant, connection=house, customer=house.customer, linked_at=timezone.now(), linked_by=world.clerk,
        reason="người thuê nhà",
    )  # fmt: skip
    browser = customer_browser("0905888888")

    assert browser.get(f"/kh/dau-noi/{house.pk}/tu-bao-chi-so/").status_code == 200
    for name in ("contract_paper", "my_copy", "request_detail", "application_detail"):
        assert browser.get(reverse(f"portal:{name}", args=things[name])).status_code == 404
    assert house.customer.name not in browser.get("/kh/du-lieu/").content.decode()
    made = send(tenant, house, nonce="a" * 32)
    assert made.name == "" and list(service_queries.list_requests(tenant)) == [made]


# --- an index of one's own


def tell(account: PortalAccount, connection: Connection, index_m3: int, **said: Any) -> service_operations.Told:
    given: dict[str, Any] = {
        "upload": upload(), "is_rolled_over": False,
        "nonce": f"{index_m3:032}", "now": ON_THE_19TH, **said,
    }  # fmt: skip
    return service_operations.tell_index(account, connection, index_l=index_m3 * 1000, **given)


def test_an_index_told_near_the_reading_day_closes_the_month(account, house):
    told = tell(account, house, 141)

    reading = Reading.objects.get(source="CUSTOMER")
    assert told.outcome.fate == "STORED" and "kỳ 09/2026" in service_operations.what_next(told)
    assert (reading.state, reading.period_start_date, reading.index_l) == ("ACCEPTED", SEPTEMBER, 141_000)
    assert reading.photo is not None and reading.read_by is None
    with pytest.raises(PortalError, match="đã gửi chỉ số 141 m³"):
        tell(account, house, 150, nonce=f"{141:032}")


def test_an_index_told_far_from_the_reading_day_only_informs(account, house):
    told = tell(account, house, 133, now=ON_THE_19TH - 14 * DAY)

    assert Reading.objects.get(source="CUSTOMER").period_start_date is None
    assert "tham khảo" in service_operations.what_next(told)


def test_an_index_far_off_waits_for_the_staff_whatever_the_customer_says(account, house):
    told = tell(account, house, 900, is_rolled_over=True)

    assert told.outcome.fate == "SUSPECT" and Reading.objects.get(source="CUSTOMER").state == "SUSPECT"
    assert "nhân viên xem ảnh" in service_operations.what_next(told)


def test_an_index_that_differs_from_the_readers_is_kept_beside_it(account, house, world):
    world.read(house, SEPTEMBER, 140, at=ON_THE_19TH - DAY)

    told = tell(account, house, 142)

    assert told.outcome.fate == "CONFLICT"
    assert set(Reading.objects.filter(period_start_date=SEPTEMBER).values_list("state", flat=True)) == {
        "ACCEPTED", "CONFLICT",
    }  # fmt: skip


def test_a_second_index_of_the_same_month_corrects_the_first(account, house):
    tell(account, house, 149)

    told = tell(account, house, 141)

    assert told.outcome.fate == "STORED"
    live = Reading.objects.get(period_start_date=SEPTEMBER, state="ACCEPTED")
    assert live.index_l == 141_000 and Reading.objects.get(index_l=149_000).state == "SUPERSEDED"


def test_the_same_form_sent_twice_is_one_reading(account, house):
    tell(account, house, 141)

    assert tell(account, house, 141).outcome.fate == "DUPLICATE"
    assert Reading.objects.filter(source="CUSTOMER").count() == 1


def test_a_closed_month_refuses_an_index_and_says_why(account, house, world):
    route = Route.objects.create(code="T-KH", name="Tuyến", work=world.work)
    Connection.objects.filter(pk=house.pk).update(route=route)
    house.refresh_from_db()
    Round.objects.create(route=route, period_start_date=SEPTEMBER, state="CLOSED", opened_at=ON_THE_19TH)

    with pytest.raises(PortalError, match="Kỳ 09/2026 đã chốt"):
        tell(account, house, 141)
    assert not Reading.objects.filter(source="CUSTOMER").exists()


def test_a_billed_month_refuses_an_index_and_says_what_to_do(account, house, world):
    make_bill(world, house, SEPTEMBER)

    with pytest.raises(PortalError, match="Khiếu nại hóa đơn"):
        tell(account, house, 141)


def test_a_meter_near_its_end_is_asked_about_and_still_seen_by_the_staff(world, customer_browser):
    house = world.connection({JULY: 99_960, AUGUST: 99_985})
    account = make_account(house.customer.phone)

    asked = tell(account, house, 4)
    told = tell(account, house, 4, is_rolled_over=True)

    assert asked.outcome is None and told.outcome.fate == "SUSPECT"
    reading = Reading.objects.get(source="CUSTOMER")
    assert reading.note == "Khách hàng nói đồng hồ đã quay vòng." and not reading.rolled_over


def test_five_indices_a_day_are_enough(account, house):
    for number in range(service_operations.READINGS_A_DAY):
        tell(account, house, 141 + number)

    with pytest.raises(PortalError, match="Hôm nay"):
        tell(account, house, 150)


def test_the_page_takes_an_index_with_its_photo_and_shows_its_fate(house, customer_browser):
    browser = customer_browser(house)
    address = f"/kh/dau-noi/{house.pk}/tu-bao-chi-so/"
    nonce = nonce_in(browser.get(address).content.decode())

    without = browser.post(address, {"nonce": nonce, "index_m3": "150"})
    wrong = browser.post(address, {"nonce": nonce, "index_m3": "nhiều", "photo": upload()})
    missing = browser.post(address, {"nonce": nonce, "index_m3": "1234567", "photo": upload()})
    done = browser.post(address, {"nonce": nonce, "index_m3": "160", "photo": upload()}, follow=True)

    assert [without.status_code, wrong.status_code, missing.status_code] == [422, 422, 422]
    assert "không có trên đồng hồ" in missing.content.decode()
    assert Reading.objects.get(source="CUSTOMER").index_l == 160_000
    assert "160 m³" in done.content.decode()


# --- norm


def test_a_change_of_norm_comes_to_the_staff_with_its_papers(world, house, customer_browser):
    browser = customer_browser(house)
    address = f"/kh/dau-noi/{house.pk}/dinh-muc/"
    said = {"nonce": NONCE, "persons": "5", "from_date": "2026-09-01", "note": "Thêm hai cháu"}

    refused = browser.post(address, said)
    fake = browser.post(address, {**said, "papers": [upload("giay.pdf", b"MZ not a pdf")]})
    done = browser.post(address, {**said, "papers": [upload("CCCD.pdf", b"%PDF-1.4 cu tru"), upload()]}, follow=True)

    made = Request.objects.get()
    assert refused.status_code == 422 and fake.status_code == 422
    assert made.category.key == "dinh-muc" and made.connection == house and "5 người từ ngày 01/09/2026" in made.text
    assert sorted(one.file.name for one in made.photos.all()) == ["anh-1.jpeg", "giay-to-1.pdf"]
    assert "Giấy tờ" in done.content.decode()
    house.refresh_from_db()
    assert house.persons == 0  # the staff decide
    again = browser.post(address, {**said, "nonce": "1" * 32, "papers": [upload()]})
    assert again.status_code == 422 and made.code in again.content.decode()
    paper = made.photos.get(file__media_type="application/pdf")
    shown = browser.get(f"/kh/phan-anh/{made.code}/anh/{paper.pk}/")
    assert shown["Content-Disposition"].startswith("attachment")
    desk = Client()
    desk.force_login(world.clerk, backend="django.contrib.auth.backends.ModelBackend")
    page = desk.get(f"/phan-anh/{made.code}/").content.decode()
    assert f"/khach-hang/{house.code}/dinh-muc/" in page and "Giấy tờ" in page
    norm = desk.get(f"/khach-hang/{house.code}/dinh-muc/")
    assert made.code in norm.content.decode()
    assert norm.context["form"].initial == {"persons": 5, "valid_from": date(2026, 9, 1)}  # as the customer asks
    Request.objects.update(text="định mức cho 5 người từ ngày 32/13/2026")  # anybody may write such words
    assert desk.get(f"/khach-hang/{house.code}/dinh-muc/").context["form"].initial["valid_from"] is None


def test_papers_of_a_norm_are_no_public_matter(house, account):
    papers = request_operations.keep_papers([upload()], by=None)
    made = service_operations.ask_for_norm(
        account, house, persons=4, from_date=date(2026, 9, 1), note="", papers=papers, nonce=NONCE, now=timezone.now()
    )

    listed = Client().get("/open311/v2/requests.json").content.decode()

    assert made.code not in listed


# --- a new connection


def wish(commune: Subject, **said: Any) -> dict[str, Any]:
    given = {
        "name": "Nguyễn Văn Thử", "kind": "HOUSEHOLD", "place": commune.pk, "address": "Thôn Mới", "group": "SH",
        "households": "1", "persons": "4", "note": "",
    }  # fmt: skip
    return {**given, **said}


def test_a_wish_for_a_connection_is_followed_on_its_page_and_taken_back(world, house, customer_browser, commune):
    browser = customer_browser(house)

    sent = browser.post("/kh/lap-moi/", wish(commune), follow=True)
    one = Application.objects.get()
    application_operations.advance(one, at=timezone.now(), by=world.clerk, now=timezone.now(), quote_vnd=1_200_000)
    page = browser.get(f"/kh/lap-moi/{one.code}/").content.decode()
    browser.post(f"/kh/lap-moi/{one.code}/", {})
    late = browser.post(f"/kh/lap-moi/{one.code}/", {})

    assert one.code in sent.content.decode()
    assert (one.work, one.phone, one.source) == (world.work, house.customer.phone, "portal")
    assert "1.200.000" in page
    one.refresh_from_db()
    assert one.stage == "WITHDRAWN" and late.status_code == 422


def test_the_same_wish_twice_is_one(house, customer_browser, commune):
    browser = customer_browser(house)

    browser.post("/kh/lap-moi/", wish(commune))
    browser.post("/kh/lap-moi/", wish(commune))

    assert Application.objects.count() == 1


def test_where_nobody_supplies_water_it_is_said(house, customer_browser, commune):
    ServiceArea.objects.all().delete()

    answer = customer_browser(house).post("/kh/lap-moi/", wish(commune))

    assert answer.status_code == 422 and not Application.objects.exists()


@pytest.mark.parametrize("said", [{"place": "9" * 40}, {"households": "0"}, {"name": ""}, {"group": "X"}])
def test_a_wish_that_makes_no_sense_is_not_taken(house, customer_browser, commune, said):
    assert customer_browser(house).post("/kh/lap-moi/", wish(commune, **said)).status_code == 422
    assert not Application.objects.exists()


# --- notices and warnings


def test_a_notice_of_ones_area_stands_on_the_first_page(world, house, customer_browser):
    facts = NoticeFacts(
        "OUTAGE", "Ngừng cấp nước sửa ống", "Sửa ống chính, mời trữ nước.", [world.work],
        timezone.now() + timedelta(hours=3), timezone.now() + timedelta(hours=8),
    )  # fmt: skip
    notice_operations.publish(facts, by=world.clerk, now=timezone.now())
    browser = customer_browser(house)

    assert "Ngừng cấp nước sửa ống" in browser.get("/kh/").content.decode()
    assert "mời trữ nước" in browser.get("/kh/thong-bao/").content.decode()


def test_odd_use_is_told_before_the_bill_and_not_after(world, house, account):
    world.read(house, SEPTEMBER, 230, at=ON_THE_19TH, flags=["SUDDEN"])

    before = service_panels.warnings_of([house], ON_THE_19TH + DAY)
    make_bill(world, house, SEPTEMBER)
    after = service_panels.warnings_of([house], ON_THE_19TH + DAY)

    assert [one.volume_l for one in before] == [100_000] and after == []


# --- one's own data


def test_a_customer_gives_and_takes_back_a_consent(house, customer_browser):
    browser = customer_browser(house)
    said = {"customer": house.customer_id, "purpose": "NOTICES"}

    browser.post("/kh/du-lieu/", {**said, "act": "give"})
    assert privacy.has_consent(house.customer_id, "NOTICES")
    browser.post("/kh/du-lieu/", {**said, "act": "withdraw"})

    row = Consent.objects.get()
    assert row.withdrawn_at is not None and row.how == "trang khách hàng" and row.recorded_by is None


def test_a_consent_of_somebody_else_is_not_ones_to_give(house, neighbour, customer_browser):
    said = {"customer": neighbour.customer_id, "purpose": "NOTICES", "act": "give"}

    assert customer_browser(house).post("/kh/du-lieu/", said).status_code == 404
    assert customer_browser(house).post("/kh/du-lieu/", {**said, "customer": "x"}).status_code == 404
    assert not Consent.objects.exists()


def test_what_the_contract_needs_is_not_withdrawn_by_itself(house, customer_browser):
    privacy.give_consent(house.customer, "CONTRACT", how="hợp đồng", by=None, now=timezone.now())

    customer_browser(house).post(
        "/kh/du-lieu/", {"customer": house.customer_id, "purpose": "CONTRACT", "act": "withdraw"}
    )

    assert privacy.has_consent(house.customer_id, "CONTRACT")


def test_who_looked_is_told_by_role_and_purpose_without_names(world, house, customer_browser):
    privacy.log_access(world.clerk, "PAGE", now=timezone.now(), customer=house.customer, purpose="tra cứu")

    page = customer_browser(house).get("/kh/du-lieu/").content.decode()

    assert "tra cứu" in page and world.clerk.full_name not in page
    assert "Phòng" in page


def test_a_copy_of_ones_data_is_a_file_and_is_noted(house, neighbour, customer_browser):
    answer = customer_browser(house).get(f"/kh/du-lieu/ban-sao/{house.customer_id}/")

    copied = json.loads(answer.content)
    assert copied["Khách hàng"]["Họ tên, tên đơn vị"] == house.customer.name
    assert neighbour.customer.name not in answer.content.decode()
    assert house.customer.accesses.get().what == "EXPORT"


def test_where_several_people_sign_in_alike_a_copy_hides_the_number_of_the_identity_card(
    house, neighbour, customer_browser
):
    Customer.objects.filter(pk=house.customer_id).update(identity_number="051090001234")
    address = f"/kh/du-lieu/ban-sao/{house.customer_id}/"
    copied = json.loads(customer_browser(house).get(address).content)["Khách hàng"]
    assert copied["Số định danh cá nhân"] == "051090001234"

    Customer.objects.filter(pk=neighbour.customer_id).update(phone=house.customer.phone)
    account = PortalAccount.objects.get(address=house.customer.phone)
    links.refresh(account, timezone.now())

    copied = json.loads(customer_browser(house).get(address).content)["Khách hàng"]
    assert "051090001234" not in json.dumps(copied)
    assert copied["Họ tên, tên đơn vị"] == house.customer.name


def test_erasure_is_asked_for_once(house, customer_browser):
    browser = customer_browser(house)

    first = browser.post("/kh/du-lieu/xoa/", {"nonce": NONCE, "note": "Tôi chuyển đi"}, follow=True)
    second = browser.post("/kh/du-lieu/xoa/", {"nonce": "1" * 32, "note": ""})

    made = Request.objects.get()
    assert made.category.key == "du-lieu-ca-nhan" and made.code in first.content.decode()
    assert second.status_code == 422 and Customer.objects.get(pk=house.customer_id).erased_at is None


def test_erased_requests_are_nobodys_any_more(world, house, account):
    send(account, house)
    Connection.objects.filter(pk=house.pk).update(status="CLOSED", closed_date=date(2026, 9, 30))

    privacy.erase(house.customer, reason="Theo yêu cầu", by=None, now=timezone.now())

    assert not service_queries.list_requests(account).exists()
    assert RequestEvent.objects.exists()


def test_a_rating_without_an_answer_says_so(house, account, customer_browser):
    made = send(account, house)

    answer = customer_browser(house).post(f"/kh/phan-anh/{made.code}/", {"act": "rate", "stars": "5"}, follow=True)

    assert "chưa được trả lời" in answer.content.decode()
    with pytest.raises(RequestError):
        request_operations.rate(made, stars=5, note="", now=timezone.now())


def test_the_first_page_with_all_there_is_to_tell_asks_the_database_seldom(
    world, house, account, commune, customer_browser, django_assert_max_num_queries
):
    now = timezone.now()
    facts = NoticeFacts("INFO", "Đổi giờ trực quầy", "Quầy thu mở thêm sáng thứ bảy.", [world.work], now - DAY)
    notice_operations.publish(facts, by=world.clerk, now=now)
    world.read(house, SEPTEMBER, 230, at=now - DAY, flags=["SUDDEN"])
    send(account, house)
    given_away, second = world.connection(), world.connection()
    issue(world, given_away, 70_000, customer=house.customer)
    bill = issue(world, house, 90_000)
    issue(world, house, -120_000, corrects=bill)
    Connection.objects.filter(pk=second.pk).update(customer=house.customer, place=commune)
    world.read(second, SEPTEMBER.replace(month=10), 230, at=now - DAY, flags=["SUDDEN"])
    links.refresh(account, now)
    browser = customer_browser(house)
    page = browser.get("/kh/").content.decode()
    told = ("Đổi giờ trực quầy", "Nước dùng khác thường", "Phản ánh đang theo dõi", given_away.code, second.code)
    assert [text for text in told if text not in page] == []

    for address in ("/kh/", f"/kh/dau-noi/{house.pk}/"):
        with django_assert_max_num_queries(15):
            browser.get(address)
