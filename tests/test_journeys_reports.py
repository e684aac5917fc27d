"""A report from its duty to the receipt and what late data do to it, in a real browser, as three people do it."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from machnuoc.core import periods
from machnuoc.core.periods import Period

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def main_text(page) -> str:
    return page.locator("main").inner_text().replace("\xa0", " ")


def last_month() -> Period:
    return Period.containing(periods.local_date(datetime.now(UTC)), "M").previous


def press(page, name) -> None:
    with page.expect_navigation(timeout=120_000):
        page.locator("main").get_by_role("button", name=name).first.click()


def open_from_duty(page, month: Period) -> str:
    """Go from the calendar's duty to the report of the month; return the report's address."""
    page.goto("/lich-bao-cao/nghia-vu/duty.qn.thang/")
    page.locator("main li", has_text=month.label_vi).locator("a[href^='/lich-bao-cao/ky/']").first.click()
    page.wait_for_url("**/lich-bao-cao/ky/*/")
    page.get_by_role("link", name=re.compile("^(Mở|Lập) báo cáo$")).click()
    page.wait_for_load_state()
    if "/bao-cao/lap/" in page.url:
        press(page, "Lập bản nháp")
    page.wait_for_url(re.compile(r"/bao-cao/\d+/$"))
    return page.url


def complete(page, words: str) -> None:
    """Read and keep every suggestion; write the sections that have none."""
    press(page, "Làm mới số liệu")
    for key in page.locator("section.report-section").evaluate_all("all => all.map(one => one.id)"):
        section = page.locator(f"#{key}")
        keep = section.locator("button[value=keep]")
        if keep.count():
            keep.click()
        elif not section.locator(".report-read").count():
            section.locator("textarea").fill(words)
            section.locator("button[value=save]").click()
        section.locator(".report-read").wait_for()


def enter_late(open_page, month: Period) -> int:
    """Let a station enter its month after the report was sent, and the leader approve it; return its households."""
    station = open_page("qn.nghiaphu")
    station.goto("/nhap-lieu/")
    form = station.locator("form[action$='/nhap-lieu/mo/']:has(select[name=period])")
    form.locator("select[name=period]").select_option(month.key)
    form.get_by_role("button").click()
    station.wait_for_url("**/nhap-lieu/*/")
    before = [int(text.replace(".", "")) for text in re.findall(r"Đang có hiệu lực: ([\d.]+)", main_text(station))]
    assert len(before) == 2, main_text(station)
    for work, households in zip(("Cổ Lũy Làng Cá", "Trạm Nghĩa Phú"), before, strict=True):
        for name, text in (("Hộ đấu nối", households + 7), ("Nước vào mạng", 9500), ("Nước ghi thu", 8100)):
            station.get_by_label(re.compile(f"^{work}, {name}")).fill(str(text))
    press(station, "Lưu và nộp")
    assert "Chờ duyệt" in main_text(station), main_text(station)[:1500]
    leader = open_page("qn.lanhdao")
    leader.goto(station.url)
    approve = leader.get_by_role("button", name=re.compile("^Duyệt"))
    if not approve.first.is_visible():
        leader.locator("[data-dialog]", has_text="Duyệt").first.click()
    approve.last.click()
    leader.wait_for_load_state()
    assert "Đã duyệt" in main_text(leader)
    assert station.complaints == leader.complaints == []
    return sum(before) + 14


@pytest.mark.usefixtures("settled_site")
def test_a_report_goes_from_its_duty_to_the_receipt_and_is_rebuilt_after_late_data(open_page):
    month = last_month()
    words = "Mưa lũ làm gián đoạn thi công tuyến ống của hai trạm."
    writer, leader = open_page("qn.khkt"), open_page("qn.lanhdao")

    address = open_from_duty(writer, month)
    complete(writer, words)
    writer.goto(address)
    writer.locator("#checks .report-checks").wait_for()
    assert "điểm phải xong trước khi trình" not in writer.locator("#checks").inner_text()
    press(writer, "Trình ký")
    assert "Đã trình ký" in main_text(writer)
    assert not writer.get_by_role("button", name="Ký duyệt").count(), "the writer may sign"

    leader.goto(address)
    assert words in main_text(leader)
    press(leader, "Ký duyệt")
    assert "Đã ký duyệt" in main_text(leader)

    writer.goto(address)
    writer.locator("main input[name=number]").fill("1 / BC-TTNS")
    press(writer, "Ghi số và ngày của văn thư")
    assert "01/BC-TTNS" in main_text(writer)
    press(writer, re.compile("^Gửi$"))
    assert "Đã ghi nhận gửi" in main_text(writer)
    writer.locator("#receipt").fill("Văn bản đến số 812")
    press(writer, "Ghi xác nhận đã nhận")
    assert "Nơi nhận xác nhận: Văn bản đến số 812" in main_text(writer)

    writer.goto(f"{address}doi-chieu/")
    assert "Dựng lại bằng nhau" in main_text(writer)
    households = f"{enter_late(open_page, month):,}".replace(",", ".")
    sentence = r"Trạm Nghĩa Phú \(đấu nối đến cuối kỳ\): [\d.]+ hộ → {} hộ, đã thay đổi vì số liệu được sửa"
    told = re.compile(sentence.format(re.escape(households)))
    deadline = datetime.now(UTC) + timedelta(seconds=15)
    while not told.search(main_text(writer)) and datetime.now(UTC) < deadline:  # computed in the background
        writer.wait_for_timeout(300)
        writer.goto(f"{address}doi-chieu/")
    shown = main_text(writer)
    assert "Dựng lại bằng nhau" in shown, "late data have changed what was sent"
    assert told.search(shown), shown

    writer.goto("/lich-bao-cao/nghia-vu/duty.qn.thang/")
    row = writer.locator("main li", has_text=month.label_vi).first
    assert re.search("(?i)gửi (đúng hạn|trễ)", row.inner_text()), "sending the report has not closed its duty"
    writer.goto("/tim-kiem/?q=01/BC-TTNS")
    assert writer.locator(f"main a[href$='{re.search(r'/bao-cao/.*', address)[0]}']").count() == 1
    for page in (writer, leader):
        assert page.complaints == page.foreign == []
