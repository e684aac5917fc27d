"""The search box finds what planning keeps, for those who may read it."""

import re

import pytest
from django.test import Client

from machnuoc.core.models import Person, SearchEntry
from machnuoc.planning import plan_operations
from machnuoc.planning.models import Target

pytestmark = pytest.mark.usefixtures("demo_data", "db")


def find(username: str, query: str) -> dict[str, list[str]]:
    """Return kind → addresses that the search page lists."""
    client = Client()
    client.force_login(Person.objects.get(username=username), backend="django.contrib.auth.backends.ModelBackend")
    page = client.get("/tim-kiem/", {"q": query}).content.decode()
    found = {}
    for section in re.findall(r'<section class="card search-group".*?</section>', page, re.DOTALL):
        kind = re.search(r'id="group-(\w+)"', section)
        assert kind
        found[kind[1]] = re.findall(r'<li><a href="([^"]+)"', section)
    return found


@pytest.mark.parametrize(
    ("query", "kind", "address"),
    [
        ("nong thon moi khanh hoa", "plan", "/ke-hoach/kh.1355-2024/"),
        ("nong thon moi khanh hoa", "programme", "/nong-thon-moi/kh.1355-2024/"),
        ("ty le xa dat chuan kieu mau", "target", "/ke-hoach/kh.1355-2024/chi-tieu/xa-km-pct/"),
    ],
)
def test_a_plan_its_programme_and_its_targets_are_found_by_name(query, kind, address):
    assert address in find("quantri", query)[kind]


def test_every_kind_of_planning_has_entries():
    kinds = set(SearchEntry.objects.values_list("kind", flat=True))

    assert {"plan", "programme", "target", "task", "project"} <= kinds


def test_what_is_asked_of_another_province_is_not_found():
    found = find("qn.binhchanh", "ty le xa dat chuan kieu mau")

    assert "target" not in found
    assert "plan" in find("qn.binhchanh", "79/KH-TTNS")  # a plan speaks to all below its territory


def test_a_target_that_is_taken_back_is_found_no_more():
    target = Target.objects.get(plan__key="kh.1355-2024", key="xa-km-pct")

    plan_operations.change_target(target, reason="Bỏ chỉ tiêu", by=None, is_active=False)

    assert not SearchEntry.objects.filter(kind="target", object_id=target.pk).exists()
