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
