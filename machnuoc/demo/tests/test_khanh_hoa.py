"""The plan of Khánh Hòa as data: what is taken agrees with the text, adds up, and nothing is guessed."""

from collections import Counter
from decimal import Decimal

import pytest

from machnuoc.core import vietnamese
from machnuoc.demo import plans
from machnuoc.demo.planning import read_khanh_hoa as read
from machnuoc.places import data_files
from machnuoc.planning import criteria_files

document = plans.get_document("khanh_hoa")
text_of = {passage.key: passage.text for passage in document.passages}
former = {row.key: row for row in data_files.list_former_units()}
organisations = {row.key: row for row in plans.list_organisations("khanh_hoa")}
roadmap = read.list_roadmap()
assessments = read.list_assessments()
positions = read.list_positions()
targets = read.list_targets()
target_by_key = {row.key: row for row in targets}
known_criteria = {(row.set_key, row.criterion, row.sub_indicator) for row in criteria_files.list_criteria()}
# The loader adds these five, which the plan names, to the district set.
known_criteria |= {
    ("huyen-ntm-2021-2025", number.split(".")[0], number) for number in ("2.1", "2.2", "3.1", "5.3", "8.3")
}


def test_every_reference_leads_to_a_passage():
    keys = [
        row.passage_key
        for rows in (
            read.list_units(), roadmap, read.list_roadmap_totals(), read.list_district_totals(),
            read.list_criterion_goals(), read.list_responsibilities(), positions, assessments, targets,
            read.list_funds(), read.list_deadlines(),
        )
        for row in rows
    ]  # fmt: skip
    keys += [key for row in read.list_discrepancies() for key in (row.first_passage_key, row.second_passage_key)]

    assert set(keys) <= set(text_of)


def test_every_reference_leads_to_a_unit_an_organisation_and_a_criterion():
    agencies = {row.agency_key for row in (*assessments, *read.list_responsibilities())} - {""}
    agencies |= {key for row in targets for key in row.lead_keys}
    units = {row.unit_key for row in (*read.list_units(), *roadmap, *assessments, *positions)} - {""}
    units |= {row.district_key for row in (*read.list_units(), *roadmap, *read.list_district_totals())}
    criteria = {
        (row.set_key, row.criterion, row.sub_indicator) for row in (*assessments, *read.list_responsibilities())
    }
    criteria |= {(row.set_key, row.criterion, "") for row in read.list_criterion_goals()}

    assert agencies <= set(organisations)
    assert units | {row.subject_key for row in targets} <= set(former)
    assert criteria - {("", "", "")} <= known_criteria


def test_what_is_printed_stands_in_its_passage():
    for row in assessments:
        for printed in (row.text_printed, row.measured_printed, row.required_printed, row.solution_printed):
            assert printed in text_of[row.passage_key]
        assert row.agency_printed in text_of[row.passage_key]
        assert row.target_printed in text_of[row.passage_key]
    for row in positions:
        assert row.text_printed in text_of[row.passage_key]
    for row in targets:
        assert row.text_printed in text_of[row.passage_key]
        assert row.comparator_printed in text_of[row.passage_key]
    for row in (*roadmap, *read.list_units()):
        assert row.name_printed in text_of[row.passage_key]
    for row in read.list_responsibilities():
        assert row.text_printed in text_of[row.passage_key]
        assert row.agency_printed in text_of[row.passage_key]


def test_a_number_is_the_one_that_is_printed():
    for row in assessments:
        if row.numerator is not None and row.denominator is not None:
            share_pct = row.numerator / row.denominator * 100
            differs = abs(share_pct - row.measured) > Decimal("0.06")
            # One printed percentage is not the quotient of its own two numbers: it is listed as a discrepancy.
            assert differs == (row.passage_key == "phu-luc-02.cam-tan.tc12"), row
        for number, printed in ((row.measured, row.measured_printed), (row.required, row.required_printed)):
            if number is not None and row.certainty != "apparent":
                assert vietnamese.format_number(number) in printed or f"{number:02}" in printed


def test_a_commune_lies_in_the_district_that_it_is_counted_in():
    for row in (*read.list_units(), *roadmap):
        assert (row.unit_key == "") == (row.certainty == "not_held")
        if row.unit_key:
            assert former[row.unit_key].parent_key == row.district_key
            assert former[row.unit_key].unit_type == "Xã"
    assert {row.name_printed for row in roadmap if not row.unit_key} == {"Ninh Vân", "Diện Đồng", "Diện Xuân"}


def test_a_spelling_that_is_not_the_official_one_says_how_it_was_read():
    for row in read.list_units():
        is_official = bool(row.unit_key) and former[row.unit_key].name == row.name_printed
        assert is_official == (row.certainty == "stated")
        assert is_official != bool(row.note)
    assert {row.name_printed for row in read.list_units() if row.certainty == "apparent"} == {
        "Ninh Thành", "Vĩnh Thành", "Diện Thành",
    }  # fmt: skip


def test_a_commune_stands_once_in_a_roadmap_and_climbs_tier_by_tier():
    year = {(row.tier, row.unit_key or row.name_printed): row.year for row in roadmap}

    assert len(year) == len(roadmap) == 76 + 39 + 10
    for (tier, unit), reached in year.items():
        below = {"ADVANCED": "BASIC", "MODEL": "ADVANCED"}.get(tier)
        assert below is None or year[below, unit] < reached


@pytest.mark.parametrize(("tier", "total"), [("BASIC", 76), ("ADVANCED", 39), ("MODEL", 11)])
def test_years_and_districts_of_a_roadmap_add_up_to_its_printed_total(tier, total):
    by_year = {row.year: row for row in read.list_roadmap_totals() if row.tier == tier}
    by_district = {row.district_key: row.count for row in read.list_district_totals() if row.tier == tier}
    years = sorted(year for year in by_year if year)

    assert by_year[None].count == total == sum(by_district.values()) == sum(by_year[year].count for year in years)
    cumulative = 0
    for year in years:
        cumulative += by_year[year].count
        assert by_year[year].cumulative == cumulative


def test_names_are_as_many_as_printed_but_for_one_model_commune():
    named = Counter((row.tier, row.year) for row in roadmap)
    named_by_district = Counter((row.tier, row.district_key) for row in roadmap)
    fewer = {
        (row.tier, row.year): row.count - named[row.tier, row.year]
        for row in read.list_roadmap_totals()
        if row.year and row.count != named[row.tier, row.year]
    }
    fewer_by_district = {
        (row.tier, former[row.district_key].name): row.count - named_by_district[row.tier, row.district_key]
        for row in read.list_district_totals()
        if row.count != named_by_district[row.tier, row.district_key]
    }

    assert fewer == {("MODEL", 2025): 1}
    assert fewer_by_district == {("MODEL", "Cam Lâm"): 1}
    assert "Cam Thành Bắc" in text_of["i.2.c.1"].rsplit("kiểu mẫu", 1)[1]
    assert "Cam Thành Bắc" not in text_of["phu-luc-09.2025"]


def test_the_printed_share_changes_its_base_from_94_to_92_communes():
    def fits(row: read.RoadmapTotalRow, base: int) -> bool:
        printed = vietnamese.parse_number(row.share_printed.rstrip("%").replace(".", ","))
        return abs(Decimal(row.cumulative * 100) / base - printed) <= Decimal("0.05")

    rows = [row for row in read.list_roadmap_totals() if row.year]

    assert {row.year for row in rows if fits(row, 94) and not fits(row, 92)} == {2014, 2015, 2016, 2017, 2018}
    assert [(row.tier, row.year) for row in rows if not fits(row, 94) and not fits(row, 92)] == [
        ("BASIC", 2019), ("MODEL", 2025),
    ]  # fmt: skip
    about = {row.about for row in read.list_discrepancies()}
    assert {"Tỷ lệ xã đạt chuẩn năm 2019", "Tỷ lệ xã kiểu mẫu năm 2025"} <= about
    assert "Số xã làm mẫu số của tỷ lệ đạt chuẩn" in about


def test_named_communes_of_2024_and_2025_are_those_of_the_roadmap():
    named = Counter(row.unit_key for row in read.list_units() if row.passage_key in ("i.2.b.1", "i.2.c.1"))
    planned = {row.unit_key for row in roadmap if row.year in (2024, 2025)}

    assert set(named) - planned == {"vn.khanh-hoa-cu.cam-lam-huyen.cam-thanh-bac-xa"}
    assert planned <= set(named)


def test_only_years_that_the_plan_leaves_in_no_doubt_are_recognised():
    # 64 communes of 65 and 12 of 19 were recognised by February 2024: which of 2023 is not said.
    assert {row.year for row in roadmap if row.is_recognised} == set(range(2014, 2023))
    recognised = Counter(row.tier for row in roadmap if row.is_recognised)
    assert (recognised["BASIC"], recognised["ADVANCED"]) == (63, 10)
    assert "64/92 xã" in text_of["mo-dau.2"] and "12/92 xã" in text_of["mo-dau.2"]


def test_appendix_06_has_25_agencies_and_every_number_that_it_prints():
    rows = read.list_responsibilities()

    assert {row.order for row in rows} == set(range(1, 26))
    for row in rows:
        assert (row.sub_indicator or row.criterion) in row.text_printed
        assert row.sub_indicator.startswith(row.criterion) or not row.sub_indicator
        assert organisations[row.agency_key].passage_key == row.passage_key
    assert [row.text_printed for row in rows if not row.criterion] == ["Nợ đọng xây dựng cơ bản"]
    assert {row.agency_printed for row in rows if row.sub_indicator == "17.1"} == {"Chi cục Thủy lợi"}


def test_appendix_01_gives_the_share_of_each_criterion_with_its_contradictions():
    shares: dict[tuple[str, str], set[Decimal]] = {}
    for row in read.list_criterion_goals():
        shares.setdefault((row.set_key, row.criterion), set()).add(row.share_pct)
        assert row.share_printed in text_of[row.passage_key]

    assert {key: share for key, share in shares.items() if len(share) > 1} == {
        ("xa-ntm-2021-2025", "18"): {Decimal(95), Decimal(100)},
        ("xa-ntm-nang-cao-2021-2025", "5"): {Decimal(50), Decimal(60)},
    }
    for set_key, count in (("xa-ntm-2021-2025", 19), ("xa-ntm-nang-cao-2021-2025", 19), ("huyen-ntm-2021-2025", 9)):
        assert len([key for key in shares if key[0] == set_key]) == count
    goals = [row.as_printed for row in read.list_criterion_goals()]
    assert len({(row.set_key, row.criterion, row.as_printed) for row in read.list_criterion_goals()}) == len(goals)


def test_an_unmet_criterion_is_in_the_list_of_its_commune():
    listed = {(row.unit_key, row.set_key): row for row in positions}
    for row in assessments:
        position = listed.get((row.unit_key, row.set_key))
        if position and row.result == "NOT_MET":
            assert row.criterion in position.not_met


def test_positions_add_up_to_19_criteria_but_where_a_number_or_the_list_does_not():
    assert [(row.name_printed, row.criteria_count) for row in positions if row.criteria_count != 19] == [
        ("Sơn Bình", 15)
    ]
    assert [(row.name_printed, row.set_key) for row in positions if not row.is_whole] == [
        ("Sơn Bình", "xa-ntm-2021-2025"),
        ("Cam Hải Đông", "xa-ntm-nang-cao-2021-2025"),
    ]


def test_a_cell_is_assessed_once():
    cells = Counter((row.unit_key, row.set_key, row.criterion, row.sub_indicator, row.year) for row in assessments)

    assert max(cells.values()) == 1


def test_nothing_is_both_taken_and_unread():
    taken = {text_of[row.passage_key] for row in (*assessments, *positions, *roadmap)}
    unread = read.list_unread()

    assert [row.order for row in unread] == list(range(1, len(unread) + 1))
    assert len({(row.scan_line, row.text_printed) for row in unread}) == len(unread)
    for row in unread:
        assert row.text_printed not in taken
        assert row.reason


def test_rows_about_clean_water_without_a_name_are_left_out():
    unread = " ".join(row.text_printed for row in read.list_unread())

    assert "0% (0/276 hộ)" in unread and "xã đạt 34,74%" in unread
    assert {(row.name_printed, row.sub_indicator) for row in assessments if row.sub_indicator == "17.1"} == {
        ("Sơn Bình", "17.1"), ("Cam Tân", "17.1"),
    }  # fmt: skip


def test_shares_of_the_districts_add_up_to_the_totals_of_the_province():
    for tier, total in (("xa-ntm", 76), ("xa-nc", 39), ("xa-km", 11)):
        parts = [row for row in targets if row.parent_key == tier]
        assert sum(row.amount for row in parts) == total == target_by_key[tier].amount
        assert target_by_key[tier].parts_check == "SUM"
        counted = {row.district_key: row.count for row in read.list_district_totals()
                   if row.tier == {"xa-ntm": "BASIC", "xa-nc": "ADVANCED", "xa-km": "MODEL"}[tier]}  # fmt: skip
        assert {row.subject_key: row.amount for row in parts} == {key: n for key, n in counted.items() if n}


def test_a_counted_target_prints_its_amount():
    for row in targets:
        if row.amount is not None:
            assert f"{int(row.amount):02}" in row.text_printed or str(row.amount) in row.text_printed
        assert (row.amount is None) == (row.comparator in ("NONE_LEFT", "JUDGED"))
    order = [row.key for row in targets]
    assert all(order.index(row.parent_key) < order.index(row.key) for row in targets if row.parent_key)


def test_the_money_adds_up():
    funds = {(row.kind, row.year): row for row in read.list_funds()}

    assert funds["", None].amount_vnd == 1_489_867_000_000
    assert (
        funds["Sự nghiệp kinh tế", None].amount_vnd + funds["Đầu tư phát triển", None].amount_vnd == 1_489_867_000_000
    )
    for row in read.list_funds():
        assert row.amount_printed in text_of[row.passage_key]
        assert vietnamese.parse_number(row.amount_printed.split()[0]) * 1_000_000 == row.amount_vnd
    assert {row.qualifier for row in read.list_funds()} == {"", "bình quân mỗi năm"}


def test_the_days_of_recognition_stand_in_the_text():
    days = {row.step: (row.month, row.day, row.is_exclusive) for row in read.list_deadlines()}

    assert days == {"DISTRICT": (9, 25, True), "PROVINCE": (10, 20, True), "APPRAISED": (12, None, False)}
    for row in read.list_deadlines():
        assert row.text_printed.lower() in text_of[row.passage_key].lower()
