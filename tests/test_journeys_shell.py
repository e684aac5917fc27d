"""The shell in a real browser: what folds stays as it was left."""

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]
DESKTOP, PHONE = 1440, 390


def test_the_side_bar_keeps_what_was_opened_and_opens_where_one_is(open_page):
    page = open_page("qn.khkt", width_px=DESKTOP)
    page.goto("/hoa-don/")
    group = page.locator(".sidebar details[data-nav-group='Khách hàng']")
    own = page.locator(".sidebar details[data-nav-group='Hóa đơn, thu tiền']")
    assert group.get_attribute("open") is None and own.get_attribute("open") is not None

    group.locator("summary").focus()
    page.keyboard.press("Enter")
    own.locator("summary").click()
    page.reload()

    assert group.get_attribute("open") is not None
    assert own.get_attribute("open") is not None  # of the page shown, whatever was closed
    page.goto("/")
    assert group.get_attribute("open") is not None and own.get_attribute("open") is None
    assert page.complaints == []


def test_the_side_bar_folds_without_javascript(open_page):
    page = open_page("qn.khkt", javascript=False)
    page.goto("/khach-hang/")

    group = page.locator(".sidebar details[data-nav-group='Hóa đơn, thu tiền']")
    assert page.locator(".sidebar a[aria-current]").is_visible()
    assert not group.get_by_role("link", name="Sổ cái").is_visible()
    group.locator("summary").click()
    assert group.get_by_role("link", name="Sổ cái").is_visible()


def test_a_long_filter_is_folded_on_a_phone_until_it_is_asked_for(open_page):
    page = open_page("qn.khkt", width_px=PHONE)
    page.goto("/hoa-don/")
    state = page.locator("select[name=state]")
    assert page.locator("main input[type=search]").is_visible() and not state.is_visible()

    page.get_by_role("button", name="Thêm 3 điều kiện").click()
    assert state.is_visible()
    page.goto("/hoa-don/?state=NORMAL")
    assert state.is_visible()
    assert page.complaints == []


@pytest.mark.parametrize("address", ["/khach-hang/", "/hoa-don/", "/cong-no/"])
def test_a_row_of_a_long_list_is_short_on_a_phone_and_a_link_as_a_whole(open_page, address):
    page = open_page("qn.khkt", width_px=PHONE)
    row = page.locator("table.is-compact > tbody > tr").first
    for _ in range(60):  # the demonstration makes its customers in the background
        page.goto(address)
        if row.count():
            break
        page.wait_for_timeout(1_000)

    heights = page.evaluate(
        "[...document.querySelectorAll('table.is-compact > tbody > tr')].map(one => one.offsetHeight)"
    )
    assert min(heights) >= 44 and max(heights) <= 110
    row.scroll_into_view_if_needed()
    place = row.bounding_box()
    row.click(position={"x": place["width"] / 2, "y": 12})
    page.wait_for_url(lambda url: not url.endswith(address))
    assert page.complaints == []
