"""Every figure leads down to document, section and quotation, or to person and time."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.urls import reverse

from machnuoc.core.models import Person
from machnuoc.core.periods import Period
from machnuoc.indicators import formula, lineage, operations, queries
from machnuoc.indicators.models import EntryForm, Fact, FormulaVersion, Metric, State, Submission, Value
from machnuoc.places.models import Organisation, Subject

pytestmark = pytest.mark.usefixtures("demo_data", "db")
NOW = datetime(2026, 7, 1, 3, 0, tzinfo=UTC)
LATER = datetime(2026, 8, 1, 3, 0, tzinfo=UTC)


def person(username: str) -> Person:
    return Person.objects.get(username=username)


def get(key: str, subject: str, period: str, reader: str = "quantri") -> Value:
    wanted = Period.parse(period)
    pk = Value.objects.get(
        metric__key=key, subject__key=subject, period_kind=wanted.kind, period_start=wanted.start_date, scenario="A"
    ).pk
    return lineage.get_value(pk, person(reader))


def tree(key: str, subject: str, period: str, reader: str = "quantri") -> lineage.Node:
    return lineage.lineage(get(key, subject, period, reader), person(reader))


def nodes(node: lineage.Node) -> list[lineage.Node]:
    return [node, *(inner for child in node.children for inner in nodes(child))]


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


def test_every_figure_of_the_demonstration_reaches_a_passage_or_a_branch():
    reader = person("quantri")
    for pk in Value.objects.values_list("pk", flat=True):
        root = lineage.lineage(lineage.get_value(pk, reader), reader)
        for leaf in lineage.leaves(root):
            if leaf.kind in {"formula", "note"} or leaf.branch_url or (leaf.kind == "input" and leaf.url):
                continue
            assert leaf.kind == "passage", (pk, leaf)
            assert leaf.passage.section and leaf.passage.text and leaf.passage.document.title


def test_every_figure_of_the_demonstration_is_what_its_inputs_give():
    reader = person("quantri")
    every = Value.objects.values_list("pk", flat=True)

    wrong = [pk for pk in every if not lineage.recheck(lineage.get_value(pk, reader)).is_same]

    assert wrong == []


def test_nghia_phu_is_its_own_line_and_its_subscheme_over_one_design():
    root = tree("works.utilisation_households_pct", "work.qn.nghia-phu", "2025")
    figures = {plain(f"{node.title}: {node.text}") for node in nodes(root)}

    assert plain(root.text) == "73,9 %"
    assert "«Hộ đấu nối», năm 2025: 702 hộ" in figures
    assert "Riêng Trạm Nghĩa Phú, không kể phân hệ: 425 hộ" in figures
    assert "Số hộ đấu nối sử dụng nước: Cổ Lũy Làng Cá: 277 hộ" in figures
    assert "«Thiết kế (hộ)», năm 2025: 950 hộ" in figures
    assert {node.passage.section for node in nodes(root) if node.kind == "passage"} == {
        "Phụ lục 1, dòng 10", "Phụ lục 1, dòng 10 (Cổ Lũy Làng Cá)",
    }  # fmt: skip


def test_the_centre_shows_formula_sums_and_29_parts():
    root = tree("works.utilisation_households_pct", "org.qn.trung-tam", "2025")
    formula_node, top, bottom, parts = root.children

    assert dict(formula_node.details)["Bằng lời"] == "«Hộ đấu nối» ÷ «Thiết kế (hộ)» × 100"
    assert formula_node.text == "100 * works.households_connected / works.households_design"
    assert plain(top.text) == "25.330 hộ" and plain(bottom.text) == "34.657 hộ"
    assert top.value.subject.key == "org.qn.trung-tam"
    assert [node.kind for node in parts.children] == ["part"] * 29
    assert plain(parts.text) == "25.330 / 34.657 = 73,1 %"


def test_beyond_the_scope_of_the_reader_the_tree_stops_at_a_subtotal():
    root = tree("works.utilisation_households_pct", "vn.quang-ngai", "2025", "qn.binhchanh")
    mine, outside = root.children[-1].children

    assert mine.title == "Trạm Bình Chánh"
    assert outside.kind == "outside" and not outside.children and not outside.branch_url
    assert outside.title == "28 công trình ngoài phạm vi của bạn"
    assert plain(outside.text) == "tổng: 24.042 / 33.057 = 72,7 %"


def test_a_reader_without_any_part_sees_the_subtotal_alone():
    root = tree("works.households_connected", "vn.quang-ngai", "2025", "cb.soxaydung")

    assert [node.kind for node in root.children[0].children] == ["outside"]


def test_a_figure_out_of_scope_does_not_exist_for_the_reader():
    pk = get("works.households_connected", "org.qn.trung-tam", "2025").pk

    with pytest.raises(Value.DoesNotExist):
        lineage.get_value(pk, person("qn.binhchanh"))


@pytest.mark.parametrize(
    ("key", "subject", "text", "section"),
    [
        ("losses.nrw_pct", "vn.cao-bang", "17,9 %", "II.3"),
        ("losses.nrw_pct_spread", "vn.cao-bang", "12–72,5 %", "II.3"),
        ("losses.nrw_pct", "work.cb.tan-an", "≤ 15 %", "chú thích 1"),
        ("coverage.urban_pct", "urban.cb.tinh-tuc", "Chưa có dịch vụ", "II.4"),
    ],
)
def test_a_stated_figure_leads_straight_to_its_passage(key, subject, text, section):
    root = tree(key, subject, "2025")
    (fact,) = root.children
    (passage,) = fact.children

    assert plain(fact.text) == text
    assert section.lower() in passage.passage.section.lower()
    assert "Văn bản không in kỳ của số liệu" in fact.note
    assert dict(fact.details)["Như in trong văn bản"].startswith("«")


def test_entered_figures_lead_to_sender_and_approver():
    centre = Organisation.objects.get(subject__key="org.qn.tram-binh-chanh")
    work = Subject.objects.get(key="work.qn.binh-chanh")
    sent = Submission.objects.create(
        form=EntryForm.objects.get(key="tram-thang"), organisation=centre, period_start=date(2026, 5, 1),
        status="APPROVED", created_by=person("qn.binhchanh"), submitted_by=person("qn.binhchanh"), submitted_at=NOW,
        decided_by=person("qn.lanhdao"), decided_at=NOW,
    )  # fmt: skip
    operations.state_fact(
        metric=Metric.objects.get(key="works.households_connected"), subject=work, period=Period.parse("2026-05"),
        number=Decimal(1295), state=State.APPROVED, submission=sent, by=person("qn.lanhdao"), now=NOW,
    )  # fmt: skip
    operations.recompute_dirty(NOW)

    root = tree("works.households_connected", "work.qn.binh-chanh", "2026")
    (over,) = root.children
    (month,) = over.children

    assert over.title == "Lấy kỳ cuối cùng có số liệu trong năm 2026"
    assert dict(over.details)["Có số liệu"] == "1/12 kỳ"
    assert month.title.startswith("Tháng 05/2026") and plain(month.text) == "1.295 hộ"
    assert dict(month.details)["Người nộp"].startswith(person("qn.binhchanh").full_name)
    assert dict(month.details)["Người duyệt"].startswith(person("qn.lanhdao").full_name)
    assert lineage.recheck(get("works.households_connected", "work.qn.binh-chanh", "2026")).is_same


def correct_binh_chanh(number: int, now: datetime) -> None:
    fact = Fact.objects.get(
        metric__key="works.households_connected", subject__key="work.qn.binh-chanh", superseded_at__isnull=True
    )
    operations.state_fact(
        metric=fact.metric, subject=fact.subject, period=Period.parse("2025"), number=Decimal(number),
        state=State.STATED, passage=fact.passage, note="đính chính", now=now,
    )  # fmt: skip
    operations.recompute_dirty(now)


def test_a_former_version_is_rebuilt_from_what_its_parts_were_then():
    correct_binh_chanh(1300, NOW)

    def former(key: str, subject: str) -> lineage.FormerVersion:
        return lineage.former_version(get(key, subject, "2025"), 1, person("quantri"))

    leaf = former("works.households_connected", "work.qn.binh-chanh")
    ratio = former("works.utilisation_households_pct", "work.qn.binh-chanh")
    whole = former("works.utilisation_households_pct", "org.qn.trung-tam")

    assert plain(leaf.text) == "1.288 hộ" and leaf.is_reproducible
    assert leaf.root.children[0].children[0].kind == "passage"
    assert plain(ratio.text) == "80,5 %" and ratio.is_reproducible
    assert plain(whole.text) == "73,1 %" and whole.is_reproducible


def test_a_former_version_that_cannot_be_rebuilt_says_so():
    correct_binh_chanh(1300, NOW)
    whole = get("works.households_connected", "org.qn.trung-tam", "2025")
    whole.changes.update(number=99)

    former = lineage.former_version(whole, 1, person("quantri"))

    assert not former.is_reproducible
    assert former.verdict.startswith("Không dựng lại được")


def test_recheck_tells_what_the_inputs_give_where_a_value_differs():
    broken = get("works.households_connected", "org.qn.trung-tam", "2025")
    Value.objects.filter(pk=broken.pk).update(number=1)

    check = lineage.recheck(get("works.households_connected", "org.qn.trung-tam", "2025"))

    assert not check.is_same
    assert "25.330" in check.text


def test_a_part_with_a_zero_denominator_belongs_to_the_sum_without_a_figure_of_its_own():
    correct_binh_chanh(0, NOW)
    value = get("works.customer_growth_planned_pct", "org.qn.trung-tam", "2026")

    root = lineage.lineage(value, person("quantri"))

    assert lineage.recheck(value).is_same
    assert "1 công trình có mẫu số bằng 0" in root.children[-1].children[-1].title
    assert plain(value and queries.as_text(value, value.metric)) == "12,01 %"


def test_formulas_read_in_vietnamese():
    names = {"a.b": "Hộ đấu nối", "a.c": "Thiết kế"}

    def words(text: str) -> str:
        return lineage.in_words(formula.parse(text), names)

    assert words("(a.b - previous(a.b)) / a.c") == "(«Hộ đấu nối» − «Hộ đấu nối» kỳ trước) ÷ «Thiết kế»"
    assert words("count where a.b > a.c and not a.b = 0") == (
        "số nơi có («Hộ đấu nối» lớn hơn «Thiết kế») và (không phải («Hộ đấu nối» bằng 0))"
    )
    assert words("planned(a.b) + baseline(a.c, 2020)") == "«Hộ đấu nối» theo kế hoạch + «Thiết kế» năm 2020"
    assert words("max(a.b, 1.5)") == "số lớn nhất trong («Hộ đấu nối»; 1,5)"


def test_large_sums_are_opened_province_by_province(monkeypatch, django_assert_max_num_queries):
    monkeypatch.setattr(lineage, "PAGE_SIZE", 5)
    value = get("works.utilisation_households_pct", "vn", "2025")
    reader = person("quantri")

    with django_assert_max_num_queries(6):
        root = lineage.lineage(value, reader)
    (group,) = [node for node in root.children[-1].children if node.kind == "group"]

    assert group.title == "Tỉnh Quảng Ngãi"
    assert plain(group.text) == "25.330 / 34.657 = 73,1 %"
    province = Subject.objects.get(key="vn.quang-ngai")
    first = lineage.more_parts(value, reader, group=province)
    last = lineage.more_parts(value, reader, group=province, page=6)
    assert len(first) == 5 and f"group={province.pk}" in first[-1].more_url
    assert len(last) == 4 and not last[-1].more_url


def test_the_tree_asks_a_fixed_number_of_times(django_assert_max_num_queries):
    value = get("works.utilisation_households_pct", "org.qn.trung-tam", "2025")
    reader = person("quantri")

    with django_assert_max_num_queries(8):
        lineage.lineage(value, reader)


def test_the_tree_is_plain_data_for_programs():
    data = lineage.as_data(tree("losses.nrw_pct", "vn.cao-bang", "2025"))

    source = data["children"][0]["children"][0]["source"]
    assert data["figure"] == "17,9 %"
    assert source["section"] == "II.3" and "17,9%" in source["quotation"]


def test_a_formula_version_is_shown_with_who_set_it():
    version = FormulaVersion.objects.get(metric__key="losses.nrw_pct")
    version.created_by = person("quantri")

    node = lineage.formula_node(version, version.metric, lineage.names_of(version))

    assert dict(node.details)["Người đặt"] == person("quantri").full_name
    assert node.url == reverse("indicators:detail", args=["losses.nrw_pct"]) + "?tab=source"
