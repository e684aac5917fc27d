"""What people come to do, from the first click to the last, in a real browser at desktop and phone width."""

import io
import re

import openpyxl
import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

DESKTOP, PHONE = 1440, 390
WIDTHS = pytest.mark.parametrize("width_px", [DESKTOP, PHONE])


def nothing_went_wrong(*pages) -> None:
    for page in pages:
        assert page.complaints == []
        assert page.foreign == []


def main_text(page) -> str:
    return page.locator("main").inner_text().replace("\xa0", " ")


@WIDTHS
def test_the_figure_of_the_overview_leads_down_to_the_line_of_the_appendix(open_page, width_px):
    page = open_page("qn.lanhdao", width_px=width_px)
    page.goto("/")
    page.locator("main a[href^='/so-lieu/']", has_text="25.330").first.click()
    page.wait_for_url("**/so-lieu/*/")
    assert "25.330" in main_text(page)

    station = page.locator("details", has_text="Trạm Bình Chánh").last
    if not station.evaluate("one => one.open"):
        station.locator("summary").first.click()
    source = station.get_by_text(re.compile("Phụ lục 1, dòng")).first
    source.wait_for()

    assert "1.288" in station.inner_text()
    link = station.locator("a[href^='/van-ban/']").first
    link.click()
    page.wait_for_url("**/van-ban/**")
    assert "1.288" in page.locator(":target").inner_text()
    nothing_went_wrong(page)


def test_a_sheet_with_one_bad_cell_is_previewed_its_good_rows_taken_and_taken_back(open_page, tmp_path):
    page = open_page("qn.khkt")
    page.goto("/nhap-tep/")
    period = page.locator("form[enctype] select[name=period] option").first.get_attribute("value")
    template = page.request.get(f"/nhap-tep/mau/?form=tram-thang&period={period}&kind=xlsx").body()
    book = openpyxl.load_workbook(io.BytesIO(template))
    sheet = book.worksheets[0]
    for number in range(3, 10):
        for column, figure in ((3, 900 + number), (4, 20_000), (5, 18_000)):
            sheet.cell(number, column, figure)
    sheet.cell(7, 3, "1,288.5")
    path = tmp_path / "thang.xlsx"
    book.save(path)

    page.locator("form[enctype] select[name=period]").select_option(period)
    page.locator("form[enctype] input[type=file]").set_input_files(path)
    page.get_by_role("button", name="Tải lên và xem trước").click()
    page.wait_for_url("**/nhap-tep/*/")
    shown = main_text(page)
    assert "Ô C7" in shown and "1,288.5" in shown and "không phải số nguyên" in shown, shown[:1500]

    page.get_by_role("button", name=re.compile("Chỉ nhập 6 dòng hợp lệ")).click()
    page.wait_for_load_state()
    assert "Đã nhập 6 dòng" in main_text(page)
    page.get_by_role("link", name="Hoàn tác cả tệp").click()
    page.locator("dialog").get_by_role("button", name="Hoàn tác").click()
    page.wait_for_load_state()
    assert "Đã hoàn tác" in main_text(page)
    nothing_went_wrong(page)


@WIDTHS
def test_a_name_is_found_without_its_diacritics(open_page, width_px):
    page = open_page("qn.lanhdao", width_px=width_px)
    page.goto("/tim-kiem/")
    box = page.locator("main input[name=q], header input[name=q]").locator("visible=true").first
    box.fill("hoa binh")
    box.press("Enter")
    page.wait_for_url("**/tim-kiem/?q=hoa*")

    page.locator("main a[href^='/cong-trinh/']", has_text="Hòa Bình").first.click()
    page.wait_for_url("**/cong-trinh/work.*/")

    assert "Hòa Bình" in page.locator("h1").inner_text()
    nothing_went_wrong(page)


def test_results_appear_while_one_types(open_page):
    page = open_page("qn.lanhdao")
    page.goto("/")
    page.locator("#search-box").press_sequentially("nghia phu", delay=20)

    page.locator("#search-live a", has_text="Nghĩa Phú").first.wait_for()

    nothing_went_wrong(page)


@WIDTHS
def test_filters_stay_in_the_address_through_reload_and_tabs(open_page, width_px):
    page = open_page("quantri", width_px=width_px)
    page.goto("/cong-trinh/?q=binh&sector=RURAL&sort=-name")
    before = main_text(page)
    rows = page.locator("main tbody tr").count()

    page.reload()

    assert main_text(page) == before
    assert rows and page.locator("main tbody tr").count() == rows
    assert page.locator("main input[name=q]").input_value() == "binh"
    page.get_by_role("link", name="Bản đồ", exact=True).locator("visible=true").last.click()
    page.wait_for_url("**/cong-trinh/ban-do/?*")
    assert "q=binh" in page.url and "sector=RURAL" in page.url
    page.wait_for_load_state("networkidle")
    nothing_went_wrong(page)


def test_the_chosen_theme_holds_on_every_page(open_page):
    page = open_page("quantri")
    page.goto("/")
    page.locator("summary", has_text="Giao diện").click()
    page.locator("[data-set-theme=dark]").click()
    assert page.locator("html").get_attribute("data-bs-theme") == "dark"

    page.goto("/cong-trinh/")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")

    assert page.locator("html").get_attribute("data-bs-theme") == "dark"
    page.locator("summary", has_text="Giao diện").click()
    page.locator("[data-set-theme=light]").click()
    page.wait_for_function("dark => getComputedStyle(document.body).backgroundColor !== dark", arg=dark)
    nothing_went_wrong(page)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("/", "25.330"),
        ("/cong-trinh/?q=binh+chanh", "1.288"),
        ("/cong-trinh/bieu-do/", "2.149"),
        ("/chi-tieu/works.utilisation_households_pct/", "73,1"),
        ("/tim-kiem/?q=hoa+binh", "Hòa Bình"),
        ("/dia-ban/?q=dong+khe", "Đông Khê"),
        ("/to-chuc/", "Trung tâm"),
        ("/ban-do/?province=vn.quang-ngai", "Xã Ia Tơi"),
        ("/duyet/", "Duyệt"),
    ],
)
def test_pages_are_readable_without_javascript(open_page, address, expected):
    page = open_page("qn.lanhdao", javascript=False)

    page.goto(address)

    assert expected in page.locator("main").text_content().replace("\xa0", " ")


def test_lineage_opens_without_javascript(open_page):
    page = open_page("qn.lanhdao", javascript=False)
    page.goto("/")
    page.locator("main a[href^='/so-lieu/']", has_text="25.330").first.click()
    station = page.locator("details", has_text="Trạm Bình Chánh").last
    station.locator("summary").first.click()
    station.locator("a[href^='/so-lieu/']").first.click()
    page.wait_for_url("**/so-lieu/*/")

    assert page.get_by_text(re.compile("Phụ lục 1, dòng")).count()


def test_signing_in_and_searching_need_no_mouse(open_page, site):
    page = open_page()
    page.goto("/dang-nhap/")
    focused = "document.activeElement.name || document.activeElement.id || document.activeElement.tagName"
    for _ in range(8):
        if page.evaluate(focused) == "username":
            break
        page.keyboard.press("Tab")
    page.keyboard.type("qn.lanhdao")
    page.keyboard.press("Tab")
    for _ in range(3):
        if page.evaluate(focused) == "password":
            break
        page.keyboard.press("Tab")
    page.keyboard.type(site.password)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{site.url}/")

    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search-box"
    page.keyboard.type("nghia phu")
    page.keyboard.press("Enter")
    page.wait_for_url("**/tim-kiem/?q=nghia*")
    for _ in range(80):
        page.keyboard.press("Tab")
        if "Nghĩa Phú" in page.evaluate("document.activeElement.innerText || ''"):
            break
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    page.keyboard.press("Enter")
    page.wait_for_load_state()

    assert outline != "none"
    assert "Nghĩa Phú" in page.locator("h1").inner_text()
    nothing_went_wrong(page)


def test_signing_out_ends_the_session(open_page, site):
    page = open_page()
    page.goto("/dang-nhap/")
    page.fill("input[name=username]", "doitac")
    page.fill("input[name=password]", site.password)
    page.press("input[name=password]", "Enter")
    page.wait_for_url(f"{site.url}/")
    page.locator(".user-menu summary").click()
    page.get_by_role("button", name="Đăng xuất").click()
    page.wait_for_url("**/dang-nhap/**")

    page.goto("/cong-trinh/")

    assert "/dang-nhap/" in page.url


# Last of the file, since it changes what the pages above show. The phone takes another month than the desktop.
@pytest.mark.parametrize(("width_px", "order", "households"), [(DESKTOP, 0, "1.295"), (PHONE, 1, "1.301")])
def test_a_station_enters_its_month_the_leader_approves_and_the_figure_leads_back(
    open_page, width_px, order, households
):
    station = open_page("qn.binhchanh", width_px=width_px)
    station.goto("/nhap-lieu/")
    other = station.locator("form[action$='/nhap-lieu/mo/']:has(select[name=period])")
    month = other.locator("select[name=period] option[value]").nth(order).get_attribute("value")
    other.locator("select[name=period]").select_option(month)
    other.get_by_role("button").click()
    station.wait_for_url("**/nhap-lieu/*/")
    address = station.url
    for name, text in (("Hộ đấu nối", households), ("Nước vào mạng", "21.500"), ("Nước ghi thu", "18.900")):
        station.get_by_label(re.compile(f"^Trạm Bình Chánh, {name}")).fill(text)
    station.get_by_role("button", name="Lưu và nộp").click()
    station.wait_for_load_state()
    assert "Chờ duyệt" in main_text(station), main_text(station)[:1500]

    leader = open_page("qn.lanhdao", width_px=width_px)
    leader.goto("/duyet/")
    assert "Trạm Bình Chánh" in main_text(leader)
    leader.locator(f"main a[href='{address.removeprefix(leader.url.split('/duyet')[0])}']").first.click()
    leader.wait_for_url("**/nhap-lieu/*/")
    approve = leader.get_by_role("button", name=re.compile("^Duyệt"))
    if not approve.first.is_visible():
        leader.locator("[data-dialog]", has_text="Duyệt").first.click()
    approve.last.click()
    leader.wait_for_load_state()
    assert "Đã duyệt" in main_text(leader)

    station.goto("/cong-trinh/?q=binh+chanh")
    station.locator("main a[href^='/cong-trinh/work.']").first.click()
    station.wait_for_url("**/cong-trinh/work.*/")
    figure = station.locator("main a[href^='/so-lieu/']", has_text=households).first
    figure.click()
    station.wait_for_url("**/so-lieu/*/")
    shown = main_text(station)
    assert households in shown
    assert "Trạm Bình Chánh (dùng thử)" in shown, "the lineage does not name who entered the figure"
    assert "Lãnh đạo Trung tâm (dùng thử)" in shown, "the lineage does not name who approved it"
    nothing_went_wrong(station, leader)
