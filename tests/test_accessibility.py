"""Every main page in a real browser, light and dark, desktop and phone: axe, headings, width, console, origins."""

from pathlib import Path

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text(encoding="utf-8")
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1440, "height": 900}
# Which rules depend on colours alone: the others need no second look in the other theme.
COLOURS = ["color-contrast", "link-in-text-block"]

# Address, and who looks at it. {value}, {document}, {person}, {submission}: found through the API or the pages.
PAGES = [
    ("", "/dang-nhap/"),
    ("quantri", "/"),
    ("qn.lanhdao", "/"),
    ("qn.binhchanh", "/"),
    ("cb.soxaydung", "/"),
    ("cb.phuchoa", "/"),
    ("quantri", "/tai-khoan/"),
    ("qn.binhchanh", "/tai-khoan/uy-quyen/"),
    ("quantri", "/thong-bao/"),
    ("quantri", "/van-ban/"),
    ("quantri", "{document}"),
    ("quantri", "/tim-kiem/?q=hoa+binh"),
    ("quantri", "/tim-kiem/?q=khong+co+gi+ca"),
    ("quantri", "/dia-ban/"),
    ("quantri", "/dia-ban/?q=dong+khe"),
    ("quantri", "/dia-ban/vn.quang-ngai/"),
    ("quantri", "{dong_khe}"),
    ("quantri", "/ban-do/?province=vn.quang-ngai"),
    ("quantri", "/to-chuc/"),
    ("quantri", "/to-chuc/org.qn.trung-tam/"),
    ("quantri", "/to-chuc/org.qn.trung-tam/sua/"),
    ("quantri", "/khu-vuc-do-thi/urban.cb.ta-lung-cu/"),
    ("quantri", "/quan-tri/nguoi-dung/"),
    ("quantri", "/quan-tri/nguoi-dung/them/"),
    ("quantri", "{person}"),
    ("quantri", "/quan-tri/tac-vu/"),
    ("quantri", "/quan-tri/nhat-ky/"),
    ("quantri", "/chi-tieu/"),
    ("quantri", "/chi-tieu/works.utilisation_households_pct/"),
    ("quantri", "/chi-tieu/works.utilisation_households_pct/?tab=map"),
    ("quantri", "/chi-tieu/works.utilisation_households_pct/?tab=time"),
    ("quantri", "/chi-tieu/works.utilisation_households_pct/?tab=source"),
    ("quantri", "/chi-tieu/works.utilisation_households_pct/cong-thuc/"),
    ("quantri", "/chi-tieu/works.utilisation_households_pct/muc/"),
    ("quantri", "/chi-tieu/moi/"),
    ("quantri", "{value}"),
    ("qn.binhchanh", "/nhap-lieu/"),
    ("qn.binhchanh", "{submission}"),
    ("qn.binhchanh", "/nhap-tep/"),
    ("qn.lanhdao", "/duyet/"),
    ("qn.lanhdao", "/nhap-lieu/ngoai-le/"),
    ("", "/cong-khai/tinh-tien-nuoc/"),
    ("qn.lanhdao", "/bieu-gia/?show=all"),
    ("qn.lanhdao", "/bieu-gia/them/?mau=HN_2023"),
    ("qn.lanhdao", "/bieu-gia/phi-moi-truong/"),
    ("qn.lanhdao", "/bieu-gia/khung-gia/"),
    ("qn.lanhdao", "/bieu-gia/bieu-gia-mo-phong-202601/"),
    ("qn.thungan", "/bieu-gia/tinh-thu/?volume_m3=31&second_group=SX&second_pct=20"),
    ("qn.thungan", "/khach-hang/"),
    ("qn.khkt", "/hoa-don/"),
    ("qn.khkt", "/cong-no/"),
    ("qn.sonnmt", "/khach-hang/"),
    ("qn.lanhdao", "/khach-hang/them/"),
    ("qn.lanhdao", "/khach-hang/nhap-tep/"),
    ("qn.lanhdao", "/khach-hang/de-nghi/"),
    ("qn.lanhdao", "/khach-hang/de-nghi/bang/"),
    ("qn.lanhdao", "/khach-hang/de-nghi/them/"),
    ("", "/cong-khai/phan-anh/"),
    ("", "/cong-khai/phan-anh/tra-cuu/"),
    ("", "/cong-khai/thong-bao/"),
    ("qn.khkt", "/thong-bao-khach-hang/"),
    ("qn.khkt", "/thong-bao-khach-hang/moi/"),
    ("qn.khkt", "/phan-anh/?state=all"),
    ("qn.khkt", "/phan-anh/moi/"),
    ("qn.khkt", "/phan-anh/thong-ke/"),
    ("qn.khkt", "/phan-anh/cai-dat/"),
    ("qn.khkt", "/phan-anh/loai/"),
    ("qn.khkt", "/phieu-cong-viec/moi/"),
    ("qn.ghichiso", "/di-ghi/"),
    ("qn.khkt", "/ghi-chi-so/phieu-tu-may/"),
    ("quantri", "/cong-trinh/"),
    ("quantri", "/cong-trinh/ban-do/"),
    ("quantri", "/cong-trinh/bieu-do/"),
    ("quantri", "{work}"),
    ("quantri", "{work}lich-su/"),
    ("quantri", "{work}ho-so/"),
    ("quantri", "{work}cong-suat/"),
    ("qn.lanhdao", "/ke-hoach/"),
    ("qn.lanhdao", "/ke-hoach/qn.79-2026/"),
    ("qn.binhchanh", "/ke-hoach/qn.79-2026/chi-tieu/khach-hang/"),
    ("quantri", "/chi-tieu-ke-hoach/"),
    ("qn.lanhdao", "/phat-trien-khach-hang/"),
    ("quantri", "/muc-do-hoan-thanh/"),
    ("qn.binhchanh", "/nhiem-vu/"),
    ("qn.khkt", "/nhiem-vu/bang/"),
    ("quantri", "/nhiem-vu/qn.79-2026.phu-luc-2.1/"),
    ("kh.nongnghiep", "/nong-thon-moi/"),
    ("cb.capnuoc", "/du-an/"),
    ("qn.lanhdao", "/ban-giao/"),
    ("qn.binhchanh", "/lich-bao-cao/"),
    ("qn.lanhdao", "/bao-cao/"),
    ("qn.lanhdao", "/giam-sat/"),
    ("qn.lanhdao", "/giam-sat/chi-so/"),
    ("qn.lanhdao", "/giam-sat/tram/work.qn.binh-chanh/"),
    ("qn.khkt", "/giam-sat/canh-bao/"),
    ("qn.khkt", "/giam-sat/quy-tac/"),
    ("qn.khkt", "/giam-sat/thiet-bi/"),
    ("qn.binhchanh", "/giam-sat/so-nhan/"),
    ("qn.khkt", "/giam-sat/nhap-tep/"),
    ("quantri", "/khong-co-trang-nay/"),
    ("qn.binhchanh", "/quan-tri/nguoi-dung/"),
]


def find(page, name: str) -> str:
    """Return the address of one thing of its kind."""

    def items(path: str) -> list[dict]:
        return page.request.get(f"/api/v1/{path}").json()["items"]

    if name == "value":
        metric = "works.utilisation_households_pct"
        return f"/so-lieu/{items(f'values?metric_key={metric}&subject_key=org.qn.trung-tam')[0]['id']}/"
    if name == "dong_khe":
        return f"/dia-ban/{next(row for row in items('units?q=dong+khe') if row['name'] == 'Đông Khê')['key']}/"
    if name == "work":
        return f"/cong-trinh/{next(row for row in items('works?q=nghia+phu'))['key']}/"
    if name == "submission":
        page.goto("/nhap-lieu/")
        return open_sheet(page)
    listing = {"document": "/van-ban/", "person": "/quan-tri/nguoi-dung/"}[name]
    page.goto(listing)
    links = page.locator(f"main a[href^='{listing}']").evaluate_all("all => all.map(one => one.getAttribute('href'))")
    return next(link for link in links if link.removeprefix(listing).strip("/") not in {"", "them"} and "?" not in link)


def open_sheet(page) -> str:
    """Open the station's sheet of the newest period that it still owes, and return its address."""
    page.locator("form[action$='/nhap-lieu/mo/'] button").first.click()
    page.wait_for_url("**/nhap-lieu/*/")
    return page.url


def look(page, *, only: list[str] | None = None) -> list[str]:
    """Return what axe finds serious or critical on the page as it stands."""
    options = {"resultTypes": ["violations"]} | ({"runOnly": {"type": "rule", "values": only}} if only else {})
    found = page.evaluate("options => axe.run(document, options)", options)["violations"]
    return [
        f"{one['id']} ({one['impact']}): {one['help']}: {node['html'][:160]} {node.get('failureSummary', '')[:200]}"
        for one in found
        if one["impact"] in {"serious", "critical"}
        for node in one["nodes"][:3]
    ]


def paint(page, theme: str) -> None:
    """Let the device change between light and dark, and wait until every colour has followed."""
    page.emulate_media(color_scheme=theme)
    page.wait_for_function("theme => document.documentElement.dataset.bsTheme === theme", arg=theme)
    page.evaluate(
        """async () => {  // a colour that is handed down starts to change when the one above has changed
            for (let quiet = 0; quiet < 4; ) {
                await new Promise(done => requestAnimationFrame(done));
                const moving = document.getAnimations().filter(one => one.playState === "running");
                quiet = moving.length ? 0 : quiet + 1;
                await Promise.allSettled(moving.map(one => one.finished));
            }
        }"""
    )


def settle(page) -> None:
    """Wait until the page has drawn its charts and maps."""
    page.wait_for_load_state("networkidle")


@pytest.mark.parametrize(("username", "address"), PAGES)
def test_a_page_is_usable_by_everyone_on_every_screen(open_page, username, address):
    page = open_page(username)
    name = address.partition("{")[2].partition("}")[0]
    if name:
        address = address.replace(f"{{{name}}}", find(page, name))
        page.complaints.clear()
    wrong: dict[str, list[str]] = {}

    page.goto(address)
    settle(page)
    page.evaluate(AXE)
    wrong["desktop, light"] = look(page)
    paint(page, "dark")
    wrong["desktop, dark"] = look(page, only=COLOURS)
    page.set_viewport_size(PHONE)
    settle(page)
    wrong["phone, dark"] = look(page)
    paint(page, "light")
    wrong["phone, light"] = look(page, only=COLOURS)
    wrong["width"] = too_wide(page)
    wrong["frame"] = frame(page)
    refused = {"/khong-co-trang-nay/", "/quan-tri/nguoi-dung/"}
    is_error = (username != "quantri" and address in refused) or address == "/khong-co-trang-nay/"
    wrong["console"] = [one for one in page.complaints if not (is_error and "the server responded with" in one)]
    wrong["other origins"] = page.foreign

    told = [f"{where}: {text}" for where, texts in wrong.items() for text in texts]
    assert not told, f"{username} {address}\n" + "\n".join(told)


def frame(page) -> list[str]:
    """Return what is wrong with language, title and headings."""
    wrong = []
    if page.locator("html").get_attribute("lang") != "vi":
        wrong.append("the page does not say that it is Vietnamese")
    if page.title().strip().removesuffix("· Mạch Nước").strip() in {"", "Mạch Nước"}:
        wrong.append(f"its title says nothing: {page.title()!r}")
    headings = page.locator("h1")
    if headings.count() != 1 or not headings.first.inner_text().strip():
        wrong.append(f"{headings.count()} h1")
    return wrong


def too_wide(page) -> list[str]:
    """Return what makes the page scroll sideways."""
    return page.evaluate(
        """() => {
            const width = document.documentElement.scrollWidth;
            const beyond = one => one.getBoundingClientRect().right > innerWidth + 1;
            const cause = [...document.querySelectorAll("main *")].filter(beyond).slice(0, 3);
            return width <= innerWidth ? [] : [`${width} px`, ...cause.map(one => one.outerHTML.slice(0, 120))];
        }"""
    )
