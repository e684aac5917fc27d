"""«Tổng quan» of each role: what it is about, and nothing that leads to a page its reader cannot open."""

import re

import pytest
from django.test import Client

from machnuoc.core.models import Person

pytestmark = pytest.mark.usefixtures("demo_data", "db")
ALL = ["now", "standing", "changes"]


def overview_of(username: str) -> tuple[Client, list[str], str]:
    """Return a browser of the person, the regions of their overview and all that stands in them."""
    client = Client()
    client.force_login(Person.objects.get(username=username), backend="django.contrib.auth.backends.ModelBackend")
    page = client.get("/").content.decode()
    regions = re.findall(r'id="region-(\w+)"', page)
    shown = page[page.index('<div class="overview">') : page.index("</main>")]
    for region in regions:
        shown += client.get(f"/tong-quan/{region}/", headers={"HX-Request": "true"}).content.decode()
    return client, regions, shown


@pytest.mark.parametrize(
    ("username", "regions"),
    [
        ("quantri", ALL), ("qn.lanhdao", ALL), ("qn.khkt", ALL), ("qn.binhchanh", ALL), ("qn.sonnmt", ALL),
        ("cb.phuchoa", ALL), ("doitac", ALL), ("qn.thungan", ["now"]), ("qn.ghichiso", ["now"]),
    ],
)  # fmt: skip
def test_the_overview_keeps_to_the_role_and_each_of_its_links_opens(username, regions):
    client, found, shown = overview_of(username)

    assert found == regions
    links = {link.replace("&amp;", "&") for link in re.findall(r'href="(/[^"#]*)', shown)}
    assert {link for link in links if client.get(link).status_code >= 400} == set()


@pytest.mark.parametrize("username", ["qn.thungan", "qn.ghichiso"])
def test_who_takes_money_or_reads_meters_sees_no_indicators_on_the_overview(username):
    _, _, shown = overview_of(username)

    assert not re.search(r"chỉ tiêu|/chi-tieu/|Hộ đấu nối|thất thoát", shown, re.IGNORECASE)
