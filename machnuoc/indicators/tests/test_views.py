"""The screens of figures: what each role sees, what it may change, and how often the database is asked."""

import csv
import io
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse

from machnuoc.core.models import Person
from machnuoc.core.periods import Period
from machnuoc.indicators import operations, panels
from machnuoc.indicators.models import BandScheme, Fact, FormulaVersion, Metric, State, Value
from machnuoc.places.models import Subject

pytestmark = pytest.mark.usefixtures("demo_data", "db")
BACKEND = "django.contrib.auth.backends.ModelBackend"
UTILISATION = "works.utilisation_households_pct"
EVERYONE = (
    "quantri", "qn.lanhdao", "qn.khkt", "qn.hcth", "qn.binhchanh", "qn.nghiaphu", "qn.sonnmt", "cb.soxaydung",
    "cb.capnuoc", "cb.baolac", "cb.phuchoa", "doitac",
)  # fmt: skip


def browser(username: str) -> Client:
    client = Client()
    client.force_login(Person.objects.get(username=username), backend=BACKEND)
    return client


def value(key: str, subject: str, period: str = "2025", scenario: str = "A") -> Value:
    start = Period.parse(period).start_date
    return Value.objects.get(
        metric__key=key, subject__key=subject, period_kind="Y", period_start=start, scenario=scenario
    )


def page(client: Client, address: str, **query: str) -> str:
    answer = client.get(address, query)
    assert answer.status_code == 200, (address, answer.status_code)
    return answer.content.decode().replace("\u00a0", " ")


def detail(key: str) -> str:
    return reverse("indicators:detail", args=[key])


@pytest.mark.parametrize("username", EVERYONE)
def test_everyone_reads_the_catalogue_and_published_figures(username):
    client = browser(username)

    assert "Tỷ lệ thất thoát" in page(client, reverse("indicators:list"))
    for tab in ("ranking", "map", "time", "source"):
        page(client, detail(UTILISATION), tab=tab)
    assert "73,1 %" in page(client, reverse("indicators:value", args=[value(UTILISATION, "vn.quang-ngai").pk]))


@pytest.mark.parametrize(
    ("username", "status"),
    [("quantri", 200), ("qn.lanhdao", 200), ("qn.khkt", 200), ("qn.nghiaphu", 200), ("qn.sonnmt", 200),
     ("qn.binhchanh", 404), ("cb.soxaydung", 404), ("cb.capnuoc", 404), ("cb.phuchoa", 404)],
)  # fmt: skip
def test_the_figure_of_a_station_is_there_only_for_who_has_it_in_scope(username, status):
    pk = value(UTILISATION, "work.qn.nghia-phu").pk
    client = browser(username)

    assert client.get(reverse("indicators:value", args=[pk])).status_code == status
    assert client.get(reverse("indicators:value_branch", args=[pk])).status_code == status


@pytest.mark.parametrize("name", ["formula", "bands", "formula_check"])
@pytest.mark.parametrize("username", [name for name in EVERYONE if name != "quantri"])
def test_only_the_administrator_of_all_changes_what_is_computed(username, name):
    client = browser(username)
    address = reverse(f"indicators:{name}", args=["losses.nrw_pct"])

    assert client.post(address, {"numerator": "1"}).status_code == 403
    assert client.get(reverse("indicators:add")).status_code == 403


def test_a_stranger_is_sent_to_sign_in():
    for address in (reverse("indicators:list"), detail(UTILISATION), reverse("indicators:value", args=[1])):
        assert Client().get(address).status_code == 302


def test_the_catalogue_is_searched_and_says_where_there_is_no_figure():
    client = browser("quantri")

    assert "chưa có số liệu" in page(client, reverse("indicators:list"), q="san luong")
    assert "Không có chỉ tiêu nào khớp" in page(client, reverse("indicators:list"), q="xyzxyz")
    rural = page(client, reverse("indicators:list"), field="URBAN", kind="INDICATOR")
    assert "dân số đô thị" in rural and "dân số nông thôn" not in rural


def test_the_page_of_losses_shows_bands_as_printed_and_that_the_sheets_are_not_in_the_text():
    text = page(browser("cb.soxaydung"), detail("losses.nrw_pct"), tab="source")

    for edges in ("từ 15 % trở xuống", "từ trên 15 % đến dưới 25 %", "từ 25 % đến 50 %", "trên 50 %"):
        assert edges in text
    assert "chưa đối chiếu văn bản" in text
    assert "(«Nước vào mạng» − «Nước ghi thu») ÷ «Nước vào mạng» × 100" in text
    assert "II.3, ghi chú dưới Biểu 02" in text
    ranking = page(browser("cb.soxaydung"), detail("losses.nrw_pct"))
    assert "không in số liệu của từng công trình" in ranking
    assert "≤ 15 %" in ranking and "trên 15 %" in ranking and "≤ 15% ≤" not in ranking


def test_plan_stands_beside_what_was_done():
    text = page(browser("cb.soxaydung"), detail("losses.nrw_pct"))

    assert "bình quân 17,9 %" in text
    assert "khoảng 15,0 %" in text and "Năm 2026" in text


def test_an_indicator_without_figures_says_so():
    text = page(browser("quantri"), detail("works.utilisation_volume_pct"))

    assert "Chưa có số liệu" in text and "không có nghĩa là 0" in text
    assert "không in số liệu của từng công trình" in text


def test_period_and_scenario_are_in_the_address():
    client = browser("cb.soxaydung")

    plan = page(client, detail("coverage.urban_pct"), period="2026", scenario="P")
    assert "87,4 %" in plan and "81,9 %" not in plan
    assert client.get(detail("coverage.urban_pct"), {"period": "khong-phai"}).status_code == 404
    assert client.get(detail("khong.co")).status_code == 404


def test_the_ranking_exports_what_is_on_screen():
    client = browser("qn.lanhdao")

    answer = client.get(detail(UTILISATION), {"export": "csv", "level": "part", "sort": "number"})
    rows = list(csv.reader(io.StringIO(b"".join(answer.streaming_content).decode("utf-8-sig"))))

    assert len(rows) == 30
    assert rows[0][:5] == ["Nơi", "Loại", "Tỉnh, thành phố", "Hạng", "Số liệu (%)"]
    assert rows[1][0] == "Trạm Hành Đức" and rows[1][4] == "12.9" and rows[1][3] == "29"


def test_the_map_colours_points_by_band_and_lists_them():
    text = page(browser("cb.soxaydung"), detail("losses.nrw_pct"), tab="map", level="part")

    assert '"tone":"good"' in text and '"tone":"neutral"' in text
    assert "chưa có tọa độ" in text


def test_the_page_of_a_figure_says_whether_it_is_what_its_inputs_give():
    text = page(browser("qn.nghiaphu"), reverse("indicators:value", args=[value(UTILISATION, "work.qn.nghia-phu").pk]))

    assert "Khớp" in text and "702 hộ" in text and "425 hộ" in text and "277 hộ" in text
    assert "Phụ lục 1, dòng 10" in text
    assert reverse("api:get_figure", args=[value(UTILISATION, "work.qn.nghia-phu").pk]) in text


def test_a_branch_comes_as_a_part_for_htmx_and_as_a_page_without_it():
    client = browser("qn.lanhdao")
    address = reverse("indicators:value_branch", args=[value(UTILISATION, "work.qn.nghia-phu").pk])

    part = client.get(address, headers={"HX-Request": "true"}).content.decode()
    whole = client.get(address).content.decode()

    assert part.lstrip().startswith('<ol class="lineage branch-nodes">') and "702" in part
    assert "<html" in whole and "702" in whole


def test_the_history_shows_former_versions_with_reason_and_tree():
    now = datetime(2026, 7, 1, tzinfo=UTC)
    fact = Fact.objects.get(metric__key="works.households_connected", subject__key="work.qn.binh-chanh")
    operations.state_fact(
        metric=fact.metric, subject=fact.subject, period=Period.parse("2025"), number=Decimal(1300),
        state=State.STATED, passage=fact.passage, now=now,
    )  # fmt: skip
    operations.recompute_dirty(now)
    address = reverse("indicators:value", args=[value("works.households_connected", "org.qn.trung-tam").pk])
    client = browser("qn.lanhdao")

    assert "sửa số liệu: Số hộ đấu nối sử dụng nước, năm 2025" in page(client, address)
    former = page(client, address, version="1")
    assert "Phiên bản 1: 25.330 hộ" in former and "Dựng lại được" in former
    assert client.get(address, {"version": "7"}).status_code == 404


def test_a_formula_is_checked_while_it_is_typed():
    client = browser("quantri")
    address = reverse("indicators:formula_check", args=["losses.nrw_pct"])

    given = {"numerator": "losses.billed_m3", "denominator": "losses.system_input_m3", "factor": "100"}
    good = client.post(address, given)
    bad = client.post(address, {"numerator": "losses.billed_m3 +", "factor": "100"})

    assert "«Nước ghi thu» ÷ «Nước vào mạng» × 100" in good.content.decode()
    assert "Công thức chưa kết thúc" in bad.content.decode()


def test_the_administrator_gives_a_formula_from_a_day_on():
    client = browser("quantri")
    address = reverse("indicators:formula", args=[UTILISATION])
    given = {"numerator": "2 * works.households_connected", "denominator": "works.households_design", "factor": "100"}

    refused = client.post(address, given)
    assert "cần ngày bắt đầu áp dụng" in refused.content.decode()
    saved = client.post(address, {**given, "from_date": "2025-01-01"}, follow=True)

    assert "Đã lưu công thức phiên bản 2" in saved.content.decode()
    version = FormulaVersion.objects.get(metric__key=UTILISATION, version=2)
    assert version.created_by.username == "quantri"
    assert value(UTILISATION, "org.qn.trung-tam").number == 1462


@pytest.mark.parametrize(
    ("numerator", "denominator", "field", "words"),
    [
        ("losses.biled_m3", "losses.system_input_m3", "numerator", "Không có số liệu"),
        ("losses.billed_m3", "works.households_design +", "denominator", "Công thức chưa kết thúc"),
        ("losses.nrw_pct", "losses.nrw_pct", None, "Công thức quay vòng"),
    ],
)
def test_errors_of_a_formula_stand_at_their_box(numerator, denominator, field, words):
    answer = browser("quantri").post(
        reverse("indicators:formula", args=["losses.nrw_pct"]),
        {"numerator": numerator, "denominator": denominator, "factor": "100", "from_date": "2027-01-01"},
    )

    assert words in str(answer.context["form"].errors.get(field or "__all__"))
    assert FormulaVersion.objects.filter(metric__key="losses.nrw_pct").count() == 1


def levels(*rows: tuple[str, str, bool, str, bool, str]) -> dict[str, str]:
    data = {"level-TOTAL_FORMS": str(len(rows) + 1), "level-INITIAL_FORMS": "0"}
    for number, (label, lower, lower_in, upper, upper_in, severity) in enumerate(rows):
        data |= {f"level-{number}-label": label, f"level-{number}-lower": lower, f"level-{number}-upper": upper}
        data[f"level-{number}-severity"] = severity
        data |= {f"level-{number}-lower_inclusive": "on"} if lower_in else {}
        data |= {f"level-{number}-upper_inclusive": "on"} if upper_in else {}
    data[f"level-{len(rows)}-severity"] = "info"
    return data


def test_the_administrator_gives_bands_and_they_colour_the_figures():
    client = browser("quantri")
    address = reverse("indicators:bands", args=[UTILISATION])
    quang_ngai = Subject.objects.get(key="vn.quang-ngai")
    rows = levels(("Chưa hết", "", True, "100", True, "good"), ("Vượt", "100", False, "", True, "danger"))

    page(client, address)
    client.post(address, {"name": "Mức khai thác", "scope": str(quang_ngai.pk), "valid_from": "", **rows})

    assert BandScheme.objects.get(metric__key=UTILISATION).scope == quang_ngai
    assert value(UTILISATION, "work.qn.duc-chanh").band.label == "Vượt"
    assert value(UTILISATION, "org.qn.trung-tam").band.label == "Chưa hết"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (levels(("Thấp", "", True, "10", True, "good"), ("Cao", "20", True, "", True, "danger")), "khoảng trống"),
        (levels(("Thấp", "", True, "mười", True, "good")), "mười"),
        (levels(), "Chưa có mức nào"),
    ],
)
def test_bad_bands_are_refused_in_words_and_nothing_is_written(rows, words):
    answer = browser("quantri").post(
        reverse("indicators:bands", args=[UTILISATION]), {"name": "Mức", "scope": "", "valid_from": "", **rows}
    )

    assert words in answer.content.decode()
    assert not BandScheme.objects.filter(metric__key=UTILISATION).exists()


def test_the_administrator_adds_an_own_indicator_and_goes_on_to_its_formula():
    given = {
        "name": "Tỷ lệ ghi thu", "short_name": "Tỷ lệ ghi thu", "key": "", "definition": "Ghi thu trên nước vào mạng.",
        "kind": "INDICATOR", "unit": "pct", "decimals": "1", "subject_kind": "WORK", "period_kinds": ["M", "Y"],
        "time_how": "NONE", "parts_how": "SUM", "direction": "HIGHER", "field": "ALL",
    }  # fmt: skip
    client = browser("quantri")

    answer = client.post(reverse("indicators:add"), given)
    again = client.post(reverse("indicators:add"), given)

    metric = Metric.objects.get(key="own.ty_le_ghi_thu")
    assert answer.url == reverse("indicators:formula", args=[metric.key])
    assert (metric.period_kinds, metric.source) == ("MY", "COMPUTED")
    assert "đã được dùng" in again.content.decode()


def test_the_overview_of_quang_ngai_shows_the_figures_of_its_plan():
    shown = panels.overview(Person.objects.get(username="qn.lanhdao"))
    (standing,) = [panel for panel in shown if panel.region == "standing"]
    tiles = {tile["label"]: tile for tile in standing.context["tiles"]}

    assert standing.title.startswith("Trung tâm Nước sạch")
    numbers = {label: tile["value"].number for label, tile in tiles.items()}
    assert numbers["Hộ đấu nối"] == 25_330 and numbers["Thiết kế (hộ)"] == 34_657
    assert numbers["Hộ theo kế hoạch"] == 26_930 and numbers["Hộ tăng theo kế hoạch"] == 1600
    assert numbers["Tăng theo kế hoạch"] == 632
    assert standing.context["charts"]


def test_the_overview_of_cao_bang_shows_loss_spread_and_coverage_with_their_targets():
    agency = browser("cb.soxaydung")
    text = page(agency, reverse("core:overview"))

    for figure in ("17,9 %", "12–72,5 %", "khoảng 15,0 %", "81,9 %", "87,4 %"):
        assert figure in text
    waiting = page(agency, reverse("core:later_overview", args=["now"]))
    assert "Tĩnh Túc: bao phủ đô thị ở mức «Chưa có dịch vụ»" in waiting


def test_the_side_bar_offers_entry_and_approval_to_who_may():
    def titles(username: str) -> list[str]:
        return [item.title for item in panels.navigation(Person.objects.get(username=username))]

    assert titles("qn.binhchanh") == ["Chỉ tiêu", "Nhập liệu"]
    assert titles("qn.lanhdao") == ["Chỉ tiêu", "Duyệt"]
    assert titles("doitac") == ["Chỉ tiêu"]


def test_the_page_of_a_subject_shows_its_newest_figures_only_in_scope():
    centre = Subject.objects.get(key="org.qn.trung-tam")

    (panel,) = panels.for_subject(Person.objects.get(username="qn.lanhdao"), centre)
    assert {row.metric.key for row in panel.context["rows"]} >= {UTILISATION, "works.households_connected"}
    assert panels.for_subject(Person.objects.get(username="qn.binhchanh"), centre) == []


def test_numbers_of_the_address_that_no_row_can_have_are_not_found():
    client = browser("quantri")
    address = reverse("indicators:value_branch", args=[value(UTILISATION, "vn").pk])

    assert client.get("/so-lieu/99999999999999999999/").status_code == 404
    assert client.get(address, {"group": "99999999999999999999"}).status_code == 404
    assert client.get(address, {"group": "x"}).status_code == 404
    assert client.get(detail(UTILISATION), {"page": "-1", "band": "9" * 30}).status_code == 200


@pytest.mark.parametrize("username", ["quantri", "qn.lanhdao", "qn.binhchanh"])
def test_pages_ask_a_fixed_number_of_times(username, django_assert_max_num_queries):
    client = browser(username)
    pk = value(UTILISATION, "vn.quang-ngai").pk
    addresses = [
        reverse("indicators:list"), detail(UTILISATION), detail("losses.nrw_pct") + "?tab=source",
        detail(UTILISATION) + "?tab=map", detail(UTILISATION) + "?tab=time", reverse("indicators:value", args=[pk]),
    ]  # fmt: skip
    for address in addresses:
        with django_assert_max_num_queries(15):
            client.get(address)
