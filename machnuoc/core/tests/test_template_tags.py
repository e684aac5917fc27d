"""Filters and parts: what they say, and that they say it safely."""

import json
import re
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django import forms
from django.apps import apps
from django.core.paginator import Paginator
from django.template import engines
from django.test import RequestFactory
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from machnuoc.core import figures, vietnamese
from machnuoc.core.models import Document, Passage
from machnuoc.core.templatetags import machnuoc as tags

NBSP = "\u00a0"


def render(template: str, path: str = "/", **context: object) -> str:
    request = RequestFactory().get(path)
    html = engines["django"].from_string(template).render(context, request)
    return re.sub(r"\s+", " ", html.replace(NBSP, "~")).strip()


def make_value(unit: str = "pct", decimals: int = 1, **fields: object):
    """Return a Value that no database holds: rendering it must ask none."""
    metric = apps.get_model("indicators", "Metric")(pk=1, unit=unit, decimals=decimals)
    return apps.get_model("indicators", "Value")(pk=7, metric=metric, **{"state": 2, **fields})


def make_band(label: str, severity: str):
    return apps.get_model("indicators", "Band")(pk=3, label=label, severity=severity)


# --- figures


@pytest.mark.parametrize(
    ("given_edges", "text"),
    [
        ({"number": 636}, "63,6~%"),
        ({"number": 700}, "70,0~%"),
        ({"number": 0}, "0,0~%"),
        ({"number": -5}, "-0,5~%"),
        ({"low": 120, "high": 725}, "12–72,5~%"),
        ({"low": 120, "low_open": True, "high": 725}, "trên 12 đến 72,5~%"),
        ({"low": 120, "high": 725, "high_open": True}, "từ 12 đến dưới 72,5~%"),
        ({"low": 120, "low_open": True, "high": 725, "high_open": True}, "trên 12 đến dưới 72,5~%"),
        ({"high": 150}, "≤~15~%"),
        ({"high": 150, "high_open": True}, "dưới 15~%"),
        ({"low": 150}, "≥~15~%"),
        ({"low": 150, "low_open": True}, "trên 15~%"),
        ({"low": 0}, "≥~0~%"),
    ],
)
def test_a_figure_is_a_number_or_its_edges(given_edges, text):
    assert tags.figure_plain(make_value(**given_edges)).replace(NBSP, "~") == text


def test_a_figure_that_is_a_class_says_the_class():
    assert tags.figure_plain(make_value(band=make_band("Trung bình", "info"))) == "Trung bình"


def test_a_missing_figure_is_said_to_be_missing_and_is_no_link():
    html = str(tags.figure(None))

    assert "chưa có số liệu" in html
    assert "<a" not in html
    assert "0" not in html


def test_a_figure_leads_to_its_provenance():
    assert f'href="{reverse("indicators:value", args=[7])}"' in tags.figure(make_value(number=636))


def test_a_figure_keeps_the_qualifier_of_its_source():
    fact = apps.get_model("indicators", "Fact")(pk=9, qualifier="khoảng")

    text = tags.figure_plain(make_value("household", 0, number=1600, fact=fact))

    assert text.replace(NBSP, "~") == "khoảng 1.600~hộ"


def test_a_simulated_figure_says_so():
    assert "mô phỏng" in tags.figure(make_value(number=636, state=5))
    assert "mô phỏng" not in tags.figure(make_value(number=636, state=2))


def test_rendering_a_loaded_figure_asks_no_database():
    # No `db` fixture: a query would fail the test.
    html = render("{{ value|figure }}{% stat_tile 'Hộ' value plan=value %}", value=make_value(number=636))

    assert html.count("63,6~%") == 3


def test_what_a_figure_says_is_escaped():
    value = make_value(band=make_band("<b>Thấp</b>", "good"))

    assert "&lt;b&gt;" in tags.figure(value)
    assert "&lt;b&gt;" in tags.band_badge(value.band)


@given(number=st.integers(-(10**15), 10**15), decimals=st.integers(0, 6))
def test_the_text_of_a_number_reads_back_as_the_number(number, decimals):
    text = figures.figure_text(number, None, False, None, False, decimals, "", "")

    assert vietnamese.parse_number(text) == figures.scale(number, decimals)


# --- plain filters


@pytest.mark.parametrize(
    ("template", "value", "text"),
    [
        ("{{ v|number }}", 1600, "1.600"),
        ("{{ v|number:2 }}", Decimal("1288.5"), "1.288,50"),
        ("{{ v|number }}", None, "–"),
        ("{{ v|percent }}", Decimal("63.6"), "63,6~%"),
        ("{{ v|vnd }}", 75_000, "75.000~đ"),
        ("{{ v|vnd }}", None, "–"),
        ("{{ v|vn_date }}", date(2026, 2, 14), "14/02/2026"),
        ("{{ v|vn_date }}", None, "–"),
        ("{{ v|vn_datetime }}", datetime(2026, 2, 14, 0, 5, tzinfo=UTC), "14/02/2026 07:05"),
        ("{{ v|unit_label }}", "m3/d", "m³/ngày"),
    ],
)
def test_a_filter_writes_as_vietnamese_do(template, value, text):
    assert render(template, v=value) == text


# --- marks


def test_bands_differ_in_drawing_and_words_not_only_in_colour():
    drawn = [str(tags.band_badge(make_band(name, name))) for name in ("good", "info", "warning", "danger")]

    assert len({re.search(r"#([a-z-]+)", html)[1] for html in drawn}) == 4
    assert tags.band_badge(None) == ""


def test_a_state_badge_speaks_for_whatever_has_a_state_or_a_status():
    job = apps.get_model("core", "Job")(state="FAILED")
    submission = apps.get_model("indicators", "Submission")(status="SUBMITTED")

    assert "Thất bại" in tags.state_badge(job)
    assert "is-danger" in tags.state_badge(job)
    assert "Chờ duyệt" in tags.state_badge(submission)
    assert "Theo văn bản" in tags.state_badge(make_value(number=1))
    assert tags.state_badge(None) == ""


def test_an_icon_speaks_only_when_it_has_a_name():
    assert 'aria-hidden="true"' in tags.icon("bell")
    assert 'aria-label="Thông báo"' in tags.icon("bell", "Thông báo")


# --- lists


def test_a_link_of_the_list_keeps_the_filters():
    html = render("{% querystring_with page=2 %}", "/cong-trinh/?q=nghia+phu&page=7&status=A&status=B")

    assert html.replace("&amp;", "&") == "?q=nghia+phu&status=A&status=B&page=2"


def test_an_empty_change_drops_the_parameter():
    assert render("{% querystring_with q=None %}", "/?q=a") == "?"


def test_a_filter_with_markup_in_it_cannot_leave_its_attribute():
    html = render("{% sort_head 'Tên' 'name' %}", '/?q="><script>alert(1)</script>')

    assert "<script" not in html


@pytest.mark.parametrize(
    ("path", "leads_to", "order"),
    [
        ("/", "?sort=name", ""),
        ("/?sort=name", "?sort=-name", "ascending"),
        ("/?sort=-name", "?sort=name", "descending"),
    ],
)
def test_a_column_head_sorts_up_then_down(path, leads_to, order):
    html = render("{% sort_head 'Tên' 'name' %}", path)

    assert f'href="{leads_to}"' in html
    assert (f'aria-sort="{order}"' in html) == bool(order)


def test_sorting_starts_again_at_the_first_page():
    assert "page" not in render("{% sort_head 'Tên' 'name' %}", "/?page=3&q=a")


def test_pages_keep_the_filters_and_count_in_vietnamese():
    page = Paginator(range(1_234), 50).get_page(2)

    html = render("{% pagination page %}", "/?q=a&page=2", page=page)

    assert "51–100 trong 1.234" in html
    assert 'href="?q=a&amp;page=3"' in html
    assert 'href="?q=a" rel="prev"' in html


def test_a_list_of_nothing_has_no_pages():
    assert render("{% pagination page %}", page=Paginator([], 50).get_page(1)) == ""


def test_the_export_takes_what_is_on_screen():
    html = render("{% export_menu %}", "/?status=A&sort=-name&page=3")

    assert "?status=A&amp;sort=-name&amp;export=xlsx" in html
    assert "export=csv" in html


class Filter(forms.Form):
    q = forms.CharField(label="Tìm", required=False)
    status = forms.ChoiceField(label="Tình trạng", required=False, choices=[("", "Tất cả"), ("A", "Chạy")])


def test_the_filter_bar_works_without_htmx_and_keeps_the_order():
    html = render("{% filter_bar form %}", "/?sort=-name", form=Filter({}))

    assert 'method="get"' in html
    assert '<input type="hidden" name="sort" value="-name">' in html
    assert "hx-get" not in html
    assert "Xóa lọc" not in html


def test_a_filtered_list_can_be_cleared():
    query = {"q": "nghĩa phú"}

    html = render("{% filter_bar form target='#list' %}", "/cong-trinh/?q=x", form=Filter(query))

    assert 'href="/cong-trinh/"' in render("{% filter_bar form %}", "/cong-trinh/?q=x", form=Filter(query))
    assert "Xóa lọc" in html
    assert 'hx-target="#list"' in html
    assert 'hx-push-url="true"' in html


# --- parts


def test_a_field_ties_label_control_help_and_error_together():
    class Form(forms.Form):
        name = forms.CharField(label="Tên", help_text="Như trên biển tên.")

    html = render("{% field form.name %}", form=Form({"name": ""}))

    assert 'for="id_name"' in html
    assert 'aria-describedby="id_name_helptext id_name_error"' in html
    assert 'id="id_name_helptext"' in html
    assert 'id="id_name_error"' in html
    assert 'aria-invalid="true"' in html


def test_a_question_is_a_form_that_posts_with_its_token():
    html = render("{% confirm_dialog 'del' 'Xóa?' 'Không lấy lại được.' '/xoa/' 'Xóa' danger=True %}")

    assert '<dialog class="confirm" id="del"' in html
    assert 'method="post" action="/xoa/"' in html
    assert re.search(r'name="csrfmiddlewaretoken" value="\w{20,}"', html)


def test_a_passage_is_quoted_with_a_link_to_where_it_stands():
    document = Document(key="ke-hoach-79", kind="Kế hoạch", number="79/KH-TTNS", title="Kế hoạch", issuer="Trung tâm")
    passage = Passage(document=document, key="phu-luc-1-dong-5", section="Phụ lục 1, dòng 5", text="…")

    html = render("{% provenance passage %}", passage=passage)

    assert "Nguồn: " in html
    assert 'href="/van-ban/ke-hoach-79/#phu-luc-1-dong-5">Kế hoạch 79/KH-TTNS, Phụ lục 1, dòng 5</a>' in html
    assert render("{% provenance passage %}", passage=None) == ""


def test_a_recalled_source_says_that_nobody_compared_it():
    document = Document(key="qd", title="Quyết định", issuer="Bộ", confidence="recalled")

    html = render("{% provenance passage %}", passage=Passage(document=document, key="a", section="Mục 1", text="…"))

    assert "chưa đối chiếu văn bản" in html


def test_a_chart_stands_beside_a_table_of_the_same_data():
    data = {
        "type": "bar",
        "unit": "hộ",
        "decimals": 0,
        "categories": ["2025", "2026"],
        "series": [{"name": "Thực hiện", "values": [15_932, None]}],
    }

    html = render("{% chart 'c' data 'Hộ được cấp' %}", data=data)
    drawn = json.loads(re.search(r'<script id="c-data" type="application/json">(.*?)</script>', html)[1])

    assert drawn["series"][0]["values"] == [15_932, None]
    assert "15.932</td>" in html
    assert "–</td>" in html
    assert 'data-chart="c-data"' in html


def test_a_scatter_names_its_points_in_the_table():
    data = {"type": "scatter", "decimals": 1, "series": [{"name": "Trạm", "values": [(10, 17.9, "Nghĩa Phú")]}]}

    html = render("{% chart 's' data 'Thất thoát' %}", data=data)

    assert "Nghĩa Phú</th>" in html
    assert "17,9</td>" in html


def test_data_for_a_chart_or_map_cannot_end_its_script():
    data = {"points": [{"lat": 15, "lon": 108, "title": "</script><script>alert(1)</script>"}]}

    html = render("{% point_map 'm' data 'Bản đồ' %}", data=data)

    assert "<script>alert" not in html
    assert "không thể hiện địa giới hành chính" in html


def test_a_history_shows_moments_and_days():
    events = [
        {"at": datetime(2026, 2, 14, 0, 5, tzinfo=UTC), "text": "Duyệt", "person": "Hoà"},
        {"at": date(2026, 2, 1), "text": "Lập"},
    ]

    html = render("{% timeline events %}", events=events)

    assert "14/02/2026 07:05 · Hoà" in html
    assert "01/02/2026" in html


def test_progress_is_a_number_of_how_many():
    assert "25 % · 300/1.200 · Đang tính" in render("{% progress_bar 300 1200 'Đang tính' %}")
    assert "value=" not in render("{% progress_bar 0 0 %}")


def test_tabs_and_breadcrumbs_say_where_one_is():
    items = [("a", "Tổng quan", "?"), ("b", "Số liệu", "?t=b", 1_200)]

    html = render("{% tabs items 'b' %}{% breadcrumbs 'Công trình' '/cong-trinh/' 'Trạm A' %}", items=items)

    assert re.search(r'href="\?t=b" aria-current="page">Số liệu <span class="count">1.200', html)
    assert '<li aria-current="page">Trạm A</li>' in html
