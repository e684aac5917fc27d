"""The pages of places: what they show, to whom, with how many queries."""

import csv
import io
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from machnuoc.core import documents
from machnuoc.core.models import Person
from machnuoc.places import access, operations
from machnuoc.places.models import Grant, Organisation, Subject

pytestmark = pytest.mark.django_db


def page(client, name, *args, expect=200, **query):
    answer = client.get(reverse(name, args=args), query)
    assert answer.status_code == expect, answer.content[:300]
    return answer.content.decode()


LISTS = ["places:search", "places:units", "places:map", "places:organisations", "places:loans"]


@pytest.mark.parametrize("name", [*LISTS, "places:people", "places:add_person", "places:add_organisation"])
def test_a_stranger_is_sent_to_sign_in(client, name):
    answer = client.get(reverse(name))

    assert answer.status_code == 302
    assert answer.url.startswith(reverse("core:sign_in"))


@pytest.mark.parametrize("name", LISTS)
def test_whoever_is_signed_in_reads_the_open_pages(browser_of, make_person, country, name):
    page(browser_of(make_person("khong-quyen")), name)


# --- units


def test_the_tree_counts_and_opens_a_province(browser_of, make_person, loaded_units):
    client = browser_of(make_person("khong-quyen"))

    tree = page(client, "places:units")
    branch = page(client, "places:unit_children", "vn.cao-bang")

    assert "34 tỉnh, thành phố; 3.321 xã, phường" in tree
    assert "56 xã, phường" in tree
    assert 'hx-get="/dia-ban/vn.cao-bang/cap-duoi/"' in tree
    assert 'href="/dia-ban/vn.cao-bang/#cap-duoi"' in tree  # without JavaScript
    assert "Xã Đông Khê" in branch and "<html" not in branch
    assert branch.count("<li>") == 56


def test_the_list_is_searched_filtered_and_sorted(browser_of, make_person, loaded_units):
    client = browser_of(make_person("khong-quyen"))

    found = page(client, "places:units", q="dong khe", status="all", province="vn.cao-bang")
    by_name = page(client, "places:units", province="vn.cao-bang", sort="name")
    backwards = page(client, "places:units", province="vn.cao-bang", sort="-name")
    districts = page(client, "places:units", province="vn.cao-bang", status="former", level="DISTRICT")

    assert "Xã <mark>Đông</mark> <mark>Khê</mark>" in found and "Thị trấn <mark>Đông</mark>" in found
    assert by_name.index("Xã Bảo Lạc") < by_name.index("Xã Đông Khê") < by_name.index("Xã Hạ Lang")
    assert backwards.index("Xã Trùng Khánh") < backwards.index("Xã Hạ Lang")
    assert "Huyện Thạch An" in districts and "Xã Đông Khê" not in districts


def test_a_strange_filter_or_sort_is_no_error(browser_of, make_person, country):
    client = browser_of(make_person("khong-quyen"))

    page(client, "places:units", level="GALAXY", sort="password", page="-3", province="x' OR 1=1")
    page(client, "places:organisations", kind="?", sort="drop", page="nan")
    page(client, "places:map", layer="unknown", province="vn")
    page(client, "places:search", kind="unknown", q="%' OR _")
    page(client, "places:units", expect=400, export="pdf")


def test_a_unit_tells_its_history_code_parents_and_children(browser_of, make_person, loaded_units):
    client = browser_of(make_person("khong-quyen"))

    commune = page(client, "places:unit", "vn.cao-bang.dong-khe-xa")
    town = page(client, "places:unit", "vn.cao-bang.thach-an-huyen.dong-khe-thi-tran")
    province = page(client, "places:unit", "vn.cao-bang")

    assert ">thị trấn Đông Khê, huyện Thạch An</a> → " in commune
    assert ">xã Đông Khê</a> từ 01/07/2025" in commune
    assert "Nhập toàn bộ" in commune
    assert "mã chỉ có nghĩa trong thời gian hiệu lực" in commune
    assert "Mã 01786 còn là mã của" in commune and "Thị trấn Đông Khê, Huyện Thạch An" in commune
    assert "Đơn vị cũ" in town and "hết hiệu lực ngày 01/07/2025" in town
    assert "1–50 trong 56" in province and "Huyện Thạch An" in province
    assert "không thể hiện địa giới hành chính" in province


def test_a_name_as_printed_stands_beside_the_official_one(browser_of, make_person, loaded_units):
    ward = Subject.objects.get(key="vn.quang-ngai.dak-cam-phuong")
    document = documents.put_document("ke-hoach-79", number="79/KH-TTNS", title="Kế hoạch", issuer="Trung tâm")
    passage = documents.put_passage(document, "pl1.5", "Phụ lục 1, dòng 5", "xã Đăk Cấm", 5)
    operations.put_printed_name(ward, "xã Đăk Cấm", certainty="apparent", passage=passage)

    text = page(browser_of(make_person("khong-quyen")), "places:unit", ward.key)

    assert "«xã Đăk Cấm»" in text and "tên chính thức: Phường Đăk Cấm" in text
    assert "có vẻ là một" in text
    assert "/van-ban/ke-hoach-79/#pl1.5" in text


def test_a_unit_shows_only_organisations_in_scope(browser_of, make_person, quang_ngai, station, water_centre):
    outsider = page(browser_of(make_person("khong-quyen")), "places:unit", "thu.quang-ngai")
    insider = page(browser_of(make_person("so", "AGENCY", quang_ngai.subject)), "places:unit", "thu.quang-ngai")

    assert "Trung tâm Nước sạch" not in outsider
    assert "Trung tâm Nước sạch" in insider


def test_an_unknown_place_is_not_found(browser_of, make_person, station):
    client = browser_of(make_person("khong-quyen"))

    page(client, "places:unit", "vn.khong-co", expect=404)
    page(client, "places:unit", station.subject.key, expect=404)
    page(client, "places:urban_area", "urban.khong-co", expect=404)


def test_an_urban_area_tells_its_commune_and_former_unit(browser_of, make_person, loaded_units):
    from machnuoc.places import queries

    operations.put_urban_area(
        key="urban.cb.ta-lung-cu",
        name="Khu vực thị trấn Tà Lùng cũ",
        commune=queries.get_unit("vn.cao-bang.phuc-hoa-xa"),
        former_unit=queries.get_unit("vn.cao-bang.quang-hoa-huyen.ta-lung-thi-tran"),
    )

    text = page(browser_of(make_person("khong-quyen")), "places:urban_area", "urban.cb.ta-lung-cu")

    assert "Xã Phục Hoà" in text and "Thị trấn Tà Lùng" in text and "huyện Quảng Hòa" in text


def test_the_map_draws_provinces_then_the_communes_of_one(browser_of, make_person, loaded_units):
    client = browser_of(make_person("khong-quyen"))

    country, province = page(client, "places:map"), page(client, "places:map", province="vn.cao-bang")

    assert country.count('"lat"') == 34
    assert province.count('"lat"') == 56
    assert "không thể hiện địa giới hành chính" in country
    assert "Xã Đông Khê" in province


def read_csv(answer):
    text = b"".join(answer.streaming_content).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


def test_the_export_has_the_rows_on_screen_in_their_order(browser_of, make_person, loaded_units):
    client = browser_of(make_person("khong-quyen"))

    rows = read_csv(client.get("/dia-ban/?q=dong+khe&province=vn.cao-bang&status=all&sort=-code&export=csv"))
    sheet = client.get("/dia-ban/?province=vn.cao-bang&export=xlsx")

    assert {row["Tên"] for row in rows} >= {"Xã Đông Khê", "Thị trấn Đông Khê"}
    assert [row["Mã"] for row in rows] == sorted((row["Mã"] for row in rows), reverse=True)
    assert b"".join(sheet.streaming_content).startswith(b"PK")


# --- search


def test_search_groups_by_kind_and_marks_the_match(browser_of, admin, station, nghia_phu):
    text = page(browser_of(admin), "places:search", q="nghia phu")

    assert "Trạm <mark>Nghĩa</mark> <mark>Phú</mark>" in text
    assert text.index("Tổ chức</h2>") > 0


def test_search_finds_documents(browser_of, make_person, country):
    documents.put_document("ke-hoach-79", number="79/KH-TTNS", title="Kế hoạch cấp nước", issuer="Trung tâm Nước sạch")

    text = page(browser_of(make_person("khong-quyen")), "places:search", q="ke hoach cap")

    assert "<mark>Kế</mark> <mark>hoạch</mark> <mark>cấp</mark> nước" in text


def test_the_top_bar_gets_a_short_list_and_no_page(browser_of, make_person, loaded_units):
    client = browser_of(make_person("khong-quyen"))
    live = {"HX-Request": "true", "HX-Target": "search-live"}

    short = client.get("/tim-kiem/", {"q": "hoa"}, headers=live).content.decode()
    empty = client.get("/tim-kiem/", {"q": ""}, headers=live).content.decode()

    assert "<html" not in short
    assert short.count("<li>") == 4
    assert "/tim-kiem/?q=hoa" in short
    assert empty.strip() == ""


def test_search_tells_nothing_of_what_is_out_of_scope(browser_of, make_person, station, cao_bang_operator):
    client = browser_of(make_person("tram", "STATION", station.subject))

    text = page(client, "places:search", q="cong ty cap nuoc")

    assert "Không tìm thấy gì" in text
    assert "Cao Bằng" not in text


# --- organisations


def test_organisations_are_listed_by_scope(browser_of, make_person, admin, station, water_centre, cao_bang_operator):
    own = browser_of(make_person("tram", "STATION", station.subject))

    everything, mine = page(browser_of(admin), "places:organisations"), page(own, "places:organisations")
    as_list = page(own, "places:organisations", view="list")

    assert "3 tổ chức" in everything and "Công ty Cấp nước Cao Bằng" in everything
    assert "1 tổ chức" in mine and "Trạm Nghĩa Phú" in mine and "Công ty" not in mine
    assert "/to-chuc/org.qn.trung-tam/" not in as_list  # the parent is named, but leads nowhere


def test_an_organisation_out_of_scope_is_as_if_it_did_not_exist(browser_of, make_person, station, cao_bang_operator):
    client = browser_of(make_person("tram", "STATION", station.subject))

    page(client, "places:organisation", station.subject.key)
    hidden = page(client, "places:organisation", cao_bang_operator.subject.key, expect=404)
    unknown = page(client, "places:organisation", "org.khong-co", expect=404)
    page(client, "places:edit_organisation", cao_bang_operator.subject.key, expect=404)

    assert "Cao Bằng" not in hidden
    assert hidden.count("\n") == unknown.count("\n")


def test_a_filter_by_kind_and_territory_narrows_the_list(browser_of, admin, station, water_centre, cao_bang_operator):
    client = browser_of(admin)

    stations = page(client, "places:organisations", kind="STATION")
    in_cao_bang = page(client, "places:organisations", territory="thu.cao-bang")

    assert "Trạm Nghĩa Phú</a>" in stations and "Công ty" not in stations
    assert "Công ty Cấp nước" in in_cao_bang and "Trạm Nghĩa Phú" not in in_cao_bang


def organisation_data(organisation: Organisation, **changes):
    return {
        "name": organisation.subject.name,
        "kind": organisation.kind,
        "version": Subject.objects.get(pk=organisation.pk).version,
        **changes,
    }


def test_a_department_changes_the_contacts_of_its_own_organisation(browser_of, make_person, water_centre):
    client = browser_of(make_person("phong", "DEPARTMENT", water_centre.subject))
    address = reverse("places:edit_organisation", args=[water_centre.subject.key])

    answer = client.post(address, organisation_data(water_centre, phone="0255 999", email="a@b.vn"))

    assert answer.status_code == 302
    saved = Organisation.objects.get(pk=water_centre.pk)
    assert (saved.phone, saved.territory_id) == ("0255 999", water_centre.territory_id)


def test_its_own_managers_cannot_move_an_organisation(browser_of, make_person, water_centre, cao_bang_operator):
    client = browser_of(make_person("phong", "DEPARTMENT", water_centre.subject))
    address = reverse("places:edit_organisation", args=[water_centre.subject.key])

    client.post(address, organisation_data(water_centre, parent=str(cao_bang_operator.pk), territory="thu.cao-bang"))

    saved = Organisation.objects.get(pk=water_centre.pk)
    assert (saved.parent_id, saved.territory_id) == (None, water_centre.territory_id)


def test_a_stale_form_is_told_and_overwrites_nothing(browser_of, admin, station):
    client = browser_of(admin)
    address = reverse("places:edit_organisation", args=[station.subject.key])
    stale = organisation_data(station, phone="2", parent=str(station.parent_id))
    client.post(address, {**stale, "phone": "1"})

    answer = client.post(address, stale)

    assert "vừa được người khác sửa" in answer.content.decode()
    assert Organisation.objects.get(pk=station.pk).phone == "1"


def test_a_station_may_look_but_not_edit(browser_of, make_person, station):
    client = browser_of(make_person("tram", "STATION", station.subject))

    page(client, "places:edit_organisation", station.subject.key, expect=403)
    page(client, "places:add_organisation", expect=403)
    assert "Sửa</a>" not in page(client, "places:organisation", station.subject.key)


def test_a_new_organisation_needs_a_home_that_its_author_manages(
    browser_of, make_person, quang_ngai, cao_bang, water_centre
):
    client = browser_of(make_person("phong", "DEPARTMENT", quang_ngai.subject))
    address = reverse("places:add_organisation")

    away = client.post(address, {"name": "Trạm Xa", "kind": "STATION", "territory": "Tỉnh Cao Bằng [thu.cao-bang]"})
    nowhere = client.post(address, {"name": "Trạm Xa", "kind": "STATION"})
    home = client.post(address, {"name": "Trạm Gần", "kind": "STATION", "parent": str(water_centre.pk)})

    assert "mà bạn quản lý" in away.content.decode() and "mà bạn quản lý" in nowhere.content.decode()
    assert home.url == "/to-chuc/org.tram-gan/"
    assert not Organisation.objects.filter(subject__name="Trạm Xa").exists()


def test_a_place_typed_without_diacritics_is_understood_or_asked_about(browser_of, admin, loaded_units):
    client = browser_of(admin)
    address = reverse("places:add_organisation")

    several = client.post(address, {"name": "Trạm A", "kind": "STATION", "territory": "hoa an"}).content.decode()
    unknown = client.post(address, {"name": "Trạm A", "kind": "STATION", "territory": "zzyzx"}).content.decode()
    offers = client.get(reverse("places:suggest_units"), {"box": "territory", "territory": "dong khe"}).content.decode()

    assert "Chưa rõ «hoa an» là nơi nào" in several
    assert "Không tìm thấy «zzyzx»" in unknown
    assert 'value="Xã Đông Khê, Tỉnh Cao Bằng [vn.cao-bang.dong-khe-xa]"' in offers
    assert "Thị trấn" not in offers


# --- people and grants


@pytest.mark.parametrize("role", [role for role in Grant.Role.values if role != "ADMIN"])
def test_only_administrators_reach_the_people(browser_of, make_person, station, role):
    client = browser_of(make_person("ai-do", role, station.subject))

    page(client, "places:people", expect=403)
    page(client, "places:add_person", expect=403)
    page(client, "places:suggest_scopes", expect=403)
    page(client, "places:person", Person.objects.get().pk, expect=403)
    assert "Người dùng" not in page(client, "places:units")


def test_an_administrator_adds_a_person_and_sees_the_password_once(browser_of, admin, station):
    client = browser_of(admin)

    answer = client.post(
        reverse("places:add_person"),
        {
            "full_name": "Lê Văn Mới", "username": "le.van.moi", "role": "STATION", "field": "ALL",
            "scope": f"Trạm Nghĩa Phú [{station.subject.key}]",
        },
    )  # fmt: skip
    person = Person.objects.get(username="le.van.moi")
    password = answer.context["password"]
    later = page(client, "places:person", person.pk)

    assert person.check_password(password)
    assert password in answer.content.decode()
    assert "no-store" in answer["Cache-Control"]
    assert password not in later and "Trạm Nghĩa Phú" in later


def test_half_a_grant_or_a_bad_name_is_explained(browser_of, admin):
    client = browser_of(admin)
    data = {"full_name": "A", "username": "Tên Có Dấu", "role": "STATION", "field": "ALL"}

    text = client.post(reverse("places:add_person"), data).content.decode()

    assert "chữ thường không dấu" in text
    assert "Điền cả vai trò và phạm vi" in text
    assert Person.objects.count() == 1


def test_a_grant_is_given_and_ended_on_the_persons_page(browser_of, admin, make_person, station):
    client, clerk = browser_of(admin), make_person("can-bo")
    address = reverse("places:person", args=[clerk.pk])

    client.post(address, {"role": "STATION", "scope": "tram nghia phu", "field": "RURAL", "valid_to": "2099-01-01"})
    grant = clerk.grants.get()
    client.post(reverse("places:end_grant", args=[grant.pk]))

    assert (grant.scope_id, grant.field, grant.granted_by_id) == (station.pk, "RURAL", admin.pk)
    assert not access.may(Person.objects.get(pk=clerk.pk), "view", station.subject)


def test_a_local_administrator_cannot_reach_people_and_scopes_elsewhere(
    browser_of, make_person, quang_ngai, station, cao_bang_operator
):
    client = browser_of(make_person("qt-qn", "ADMIN", quang_ngai.subject))
    foreign = make_person("nguoi-cb", "STATION", cao_bang_operator.subject)
    clerk = make_person("nguoi-qn", "STATION", station.subject)
    there = f"Công ty [{cao_bang_operator.subject.key}]"

    page(client, "places:person", foreign.pk, expect=404)
    end = client.post(reverse("places:end_grant", args=[foreign.grants.get().pk]))
    given = client.post(reverse("places:person", args=[clerk.pk]), {"role": "LEADER", "scope": there, "field": "ALL"})
    offers = client.get(reverse("places:suggest_scopes"), {"box": "scope", "scope": "cong ty"}).content.decode()

    assert end.status_code == 404
    assert "trong phạm vi của bạn" in given.content.decode()
    assert clerk.grants.count() == 1 and foreign.grants.count() == 1
    assert "Cao Bằng" not in offers


def test_people_are_filtered_and_exported(browser_of, admin, make_person, station):
    client = browser_of(admin)
    make_person("chua-co-quyen")
    make_person("sap-het", "STATION", station.subject, valid_to=timezone.localdate() + timedelta(days=5))

    without = page(client, "places:people", state="without")
    ending = page(client, "places:people", state="ending")
    by_name = page(client, "places:people", q="nguoi SAP")
    rows = read_csv(client.get("/quan-tri/nguoi-dung/?role=STATION&export=csv"))

    assert "chua-co-quyen" in without and "sap-het" not in without
    assert "sap-het" in ending and "sắp hết" in ending and "chua-co-quyen" not in ending
    assert "sap-het" in by_name and "chua-co-quyen" not in by_name
    assert [row["Quyền đang có hiệu lực"] for row in rows] == ["Trạm cấp nước, Trạm Nghĩa Phú (tổ chức)"]


def test_a_deactivated_person_is_signed_out(browser_of, admin, make_person, station):
    clerk = make_person("can-bo", "STATION", station.subject)
    theirs = browser_of(clerk)
    page(theirs, "places:units")

    browser_of(admin).post(reverse("places:set_active", args=[clerk.pk]), {"active": "0"})

    assert theirs.get("/dia-ban/").status_code == 302


def test_a_reset_password_is_new_and_ends_sessions(browser_of, admin, make_person):
    clerk = make_person("can-bo")
    theirs = browser_of(clerk)

    answer = browser_of(admin).post(reverse("places:reset_password", args=[clerk.pk]))

    assert Person.objects.get(pk=clerk.pk).check_password(answer.context["password"])
    assert theirs.get("/dia-ban/").status_code == 302


def test_a_person_lends_a_grant_and_takes_it_back(browser_of, make_person, station):
    lender, stand_in = make_person("truong-tram", "STATION", station.subject), make_person("thay-mat")
    client, today = browser_of(lender), timezone.localdate()
    data = {
        "grant": lender.grants.get().pk, "to": "Thay-Mat", "valid_from": f"{today}",
        "valid_to": f"{today + timedelta(days=3)}",
    }  # fmt: skip

    client.post(reverse("places:loans"), data)
    shown = page(client, "places:loans")
    could = access.may(Person.objects.get(pk=stand_in.pk), "enter", station.subject)
    client.post(reverse("places:end_loan", args=[stand_in.grants.get().pk]))

    assert "Người thay-mat" in shown
    assert could
    assert not access.may(Person.objects.get(pk=stand_in.pk), "enter", station.subject)


def test_nobody_lends_another_persons_grant(browser_of, make_person, station):
    boss, thief = make_person("truong-tram", "STATION", station.subject), make_person("ke-gian")
    today = timezone.localdate()

    answer = browser_of(thief).post(
        reverse("places:loans"),
        {"grant": boss.grants.get().pk, "to": "ke-gian", "valid_from": today, "valid_to": today + timedelta(days=1)},
    )

    assert answer.status_code == 200
    assert thief.grants.count() == 0


def test_the_overview_tells_administrators_of_people_without_rights(browser_of, admin, make_person, station):
    make_person("chua-co-quyen")
    clerk = make_person("sap-het", "STATION", station.subject, valid_to=timezone.localdate() + timedelta(days=14))

    told, clerk_page = page(browser_of(admin), "core:overview"), page(browser_of(clerk), "core:overview")

    assert "1 người chưa có quyền" in told and "Người sap-het: Trạm cấp nước" in told
    assert "chưa có quyền" not in clerk_page


def test_an_organisations_page_names_its_people_to_administrators_alone(browser_of, admin, make_person, station):
    clerk = make_person("tram", "STATION", station.subject)

    told = page(browser_of(admin), "places:organisation", station.subject.key)
    untold = page(browser_of(clerk), "places:organisation", station.subject.key)

    assert "Người có quyền tại đây" in told and "Người tram" in told
    assert "Người có quyền tại đây" not in untold


# --- speed


@pytest.mark.parametrize(
    "address",
    [
        "/dia-ban/?view=list",
        "/to-chuc/",
        "/to-chuc/?view=list",
        "/quan-tri/nguoi-dung/",
        "/ban-do/",
        "/tim-kiem/?q=tram",
    ],
)
def test_lists_ask_the_same_number_of_queries_whatever_their_length(
    browser_of, admin, make_person, make_unit, water_centre, station, nghia_phu, address
):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    client = browser_of(admin)
    client.get(address)
    with CaptureQueriesContext(connection) as few:
        client.get(address)
    for number in range(12):
        unit = make_unit(
            f"thu.quang-ngai.x{number}", f"Xã Thứ {number}", code=f"981{number:02}", parent=nghia_phu.parent
        )
        body = operations.put_organisation(
            key=f"org.{number}", name=f"Trạm {number}", kind="STATION", parent=water_centre, territory=unit
        )
        Subject.objects.filter(pk=body.pk).update(latitude=15.0, longitude=108.0)
        operations.put_urban_area(key=f"urban.{number}", name=f"Khu {number}", commune=unit)
        make_person(f"nguoi-{number}", "STATION", body.subject)

    with CaptureQueriesContext(connection) as many:
        client.get(address)

    assert len(many) == len(few)
    assert len(many) <= 15
