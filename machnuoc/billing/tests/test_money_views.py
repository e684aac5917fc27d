"""Pages of money: the counter with Enter alone, receipts, drawers, statements, debts; whose they are."""

from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from machnuoc.billing import corrections, debts, panels, payments, refunds, runs, till
from machnuoc.billing.models import BankLine, Bill, CollectionSheet, DebtCase, Payment, Refund, TillSession
from machnuoc.billing.reference import make
from machnuoc.billing.tests.fixtures_money import GATEWAYS, assert_every_dong_has_its_place, issue, pay
from machnuoc.billing.tests.test_holders import pass_on
from machnuoc.billing.tests.test_runs import prepare
from machnuoc.billing.tests.test_statements import HEADINGS, as_csv, row, table
from machnuoc.billing.tests.world import JULY, JUNE, NOW, make_person, make_world
from machnuoc.customers import privacy
from machnuoc.customers.models import DataAccess, Route
from machnuoc.places.models import Grant

pytestmark = pytest.mark.django_db


def sign_in(person):
    client = Client()
    client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def today():
    return timezone.localdate()


@pytest.fixture
def home(world, today):
    one = world.connection()
    one.bill = issue(
        world,
        one,
        105_021,
        month=(today.replace(day=1) - timedelta(days=62)).replace(day=1),
        due=today - timedelta(days=40),
    )
    return one


def text_of(answer):
    return answer.content.decode()


def test_the_counter_from_search_to_receipt(world, home):
    client = sign_in(world.cashier)
    assert "Chưa mở quỹ" in text_of(client.get("/thu-tien/"))
    client.post("/thu-tien/quy/", {"operator": world.operator.pk, "opening_vnd": "200.000"})

    found = client.get("/thu-tien/", {"q": home.code})
    assert found["Location"] == f"/thu-tien/dau-noi/{home.code}/"
    page = client.get(found["Location"])
    form = page.context["form"]
    assert "105.021" in text_of(page) and home.bill.name in text_of(page)
    sent = {"amount_vnd": "105.021", "key": form.initial["key"]}
    first = client.post(found["Location"], sent)
    second = client.post(found["Location"], sent)  # the button pressed twice

    assert first["Location"] == second["Location"]
    assert Payment.objects.count() == 1
    receipt = text_of(client.get(first["Location"]))
    assert "một trăm lẻ năm nghìn không trăm hai mươi mốt đồng" in receipt.lower()
    assert "Số 1" in receipt
    assert DataAccess.objects.filter(person=world.cashier).exists()


@pytest.mark.parametrize("q", ["nguyen van thu 1", "0905000001", "DN000001"])
def test_the_counter_finds_by_name_phone_and_code(world, home, q):
    answer = sign_in(world.cashier).get("/thu-tien/", {"q": q})

    assert answer["Location"] == f"/thu-tien/dau-noi/{home.code}/"


def test_the_counter_finds_by_the_reference_on_a_bill(world, home):
    answer = sign_in(world.cashier).get("/thu-tien/", {"q": make(home.bill.pk)})

    assert answer["Location"] == f"/thu-tien/dau-noi/{home.code}/"


def test_a_receipt_is_given_as_pdf(world, home):
    paid = pay(home, 105_021)

    answer = sign_in(world.cashier).get(f"/thu-tien/bien-lai/{paid.pk}/?pdf=1")

    assert answer.content.startswith(b"%PDF")


def test_a_wrong_amount_is_told_beside_its_field(world, home):
    till.open_till(world.operator, person=world.cashier, opening_vnd=0, now=timezone.now())
    answer = sign_in(world.cashier).post(f"/thu-tien/dau-noi/{home.code}/", {"amount_vnd": "0"})

    assert answer.status_code == 422
    assert not Payment.objects.exists()


def test_a_drawer_is_counted_closed_and_confirmed_by_another(world, home):
    client = sign_in(world.cashier)
    drawer = till.open_till(world.operator, person=world.cashier, opening_vnd=0, now=timezone.now())
    client.post(f"/thu-tien/dau-noi/{home.code}/", {"amount_vnd": "100.000"})

    told = client.post(f"/thu-tien/quy/{drawer.pk}/", {"counted_vnd": "99.000"})
    assert "ghi lý do lệch" in text_of(told)
    client.post(f"/thu-tien/quy/{drawer.pk}/", {"counted_vnd": "99.000", "note": "Thối thừa"})
    assert client.post(f"/thu-tien/quy/{drawer.pk}/xac-nhan/").status_code == 403
    sign_in(world.clerk).post(f"/thu-tien/quy/{drawer.pk}/xac-nhan/")

    drawer.refresh_from_db()
    assert (drawer.state, drawer.confirmed_by) == (TillSession.State.CLOSED, world.clerk)
    for client in (sign_in(world.cashier), sign_in(world.clerk)):
        assert client.get("/thu-tien/quy/").status_code == 200
        assert client.get(f"/thu-tien/quy/{drawer.pk}/").status_code == 200


def test_a_payment_is_taken_back_and_refunded_by_those_who_may(world, home):
    wrong, ahead = pay(home, 5_000), pay(home, 200_000)
    cashier, clerk, leader = sign_in(world.cashier), sign_in(world.clerk), sign_in(world.leader)
    assert cashier.post(f"/thu-tien/giao-dich/{wrong.pk}/dao/", {"reason": "x"}).status_code == 403

    clerk.post(f"/thu-tien/giao-dich/{wrong.pk}/dao/", {"reason": "Nhầm người"})
    assert "đã đảo" in text_of(clerk.get(f"/thu-tien/giao-dich/{wrong.pk}/"))
    clerk.post(f"/thu-tien/giao-dich/{ahead.pk}/hoan/", {"amount_vnd": "94.979", "reason": "Trả thừa"})
    refund = Refund.objects.get()
    clerk.post(f"/thu-tien/hoan-tien/{refund.pk}/duyet/")
    refund.refresh_from_db()
    assert refund.state == "REQUESTED"  # a department does not approve
    leader.post(f"/thu-tien/hoan-tien/{refund.pk}/duyet/")
    clerk.post(f"/thu-tien/hoan-tien/{refund.pk}/tra-chuyen-khoan/")
    refund.refresh_from_db()
    assert refund.state == "PAID"
    assert "Đã trả" in text_of(leader.get("/thu-tien/hoan-tien/"))


def test_a_collector_takes_a_sheet_along_and_brings_money_back(world, home):
    route = Route.objects.create(code="T1", name="Tuyến 1", work=world.work, collector=world.station)
    home.route = route
    home.save()
    client = sign_in(world.station)

    made = client.post("/thu-tien/tuyen/", {"route": route.pk})
    page = made["Location"]
    assert home.code in text_of(client.get(page))
    sent = {"connection": home.code, "amount_vnd": "105.021", "key": "k1"}
    client.post(page, sent)
    assert not Payment.objects.exists()  # no bag is open
    till.open_till(world.operator, person=world.station, opening_vnd=0, now=timezone.now())
    for _ in range(2):
        client.post(page, sent)
    assert Payment.objects.get().method == "COLLECTOR"
    assert "đã trả" in text_of(client.get(page))
    client.post(page, {"act": "close"})
    assert CollectionSheet.objects.get().closed_at is not None


def test_a_statement_is_brought_its_columns_confirmed_and_a_line_recorded(world, home):
    client = sign_in(world.clerk)
    content = as_csv(table(row("FT1", "105.021", make(home.bill.pk)), row("FT2", "7.000", "khong ro")))

    def bring(content, name):
        said = {"operator": world.operator.pk, "bank": "Ngân hàng thử", "file": SimpleUploadedFile(name, content)}
        return client.post("/sao-ke/", said)

    asked = bring(content, "sao-ke.csv")
    assert asked["Location"].endswith("/cot/")
    assert "Cột nào là cột nào" in text_of(client.get(asked["Location"]))
    chosen = {
        "date": "Ngày giao dịch", "credit": "Ghi có", "debit": "Ghi nợ", "text": "Nội dung",
        "reference": "Số tham chiếu",
    }  # fmt: skip
    done = client.post(asked["Location"], chosen)
    page = text_of(client.get(done["Location"]))
    assert "Khớp mã và số tiền" in page
    client.get(done["Location"], {"export": "csv"})
    looks = DataAccess.objects.filter(person=world.clerk, purpose__startswith="Sao kê").order_by("pk")
    assert list(looks.values_list("what", "count")) == [("LIST", 2), ("EXPORT", 2)]
    unknown = BankLine.objects.get(amount_vnd=7_000)
    client.post(f"/sao-ke/dong/{unknown.pk}/ghi/", {"code": home.code})
    unknown.refresh_from_db()
    assert unknown.match == "CONFIRMED"
    refused = client.post(f"/sao-ke/dong/{unknown.pk}/hoan-tac/", {"reason": " "}, follow=True)
    assert f"Ghi lý do hoàn tác dòng {unknown.row}" in text_of(refused)
    unknown.refresh_from_db()
    assert unknown.payment is not None
    client.post(f"/sao-ke/dong/{unknown.pk}/hoan-tac/", {"reason": "Nhầm khách hàng"})
    unknown.refresh_from_db()
    assert unknown.payment is None
    waiting = text_of(client.get(f"/sao-ke/{unknown.statement_id}/"))
    assert f'/khach-hang/{home.code}/">{home.code}</a> Nguyễn Văn Thử 1' in waiting

    again = bring(as_csv(table(row("FT3", "1.000", "x"))), "lan-hai.csv")
    assert again["Location"] == f"/sao-ke/{BankLine.objects.get(amount_vnd=1_000).statement_id}/"
    changed = bring(as_csv(table(row("FT4", "1.000", "x"), headings=[*HEADINGS[:5], "Diễn giải"])), "lan-ba.csv")
    told = text_of(client.get(changed["Location"]))
    assert "Tệp không còn cột «Nội dung»" in told
    assert not BankLine.objects.filter(bank_reference__endswith="FT4").exists()
    assert client.get("/sao-ke/").status_code == 200


def test_debts_are_listed_and_a_case_goes_its_way(world, home, today):
    clerk, leader = sign_in(world.clerk), sign_in(world.leader)
    page = text_of(clerk.get("/cong-no/"))
    assert home.code in page
    assert "105.021" in page

    opened = clerk.post(f"/cong-no/mo/{home.code}/")
    case = DebtCase.objects.get()
    assert opened["Location"] == f"/cong-no/ho-so/{case.pk}/"
    clerk.post("/cong-no/nhac/", {"code": [home.code]})
    clerk.post(f"/cong-no/ho-so/{case.pk}/thong-bao/", {"text": "Số 1/TB"})
    told = leader.post(f"/cong-no/ho-so/{case.pk}/lap-phieu/")
    assert told.status_code == 422
    assert "Chưa hết thời hạn luật định" in text_of(told)
    assert clerk.post(f"/cong-no/ho-so/{case.pk}/lap-phieu/").status_code == 403
    shown = text_of(clerk.get(f"/cong-no/ho-so/{case.pk}/"))
    assert "Nghị định 117/2007/NĐ-CP" in shown
    assert [step.kind for step in case.steps.all()] == ["REMINDER", "NOTICE"]
    for query in ("?age=30", "?case=OPEN", f"?work={world.work.pk}", "?q=thu"):
        assert home.code in text_of(clerk.get(f"/cong-no/{query}"))
    for query in ("?age=60", "?case=none", "?q=khong-co-ai"):
        assert "Không có đấu nối nợ nào khớp" in text_of(clerk.get(f"/cong-no/{query}"))


@pytest.mark.parametrize(
    "address",
    ["/thu-tien/quy/", "/thu-tien/giao-dich/", "/thu-tien/hoan-tien/", "/thu-tien/cong/", "/sao-ke/", "/cong-no/"],
)
def test_lists_go_out_as_files(world, home, address):
    pay(home, 1_000)
    client = sign_in(world.clerk)

    for kind in ("csv", "xlsx"):
        answer = client.get(address, {"export": kind})
        assert answer.status_code == 200
        assert b"".join(answer.streaming_content)


def test_a_gateway_payment_begun_at_the_counter_shows_its_address(world, home, settings):
    client = sign_in(world.cashier)
    assert "chưa kết nối" in text_of(client.get(f"/thu-tien/dau-noi/{home.code}/"))
    settings.VNPAY = GATEWAYS["VNPAY"]

    page = text_of(client.post(f"/thu-tien/dau-noi/{home.code}/cong/", {"gateway": "vnpay"}))

    assert "https://sandbox.vnpayment.vn/paymentv2/vpcpay.html" in page
    assert "Chờ cổng báo" in text_of(client.get("/thu-tien/cong/"))
    told = client.post(f"/thu-tien/dau-noi/{home.code}/cong/", {"gateway": "momo"}, follow=True)
    assert "Chưa kết nối cổng MoMo" in text_of(told)


def test_nobody_sees_or_touches_money_of_another_operator(world, home):
    other = make_world("khac")
    other.made = 500
    paid = pay(home, 200_000)
    case = debts.open_case(issue_old(world), now=timezone.now(), by=None)
    refund = refunds.request_refund(paid, amount_vnd=1, reason="x", now=timezone.now(), by=world.clerk)
    drawer = till.open_till(world.operator, person=world.cashier, opening_vnd=0, now=timezone.now())
    people = [other.clerk, other.leader, other.cashier]

    for person in people:
        client = sign_in(person)
        for address in (
            f"/thu-tien/dau-noi/{home.code}/", f"/thu-tien/bien-lai/{paid.pk}/", f"/thu-tien/giao-dich/{paid.pk}/",
            f"/thu-tien/giao-dich/{paid.pk}/dao/", f"/thu-tien/quy/{drawer.pk}/", f"/cong-no/ho-so/{case.pk}/",
        ):  # fmt: skip
            assert client.get(address).status_code in {403, 404}, address
        for address in (
            f"/thu-tien/dau-noi/{home.code}/", f"/thu-tien/hoan-tien/{refund.pk}/duyet/", f"/cong-no/mo/{home.code}/",
            f"/cong-no/ho-so/{case.pk}/thong-bao/", f"/thu-tien/giao-dich/{paid.pk}/hoan/",
        ):  # fmt: skip
            assert client.post(address, {"amount_vnd": "1", "text": "x", "reason": "x"}).status_code in {403, 404}, (
                address
            )
        for address in ("/thu-tien/giao-dich/", "/cong-no/", "/thu-tien/hoan-tien/"):
            assert home.code not in text_of(client.get(address))
    assert Payment.objects.count() == 1


def test_what_only_looks_like_a_number_asks_for_nothing(world, home):
    client = sign_in(world.clerk)

    assert client.get("/thu-tien/giao-dich/", {"q": "²"}).status_code == 200
    assert client.get("/hoa-don-dien-tu/", {"before": "0" * 5_000, "after": "²"}).status_code == 200
    for field in ("route", "work"):
        assert client.post("/ghi-chi-so/mo-dot/", {field: "²"}).status_code == 302


def test_the_scan_of_a_notice_is_given_and_the_look_written_down(world, home):
    client = sign_in(world.clerk)
    client.post(f"/cong-no/mo/{home.code}/")
    case = DebtCase.objects.get()
    proof = SimpleUploadedFile("thong-bao.pdf", b"%PDF-1.4 thong bao")
    client.post(f"/cong-no/ho-so/{case.pk}/thong-bao/", {"text": "Số 1/TB", "proof": proof})

    answer = client.get(f"/cong-no/ho-so/{case.pk}/van-ban/{case.steps.get().pk}/")

    assert b"".join(answer.streaming_content).startswith(b"%PDF-1.4")
    assert DataAccess.objects.filter(person=world.clerk, customer=home.customer, purpose="văn bản nợ").count() == 1


def issue_old(world):
    one = world.connection()
    issue(world, one, 50_000, due=timezone.localdate() - timedelta(days=10), month=timezone.localdate().replace(day=1))
    return one


@pytest.mark.parametrize("role", [Grant.Role.READER, Grant.Role.PARTNER, Grant.Role.AGENCY])
def test_who_has_no_business_with_money_is_refused(world, home, role):
    client = sign_in(make_person("nguoi-khac", role, world.operator.subject))

    for address in (
        "/thu-tien/", "/thu-tien/quy/", "/thu-tien/giao-dich/", "/thu-tien/hoan-tien/", "/thu-tien/tuyen/",
        "/thu-tien/cong/", "/sao-ke/", "/cong-no/",
    ):  # fmt: skip
        assert client.get(address).status_code == 403, address


def test_the_page_of_a_connection_shows_what_came_in_and_the_debt(world, home):
    pay(home, 5_000)
    debts.open_case(home, now=timezone.now(), by=world.clerk)

    page = text_of(sign_in(world.clerk).get(f"/khach-hang/{home.code}/lien-quan/"))

    assert "Thu tiền, nợ" in page
    assert "Hồ sơ nợ #" in page


def test_a_customer_whose_money_we_hold_is_known_to_be_unsettled_and_has_payments_in_their_copy(world):
    one = world.connection()
    pay(one, 5_000)

    assert panels.owed_vnd([one.customer_id]) == [(one.customer_id, 5_000)]
    assert dict(panels.customer_data(one.customer))["Khoản thu"][0]["Số tiền (đồng)"] == 5_000


def test_an_erased_customer_is_named_in_no_payment_and_no_debt_and_the_books_still_balance(world, home, today):
    earlier = home.customer
    paid = pay(home, 105_021, payer="Nguyễn Văn Thử", note="MN1 NGUYEN VAN THU", by=world.clerk)
    case = DebtCase.objects.create(
        connection=home, customer=earlier, opened_at=timezone.now(), state="SETTLED", objective_reason="Nằm viện"
    )
    case.steps.create(kind="NOTICE", date=today, at=timezone.now(), owed_vnd=1, how="Giao cho Nguyễn Văn Thử")
    home.status, home.closed_date = "CLOSED", today
    home.save()

    assert dict(panels.customer_data(earlier))["Khoản thu"][0]["Người trả"] == "Nguyễn Văn Thử"
    privacy.erase(earlier, reason="Khách hàng đề nghị", by=world.clerk, now=timezone.now())

    paid.refresh_from_db()
    case.refresh_from_db()
    assert (paid.payer, paid.note, paid.amount_vnd) == ("", "", 105_021)
    assert (case.objective_reason, case.steps.get().how) == ("", "")
    assert_every_dong_has_its_place(home)


def test_who_takes_money_sees_till_takings_and_daily_pages_on_the_overview(world, home):
    client = sign_in(world.cashier)
    later = "/tong-quan/now/"
    assert "Chưa mở quỹ" in text_of(client.get(later))
    client.post("/thu-tien/quy/", {"operator": world.operator.pk, "opening_vnd": "0"})
    account = f"/thu-tien/dau-noi/{home.code}/"
    client.post(account, {"amount_vnd": "105.021", "key": client.get(account).context["form"].initial["key"]})

    page = text_of(client.get(later))

    assert "Quỹ đang mở" in page and "105.021" in page and "1 khoản" in page
    bar = client.get("/").context["quick_navigation"]
    shown = [link.title for link in (bar() if callable(bar) else bar)]
    assert shown[:3] == ["Thu tiền", "Khách hàng", "Phản ánh"]


def test_who_approves_sees_on_the_overview_what_others_asked_for(world, today):
    home = world.connection({JUNE: 100, JULY: 125})
    run = prepare(world, JULY)
    later = "/tong-quan/now/"
    clerk, leader = sign_in(world.clerk), sign_in(world.leader)

    assert f"/lap-hoa-don/{run.pk}/" in text_of(leader.get(later))
    assert "chờ duyệt" not in text_of(clerk.get(later))  # their own run
    runs.approve(run, by=world.leader, now=NOW)
    assert "đã duyệt, chờ phát hành" in text_of(clerk.get(later))
    runs.start(run, by=world.clerk, now=NOW)
    runs.issue(run.pk, now=NOW)
    bill = Bill.objects.get(connection=home)
    facts = corrections.Facts(20_000, "SH", 1, 0)
    corrections.ask(bill, way="ADJUST", facts=facts, reason="Đọc nhầm", by=world.clerk, now=NOW)
    paid = pay(home, 500_000)
    refunds.request_refund(paid, amount_vnd=30_000, reason="Đóng thừa", now=timezone.now(), by=world.cashier)

    shown = text_of(leader.get(later))
    assert "1 đề nghị sửa hóa đơn" in shown and "1 yêu cầu hoàn tiền, 30.000" in shown
    assert "Hóa đơn, tiền chờ bạn" not in text_of(clerk.get(later))
    menu = [item.url for item in panels.navigation(world.leader)]
    assert "/thu-tien/giao-dich/" in menu and "/thu-tien/" not in menu


def test_a_closed_till_waits_on_the_overview_of_who_confirms_it(world):
    drawer = till.open_till(world.operator, person=world.cashier, opening_vnd=0, now=timezone.now())
    till.close_till(drawer, counted_vnd=0, note="", now=timezone.now(), by=world.cashier)

    assert f"Quỹ #{drawer.pk} của {world.cashier.full_name}" in text_of(sign_in(world.clerk).get("/tong-quan/now/"))
    assert f"Quỹ #{drawer.pk} của" not in text_of(sign_in(world.cashier).get("/tong-quan/now/"))
    till.confirm_till(drawer, by=world.clerk, now=timezone.now())
    assert f"Quỹ #{drawer.pk}" not in text_of(sign_in(world.clerk).get("/tong-quan/now/"))


def test_a_reversed_payment_says_so_at_the_counter_and_in_the_list(world, home):
    paid = pay(home, 50_000)
    payments.reverse_payment(paid, reason="Nhầm", now=timezone.now(), by=world.clerk)
    client = sign_in(world.cashier)

    assert "đã đảo" in text_of(client.get(f"/thu-tien/dau-noi/{home.code}/"))
    assert "đã đảo" in text_of(client.get("/thu-tien/giao-dich/"))


def test_the_counter_leads_from_an_unpaid_bill_to_why_it_is_so_much(world, home):
    client = sign_in(world.cashier)

    assert f'<a href="/hoa-don/{home.bill.pk}/">' in text_of(client.get(f"/thu-tien/dau-noi/{home.code}/"))
    assert client.get(f"/hoa-don/{home.bill.pk}/").status_code == 200


def test_a_receipt_printed_again_tells_of_which_day_the_debt_is_and_who_paid(world, home, today):
    paid = pay(home, 50_000)
    pass_on(world, home)

    receipt = text_of(sign_in(world.cashier).get(f"/thu-tien/bien-lai/{paid.pk}/"))

    assert f"Còn nợ đến {today:%d/%m/%Y}" in receipt
    assert "Nguyễn Văn Thử 1" in receipt


def test_two_clerks_do_not_both_take_the_money_for_one_bill(world, home):
    other = make_person("thu.hai", "CASHIER", world.operator.subject)
    first, second = sign_in(world.cashier), sign_in(other)
    account = f"/thu-tien/dau-noi/{home.code}/"
    sent = []
    for client in (first, second):
        client.post("/thu-tien/quy/", {"operator": world.operator.pk, "opening_vnd": "0"})
        initial = client.get(account).context["form"].initial
        sent.append({"amount_vnd": "105.021", "key": initial["key"], "seen_vnd": initial["seen_vnd"]})

    done = first.post(account, sent[0])
    refused = second.post(account, sent[1])

    assert refused.status_code == 422
    assert "Số phải thu vừa đổi từ 105.021" in text_of(refused)
    assert 'name="seen_vnd" value="0"' in text_of(refused)
    assert Payment.objects.get().till.person == world.cashier
    assert first.post(account, sent[0])["Location"] == done["Location"]  # the button pressed twice is still one receipt
    ahead = {**sent[1], "seen_vnd": "0", "amount_vnd": "1.000"}
    assert second.post(account, ahead).status_code == 302  # who has seen it may take money ahead
