import http

import pytest
from django.db import connection
from django.urls import get_resolver, reverse

from machnuoc.bench import common, pages, server_urls


def test_a_page_that_is_not_there_is_told_and_not_left_out():
    page = pages.Page("core:nowhere")

    pages._fill_path(page, "core:nowhere", "", "", {})

    assert "chưa có trang này" in page.problem
    assert [row["metric"] for row in map(common.Result.as_row, pages._results([page], [0.01], "sqlite"))] == [
        "empty_p50_sqlite", "empty_p95_sqlite", "error_core_nowhere_sqlite",
    ]  # fmt: skip


def test_every_reading_endpoint_of_the_api_is_measured():
    from machnuoc.config.api_urls import api

    paths = api.get_openapi_schema()["paths"]
    known = {path.partition("?")[0].replace("{}", "*") for _, path, _ in pages._ENDPOINTS}

    for path, methods in paths.items():
        if "get" in methods:
            parts = ["*" if part.startswith("{") else part for part in path.split("/api/v1/")[1].split("/")]
            assert "/".join(parts) in known | pages._NOT_MEASURED, path


@pytest.mark.django_db
def test_the_empty_page_costs_a_session_and_a_person(settings, client, django_assert_num_queries):
    from machnuoc.core.models import Person

    settings.ROOT_URLCONF = "machnuoc.bench.server_urls"
    stranger = client.get(server_urls.EMPTY)
    person = Person.objects.create(username="thu", full_name="Thử")
    client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")

    with django_assert_num_queries(2):
        answer = client.get(server_urls.EMPTY)

    assert stranger.status_code == http.HTTPStatus.FOUND
    assert (answer.status_code, answer.content) == (http.HTTPStatus.OK, b"")
    assert reverse("core:overview") == "/"
    assert get_resolver("machnuoc.bench.server_urls").resolve("/healthz").url_name == "healthz"


@pytest.mark.slow
def test_the_command_measures_every_page_on_a_real_server():
    vendor = connection.vendor

    report = common.run_on_each("pages", "communes=12,few_works=3,works=6,years=1,requests=1", vendor)

    rows = {row["metric"]: row for row in report["results"]}
    assert {f"p95_{vendor}", f"queries_max_{vendor}", f"queries_growing_{vendor}", f"empty_p95_{vendor}"} <= rows.keys()
    assert [row["note"] for name, row in rows.items() if name.startswith("error_")] == []
    assert rows[f"p95_works_list_{vendor}"]["ratio"] > 0
    assert all(set(row) >= {"metric", "value", "unit", "against", "ratio"} for row in report["results"])
