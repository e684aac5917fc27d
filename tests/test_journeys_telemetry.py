"""What people come to the sensors for, from the first click to the last: a real browser, a real broker."""

import re
import time
from datetime import UTC, datetime, timedelta

import pytest

from machnuoc.telemetry import broker
from machnuoc.telemetry.tests.receiving.publisher import Publisher, Refused

pytestmark = [pytest.mark.browser, pytest.mark.slow]

STATION = "Trạm Bình Chánh"
SOON_MS = 60_000


@pytest.fixture(autouse=True)
def _has_a_broker():
    if broker.find_mosquitto() is None:
        pytest.skip("no Mosquitto: scripts/install_test_system.sh installs it")


def main_text(page) -> str:
    return page.locator("main").inner_text().replace("\xa0", " ")


def upload(page, tmp_path, kind: str, text: str) -> None:
    """Bring a sheet in: upload, preview, take everything."""
    path = tmp_path / f"{kind.lower()}.csv"
    path.write_text(text, encoding="utf-8")
    page.goto("/giam-sat/nhap-tep/")
    page.locator("select[name=kind]").select_option(kind)
    page.locator("form[enctype] input[type=file]").set_input_files(path)
    page.get_by_role("button", name="Tải lên và xem trước").click()
    page.wait_for_url(re.compile(r"/giam-sat/nhap-tep/\d+/"))
    page.get_by_role("button", name=re.compile("^Nhập tất cả")).click()
    page.get_by_text("Đã nhập", exact=False).first.wait_for()


def provision(page, tmp_path, code: str) -> Publisher:
    """Make a device with a pressure channel by sheets, give it a secret, and connect as the page says."""
    upload(
        page, tmp_path, "DEVICES", f"Mã thiết bị;Tên;Công trình;Lắp lúc\n{code};Bộ ghi {code};{STATION};01/01/2026\n"
    )
    upload(
        page, tmp_path, "CHANNELS",
        "Mã thiết bị;Khóa;Tên;Đại lượng;Điểm đo;Dùng cho;Chu kỳ gửi (giây);Mức tối thiểu\n"
        f"{code};ap;Áp lực {code};Áp lực;Điểm bất lợi nhất;Thời gian cấp nước (áp lực tối thiểu);60;6\n",
    )  # fmt: skip
    page.goto(f"/giam-sat/thiet-bi/{code}/")
    page.get_by_role("button", name="Cấp mã truy cập").click()
    secret = page.locator("#new-secret").input_value()
    told = page.locator("#new-settings").input_value()
    host = re.search(r"Máy chủ MQTT: (\S+)", told)[1]
    port = int(re.search(r"Cổng: (\d+)", told)[1])
    assert f"Mật khẩu: {secret}" in told and f"Tên đăng nhập: {code}" in told
    return Publisher(host, port, code, secret)


def send(device: Publisher, readings: list[tuple[datetime, float]]) -> None:
    """Publish readings as the device does, once the broker knows its password."""
    messages = [
        (f"machnuoc/v1/{device.user}/up", f'{{"t":{round(at.timestamp() * 1000)},"v":{{"ap":{value}}}}}'.encode())
        for at, value in readings
    ]
    deadline = time.monotonic() + 30
    while True:
        try:
            device.publish(messages, within_s=30)
            return
        except Refused:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def stand_on(page, row) -> None:
    """Go down the list by keyboard until the row is the one that keys act on."""
    page.locator("[data-alarm]").first.wait_for()
    for _ in range(6):
        if "is-here" in row.get_attribute("class"):
            return
        page.keyboard.press("j")
    raise AssertionError("the row is not reached by keyboard")


def minutes_ago(count: float) -> datetime:
    return datetime.now(UTC) - timedelta(minutes=count)


def test_a_device_comes_by_sheet_and_what_it_publishes_is_on_its_chart(open_page, tmp_path):
    page = open_page("qn.khkt")
    device = provision(page, tmp_path, "hanh-trinh-1")
    secret = device.secret
    with pytest.raises(Refused):
        Publisher(device.host, device.port, device.user, "mat-khau-sai").connect()

    page.goto("/giam-sat/thiet-bi/hanh-trinh-1/")
    assert secret not in page.content()  # it was shown once
    send(device, [(minutes_ago(90 - number), 12.0 + number % 5) for number in range(90)])
    page.locator("main a[href^='/giam-sat/kenh/']").first.click()
    page.wait_for_url("**/giam-sat/kenh/*/")
    page.get_by_role("link", name="3 giờ").click()
    page.wait_for_url("**span=3h*")
    deadline = time.monotonic() + SOON_MS / 1000
    while "90 số đo" not in main_text(page):  # the receiver may still be storing them
        assert time.monotonic() < deadline
        time.sleep(0.5)
        page.reload()
    page.locator("[data-channel-chart] canvas").wait_for()
    page.get_by_text(re.compile("Đang vẽ từng số đo")).first.wait_for()

    value = page.locator(".live-value[data-channel]").first
    page.evaluate("window.isTheSamePage = true")
    send(device, [(minutes_ago(0), 17.4)])

    page.wait_for_function("one => one.textContent.includes('17,4')", arg=value.element_handle(), timeout=SOON_MS)
    assert page.evaluate("window.isTheSamePage")
    assert "16,0" in main_text(page)  # in the table beside the chart
    assert page.complaints == [] and page.foreign == []


def test_an_alarm_comes_onto_the_wall_by_itself_and_is_taken_care_of_by_keyboard(open_page, tmp_path):
    desk = open_page("qn.khkt")
    device = provision(desk, tmp_path, "hanh-trinh-2")
    desk.goto("/giam-sat/quy-tac/?q=hanh-trinh-2")
    desk.get_by_role("link", name=re.compile("ngoài mức cho phép")).first.click()
    desk.get_by_role("link", name="Sửa").click()
    desk.get_by_label("Phải kéo dài (phút)").fill("0")
    desk.get_by_role("button", name="Lưu").click()
    desk.get_by_role("link", name="Sửa").wait_for()
    send(device, [(minutes_ago(0), 15.0)])
    wall = open_page("qn.lanhdao")
    wall.goto("/giam-sat/?q=binh+chanh")
    wall.evaluate("window.isTheSamePage = true")
    desk.goto("/giam-sat/canh-bao/?q=hanh-trinh-2")
    desk.evaluate("window.isTheSamePage = true")
    assert "Áp lực hanh-trinh-2" not in main_text(desk)

    send(device, [(minutes_ago(0), 3.5)])

    # On the wall and in the list without reloading.
    wall.locator(".tile", has_text=STATION).get_by_text("Áp lực hanh-trinh-2").wait_for(timeout=SOON_MS)
    row = desk.locator("[data-alarm]", has_text=re.compile("Áp lực hanh-trinh-2 3,5"))
    row.wait_for(timeout=SOON_MS)
    assert wall.evaluate("window.isTheSamePage") and desk.evaluate("window.isTheSamePage")

    # Acknowledged, opened, noted, put aside: the mouse is not touched.
    stand_on(desk, row)
    desk.keyboard.press("a")
    desk.get_by_text("Đã nhận 1 cảnh báo").wait_for()
    assert "Phòng Kế hoạch" in row.inner_text()
    stand_on(desk, row)
    desk.keyboard.press("n")
    desk.wait_for_url("**#viec-da-lam")
    desk.locator("#viec-da-lam textarea:focus").wait_for()
    desk.keyboard.type("Đang xả van khí ở cuối tuyến")
    desk.keyboard.press("Tab")
    desk.keyboard.press("Enter")
    desk.locator("#viec-da-lam").get_by_text("Đang xả van khí ở cuối tuyến").wait_for()
    assert "3,5" in main_text(desk)  # the readings that made it
    desk.goto("/giam-sat/canh-bao/?q=hanh-trinh-2")
    stand_on(desk, row)
    desk.keyboard.press("s")
    desk.wait_for_url("**/tam-gac/")
    desk.get_by_label("Lý do").focus()
    desk.keyboard.type("Thử áp tuyến mới")
    desk.keyboard.press("Enter")
    desk.wait_for_url("**/giam-sat/quy-tac/*/")
    desk.goto("/giam-sat/canh-bao/?q=hanh-trinh-2")

    assert "Đang tạm gác" in row.inner_text()
    for page in (wall, desk):
        assert page.complaints == [] and page.foreign == []
