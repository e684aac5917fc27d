"""The customers' pages in a real browser: from a code to a paid bill, on a phone, and without JavaScript."""

import io
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import zxingcpp
from django.utils import timezone
from PIL import Image

from machnuoc.billing import reference, vietqr
from machnuoc.billing.models import GatewayOrder, Payment
from machnuoc.billing.tests.fixtures_money import GATEWAYS, issue
from machnuoc.billing.tests.test_gateways import vnpay_callback
from machnuoc.billing.tests.world import AUGUST, JULY, make_world
from machnuoc.core.models import Person
from machnuoc.customers import request_operations
from machnuoc.customers.models import Connection, Customer, Request
from machnuoc.customers.tests import fixtures_requests
from machnuoc.demo.customers import PORTAL_PHONE
from machnuoc.places.models import Subject
from tests.test_accessibility import AXE, DESKTOP, PHONE, look

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FIRST_LOAD_BYTES = 150_000
PAGES = ["/kh/", "/kh/hoa-don/", "{bill}", "{pay}", "{connection}", "/kh/hoa-don/da-tra/", "/kh/tai-khoan/"]


def sign_in(page, phone: str = PORTAL_PHONE) -> None:
    """Sign in as a simulated customer, whose code stands on the page."""
    for _ in range(60):  # the demonstration makes its customers in the background
        page.goto("/kh/dang-nhap/")
        if page.locator(f"text={phone}").count() or phone != PORTAL_PHONE:
            break
        page.wait_for_timeout(1_000)
    page.locator("input[name=address]:not([type=hidden])").fill(phone)
    page.locator("form.card button").click()
    page.wait_for_url("**/kh/dang-nhap/ma/")
    code = re.search(r"mã là (\d{6})", page.inner_text(".callout-title"))
    assert code is not None
    page.fill("input[name=code]", code.group(1))
    page.locator("form.card button").click()
    page.wait_for_url("**/kh/")


def weigh(page, act) -> int:
    """Return how many bytes came over the line while something was done, heads included."""
    answers: list[Any] = []

    def note(answer: Any) -> None:
        answers.append(answer)

    page.on("response", note)
    act()
    page.wait_for_load_state("networkidle")
    page.remove_listener("response", note)
    sizes = [one.request.sizes() for one in answers]
    return sum(one["responseBodySize"] + one["responseHeadersSize"] for one in sizes)


def test_the_first_load_is_light_enough_for_a_slow_line(open_page):
    page = open_page(width_px=PHONE["width"], height_px=PHONE["height"])

    first = weigh(page, lambda: page.goto("/kh/dang-nhap/"))
    sign_in(page)
    fresh = open_page(width_px=PHONE["width"], height_px=PHONE["height"])
    fresh.context.add_cookies(page.context.cookies())
    home = weigh(fresh, lambda: fresh.goto("/kh/"))
    stranger = open_page(width_px=PHONE["width"], height_px=PHONE["height"])
    form = weigh(stranger, lambda: stranger.goto("/cong-khai/phan-anh/"))

    assert 0 < first < FIRST_LOAD_BYTES
    assert 0 < home < FIRST_LOAD_BYTES
    assert 0 < form < FIRST_LOAD_BYTES
    assert page.foreign == []


@pytest.mark.parametrize("dark", [False, True])
def test_every_page_is_usable_by_everyone_on_a_phone_light_and_dark(open_page, dark):
    page = open_page(width_px=PHONE["width"], height_px=PHONE["height"], dark=dark)
    wrong: list[str] = []

    def check(address: str) -> None:
        page.evaluate(AXE)
        wrong.extend(f"{address}: {complaint}" for complaint in look(page))
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if wide > 0:
            wrong.append(f"{address}: {wide} px wider than the screen")
        if page.locator("h1").count() != 1:
            wrong.append(f"{address}: not one h1")

    page.goto("/kh/dang-nhap/")
    check("/kh/dang-nhap/")
    sign_in(page)
    links = {
        "{connection}": page.locator("h2 a").first.get_attribute("href"),
        "{pay}": page.locator("h2 a").first.get_attribute("href").replace("dau-noi", "tra-tien"),
    }
    page.goto("/kh/hoa-don/")
    links["{bill}"] = page.locator(".links a").first.get_attribute("href")
    for address in PAGES:
        page.goto(links.get(address, address))
        check(address)
    page.locator("button[name=large_type]").click()
    for address in PAGES:
        page.goto(links.get(address, address))
        check(f"large {address}")
    page.goto("/kh/tai-khoan/")
    page.locator("button[name=large_type]").click()

    assert not wrong, "\n".join(wrong)
    assert page.complaints == []
    assert page.foreign == []


def test_everything_works_without_javascript(open_page):
    page = open_page(width_px=PHONE["width"], height_px=PHONE["height"], javascript=False)

    sign_in(page)
    page.locator("h2 a").first.click()
    page.locator("summary").first.click()
    assert page.locator("table").first.is_visible()
    page.goto("/kh/tai-khoan/")
    page.locator("button:has-text('Đăng xuất')").first.click()

    page.goto("/kh/")
    assert page.url.endswith("/kh/dang-nhap/")


# --- the whole way, with a gateway


@pytest.fixture
def house(transactional_db, settings) -> Connection:
    """A simulated house that owes 215.250 đồng, an operator with a bank account and VNPAY."""
    for name, account in GATEWAYS.items():
        setattr(settings, name, account)
    Person.objects.create(username="qn.thu", full_name="Thử", is_demo=True)
    world = make_world()
    home = world.connection({JULY: 100, AUGUST: 125})
    Customer.objects.update(phone="0000777777", is_simulated=True)
    Connection.objects.update(is_simulated=True)
    issue(world, home, 215_250, due=timezone.localdate())
    return home


@pytest.fixture
def phone(browser, live_server):
    context = browser.new_context(base_url=live_server.url, viewport=PHONE, locale="vi-VN")
    context.set_default_timeout(20_000)
    yield context.new_page()
    context.close()


def test_a_customer_signs_in_reads_why_and_pays_by_the_true_callback_alone(house, phone):
    page = phone
    sign_in(page, "0000777777")
    assert "215.250" in page.inner_text("main")

    page.click("text=Vì sao số tiền này")
    assert "Các bậc giá" in page.inner_text("main")
    page.click("text=Trả tiền")
    bill = house.bills.get()
    code = vietqr.decode(zxingcpp.read_barcodes(Image.open(io.BytesIO(page.locator(".qr").screenshot())))[0].text)
    assert (code.amount_vnd, code.purpose) == (215_250, reference.make(bill.pk))
    assert reference.make(bill.pk) in page.inner_text("main")

    page.click("button[value=vnpay]")
    order = GatewayOrder.objects.get()
    asked = parse_qs(urlsplit(page.get_attribute("a.btn-primary", "href")).query)
    assert (asked["vnp_Amount"], asked["vnp_TxnRef"]) == (["21525000"], [order.reference])
    told = vnpay_callback(order.reference, amount_vnd=215_250)
    forged = told | {"vnp_SecureHash": "0" * 128}
    page.request.get("/thanh-toan/vnpay/bao/", params=forged)
    page.goto(
        f"/thanh-toan/vnpay/tro-lai/?{'&'.join(f'{key}={value}' for key, value in forged.items())}".replace(" ", "+")
    )
    assert "Không tìm thấy giao dịch" in page.inner_text("main")
    assert Payment.objects.count() == 0
    page.goto("/kh/")
    assert "Đang chờ VNPAY xác nhận" in page.inner_text("main")

    page.request.get("/thanh-toan/vnpay/bao/", params=told)
    page.goto("/kh/")
    assert "Không còn nợ" in page.inner_text("main")
    page.goto("/kh/hoa-don/da-tra/")
    assert "215.250" in page.inner_text("main")
    assert Payment.objects.count() == 1
    assert page.request.get(page.locator(".links a").first.get_attribute("href")).body().startswith(b"%PDF-")


def test_the_numbers_of_a_transfer_are_copied_by_a_button(house, phone):
    page = phone
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    sign_in(page, "0000777777")
    page.click("text=Trả tiền")

    page.click("button[aria-label='Chép nội dung']")

    assert page.evaluate("navigator.clipboard.readText()") == reference.make(house.bills.get().pk)


def test_the_bar_stands_in_the_head_of_a_wide_screen(browser, house, live_server):
    context = browser.new_context(base_url=live_server.url, viewport=DESKTOP)
    page = context.new_page()
    sign_in(page, "0000777777")

    box = page.locator("nav.bar").bounding_box()

    context.close()
    assert box["y"] < 100


def test_the_map_of_the_public_form_goes_to_the_commune_that_is_chosen(transactional_db, phone):
    world = fixtures_requests.make_world()
    Subject.objects.filter(pk=world.commune.pk).update(latitude=15.3, longitude=108.8)
    page = phone

    page.goto("/cong-khai/phan-anh/")
    page.get_by_role("button", name="Đánh dấu trên bản đồ").click()
    page.select_option("select[name=place]", str(world.commune.pk))

    name = page.locator(".leaflet-tooltip", has_text=world.commune.name)
    name.wait_for()
    box, map_box = name.bounding_box(), page.locator(".rq-pick-map").bounding_box()
    assert abs(box["x"] + box["width"] / 2 - map_box["x"] - map_box["width"] / 2) < 20


def test_a_stranger_reports_rates_the_answer_and_opens_it_again_by_replying(transactional_db, phone):
    world = fixtures_requests.make_world()
    page = phone
    page.goto("/cong-khai/phan-anh/")
    page.select_option("select[name=category]", label="Nước yếu")
    page.fill("textarea[name=text]", "Nước yếu từ hôm qua.")
    page.select_option("select[name=place]", str(world.commune.pk))
    page.wait_for_timeout(4_500)  # whoever types faster is asked a sum
    page.get_by_role("button", name="Gửi phản ánh").click()
    page.wait_for_url(re.compile(r"/cong-khai/phan-anh/[\w-]{30,}/$"))
    made = Request.objects.get()
    request_operations.answer(made, text="Đã rửa lọc.", by=world.station, now=timezone.now(), version=made.version)

    page.reload()
    page.select_option("select[name=stars]", "4")
    page.get_by_role("button", name="Gửi đánh giá").click()
    assert "Bạn đã đánh giá 4/5" in page.inner_text("main")
    page.fill("textarea[name=text]", "Chiều nay lại yếu.")
    page.get_by_role("button", name="Gửi", exact=True).click()

    page.wait_for_selector("text=Mở lại để xử lý tiếp")
    assert Request.objects.get().state == Request.State.ASSIGNED
