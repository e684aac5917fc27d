"""How often pages and endpoints ask the database: seldom, and no more often for more rows."""

from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from machnuoc.billing.models import Bill
from machnuoc.core.models import Person

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("demo")]

MOST = 15
PAGES = [
    "/thong-bao/", "/van-ban/", "/tim-kiem/?q=hoa+binh", "/dia-ban/", "/dia-ban/?q=dong", "/ban-do/", "/to-chuc/",
    "/chi-tieu/", "/nhap-lieu/", "/cong-trinh/", "/cong-trinh/ban-do/", "/cong-trinh/bieu-do/",
    "/chi-tieu/works.utilisation_households_pct/", "/nhiem-vu/", "/nhiem-vu/bang/", "/nhiem-vu/theo-don-vi/",
    "/nhiem-vu/dong-thoi-gian/", "/hop-kiem-tra/", "/tuyen-truyen-tap-huan/",
    "/du-an/", "/du-an/bieu-do/", "/du-an/no-dong/", "/ban-giao/",
    "/lich-bao-cao/", "/lich-bao-cao/danh-sach/", "/lich-bao-cao/nghia-vu/", "/lich-bao-cao/don-vi/",
    "/bao-cao/", "/giam-sat/truc/",
    "/giam-sat/canh-bao/", "/giam-sat/canh-bao/da-qua/", "/giam-sat/canh-bao/thong-ke/", "/giam-sat/quy-tac/",
    "/giam-sat/bao-tri/", "/giam-sat/thiet-bi/", "/giam-sat/suc-khoe-thiet-bi/", "/giam-sat/gioi-han/",
    "/giam-sat/dai-luong/",
    "/khach-hang/", "/khach-hang/?q=nguyen+van", "/khach-hang/de-nghi/", "/khach-hang/de-nghi/bang/",
    "/phan-anh/", "/phan-anh/?state=all&q=nuoc", "/phan-anh/ban-do/", "/phan-anh/thong-ke/", "/phan-anh/loai/",
    "/cong-khai/thong-bao/", "/giam-sat/so-nhan/", "/giam-sat/cach-ly/", "/giam-sat/", "/giam-sat/chi-so/",
    "/bieu-gia/", "/bieu-gia/?show=all", "/bieu-gia/phi-moi-truong/", "/bieu-gia/khung-gia/", "/bieu-gia/tinh-thu/",
    "/cong-khai/tinh-tien-nuoc/", "/kh/dang-nhap/",
]  # fmt: skip
MONEY_PAGES = [
    "/thong-bao-khach-hang/", "/ghi-chi-so/", "/ghi-chi-so/xem-lai/", "/ghi-chi-so/tuyen/", "/dong-ho/",
    "/dong-ho/?due=past", "/ghi-chi-so/phieu-tu-may/",
    "/thu-tien/giao-dich/", "/thu-tien/quy/", "/thu-tien/hoan-tien/", "/thu-tien/cong/", "/thu-tien/cong/chuyen-ve/",
    "/sao-ke/", "/cong-no/",
    "/cong-no/?age=30&case=none",
]  # fmt: skip
BILL_PAGES = [
    "/hoa-don-dien-tu/", "/hoa-don-dien-tu/doi-chieu/", "/hoa-don-dien-tu/thiet-lap/", "/in-hoa-don/",
    "/lap-hoa-don/", "/lap-hoa-don/them/", "/hoa-don/", "/hoa-don/?period=2026-07&state=NORMAL", "/so-cai/",
    "/so-cai/nhat-ky/",
]  # fmt: skip
PLAN_PAGES = [
    "/ke-hoach/", "/ke-hoach/qn.79-2026/", "/ke-hoach/qn.79-2026/chi-tieu/khach-hang/",
    "/ke-hoach/qn.79-2026/chi-tieu/khach-hang-ty-le/", "/chi-tieu-ke-hoach/", "/chi-tieu-ke-hoach/?level=all",
    "/phat-trien-khach-hang/", "/muc-do-hoan-thanh/",
]  # fmt: skip
PROGRAMME_PAGES = [
    "/tim-kiem/?q=nong+thon+moi", "/nong-thon-moi/", "/nong-thon-moi/bo-tieu-chi/",
    "/nong-thon-moi/bo-tieu-chi/xa-ntm-2021-2025/",
    *(f"/nong-thon-moi/kh.1355-2024/{page}" for page in (
        "", "ma-tran/", "ma-tran/?show=all", "co-quan/", "co-quan/4/", "lo-trinh/", "sap-xep/",
        "xa/vn.khanh-hoa-cu.cam-lam-huyen.cam-tan-xa/", "xa/vn.khanh-hoa-cu.cam-lam-huyen.cam-tan-xa/lo-trinh/",
    )),
]  # fmt: skip
PROJECT_PAGES = [
    (username, f"/du-an/{key}/")
    for key, usernames in (
        ("project.qn.duc-chanh", ("quantri", "qn.lanhdao", "qn.khkt", "qn.sonnmt", "doitac")),
        ("project.cb.hoa-an", ("quantri", "cb.soxaydung", "cb.capnuoc")),
    )
    for username in usernames
]
ADMIN_PAGES = ["/quan-tri/nguoi-dung/", "/quan-tri/tac-vu/", "/quan-tri/tin-gui/", "/quan-tri/nhat-ky/"]
DETAIL_PAGES = [
    "/cong-trinh/work.qn.binh-chanh/", "/to-chuc/org.qn.trung-tam/", "/dia-ban/vn.quang-ngai.binh-son-xa/",
    "/chi-tieu/works.households_connected/", "/chi-tieu/ntm.communes/", "/giam-sat/tram/work.qn.binh-chanh/",
]  # fmt: skip
DEPARTMENT = ("quantri", "qn.lanhdao", "qn.khkt", "qn.binhchanh", "qn.thungan", "qn.sonnmt")
PLACE_PAGES = ["/", "/dia-ban/vn.quang-ngai/", "/dia-ban/vn.cao-bang/"]
LISTS = [
    "units",
    "organisations",
    "works",
    "metrics",
    "values",
    "submissions",
    "tasks",
    "projects",
    "projects/oc4ids",
    "reports",
    "telemetry/devices",
    "telemetry/channels",
    "telemetry/latest",
    "telemetry/alarms",
    "connections",
    "complaints",
]


def _sign_in(username: str) -> Client:
    client = Client()
    client.force_login(Person.objects.get(username=username), backend="django.contrib.auth.backends.ModelBackend")
    return client


def _count(client: Client, address: str, **headers: str) -> tuple[int, str]:
    """Return the queries of the second visit (the first fills what is kept in memory), and what they were."""
    assert client.get(address, headers=headers).status_code == 200
    with CaptureQueriesContext(
        connection,
    ) as asked:
        client.get(address, headers=headers)
    return len(asked), "\n".join(query["sql"][:150] for query in asked)


@pytest.mark.parametrize("username", ["quantri", "qn.lanhdao", "qn.binhchanh", "cb.soxaydung"])
@pytest.mark.parametrize("address", PAGES)
def test_a_main_page_asks_the_database_seldom(username, address):
    count, asked = _count(_sign_in(username), address)

    assert count <= MOST, f"{count} queries\n{asked}"


@pytest.mark.parametrize("username", ["qn.lanhdao", "qn.khkt"])
@pytest.mark.parametrize("address", MONEY_PAGES)
def test_a_page_of_money_asks_the_database_seldom(username, address):
    count, asked = _count(_sign_in(username), address)

    assert count <= MOST, f"{count} queries\n{asked}"


@pytest.mark.parametrize("username", ["qn.lanhdao", "qn.khkt"])
@pytest.mark.parametrize("address", BILL_PAGES)
def test_a_page_of_bills_asks_the_database_seldom(username, address):
    count, asked = _count(_sign_in(username), address)

    assert count <= MOST, f"{count} queries\n{asked}"


@pytest.mark.parametrize("username", ["quantri", "qn.lanhdao", "qn.khkt", "qn.binhchanh", "qn.sonnmt"])
@pytest.mark.parametrize("address", PLAN_PAGES)
def test_a_page_of_a_plan_asks_the_database_seldom(username, address):
    count, asked = _count(_sign_in(username), address)

    assert count <= MOST, f"{count} queries\n{asked}"


@pytest.mark.parametrize("username", ["quantri", "kh.nongnghiep"])
@pytest.mark.parametrize("address", PROGRAMME_PAGES)
def test_a_page_of_a_programme_asks_the_database_seldom(username, address):
    count, asked = _count(_sign_in(username), address)

    assert count <= MOST, f"{count} queries\n{asked}"


@pytest.mark.parametrize(("username", "address"), PROJECT_PAGES)
def test_a_page_of_a_project_asks_the_database_seldom(username, address):
    count, asked = _count(_sign_in(username), address)

    assert count <= MOST, f"{count} queries\n{asked}"


@pytest.mark.parametrize("username", ["quantri", "qn.lanhdao"])
@pytest.mark.parametrize("address", DETAIL_PAGES)
def test_a_page_of_one_thing_asks_the_database_seldom(username, address):
    count, asked = _count(_sign_in(username), address)

    assert count <= MOST, f"{count} queries\n{asked}"


@pytest.mark.parametrize("address", ADMIN_PAGES)
def test_an_administrators_page_asks_the_database_seldom(address):
    count, asked = _count(_sign_in("quantri"), address)

    assert count <= MOST, f"{count} queries\n{asked}"


@pytest.mark.parametrize("name", LISTS)
def test_an_endpoint_asks_no_more_often_for_more_rows(name):
    client = _sign_in("quantri")

    few, _ = _count(client, f"/api/v1/{name}?limit=3")
    many, asked = _count(client, f"/api/v1/{name}?limit=200")

    assert few <= many <= few + 1, asked  # a page that holds nothing may spare the look at what belongs to its rows
    assert many <= MOST


@pytest.mark.parametrize("username", [*DEPARTMENT, "cb.soxaydung", "cb.capnuoc", "cb.phuchoa", "ct.camtan"])
@pytest.mark.parametrize("address", PLACE_PAGES)
def test_the_overview_and_the_page_of_a_province_ask_the_database_seldom(username, address):
    count, asked = _count(_sign_in(username), address)

    assert count <= MOST, f"{count} queries\n{asked}"


@pytest.mark.parametrize("username", DEPARTMENT)
def test_the_page_of_a_connection_asks_the_database_seldom(username):
    bill = Bill.objects.filter(connection__work__subject__key="work.qn.binh-chanh").latest("pk")
    client, page = _sign_in(username), f"/khach-hang/{bill.connection.code}/"

    for address, headers in ((page, {}), (f"{page}lien-quan/", {"HX-Request": "true"})):
        count, asked = _count(client, address, **headers)
        assert count <= MOST, f"{address}: {count} queries\n{asked}"


@pytest.mark.parametrize("username", DEPARTMENT)
def test_the_page_of_a_bill_and_the_search_for_bills_ask_the_database_seldom(username):
    bill = Bill.objects.filter(connection__work__subject__key="work.qn.binh-chanh").latest("pk")
    customer, client = bill.connection.customer, _sign_in(username)
    asked_for = (bill.connection.code, bill.number, customer.name.split()[0], customer.phone[:5], customer.phone)

    for address in (f"/hoa-don/{bill.pk}/", *(f"/hoa-don/?{urlencode({'q': q})}" for q in asked_for)):
        count, asked = _count(client, address)
        assert count <= MOST, f"{address}: {count} queries\n{asked}"
