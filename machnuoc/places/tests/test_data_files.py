import re
import unicodedata
from collections import Counter
from datetime import date
from itertools import chain

import pytest

from machnuoc.places import data_files

MERGER_DATE = date(2025, 7, 1)
FIVE_PROVINCES = {"vn.cao-bang", "vn.lai-chau", "vn.thanh-hoa", "vn.quang-ngai", "vn.khanh-hoa"}

provinces = data_files.list_provinces()
communes = data_files.list_communes()
former_units = data_files.list_former_units()
successions = data_files.list_successions()

province_by_key = {row.key: row for row in provinces}
commune_by_key = {row.key: row for row in communes}
former_by_key = {row.key: row for row in former_units}


def slug(text: str) -> str:
    decomposed = unicodedata.normalize("NFD", text.lower().replace("đ", "d"))
    return re.sub(r"[^a-z0-9]+", "-", "".join(c for c in decomposed if not unicodedata.combining(c))).strip("-")


def find_successors(full_name: str, district: str) -> list[str]:
    key = next(
        row.key
        for row in former_units
        if row.full_name == full_name and row.level == "commune" and former_by_key[row.parent_key].full_name == district
    )
    return [commune_by_key[row.successor_key].full_name for row in successions if row.predecessor_key == key]


def test_the_country_has_34_provinces_and_3321_communes():
    assert len(provinces) == 34
    assert len(communes) == 3321
    assert Counter(row.unit_type for row in communes) == {"Xã": 2611, "Phường": 697, "Đặc khu": 13}


def test_each_province_has_as_many_communes_as_it_says():
    counted = Counter(row.province_key for row in communes)

    assert counted == {row.key: row.commune_level_units for row in provinces}


def test_every_key_is_used_once_over_all_files():
    keys = [row.key for row in chain(provinces, communes, former_units)]

    assert len(keys) == len(set(keys)) == 34 + 3321 + len(former_units)


def test_keys_follow_from_names_types_and_codes():
    for province in provinces:
        assert province.key == f"vn.{slug(province.name)}"
    for unit in chain(communes, (row for row in former_units if row.level != "province")):
        parent_key = unit.province_key if isinstance(unit, data_files.CommuneRow) else unit.parent_key
        plain = f"{parent_key}.{slug(unit.name)}-{slug(unit.unit_type)}"
        assert unit.key in (plain, f"{plain}-{unit.code}")


def test_units_whose_names_fold_alike_all_carry_their_code():
    for unit in chain(communes, former_units):
        if not unit.key.endswith(f"-{unit.code}"):
            continue
        plain = unit.key.removesuffix(f"-{unit.code}")
        assert plain not in commune_by_key and plain not in former_by_key


def test_full_names_are_type_and_name_in_composed_unicode():
    for unit in chain(communes, former_units):
        assert unit.full_name == f"{unit.unit_type} {unit.name}"
        assert unicodedata.is_normalized("NFC", unit.full_name)


def test_no_code_stands_twice_on_one_day_at_one_level():
    # Code reuse happens across the merger date only: among the living and among the dead each code is unique.
    levels_today = {"province": [row.code for row in provinces], "commune": [row.code for row in communes]}
    for level in ("province", "district", "commune"):
        before = [row.code for row in former_units if row.level == level]
        assert len(before) == len(set(before))
        today = levels_today.get(level, [])
        assert len(today) == len(set(today))

    code_before = {(row.level, row.code) for row in former_units}
    for row in chain(provinces, communes):
        level = "province" if isinstance(row, data_files.ProvinceRow) else "commune"
        if row.valid_from_date is None:
            assert (level, row.code) not in code_before
        else:
            assert row.valid_from_date >= MERGER_DATE
    assert {row.valid_to_date for row in former_units} == {MERGER_DATE}


def test_276_codes_of_old_communes_name_another_unit_today():
    today = {row.code: row.full_name for row in communes}
    alive = [row for row in former_units if row.level == "commune" and row.code in today]

    assert len(alive) == 420
    assert sum(row.full_name != today[row.code] for row in alive) == 276


def test_code_01273_was_hop_giang_and_is_thuc_phan():
    assert next(row.full_name for row in former_units if row.code == "01273") == "Phường Hợp Giang"
    assert next(row.full_name for row in communes if row.code == "01273") == "Phường Thục Phán"


def test_successions_join_units_that_exist():
    for row in successions:
        assert row.predecessor_key in former_by_key
        assert row.successor_key in commune_by_key or row.successor_key in province_by_key
        assert row.effective_date == MERGER_DATE


def test_a_pair_of_units_is_joined_once():
    pairs = [(row.predecessor_key, row.successor_key) for row in successions]

    assert len(pairs) == len(set(pairs))


def test_every_former_commune_and_merged_province_has_a_successor():
    with_successor = {row.predecessor_key for row in successions}

    expected = {row.key for row in former_units if row.level != "district"}
    assert with_successor == expected | {"vn.quang-ngai-cu.ly-son-huyen"}


def test_every_commune_of_the_five_provinces_has_a_predecessor():
    with_predecessor = {row.successor_key for row in successions}

    assert {row.key for row in communes if row.province_key in FIVE_PROVINCES} == with_predecessor & set(commune_by_key)


def test_a_former_unit_passes_once_wholly_or_to_several_in_part():
    relations: dict[str, list[str]] = {}
    for row in successions:
        relations.setdefault(row.predecessor_key, []).append(row.relation)

    for found in relations.values():
        assert (set(found) == {"partial"}) if len(found) > 1 else (found[0] != "partial")


def test_parents_of_former_units_are_one_level_up_and_come_first():
    seen: set[str] = set()
    for row in former_units:
        if row.level == "commune":
            assert former_by_key[row.parent_key].level == "district"
        elif row.level == "district":
            assert row.parent_key in former_by_key or not province_by_key[row.parent_key].is_merged
        else:
            assert row.parent_key == ""
        assert row.parent_key in seen or row.parent_key in province_by_key or row.level == "province"
        seen.add(row.key)


def test_merged_provinces_start_on_the_merger_date_and_the_others_are_open():
    for row in provinces:
        assert row.valid_from_date == (MERGER_DATE if row.is_merged else None)
    merged = {(row.predecessor_key, row.successor_key) for row in successions if row.successor_key in province_by_key}
    assert merged == {
        ("vn.quang-ngai-cu", "vn.quang-ngai"),
        ("vn.kon-tum-cu", "vn.quang-ngai"),
        ("vn.khanh-hoa-cu", "vn.khanh-hoa"),
        ("vn.ninh-thuan-cu", "vn.khanh-hoa"),
    }


def test_dong_nai_is_a_city_since_30_april_2026_and_its_wards_are_undated():
    dong_nai = province_by_key["vn.dong-nai"]

    assert dong_nai.unit_type == "Thành phố trực thuộc trung ương"
    assert dong_nai.type_from_date == date(2026, 4, 30)
    undated = {row.key for row in communes if row.valid_from_date is None}
    assert undated == {row.key for row in communes if row.province_key == "vn.dong-nai" and row.unit_type == "Phường"}
    assert all(commune_by_key[key].note for key in undated)


@pytest.mark.parametrize(
    ("full_name", "district", "successor"),
    [
        ("Thị trấn Trà Lĩnh", "Huyện Trùng Khánh", "Xã Trà Lĩnh"),
        ("Thị trấn Đông Khê", "Huyện Thạch An", "Xã Đông Khê"),
        ("Thị trấn Xuân Hòa", "Huyện Hà Quảng", "Xã Trường Hà"),
        ("Thị trấn Tà Lùng", "Huyện Quảng Hòa", "Xã Phục Hoà"),
        ("Thị trấn Hoà Thuận", "Huyện Quảng Hòa", "Xã Phục Hoà"),
        ("Xã Đắk Cấm", "Thành phố Kon Tum", "Phường Đăk Cấm"),
    ],
)
def test_known_towns_pass_into_the_communes_the_plans_name(full_name, district, successor):
    assert find_successors(full_name, district) == [successor]


def test_an_unchanged_commune_keeps_name_and_code_under_a_new_parent():
    unchanged = [row for row in successions if row.relation == "unchanged"]

    assert len(unchanged) == 28
    for row in unchanged:
        before, after = former_by_key[row.predecessor_key], commune_by_key[row.successor_key]
        assert before.code == after.code
        assert slug(before.full_name) == slug(after.full_name)


def test_the_island_district_of_ly_son_became_a_special_zone():
    row = next(row for row in successions if row.relation == "district_to_special_zone")

    assert former_by_key[row.predecessor_key].full_name == "Huyện Lý Sơn"
    assert commune_by_key[row.successor_key].full_name == "Đặc khu Lý Sơn"


def test_centres_lie_within_the_country():
    for row in chain(provinces, communes):
        assert 7 < row.lat_deg < 24 and 102 < row.lon_deg < 115.5
