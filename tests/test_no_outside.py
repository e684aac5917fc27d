"""Nothing is fetched from outside, whatever one does on the pages that draw and search."""

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_drawing_moving_and_searching_ask_no_other_host(open_page):
    page = open_page("quantri")
    page.route("**/*", lambda route: route.continue_())
    for address in ("/", "/ban-do/?province=vn.quang-ngai", "/cong-trinh/ban-do/", "/cong-trinh/bieu-do/"):
        page.goto(address)
        page.wait_for_load_state("networkidle")
        for zoom in page.locator(".leaflet-control-zoom-in").all()[:1]:
            zoom.click()
        for canvas in page.locator("canvas").all()[:1]:
            canvas.hover(force=True)
    page.goto("/")
    page.locator("#search-box").press_sequentially("binh", delay=20)
    page.locator("#search-live a").first.wait_for()
    page.wait_for_load_state("networkidle")

    assert page.foreign == []
    assert page.complaints == []


@pytest.mark.parametrize("address", ["/", "/dang-nhap/", "/cong-trinh/", "/api/v1/openapi.json", "/khong-co/"])
def test_every_answer_forbids_what_is_not_ours(open_page, address):
    page = open_page("" if address == "/dang-nhap/" else "quantri")

    headers = page.request.get(address).headers

    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self'" in policy and "style-src 'self'" in policy
    assert "unsafe-inline" not in policy and "unsafe-eval" not in policy and "http" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["x-frame-options"] == "DENY"


def test_a_script_that_slips_into_a_page_does_not_run(open_page):
    page = open_page("quantri")
    page.goto("/cong-trinh/")

    page.evaluate(
        "() => { const one = document.createElement('script'); one.textContent = 'window.slipped = 1';"
        " document.head.append(one); }"
    )

    assert page.evaluate("window.slipped") is None
    assert any("Content Security Policy" in text for text in page.complaints)
