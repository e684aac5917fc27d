"""A commune's yearly report on the rural clean-water indicator set (QĐ 1893/QĐ-BNN-TL): six indicators and their parts.

The percentages follow from what the commune entered; it never enters a percentage.
"""

from collections.abc import Iterable

from machnuoc.core.figures import NO_FIGURE
from machnuoc.indicators.models import Metric
from machnuoc.planning import rural_indicators
from machnuoc.reports import kinds
from machnuoc.reports.contents import common
from machnuoc.reports.kinds import Context, Figure, Gathered, Kind, Section, TableColumn, TableSpec

INDICATORS = TableSpec(
    "indicators",
    "Biểu 1. Kết quả Bộ chỉ số theo dõi – đánh giá nước sạch nông thôn",
    (
        TableColumn("label", "Chỉ số", 4.4),
        TableColumn("before", "Năm trước", 1.6, is_number=False),
        TableColumn("now", "Năm báo cáo", 1.6, is_number=False),
    ),
    after="indicators",
)
ENTERED = TableSpec(
    "entered",
    "Số liệu thu thập để tính Bộ chỉ số",
    (
        TableColumn("", "TT", 0.5),
        TableColumn("label", "Nội dung", 4.4),
        TableColumn("before", "Năm trước", 1.6, is_number=False),
        TableColumn("now", "Năm báo cáo", 1.6, is_number=False),
    ),
    notes=("Số liệu do xã thu thập, kiểm tra; tỷ lệ được tính từ các số này, không nhập trực tiếp.",),
)
OUTLINE = (
    Section("opening", "Mở đầu", 0),
    Section("collection", "Công tác thu thập, kiểm tra số liệu", 1),
    Section("indicators", "Kết quả các chỉ số", 1),
    Section("sustainability", "Công trình cấp nước tập trung và tính bền vững", 1),
    Section("warnings", "Nguy cơ cạn kiệt nguồn nước, ô nhiễm nguồn nước", 1),
    Section("obstacles", "Khó khăn, vướng mắc", 1),
    Section("requests", "Giải pháp và kiến nghị", 1),
)


def gather(context: Context) -> Gathered:
    """Return the indicators of the commune in the year and the year before."""
    shown = list(_rows(context, "indicators", list(rural_indicators.INDICATORS.values()), numbered=True))
    entered = list(_rows(context, "entered", list(rural_indicators.ENTERED)))
    by_key = {figure.key: figure for figure in (*shown, *entered)}
    given = sum(by_key[f"entered/{key}/now"].value is not None for key in rural_indicators.ENTERED)
    number = len(rural_indicators.ENTERED)
    suggestions = {
        "opening": common.opening(context, "kết quả cập nhật Bộ chỉ số"),
        "collection": (
            f"Đã có {given}/{number} số liệu đầu vào của {common.period_words(context.period)} (Phụ lục)."
            if given
            else common.missing(f"Số liệu đầu vào của {common.period_words(context.period)}")
        ),
        "indicators": _about(by_key),
        "sustainability": _one(by_key, "rural.schemes_sustainable_pct", "Tỷ lệ công trình hoạt động bền vững"),
        "warnings": common.missing("Cảnh báo cạn kiệt, ô nhiễm nguồn nước"),
        "obstacles": "",
        "requests": "",
    }
    addressee, to_organisation = common.receiver(context, "commune_indicators")
    return Gathered(
        figures=(*shown, *entered),
        suggestions=suggestions,
        addressee=addressee,
        to_organisation=to_organisation,
        title="Kết quả cập nhật Bộ chỉ số theo dõi – đánh giá nước sạch nông thôn "
        + common.period_words(context.period),
        recipients=("Như trên", "Thường trực Đảng ủy, HĐND xã", "Các thôn", "Lưu: VT"),
        signer_capacity="TM. ỦY BAN NHÂN DÂN\nCHỦ TỊCH",
    )


def _rows(context: Context, table: str, keys: list[str], *, numbered: bool = False) -> Iterable[Figure]:
    metrics = {metric.key: metric for metric in Metric.objects.filter(key__in=keys)}
    before, now = context.period.previous, context.period
    values = kinds.read_values(keys, [context.subject.pk], [before, now])
    numbers = {metric: number for number, metric in rural_indicators.INDICATORS.items()}
    for key in keys:
        name = f"{numbers[key]}. {metrics[key].name}" if numbered else metrics[key].name
        for column, period in (("before", before), ("now", now)):
            yield kinds.figure_of(
                f"{table}/{key}/{column}", name, values.get((key, context.subject.pk, period.key)), with_band=True
            )


def _about(by_key: dict[str, Figure]) -> str:
    lines = []
    for number in ("1", "2", "3", "4", "5", "6"):
        figure = by_key[f"indicators/{rural_indicators.INDICATORS[number]}/now"]
        lines.append(f"- Chỉ số {figure.label}: {figure.display}.")
    if all(line.endswith(f"{NO_FIGURE}.") for line in lines):
        return common.missing("Sáu chỉ số của năm báo cáo")
    return "\n".join([*lines, "Chi tiết tại Biểu 1."])


def _one(by_key: dict[str, Figure], key: str, words: str) -> str:
    figure = by_key[f"indicators/{key}/now"]
    return f"{words}: {figure.display}." if figure.value is not None else common.missing(words)


KIND = kinds.register(
    Kind(
        key="commune_indicators",
        name="Báo cáo Bộ chỉ số nước sạch nông thôn của xã",
        period_kind="Y",
        outline=OUTLINE,
        tables=(INDICATORS, ENTERED),
        gather=gather,
        plan_key="ct.bo-chi-so-2024",
        field="RURAL",
    )
)
