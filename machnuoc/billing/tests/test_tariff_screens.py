"""Pages of tariffs as people use them: list, draft, day of force, fees, frames, calculator, sheets, the API."""

import io
import json
from datetime import date

import openpyxl
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from machnuoc.billing import tariff_queries, tariff_sheets
from machnuoc.billing.models import FeeRule, PriceFrame, Tariff
from machnuoc.billing.tariff_checks import Row
from machnuoc.billing.tests.world import World, make_person, make_tariff
from machnuoc.core.models import Person
from machnuoc.places.models import Containment, Grant, Subject

pytestmark = pytest.mark.django_db


def sign_in(person: Person) -> Client:
    client = Client()
    client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
    return client


def typed(world: World, **changed: str) -> dict[str, str]:
    data = {
        "name": "Giá nước 2027", "scope": str(world.operator.pk), "area": "RURAL", "decision": "9/QĐ-UBND",
        "valid_from": "2027-01-01", "vat_pct": "5", "includes_vat": "0",
        "SH-structure": "BLOCK_PER_CONNECTION", "SH-0-from": "0", "SH-0-to": "10", "SH-0-price": "7.000",
        "SH-1-from": "10", "SH-1-to": "", "SH-1-price": "8.500",
    }  # fmt: skip
    for group in ("SH_NGHEO", "HCSN", "SX", "KDDV"):
        data |= {f"{group}-structure": "FLAT", f"{group}-0-price": "9.000"}
    return {**data, **changed}


def text_of(answer) -> str:
    return answer.content.decode()


def test_the_list_shows_what_is_in_force_today_and_by_the_filter_the_rest(world):
    make_tariff(world.operator.subject, "gia-mai", date(2030, 1, 1), name="Giá năm 2030")
    client = sign_in(world.cashier)

    now, later = client.get("/bieu-gia/"), client.get("/bieu-gia/?show=later")

    assert "Biểu giá gia-thu" in text_of(now)
    assert "chưa đối chiếu văn bản" in text_of(now)
    assert "Giá năm 2030" not in text_of(now)
    assert "Giá năm 2030" in text_of(later)
    assert "Không có biểu giá nào khớp" in text_of(client.get("/bieu-gia/?q=khong+co+dau"))
    assert "Biểu giá gia-thu" in text_of(client.get("/bieu-gia/?q=bieu+gia+thu"))
    assert b"Bi" in b"".join(client.get("/bieu-gia/?export=csv").streaming_content)


def test_a_tariff_is_drafted_in_the_grid_and_put_in_force(world):
    clerk, leader = sign_in(world.clerk), sign_in(world.leader)

    made = clerk.post("/bieu-gia/them/", typed(world))
    row = Tariff.objects.get(name="Giá nước 2027")
    page = text_of(clerk.get(made.url))
    forced = leader.post(f"/bieu-gia/{row.key}/ap-dung/", {"valid_from": "2027-01-01"})

    assert made.status_code == 302
    assert tariff_queries.rows_of(row)[:2] == [
        Row("SH", "BLOCK_PER_CONNECTION", 0, 10_000, 7_000), Row("SH", "BLOCK_PER_CONNECTION", 10_000, None, 8_500),
    ]  # fmt: skip
    assert "trên 10 m³" in page
    assert forced.status_code == 302
    row.refresh_from_db()
    assert row.state == Tariff.State.IN_FORCE
    assert clerk.get(f"/bieu-gia/{row.key}/ap-dung/").status_code == 403


def test_what_is_typed_wrongly_is_told_beside_its_line_and_nothing_is_saved(world):
    client = sign_in(world.clerk)

    answer = client.post("/bieu-gia/them/", typed(world, **{"SH-1-price": "tám nghìn", "SH-0-to": "0", "area": ""}))

    assert answer.status_code == 422
    assert "Sinh hoạt hộ dân cư, dòng 2" in text_of(answer)
    assert "mức «đến» phải lớn hơn" in text_of(answer)
    assert "tám nghìn" in text_of(answer)
    assert not Tariff.objects.filter(name="Giá nước 2027").exists()


def test_a_gap_is_saved_in_the_draft_shown_on_its_page_and_keeps_it_from_force(world):
    sign_in(world.clerk).post("/bieu-gia/them/", typed(world, **{"SH-1-from": "12"}))
    row = Tariff.objects.get(name="Giá nước 2027")
    client = sign_in(world.leader)

    page = text_of(client.get(f"/bieu-gia/{row.key}/"))
    refused = client.post(f"/bieu-gia/{row.key}/ap-dung/", {"valid_from": "2027-01-01", "is_confirmed": "on"})

    assert "khoảng hở giữa bậc 1 (đến 10 m³) và bậc 2 (từ 12 m³)" in page
    assert refused.status_code == 422
    assert "Chưa áp dụng được biểu giá" in text_of(refused)


def test_what_is_odd_is_put_in_force_only_after_a_second_look(world):
    sign_in(world.clerk).post("/bieu-gia/them/", typed(world, **{"SH-1-price": "15.000"}))
    row = Tariff.objects.get(name="Giá nước 2027")
    client = sign_in(world.leader)

    first = client.post(f"/bieu-gia/{row.key}/ap-dung/", {"valid_from": "2027-01-01"})
    second = client.post(f"/bieu-gia/{row.key}/ap-dung/", {"valid_from": "2027-01-01", "is_confirmed": "on"})

    assert first.status_code == 422
    assert "cao hơn khung" in text_of(first)
    assert second.status_code == 302


def test_drafts_are_edited_copied_and_deleted_by_who_bills(world):
    client = sign_in(world.clerk)
    client.post("/bieu-gia/them/", typed(world))
    row = Tariff.objects.get(name="Giá nước 2027")

    page = text_of(client.get(f"/bieu-gia/{row.key}/sua/"))
    edited = client.post(f"/bieu-gia/{row.key}/sua/", typed(world, version="1", name="Giá nước 2027 sửa"))
    stale = client.post(f"/bieu-gia/{row.key}/sua/", typed(world, version="1"))
    copied = client.post(f"/bieu-gia/{world.tariff.key}/sao-chep/")
    deleted = client.post(f"/bieu-gia/{row.key}/xoa/")

    assert 'value="8.500"' in page
    assert (edited.status_code, stale.status_code, copied.status_code, deleted.status_code) == (302, 422, 302, 302)
    assert "vừa được người khác lưu" in text_of(stale)
    assert not Tariff.objects.filter(pk=row.pk).exists()
    assert client.get(f"/bieu-gia/{world.tariff.key}/sua/").status_code == 302
    assert sign_in(world.cashier).get("/bieu-gia/them/").status_code == 403
    assert client.get("/bieu-gia/them/?mau=HN_2023").status_code == 200


def test_a_tariff_goes_out_as_a_sheet_and_comes_back_into_the_grid(world):
    client = sign_in(world.clerk)
    client.post("/bieu-gia/them/", typed(world))
    row = Tariff.objects.get(name="Giá nước 2027")
    sheet = client.get(f"/bieu-gia/{world.tariff.key}/?export=xlsx").content

    read = client.post(
        f"/bieu-gia/{row.key}/nap-tep/", {"file": SimpleUploadedFile("gia.xlsx", sheet)}
    )  # fmt: skip

    assert read.status_code == 200
    assert 'value="12.000"' in text_of(read)
    assert "Đã đọc 11 bậc giá từ gia.xlsx" in text_of(read)
    assert row.prices.count() == 6  # not saved before somebody looked


def test_a_sheet_with_errors_names_the_cells(world):
    client = sign_in(world.clerk)
    client.post("/bieu-gia/them/", typed(world))
    row = Tariff.objects.get(name="Giá nước 2027")
    book = openpyxl.load_workbook(io.BytesIO(tariff_sheets.write([])))
    sheet = book[tariff_sheets.SHEET]
    sheet.append(["SH", "Bậc theo hộ (đồng hồ)", 0, 10, 7000])
    sheet.append(["Hộ lạ", "Một giá", None, None, 9000])
    sheet.append(["SX", "Một giá", None, None, "chín nghìn"])
    file = io.BytesIO()
    book.save(file)

    answer = client.post(
        f"/bieu-gia/{row.key}/nap-tep/", {"file": SimpleUploadedFile("gia.xlsx", file.getvalue())}
    )  # fmt: skip

    assert answer.status_code == 422
    assert "ô A3: «Hộ lạ» không phải đối tượng" in text_of(answer)
    assert "ô E4:" in text_of(answer)
    wrong = client.post(f"/bieu-gia/{row.key}/nap-tep/", {"file": SimpleUploadedFile("gia.csv", b"a,b\n1,2\n")})
    assert wrong.status_code == 302
    assert "thiếu cột «Đối tượng»" in text_of(client.get(f"/bieu-gia/{row.key}/sua/"))


def test_fees_are_set_by_who_may_approve_and_seen_by_the_others(world):
    said = {
        "scope": str(world.work.pk), "group": "SH", "rate_pct": "0", "valid_from": "2027-01-01",
        "document": "Vùng nông thôn",
    }  # fmt: skip

    refused = sign_in(world.clerk).post("/bieu-gia/phi-moi-truong/", said)
    done = sign_in(world.leader).post("/bieu-gia/phi-moi-truong/", said)
    page = text_of(sign_in(world.station).get("/bieu-gia/phi-moi-truong/"))

    assert (refused.status_code, done.status_code) == (403, 302)
    assert "không thu" in page
    assert "10 %" in page
    rule = FeeRule.objects.get(group="SH")
    assert sign_in(world.clerk).post(f"/bieu-gia/phi-moi-truong/{rule.pk}/bo/").status_code == 403
    assert sign_in(world.leader).post(f"/bieu-gia/phi-moi-truong/{rule.pk}/bo/").status_code == 302
    assert not FeeRule.objects.filter(pk=rule.pk).exists()


def test_frames_are_seen_by_all_and_added_by_who_administers_the_whole_country(world):
    country = Subject.objects.create(key="vn.thu", kind=Subject.Kind.COUNTRY, name="Việt Nam")
    admin = make_person("quan.tri", Grant.Role.ADMIN, country)
    own_admin = make_person("quan.tri.don.vi", Grant.Role.ADMIN, world.operator.subject)
    said = {"area": "RURAL", "low_vnd": "2.500", "high_vnd": "12.000", "valid_from": "2027-01-01", "document": "Thử"}

    page = text_of(sign_in(world.cashier).get("/bieu-gia/khung-gia/"))

    assert "11.000" in page
    for person in (world.leader, own_admin):
        assert sign_in(person).post("/bieu-gia/khung-gia/", said).status_code == 403
    assert sign_in(admin).post("/bieu-gia/khung-gia/", said).status_code == 302
    assert PriceFrame.objects.get(area="RURAL", valid_from=date(2021, 8, 5)).valid_to == date(2027, 1, 1)


def test_the_calculator_shows_the_lines_of_the_bill(world):
    page = text_of(sign_in(world.cashier).get(
        f"/bieu-gia/tinh-thu/?tariff={world.tariff.key}&group=SH&volume_m3=25&households=1"
        "&from_date=2026-07-01&last_date=2026-07-31"
    ))  # fmt: skip

    assert "180.000" in page  # 10 × 6,000 + 10 × 7,500 + 5 × 9,000
    assert "9.000" in page  # VAT
    assert "18.000" in page  # fee
    assert "207.000" in page


def test_the_public_calculator_needs_no_sign_in_and_offers_no_drafts(world):
    draft = make_tariff(world.work.subject, "gia-soan", date(2026, 1, 1), state="DRAFT", name="Bản nháp kín")
    Tariff.objects.filter(pk=world.tariff.pk).update(is_simulated=True)

    page = text_of(Client().get("/cong-khai/tinh-tien-nuoc/?volume_m3=10"))
    asked = text_of(Client().get(f"/cong-khai/tinh-tien-nuoc/?tariff={draft.key}"))

    assert "60.000" in page
    assert "mô phỏng" in page
    assert "Bản nháp kín" not in page + asked


@pytest.mark.parametrize(
    "query",
    ["volume_m3=-1", "volume_m3=nhieu", "from_date=2026-13-01", "last_date=1999-01-01", "tariff=khong-co", "group=XX",
     "households=0", "second_group=SX", "second_group=SH&second_pct=20", "last_date=2199-01-01",
     "volume_m3=" + "9" * 90],
)  # fmt: skip
def test_the_calculator_tells_what_it_cannot_read(world, query):
    answer = Client().get(f"/cong-khai/tinh-tien-nuoc/?{query}")

    assert answer.status_code == 200
    assert "callout is-danger" in text_of(answer)


def test_a_price_by_person_without_persons_is_told_in_the_calculator(world):
    world.tariff.prices.filter(group="SH").update(structure="BLOCK_PER_PERSON")

    answer = Client().get("/cong-khai/tinh-tien-nuoc/?persons=0")

    assert "chưa có số người tính định mức" in text_of(answer)


def test_programs_read_tariffs_and_try_them(world):
    client = sign_in(world.cashier)

    listed = client.get("/api/v1/tariffs", {"on_date": timezone.localdate().isoformat()}).json()
    body = {
        "tariff_key": world.tariff.key, "from_date": "2026-07-01", "to_date": "2026-08-01", "volume_l": 25_000,
        "shares": [{"group": "SH"}],
    }  # fmt: skip
    tried = client.post("/api/v1/tariffs/try", json.dumps(body), content_type="application/json").json()
    bad = client.post(
        "/api/v1/tariffs/try", json.dumps({**body, "to_date": "2026-07-01"}), content_type="application/json"
    )

    assert [row["key"] for row in listed["items"]] == [world.tariff.key]
    assert len(listed["items"][0]["prices"]) == 11
    assert (tried["net_vnd"], tried["vat_vnd"], tried["fee_vnd"], tried["total_vnd"]) == (
        180_000, 9_000, 18_000, 207_000
    )  # fmt: skip
    assert [line["block"] for line in tried["lines"]] == [1, 2, 3]
    assert bad.status_code == 409


def test_somebody_of_another_operator_sees_none_of_it(world):
    other = Subject.objects.create(key="org.khac", kind=Subject.Kind.ORGANISATION, name="Đơn vị khác")
    Containment.objects.create(ancestor=other, descendant=other)
    client = sign_in(make_person("nguoi.khac", Grant.Role.LEADER, other))

    assert world.tariff.name not in text_of(client.get("/bieu-gia/"))
    assert client.get(f"/bieu-gia/{world.tariff.key}/").status_code == 404
    assert client.post(f"/bieu-gia/{world.tariff.key}/huy/").status_code == 404
    assert client.get("/api/v1/tariffs").json()["items"] == []
