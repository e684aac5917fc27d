"""What people come to the plans for, from the first click to the last, in a real browser."""

import re
import struct
import zlib

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PHONE = 390


def main_text(page) -> str:
    return page.locator("main").inner_text().replace("\xa0", " ")


def photo() -> bytes:
    """Return a small real PNG."""
    rows = b"".join(b"\x00" + b"\x20\x80\xc0" * 4 for _ in range(4))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_a_station_behind_its_growth_proposes_what_to_do_and_its_leader_approves(open_page):
    station = open_page("qn.nghiaphu")
    station.goto("/phat-trien-khach-hang/")
    row = station.locator("main tr", has_text="Cổ Lũy Làng Cá").first.inner_text()
    assert "23" in row and "Mô phỏng" in row

    station.goto("/chi-tieu-ke-hoach/?level=all&q=co+luy")
    station.locator("main a[href*='/chi-tieu/khach-hang.']").first.click()
    station.wait_for_url("**/chi-tieu/khach-hang.*/")
    address = station.url
    assert "Có nguy cơ" in main_text(station) and "Chưa có đề xuất giải pháp" in main_text(station)

    station.get_by_role("link", name="Đề xuất giải pháp").first.click()
    station.wait_for_url("**/de-xuat/")
    station.get_by_label("Khách quan").check()
    station.get_by_label("Nguyên nhân", exact=False).last.fill("Mưa lũ tháng 10 làm chậm đào đường ống")
    station.get_by_label("Giải pháp").fill("Tăng thêm một tổ đấu nối trong tháng 12")
    station.get_by_role("button", name="Lưu").click()
    station.wait_for_url(address)
    station.get_by_role("button", name="Gửi duyệt").click()
    station.wait_for_load_state()
    assert "Chờ duyệt" in main_text(station)

    leader = open_page("qn.lanhdao")
    leader.goto("/")
    leader.locator("main a[href$='/duyet/']", has_text="Cổ Lũy").first.click()
    leader.wait_for_url("**/de-xuat-giai-phap/*/duyet/")
    assert "Mưa lũ tháng 10" in main_text(leader)
    leader.get_by_label("Duyệt", exact=True).check()
    leader.get_by_role("button", name="Lưu").click()
    leader.wait_for_url("**/chi-tieu/khach-hang.*/")

    station.goto(address)
    shown = main_text(station)
    assert "Đã duyệt" in shown and "Lãnh đạo Trung tâm (dùng thử)" in shown
    assert "Chưa có đề xuất giải pháp" not in shown
    for page in (station, leader):
        assert page.complaints == [] and page.foreign == []


def test_on_a_phone_a_station_reports_on_a_task_with_a_photo_and_finds_it_in_the_history(open_page, tmp_path):
    (tmp_path / "hien-truong.png").write_bytes(photo())
    page = open_page("qn.binhchanh", width_px=PHONE, height_px=844)
    page.goto("/nhiem-vu/?mine=on")
    page.locator("main a[href*='/nhiem-vu/qn.79-2026']", has_text="Phát triển khách hàng").first.click()
    page.wait_for_url("**/nhiem-vu/qn.79-2026*/")
    report = page.locator("form[enctype]")

    report.get_by_label("Đang thực hiện").check()
    report.get_by_label(re.compile("^Mức hoàn thành")).fill("40")
    report.get_by_label(re.compile("^Kết quả")).fill("Đã khảo sát 12 hộ ở thôn Bình An")
    report.locator("input[type=file]").set_input_files(tmp_path / "hien-truong.png")
    report.get_by_role("button", name="Ghi tiến độ").click()
    page.wait_for_load_state()

    shown = main_text(page)
    assert "Đã ghi tiến độ" in page.inner_text("body")
    assert "Đã khảo sát 12 hộ" in shown and "hien-truong.png" in shown
    with page.expect_download() as download:
        page.locator("main a", has_text="hien-truong.png").first.click()
    assert download.value.path().read_bytes() == photo()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE
    assert page.complaints == [] and page.foreign == []
