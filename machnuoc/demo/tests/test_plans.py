from collections import Counter
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

import pytest

from machnuoc.core import vietnamese
from machnuoc.demo import plans
from machnuoc.places import data_files

documents = {plan: plans.get_document(plan) for plan in plans.PLANS}
passage_keys = {plan: {passage.key for passage in document.passages} for plan, document in documents.items()}
stations = plans.list_stations()
station_by_name = {station.name: station for station in stations}
works = plans.list_works()
urban_areas = plans.list_urban_areas()
commune_by_code = {row.code: row for row in data_files.list_communes()}
former_by_key = {row.key: row for row in data_files.list_former_units()}


def text_of(plan: plans.Plan, key: str) -> str:
    return documents[plan].get_passage(key).text


def list_references(plan: plans.Plan) -> list[str]:
    """Every passage key that a row of the plan's files refers to."""
    rows = [*documents[plan].cited, *plans.list_organisations(plan), *plans.list_stated_values(plan)]
    references = [row.passage_key for row in rows]
    references += [row.parent_passage_key for row in plans.list_organisations(plan) if row.parent_key]
    if plan == "quang_ngai":
        references += [row.passage_key for row in stations]
    if plan == "cao_bang":
        references += [row.passage_key for row in (*works, *plans.list_aliases(), *urban_areas)]
        references += [row.status_passage_key for row in works]
    if plan == "lai_chau":
        references += [row.passage_key for row in plans.list_treatment_trains()]
    return references


# Documents and passages


@pytest.mark.parametrize("plan", plans.PLANS)
def test_every_reference_leads_to_a_passage(plan):
    assert set(list_references(plan)) <= passage_keys[plan]


@pytest.mark.parametrize("plan", plans.PLANS)
def test_passages_have_one_key_a_section_and_a_quotation_without_markup(plan):
    passages = documents[plan].passages

    assert len(passages) == len(passage_keys[plan])
    for passage in passages:
        assert passage.section.strip() and passage.text.strip()
        assert not set("*$\\<\t\n") & set(passage.text)


def test_an_unknown_passage_is_named_in_the_error():
    with pytest.raises(plans.UnknownPassage, match=r"doc\.cb\.kh-ubnd-2026-05 không có đoạn trích “ix\.9”"):
        documents["cao_bang"].get_passage("ix.9")


def test_number_and_date_of_quang_ngai_come_from_the_appendices():
    document = documents["quang_ngai"]

    assert (document.number, document.issue_date) == ("79/KH-TTNS", date(2026, 2, 10))
    assert document.number_printed in text_of("quang_ngai", "trang-dau")
    assert document.place_date_printed in text_of("quang_ngai", "trang-dau")
    for appendix in ("phu-luc-1", "phu-luc-2"):
        assert "Kế hoạch số 79/KH-TTNS ngày 10/02/2026" in text_of("quang_ngai", appendix)


def test_number_and_date_of_cao_bang_stay_blank_as_printed():
    document = documents["cao_bang"]

    assert document.number is None and document.issue_date is None
    assert text_of("cao_bang", "trang-dau") == f"{document.number_printed} {document.place_date_printed}"


@pytest.mark.parametrize("plan", plans.PLANS)
def test_cited_documents_are_quoted_with_number_and_date(plan):
    for cited in documents[plan].cited:
        quotation = text_of(plan, cited.passage_key)
        assert cited.number is None or cited.number in quotation
        assert cited.title in quotation or cited.passage_key == "ten"
        if cited.issue_date is not None:
            assert str(cited.issue_date.year) in quotation


def test_titles_and_signers_stand_in_the_text():
    for plan in ("quang_ngai", "cao_bang", "cam_tan", "khanh_hoa"):
        document = documents[plan]
        assert document.title in text_of(plan, "ten")
        assert document.signer in text_of(plan, "chu-ky")


@pytest.mark.parametrize(
    ("plan", "key", "quotation"),
    [
        ("quang_ngai", "ii.2.khach-hang", "1.600 hộ dân"),
        ("quang_ngai", "ii.2.tiep-nhan", "ít nhất 03 công trình"),
        ("quang_ngai", "iv.3.5", "chậm nhất ngày 14 hằng tháng và ngày 14 của tháng cuối quý"),
        ("quang_ngai", "phu-luc-2.3", "Trước 31/12/2026"),
        ("cao_bang", "ii.2.ghi-chu", "Cao: Tỷ lệ khai thác từ 90% đến 100%"),
        ("cao_bang", "ii.3.ghi-chu", "từ trên 15% đến dưới 25%"),
        ("cao_bang", "iii.3.6", "từ 20 - 24 giờ/ngày"),
        ("cao_bang", "vi.7", "0.169"),
        ("cao_bang", "vii.7.2", "nguồn nước bị ô nhiễm, trạm bơm bị ngập, mất điện hoặc hư hỏng tuyến ống"),
        ("cao_bang", "vii.ket", "trước ngày 15/11/2026"),
        ("cam_tan", "iv.3", "trước ngày 15/11 hàng năm"),
        ("lai_chau", "i.2.3", "Tỷ lệ hệ thống cấp nước khu vực nông thôn đạt 85,2%"),
        ("lai_chau", "iii.8.2", "định kỳ 06 tháng, 01 năm hoặc khi có yêu cầu đột xuất"),
        ("lai_chau", "iii.ket.1", "trước ngày 20 tháng 11 hàng năm"),
        ("khanh_hoa", "v.1", "1.489.867 triệu đồng"),
        ("khanh_hoa", "vii.2.4", "Không tiếp tục đề nghị điều chỉnh lộ trình các xã"),
        ("khanh_hoa", "vii.2.5", "trước ngày 25/9, cấp huyện hoàn tất hồ sơ trình cấp tỉnh trước ngày 20/10"),
    ],
)
def test_passages_that_later_commitments_rest_on_are_there(plan, key, quotation):
    assert quotation in text_of(plan, key)


# Keys across the files


def test_keys_are_used_once_over_all_plans():
    keys = [row.key for plan in plans.PLANS for row in plans.list_organisations(plan)]
    keys += [row.key for row in (*stations, *works, *urban_areas, *plans.list_treatment_trains())]
    keys += [document.key for document in documents.values()]

    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("plan", plans.PLANS)
def test_organisations_follow_their_parents(plan):
    seen = {""}
    for organisation in plans.list_organisations(plan):
        assert organisation.parent_key in seen
        assert bool(organisation.parent_key) == (organisation.parent_basis is not None)
        seen.add(organisation.key)


@pytest.mark.parametrize("plan", plans.PLANS)
def test_printed_names_of_organisations_are_in_their_passages(plan):
    for organisation in plans.list_organisations(plan):
        assert organisation.name_printed in text_of(plan, organisation.passage_key)


def test_authorities_of_the_districts_end_with_their_districts():
    ended = {row.key: row for plan in plans.PLANS for row in plans.list_organisations(plan) if row.valid_to}
    districts = {key: row for key, row in ended.items() if row.territory_key in former_by_key}

    assert len(districts) == 17  # 1 of Thanh Hóa, 8 of Lai Châu, 8 of Khánh Hòa
    for row in districts.values():
        assert row.valid_to == former_by_key[row.territory_key].valid_to_date
    assert "org.ct.phong-nnptnt" in ended


# Quảng Ngãi


def test_appendix_1_has_29_stations_and_one_sub_scheme():
    assert [row.stt for row in stations if row.stt is not None] == list(range(1, 30))
    assert [(row.name, row.parent_key) for row in stations if row.stt is None] == [
        ("Cổ Lũy Làng Cá", "work.qn.nghia-phu")
    ]


def test_the_totals_of_appendix_1_come_out_of_its_rows():
    design = sum(row.design_households for row in stations if row.design_households is not None)
    connected = sum(row.connected_2025 for row in stations)
    planned = sum(row.planned_2026 for row in stations)
    growth_pct = (Decimal(100 * (planned - connected)) / connected).quantize(Decimal("0.01"), ROUND_HALF_UP)

    assert (design, connected, planned, planned - connected) == (34_657, 25_330, 26_930, 1_600)
    assert growth_pct == Decimal("6.32")
    printed = text_of("quang_ngai", "phu-luc-1.tong-cong")
    assert printed.endswith("| 34.657 | 25.330 | 26.930 | 1.600 | 6,32")


@pytest.mark.parametrize("station", stations, ids=lambda station: station.key)
def test_each_row_gives_its_printed_growth_and_repeats_its_passage(station):
    growth_pct = (Decimal(100 * station.growth_households) / station.connected_2025).quantize(
        Decimal("0.01"), ROUND_HALF_UP
    )
    cells = text_of("quang_ngai", station.passage_key).split("|")
    printed = [vietnamese.parse_number(cell) for cell in (cell.strip() for cell in cells[3:])]

    # «-» is a missing figure everywhere else; in this column it stands for no growth, as 0,00 beside it says.
    assert (vietnamese.parse_number(station.growth_households_printed) or 0) == station.growth_households
    assert vietnamese.parse_number(station.growth_pct_printed) == growth_pct
    assert cells[1].strip() == station.name_printed
    assert cells[2].strip() == station.scope_printed
    assert printed[:3] == [station.design_households, station.connected_2025, station.planned_2026]


def test_the_design_of_nghia_phu_serves_its_sub_scheme_too():
    nghia_phu, co_luy = station_by_name["Trạm Nghĩa Phú"], station_by_name["Cổ Lũy Làng Cá"]

    assert (nghia_phu.connected_2025, co_luy.connected_2025) == (425, 277)
    assert (nghia_phu.design_households, co_luy.design_households) == (950, None)
    assert nghia_phu.connected_2025 + co_luy.connected_2025 <= 950
    assert nghia_phu.planned_2026 + co_luy.planned_2026 <= 950


def test_five_stations_are_connected_above_design_and_six_planned_above_it():
    def list_above_design(count) -> set[str]:
        households = Counter()
        for row in stations:
            households[row.parent_key or row.key] += count(row)
        return {row.name for row in stations if row.stt and households[row.key] > row.design_households}

    connected = list_above_design(lambda row: row.connected_2025)
    planned = list_above_design(lambda row: row.planned_2026)

    assert connected == {"Trạm Bình Thới", "Trạm Đức Chánh", "Trạm Phổ Vinh", "Trạm Đăk Cấm", "Trạm Ia Chim"}
    assert planned == connected | {"Trạm Đức Thắng"}
    assert station_by_name["Trạm Hòa Bình"].planned_2026 == station_by_name["Trạm Hòa Bình"].design_households


def test_stations_lie_in_communes_of_quang_ngai_whose_names_the_scope_prints():
    for station in stations:
        communes = [commune_by_code[code] for code in station.commune_codes]
        assert {commune.province_key for commune in communes} <= {"vn.quang-ngai"}
        assert tuple(commune.full_name for commune in communes) == station.commune_names
        for commune in communes:
            assert commune.name in station.scope_printed.replace("Phở", "Phổ")
        assert bool(communes) == bool(station.scope_printed)


def test_each_changed_name_has_a_reason_and_only_those():
    for station in stations:
        assert (station.name != station.name_printed) == bool(station.name_reason)
    assert {row.name_printed for row in stations if row.name_reason} == {
        "(Cổ Lũy Làng Cá)", "Trạm Phở Thuận", "Trạm Phở Phong", "Trạm Phở Vinh",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["Phổ Thuận", "Phổ Phong", "Phổ Vinh"])
def test_a_corrected_station_name_is_an_old_commune_that_passed_into_its_scope(name):
    station = station_by_name[f"Trạm {name}"]
    old = next(row for row in former_by_key.values() if row.name == name and row.key.startswith("vn.quang-ngai-cu."))
    successor = next(row.successor_key for row in data_files.list_successions() if row.predecessor_key == old.key)

    assert [commune_by_code[code].key for code in station.commune_codes] == [successor]


def test_dak_cam_is_printed_a_commune_and_is_a_ward():
    station = station_by_name["Trạm Đăk Cấm"]

    assert (station.scope_printed, station.commune_names) == ("xã Đăk Cấm", ("Phường Đăk Cấm",))
    assert station.scope_reason


def test_every_station_is_an_organisational_unit_of_the_centre():
    organisations = {row.key: row for row in plans.list_organisations("quang_ngai")}
    teams = [row for row in organisations.values() if row.kind == "station_team"]

    assert len(teams) == 29
    assert {row.parent_key for row in teams} == {"org.qn.trung-tam"}
    assert {row.team_key for row in stations} == {row.key for row in teams}
    assert {row.operator_key for row in stations} == {"org.qn.trung-tam"}
    assert organisations["org.qn.trung-tam"].parent_key == "org.qn.so-nnmt"
    assert sum(row.kind == "office" for row in organisations.values()) == 2


# Cao Bằng


def test_cao_bang_has_14_works_with_4_operators():
    operators = {row.key: row.name for row in plans.list_organisations("cao_bang")}
    counted = Counter(operators[row.operator_key] for row in works if not row.parent_key)

    assert counted == {
        "Công ty TNHH MTV Cấp nước Cao Bằng": 10,
        "Trung tâm Quản lý và Khai thác dịch vụ hạ tầng khu kinh tế": 2,
        "Hợp tác xã Dịch vụ Thương mại và Xây dựng Nông lâm nghiệp Hòa Thuận": 1,
        "Công ty TNHH Cấp thoát nước thị trấn Bảo Lạc": 1,
    }


def test_works_and_aliases_are_printed_where_they_say():
    work_keys = {row.key for row in works}
    for work in works:
        assert work.name_printed in text_of("cao_bang", work.passage_key)
        assert work.parent_key in work_keys | {""}
    for alias in plans.list_aliases():
        assert alias.name_printed in text_of("cao_bang", alias.passage_key)
        assert alias.work_key in work_keys
        assert alias.note


def test_only_tra_linh_is_stopped_and_it_is_in_no_loss_list():
    stopped = [row for row in works if row.status == "stopped"]

    assert [row.key for row in stopped] == ["work.cb.tra-linh"]
    assert "đã dừng cung cấp nước" in text_of("cao_bang", stopped[0].status_passage_key)
    assert "Trà Lĩnh" not in text_of("cao_bang", "chu-thich-1") + text_of("cao_bang", "chu-thich-2")


def test_nuoc_hai_and_hoa_an_are_joined_as_apparent_only():
    aliases = [row for row in plans.list_aliases() if row.work_key == "work.cb.nuoc-hai"]

    assert {(row.name_printed, row.certainty) for row in aliases} == {("trạm cấp nước Hòa An", "apparent")}


def test_trung_khanh_is_one_work_with_two_parts():
    parts = {row.name for row in works if row.parent_key == "work.cb.trung-khanh"}

    assert parts == {"Trạm cấp nước tổ 13 Trùng Khánh", "Trạm cấp nước tổ 4 Trùng Khánh"}


def test_places_of_cao_bang_are_communes_of_cao_bang():
    codes = [code for work in works for code in work.commune_codes] + [area.commune_code for area in urban_areas]

    assert {commune_by_code[code].province_key for code in codes} == {"vn.cao-bang"}
    for work in works:
        assert bool(work.commune_codes) == (work.commune_basis is not None)


def test_works_without_a_printed_place_have_none():
    assert {row.name for row in works if not row.commune_codes} == {"Nhà máy nước Sông Bằng", "Nhà máy nước Tân An"}


def test_an_urban_area_was_a_town_that_passed_into_its_commune():
    successions = {row.predecessor_key: row.successor_key for row in data_files.list_successions()}

    assert len(urban_areas) == 14
    assert len({area.former_unit_key for area in urban_areas}) == 14
    for area in urban_areas:
        assert former_by_key[area.former_unit_key].unit_type == "Thị trấn"
        assert successions[area.former_unit_key] == commune_by_code[area.commune_code].key


def test_two_urban_areas_lie_in_phuc_hoa():
    shared = [area.name for area in urban_areas if area.commune_code == "01648"]

    assert shared == ["Phục Hòa (khu vực thị trấn Tà Lùng cũ)", "Phục Hòa (khu vực thị trấn Hòa Thuận cũ)"]


def test_a_work_stands_in_the_commune_of_its_urban_area():
    commune_of_area = {area.key: area.commune_code for area in urban_areas}
    for work in works:
        if work.urban_area_key:
            assert work.commune_codes == (commune_of_area[work.urban_area_key],)


# Values


@pytest.mark.parametrize("plan", ["quang_ngai", "cao_bang"])
def test_a_value_carries_exactly_what_its_form_needs(plan):
    for value in plans.list_stated_values(plan):
        has = (
            value.number is not None,
            value.low is not None,
            value.high is not None,
            bool(value.band_code),
        )
        assert (
            has
            == {
                "number": (True, False, False, False),
                "range": (False, True, True, False),
                "upper_bound": (False, False, True, False),
                "lower_bound": (False, True, False, False),
                "class": (False, False, False, True),
            }[value.form]
        )
        assert (value.low is None, value.high is None) == (value.low_open is None, value.high_open is None)
        assert value.unit == "pct"


@pytest.mark.parametrize("plan", ["quang_ngai", "cao_bang"])
def test_a_subject_has_one_value_for_a_metric_a_period_and_a_scenario(plan):
    keys = [(row.subject_key, row.metric_key, row.period, row.scenario) for row in plans.list_stated_values(plan)]

    assert len(keys) == len(set(keys))


def test_subjects_of_values_exist():
    subjects = {row.key for row in (*works, *urban_areas, *data_files.list_provinces())}

    for plan in ("quang_ngai", "cao_bang"):
        assert {row.subject_key for row in plans.list_stated_values(plan)} <= subjects


@pytest.mark.parametrize(
    ("plan", "metric_key", "scenario", "period", "figure"),
    [
        ("cao_bang", "losses.nrw_pct", "ACTUAL", "2025", "17.9"),
        ("cao_bang", "losses.nrw_pct", "PLAN", "2026", "15"),
        ("cao_bang", "coverage.urban_pct", "ACTUAL", "2025", "81.9"),
        ("cao_bang", "coverage.urban_pct", "PLAN", "2026", "87.4"),
        ("quang_ngai", "coverage.rural_pct", "ACTUAL", "2025", "62.0"),
        ("quang_ngai", "coverage.rural_pct", "PLAN", "2026", "63.6"),
    ],
)
def test_a_provincial_figure_is_printed_in_its_passage(plan, metric_key, scenario, period, figure):
    value = next(
        row
        for row in plans.list_stated_values(plan)
        if (row.metric_key, row.scenario, row.period, row.form) == (metric_key, scenario, period, "number")
    )

    assert value.number == Decimal(figure)
    assert figure.replace(".", ",") in text_of(plan, value.passage_key)
    assert value.qualifier in text_of(plan, value.passage_key)


def test_the_spread_of_losses_names_no_work():
    spread = next(row for row in plans.list_stated_values("cao_bang") if row.form == "range")

    assert (spread.low, spread.high, spread.low_open, spread.high_open) == (Decimal(12), Decimal("72.5"), False, False)
    assert spread.subject_key == "vn.cao-bang"


def test_seven_works_lose_at_most_15_percent_and_seven_more():
    values = [row for row in plans.list_stated_values("cao_bang") if row.subject_key.startswith("work.")]
    at_most = [row for row in values if row.form == "upper_bound"]
    more = [row for row in values if row.form == "lower_bound"]

    assert [(row.high, row.high_open) for row in at_most] == [(Decimal(15), False)] * 7
    assert [(row.low, row.low_open) for row in more] == [(Decimal(15), True)] * 7
    # A footnote lists its works separated by commas, each as the name or an alias of the work.
    printed = {(row.key, row.name_printed, row.passage_key) for row in works if row.parent_key}
    printed |= {(row.work_key, row.name_printed, row.passage_key) for row in plans.list_aliases()}
    for rows, footnote in ((at_most, "chu-thich-1"), (more, "chu-thich-2")):
        listed = text_of("cao_bang", footnote).split(": ", 1)[1].split(", ")
        keys = {key for key, name, passage_key in printed if passage_key == footnote and name in listed}
        assert len(listed) == 7 and keys == {row.subject_key for row in rows}


def test_tinh_tuc_has_a_class_and_no_number():
    value = next(row for row in plans.list_stated_values("cao_bang") if row.subject_key == "urban.cb.tinh-tuc")

    assert (value.form, value.band_code, value.number) == ("class", "none", None)
    assert value.qualifier in text_of("cao_bang", value.passage_key)


def test_the_target_of_2030_lies_above_70_percent():
    target = next(row for row in plans.list_stated_values("quang_ngai") if row.period == "2030")

    assert (target.form, target.low, target.low_open, target.scenario) == ("lower_bound", Decimal(70), True, "PLAN")


# Lai Châu


def test_the_steps_of_a_treatment_train_stand_in_its_passage_in_order():
    trains = plans.list_treatment_trains()

    assert [row.source_kind for row in trains] == ["groundwater", "surface"]
    for train in trains:
        rest = text_of("lai_chau", train.passage_key)
        for step in train.steps:
            assert step in rest
            rest = rest.split(step, 1)[1]
        assert rest == "."
