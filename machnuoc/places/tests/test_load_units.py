"""The units that ship with the program, as the database has them."""

import pytest

from machnuoc.core.models import AuditEntry, SearchEntry
from machnuoc.places import load_units, operations, queries
from machnuoc.places.models import AdministrativeUnit, Containment, ParentLink, PrintedName, Subject, Succession

pytestmark = pytest.mark.django_db


def test_34_provinces_and_3321_communes_are_in_force(loaded_units):
    in_force = AdministrativeUnit.objects.filter(is_in_force=True)

    assert in_force.filter(level="PROVINCE").count() == loaded_units.provinces == 34
    assert in_force.filter(level="COMMUNE").count() == loaded_units.communes == 3_321
    assert AdministrativeUnit.objects.filter(is_in_force=False).count() == loaded_units.former_units == 1_367
    assert Succession.objects.count() == loaded_units.successions == 1_308


def test_a_second_load_changes_nothing(loaded_units):
    models = [Subject, AdministrativeUnit, ParentLink, Containment, Succession, PrintedName, SearchEntry, AuditEntry]
    before = [model.objects.count() for model in models]

    again = load_units.load_units()

    assert again == loaded_units
    assert [model.objects.count() for model in models] == before


def test_a_corrected_name_survives_a_second_load(loaded_units):
    AdministrativeUnit.objects.filter(subject__key="vn.cao-bang.dong-khe-xa").update(full_name="Xã Đông Khê mới")

    load_units.load_units()

    assert queries.get_unit("vn.cao-bang.dong-khe-xa").full_name == "Xã Đông Khê mới"


def test_the_load_is_one_audit_row_that_reads_as_a_sentence(loaded_units):
    from machnuoc.core import audit

    entry = AuditEntry.objects.get(action="places.units.loaded")

    assert entry.count == 34 + 3_321 + 1_367
    assert audit.sentence(entry) == "Hệ thống nạp 4.722 đơn vị hành chính"


def test_dong_khe_tells_where_it_came_from(loaded_units):
    history = queries.list_history(queries.get_unit("vn.cao-bang.dong-khe-xa"))

    sentences = [queries.history_sentence(row) for row in history]

    assert "thị trấn Đông Khê, huyện Thạch An → xã Đông Khê từ 01/07/2025" in sentences
    assert len(sentences) == 3
    assert {row.note_as_printed for row in history} == {"Nhập toàn bộ"}


def test_the_former_town_tells_the_same(loaded_units):
    town = queries.get_unit("vn.cao-bang.thach-an-huyen.dong-khe-thi-tran")

    (only,) = queries.list_history(town)

    assert queries.history_sentence(only) == "thị trấn Đông Khê, huyện Thạch An → xã Đông Khê từ 01/07/2025"


def test_a_province_tells_of_its_merger(loaded_units):
    history = queries.list_history(queries.get_unit("vn.quang-ngai"))

    sentences = [queries.history_sentence(row) for row in history]

    assert sentences == [
        "tỉnh Quảng Ngãi → tỉnh Quảng Ngãi từ 01/07/2025",
        "tỉnh Kon Tum → tỉnh Quảng Ngãi từ 01/07/2025",
    ]


def test_dak_cam_is_a_ward_whatever_its_former_spelling(loaded_units):
    ward = queries.get_unit("vn.quang-ngai.dak-cam-phuong")
    former = queries.get_unit("vn.kon-tum-cu.kon-tum-thanh-pho.dak-cam-xa")

    assert ward.full_name == "Phường Đăk Cấm"
    assert former.full_name == "Xã Đắk Cấm"
    assert [printed.text for printed in former.subject.printed_names.all()] == ["Xã Đăk Cấm"]
    for typed in ["Đăk Cấm", "Đắk Cấm", "dak cam", "ĐĂK CẤM"]:
        assert {ward.pk, former.pk} <= set(queries.list_units(query=typed, in_force=None).values_list("pk", flat=True))


def test_a_reused_code_names_different_units_at_different_times(loaded_units):
    now = AdministrativeUnit.objects.get(code="01273", level="COMMUNE", is_in_force=True)
    (before,) = queries.list_same_code(now)

    assert (now.full_name, before.full_name) == ("Phường Thục Phán", "Phường Hợp Giang")
    assert not before.is_in_force
    assert before.subject.valid_to == now.subject.valid_from


def test_units_created_on_the_day_of_the_merger_are_valid_from_it(loaded_units):
    assert queries.get_unit("vn.cao-bang.dong-khe-xa").subject.valid_from.isoformat() == "2025-07-01"
    assert queries.get_unit("vn.cao-bang").subject.valid_from is None  # not merged: its start is unknown


@pytest.mark.parametrize("typed", ["Đông Khê", "dong khe", "ĐÔNG KHÊ", "đông  khe", "01786"])
def test_units_are_found_with_and_without_diacritics(loaded_units, typed):
    found = queries.list_units(query=typed)

    assert "vn.cao-bang.dong-khe-xa" in set(found.values_list("subject__key", flat=True))


def test_hoa_binh_is_found_wherever_the_tone_stands(loaded_units):
    found = [
        set(queries.list_units(query=typed).values_list("pk", flat=True))
        for typed in ("Hòa Bình", "Hoà Bình", "hoa binh")
    ]

    assert found[0] and found[0] == found[1] == found[2]


def test_former_units_lie_in_no_sum_of_today(loaded_units):
    today = Containment.objects.filter(ancestor__key="vn.cao-bang", descendant__kind="UNIT")

    assert today.exclude(descendant__valid_to=None).count() == 0
    assert today.count() == 1 + 56


def test_a_filter_by_province_finds_former_units_at_both_levels(loaded_units):
    former = queries.list_units(parent=queries.get_unit("vn.cao-bang"), in_force=False)

    assert set(former.values_list("level", flat=True)) == {"DISTRICT", "COMMUNE"}


def test_the_loaded_closure_is_the_one_that_a_rebuild_makes(loaded_units):
    before = set(Containment.objects.values_list("ancestor_id", "descendant_id"))

    operations.rebuild_containment([queries.get_country().pk])

    assert set(Containment.objects.values_list("ancestor_id", "descendant_id")) == before
    assert Containment.objects.filter(ancestor__key="vn").count() == 1 + 34 + 3_321
