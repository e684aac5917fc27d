"""What customers come to do on their pages, and what the staff answer, in a real browser: no JavaScript needed."""

import io
import re

import pytest
from PIL import Image

from tests.test_accessibility import AXE, look

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PHONE_PX, DESKTOP_PX = 390, 1440


def a_photo() -> dict[str, object]:
    made = io.BytesIO()
    Image.linear_gradient("L").resize((2400, 1800)).convert("RGB").save(made, "JPEG")
    return {"name": "dong-ho.jpg", "mimeType": "image/jpeg", "buffer": made.getvalue()}


def main_text(page) -> str:
    return page.locator("main").inner_text().replace("\xa0", " ")


def find_customer(clerk) -> tuple[str, str]:
    """Return the code of a simulated connection and the phone of its customer."""
    for _ in range(60):  # the demonstration makes its customers in the background
        clerk.goto("/khach-hang/?status=ACTIVE")
        if clerk.locator("main tbody th a").count():
            break
        clerk.wait_for_timeout(1_000)
    for number in range(5):  # who only asked for a connection gave no phone
        clerk.goto("/khach-hang/?status=ACTIVE")
        clerk.locator("main tbody th a").nth(number).click()
        clerk.wait_for_url("**/khach-hang/*/")
        phone = re.search(r"0000 ?\d{3} ?\d{3}", main_text(clerk))
        if phone is not None:
            return clerk.url.rstrip("/").rsplit("/", 1)[-1], phone.group(0).replace(" ", "")
    raise AssertionError(main_text(clerk)[:1000])


KEY = "a customer"


@pytest.fixture
def open_as_customer(open_page, site):
    """Return a function that opens a page as a simulated customer, signed in once: codes are counted.

    site.states holds who signed in, as it does for the staff.
    """

    def open_it(**options):
        if KEY not in site.states:
            _, phone = find_customer(open_page("qn.khkt"))
            page = open_page(javascript=False)
            page.goto("/kh/dang-nhap/")
            page.fill("input[name=address]", phone)
            page.locator("main form button").first.click()
            page.wait_for_url("**/kh/dang-nhap/ma/")
            code = re.search(r"mã là (\d{6})", main_text(page))
            assert code is not None, main_text(page)
            page.fill("input[name=code]", code.group(1))
            page.locator("main form button").first.click()
            page.wait_for_url("**/kh/")
            site.states[KEY] = page.context.storage_state()
        return open_page(KEY, **{"width_px": PHONE_PX, "height_px": 844, **options})

    return open_it


def test_a_customer_complains_is_answered_replies_and_rates_and_tells_an_index(open_page, open_as_customer):
    clerk = open_page("qn.khkt")
    code, _ = find_customer(clerk)
    customer = open_as_customer(javascript=False)

    customer.goto("/kh/phan-anh/moi/")
    customer.select_option("select[name=category]", label="Nước yếu")
    customer.fill("textarea[name=text]", "Nước yếu từ hôm qua, tầng hai không lên.")
    customer.set_input_files("input[name=photos]", a_photo())
    customer.get_by_role("button", name="Gửi phản ánh").click()
    customer.wait_for_url("**/kh/phan-anh/PA-*/")
    number = customer.url.rstrip("/").rsplit("/", 1)[-1]
    assert "Đã nhận phản ánh" in main_text(customer) and "mô phỏng" in main_text(customer)
    assert customer.evaluate("document.querySelector('.photos img').naturalWidth") == 1600

    clerk.goto(f"/phan-anh/{number}/")
    assert "tầng hai không lên" in main_text(clerk) and code in main_text(clerk)
    clerk.fill("#tra-loi textarea", "Đã rửa lọc đầu tuyến, áp lực đã trở lại.")
    clerk.get_by_role("button", name="Gửi trả lời").click()
    clerk.wait_for_load_state()

    customer.reload()
    assert "áp lực đã trở lại" in main_text(customer)
    customer.select_option("select[name=stars]", "5")
    customer.get_by_role("button", name="Gửi đánh giá").click()
    customer.wait_for_load_state()
    assert "Bạn đã đánh giá 5/5" in main_text(customer)
    customer.fill("textarea[name=text]", "Chiều nay lại yếu.")
    customer.get_by_role("button", name="Gửi", exact=True).click()
    customer.wait_for_load_state()
    assert "Mở lại để xử lý tiếp" in main_text(customer)

    customer.goto("/kh/")
    link = customer.locator("a[href*='/tu-bao-chi-so/']")
    if link.count() == 0:
        customer.locator("main a[href^='/kh/dau-noi/']").first.click()
        customer.wait_for_load_state()
    link.first.click()
    customer.wait_for_url("**/tu-bao-chi-so/")
    before = re.search(r"Lần ghi trước: ([\d.]+)", main_text(customer))
    assert before is not None, main_text(customer)
    told = int(before.group(1).replace(".", "")) + 3
    if customer.locator("input[name=index_m3]").count():  # the month may be closed or billed: then it says so
        customer.fill("input[name=index_m3]", str(told))
        customer.set_input_files("input[name=photo]", a_photo())
        customer.get_by_role("button", name="Gửi chỉ số").click()
        customer.wait_for_load_state()
        assert "Đã báo" in main_text(customer), main_text(customer)
    else:
        assert "Khiếu nại hóa đơn" in main_text(customer)
    for page in (clerk, customer):
        assert page.complaints == [] and page.foreign == []


def test_a_notice_of_the_staff_reaches_the_customers_there(open_page, open_as_customer):
    clerk = open_page("qn.khkt")
    find_customer(clerk)
    work = main_text(clerk)

    clerk.goto("/thong-bao-khach-hang/moi/")
    clerk.fill("input[name=title]", "Ngừng cấp nước thử")
    clerk.fill("textarea[name=text]", "Súc rửa đường ống, mời trữ nước trước 8 giờ.")
    clerk.fill("input[name=starts_at]", clerk.evaluate("new Date(Date.now() + 36e5).toISOString().slice(0, 16)"))
    clerk.fill("input[name=ends_at]", clerk.evaluate("new Date(Date.now() + 864e5).toISOString().slice(0, 16)"))
    names = clerk.locator("select[name=works] option").all_inner_texts()
    clerk.select_option("select[name=works]", label=[name for name in names if name in work] or names)
    clerk.get_by_role("button", name="Đăng thông báo").click()
    clerk.wait_for_url(re.compile(r"/thong-bao-khach-hang/\d+/$"))

    customer = open_as_customer(javascript=False)
    customer.goto("/kh/")
    assert "Ngừng cấp nước thử" in main_text(customer)
    stranger = open_page(width_px=DESKTOP_PX)
    stranger.goto("/cong-khai/thong-bao/")
    assert "Súc rửa đường ống" in main_text(stranger)
    for page in (clerk, customer, stranger):
        assert page.complaints == [] and page.foreign == []


@pytest.mark.parametrize("dark", [False, True])
def test_pages_of_services_are_usable_by_everyone_on_a_phone_light_and_dark(open_as_customer, dark):
    page = open_as_customer(dark=dark)
    page.goto("/kh/")
    connection = page.locator("main a[href^='/kh/dau-noi/']").first.get_attribute("href")
    wrong: list[str] = []

    def check(address: str) -> None:
        page.goto(address)
        page.evaluate(AXE)
        wrong.extend(f"{address}: {complaint}" for complaint in look(page))
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if wide > 0 or page.locator("h1").count() != 1:
            wrong.append(f"{address}: {wide} px too wide, or not one h1")

    for address in ("phan-anh/", "phan-anh/moi/", "lap-moi/", "thong-bao/", "du-lieu/", "du-lieu/xoa/"):
        check(f"/kh/{address}")
    for address in ("tu-bao-chi-so/", "dinh-muc/"):
        check(f"{connection}{address}")

    assert not wrong, "\n".join(wrong)
    assert page.complaints == [] and page.foreign == []
