"""What the search box finds of places, and what it shows of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machnuoc.core import search
from machnuoc.core.models import SearchEntry
from machnuoc.places import access, operations
from machnuoc.places.highlight import mark_matches


@pytest.mark.parametrize(
    ("text", "query", "shown"),
    [
        ("Xã Đông Khê", "dong khe", "Xã <mark>Đông</mark> <mark>Khê</mark>"),
        ("Phường Đăk Cấm", "Đắk", "Phường <mark>Đăk</mark> Cấm"),
        ("Xã Hoà Bình", "hòa", "Xã <mark>Hoà</mark> Bình"),
        ("Xã Hà Hòa", "ha", "Xã <mark>Hà</mark> Hòa"),
        ("Xã Nghĩa Phú", "ph", "Xã Nghĩa <mark>Ph</mark>ú"),
        ("Kế hoạch 79/KH-TTNS", "79/kh", "Kế hoạch <mark>79</mark>/<mark>KH</mark>-TTNS"),
        ("<b>Trạm</b>", "tram", "&lt;b&gt;<mark>Trạm</mark>&lt;/b&gt;"),
        ("Xã Đông Khê", "", "Xã Đông Khê"),
    ],
)
def test_what_was_typed_is_marked_whatever_its_diacritics(text, query, shown):
    assert mark_matches(text, query) == shown


@given(st.text(max_size=30), st.text(max_size=10))
def test_marking_adds_marks_and_nothing_else(text, query):
    from django.utils.html import escape

    plain = mark_matches(text, query).replace("<mark>", "").replace("</mark>", "")

    assert plain == escape(text)


@pytest.mark.django_db
def test_an_organisation_is_found_only_by_those_who_may_see_it(make_person, station, cao_bang_operator):
    person = make_person("tram", "STATION", station.subject)
    within = access.visible_subject_ids(person)

    assert [entry.title for entry in search.find("tram nghia", within=within)] == ["Trạm Nghĩa Phú"]
    assert search.find("cong ty cap nuoc", within=within) == []


@pytest.mark.django_db
def test_a_renamed_organisation_is_found_under_its_new_name_alone(station, water_centre):
    operations.put_organisation(key="org.qn.nghia-phu", name="Trạm Cổ Lũy", kind="STATION", parent=water_centre)

    assert [entry.title for entry in search.find("co luy")] == ["Trạm Cổ Lũy"]
    assert search.find("nghia phu", kinds=["organisation"]) == []


@pytest.mark.django_db
def test_an_urban_area_is_found_by_its_commune(nghia_phu):
    operations.put_urban_area(key="urban.a", name="Khu Sông Vệ", commune=nghia_phu)

    assert {entry.kind for entry in search.find("nghia phu")} == {"urban_area"}
    assert SearchEntry.objects.get(kind="urban_area").url == "/khu-vuc-do-thi/urban.a/"


@pytest.mark.django_db
def test_units_are_found_by_all_who_sign_in(loaded_units, make_person):
    nobody = make_person("khong-quyen")

    titles = [entry.title for entry in search.find("thach an", within=access.visible_subject_ids(nobody))]

    assert "Xã Thạch An" in titles
    assert "Huyện Thạch An (trước 01/07/2025)" in titles
