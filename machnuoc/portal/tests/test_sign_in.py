"""Signing in by a code: who gets one, what strangers learn, how often, and where the code never stands."""

import json
import logging
import threading
import time
from datetime import date, timedelta

import pytest
from django.contrib.sessions.models import Session
from django.core import mail
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from machnuoc.core import jobs, sending
from machnuoc.core.models import AuditEntry, Job, Person, Sending
from machnuoc.customers.models import Connection, Customer
from machnuoc.places.models import Containment, Grant, Subject
from machnuoc.portal import account_operations, codes, links, sessions
from machnuoc.portal.models import PortalAccount, PortalLink, SignInCode
from machnuoc.portal.tests.conftest import make_account, session_of

pytestmark = pytest.mark.django_db
SIGN_IN, CODE = "/kh/dang-nhap/", "/kh/dang-nhap/ma/"


@pytest.fixture
def emailed(settings, house) -> str:
    """The house's customer has an e-mail, and the server sends e-mail."""
    settings.EMAIL_HOST = "localhost"
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    Customer.objects.filter(pk=house.customer_id).update(email="an@vi-du.vn")
    return "an@vi-du.vn"


def run_jobs() -> None:
    while jobs.run_next(timezone.now()):
        pass


def sent_code() -> str:
    return mail.outbox[-1].body.partition(".")[0]


def ask(browser: Client, address: str, **data: str):
    return browser.post(SIGN_IN, {"address": address, **data})


def test_a_customer_signs_in_by_the_code_that_reached_their_mailbox(emailed, house):
    browser = Client()

    assert ask(browser, " An@vi-du.vn ", next="/kh/tai-khoan/").url == CODE
    run_jobs()
    response = browser.post(CODE, {"code": sent_code()})

    assert response.url == "/kh/tai-khoan/"
    assert house.code in browser.get("/kh/").content.decode()
    assert PortalAccount.objects.get().address == "an@vi-du.vn"
    assert AuditEntry.objects.filter(action="portal.sign_in").count() == 1


def test_signing_in_gives_a_new_session_key_and_leaves_nothing_of_the_one_before(emailed):
    browser = Client()
    ask(browser, emailed)
    before = session_of(browser).session_key
    run_jobs()

    browser.post(CODE, {"code": sent_code()})

    assert session_of(browser).session_key != before
    assert "portal_code" not in session_of(browser)
    assert "_auth_user_id" not in session_of(browser)


@pytest.mark.parametrize("address", ["khong-ai@vi-du.vn", "an@vi-du.vn"])
def test_the_answer_is_the_same_whether_or_not_the_address_is_known(emailed, address):
    browser = Client()

    first = ask(browser, address)
    page = browser.get(CODE).content.decode().replace(address, "…")

    assert first.status_code == 302
    assert "Nếu <strong>…</strong> có trong một hợp đồng" in page
    assert SignInCode.objects.count() == Job.objects.filter(task=codes.TASK).count() == 1


def test_asking_does_the_same_work_for_a_known_and_an_unknown_address(emailed):
    counts = []
    for address in ("khong-ai@vi-du.vn", emailed):
        with CaptureQueriesContext(connection) as seen:
            codes.ask(address, caller="x", now=timezone.now())
        counts.append(len(seen))

    assert counts[0] == counts[1]


def test_nobody_is_written_to_whom_no_contract_names(emailed):
    ask(Client(), "khong-ai@vi-du.vn")
    ask(Client(), "0912000000")
    run_jobs()

    assert Sending.objects.count() == 0
    assert mail.outbox == []


def test_the_code_stands_in_clear_nowhere_but_in_the_message(emailed, caplog):
    caplog.set_level(logging.DEBUG)
    browser = Client()

    page = ask(browser, emailed, next="")
    run_jobs()
    code = sent_code()
    page = browser.get(CODE).content.decode()
    browser.post(CODE, {"code": code})

    kept = json.dumps(
        [
            *SignInCode.objects.values_list("code_hash", flat=True),
            *Sending.objects.values_list("text", "title", "key"),
            *Job.objects.values_list("arguments", "message"), *AuditEntry.objects.values_list("detail", flat=True),
        ]
    )  # fmt: skip
    assert code not in kept
    assert code not in page
    assert code not in caplog.text


def test_the_page_of_messages_shows_no_code_while_one_waits(emailed, admin_browser):
    row = sending.queue(
        key="portal-code:9", channel="EMAIL", title="Mã đăng nhập", text="123456. Dùng trong 10 phút.",
        now=timezone.now(), address="a@vi-du.vn", is_secret=True,
    )  # fmt: skip

    page = admin_browser.get("/quan-tri/tin-gui/").content.decode()

    assert row.text.startswith("123456")
    assert "Mã đăng nhập" in page
    assert "123456" not in page


@pytest.fixture
def admin_browser(db) -> Client:
    country = Subject.objects.create(key="vn", kind=Subject.Kind.COUNTRY, name="Việt Nam")
    Containment.objects.create(ancestor=country, descendant=country)
    person = Person.objects.create(username="quantri", full_name="Quản trị")
    Grant.objects.create(person=person, role=Grant.Role.ADMIN, scope=country, valid_from=date(2020, 1, 1))
    client = Client()
    client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
    return client


def test_a_message_that_could_not_go_keeps_no_code_and_is_not_sent_again(house, world):
    browser = Client()
    ask(browser, house.customer.phone)
    run_jobs()

    row = Sending.objects.get()
    assert (row.state, row.text) == ("UNCONFIGURED", sending.NOT_KEPT)
    with pytest.raises(sending.CannotSendAgain, match="không được lưu"):
        sending.send_again(row, by=world.clerk, now=timezone.now())
    assert "chưa cấu hình" in browser.get(CODE).content.decode()


def test_five_wrong_tries_end_a_code(emailed):
    browser = Client()
    ask(browser, emailed)
    run_jobs()
    right = sent_code()
    wrong = "000000" if right != "000000" else "111111"

    answers = [browser.post(CODE, {"code": wrong}).content.decode() for _ in range(5)]

    assert "Còn 4 lần nhập" in answers[0]
    assert "đã hết lượt nhập" in answers[4]
    assert browser.post(CODE, {"code": right}).url == SIGN_IN
    assert browser.get("/kh/").status_code == 302


def test_a_code_is_over_after_ten_minutes(emailed):
    browser = Client()
    ask(browser, emailed)
    run_jobs()
    row = SignInCode.objects.get()
    SignInCode.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    assert browser.post(CODE, {"code": sent_code()}).url == SIGN_IN
    with pytest.raises(codes.WrongCode):
        codes.redeem(row, sent_code(), timezone.now())


def test_a_code_is_good_once(emailed):
    browser = Client()
    ask(browser, emailed)
    run_jobs()
    row = SignInCode.objects.get()
    browser.post(CODE, {"code": sent_code()})

    with pytest.raises(codes.WrongCode):
        codes.redeem(row, sent_code(), timezone.now())


def test_a_code_is_good_in_the_browser_that_asked_for_it_alone(emailed):
    ask(Client(), emailed)
    run_jobs()
    stranger = Client()

    assert stranger.post(CODE, {"code": sent_code()}).url == SIGN_IN
    ask(stranger, "khong-ai@vi-du.vn")
    assert stranger.post(CODE, {"code": sent_code()}).status_code == 422
    assert stranger.get("/kh/").status_code == 302


def test_an_unknown_address_never_signs_in_with_an_empty_code(emailed):
    browser = Client()
    ask(browser, "khong-ai@vi-du.vn")
    row = SignInCode.objects.get()

    assert browser.post(CODE, {"code": "......"}).status_code == 422
    with pytest.raises(codes.WrongCode):
        codes.redeem(row, "", timezone.now())
    assert PortalAccount.objects.count() == 0


def test_more_than_five_codes_an_hour_are_refused_for_known_and_unknown_alike(emailed):
    for address in (emailed, "khong-ai@vi-du.vn"):
        answers = [ask(Client(), address).status_code for _ in range(6)]
        assert answers == [302] * 5 + [429]


def test_a_caller_who_asks_for_many_addresses_is_stopped(emailed):
    for number in range(codes.AN_HOUR_A_CALLER):
        codes.ask(f"0905{number:06d}", caller="ai-đó", now=timezone.now())

    with pytest.raises(codes.TooMany, match="nơi bạn đang dùng mạng"):
        codes.ask(emailed, caller="ai-đó", now=timezone.now())
    codes.ask(emailed, caller="người khác", now=timezone.now())


@pytest.mark.parametrize("text", ["", "113", "abc", "a@", "@b.vn", "0905", "19001234", "0" * 300, "<b>@x"])
def test_what_is_neither_a_phone_nor_an_e_mail_is_refused_with_an_example(db, text):
    response = ask(Client(), text)

    assert response.status_code == 422
    assert SignInCode.objects.count() == 0


def test_a_job_that_runs_twice_makes_one_code(emailed):
    asked = codes.ask(emailed, caller="x", now=timezone.now())

    codes.send(asked.row.pk, timezone.now())
    kept = SignInCode.objects.get().code_hash
    codes.send(asked.row.pk, timezone.now())

    assert SignInCode.objects.get().code_hash == kept
    assert Sending.objects.count() == 1


def test_requests_of_long_ago_and_sessions_that_are_over_are_deleted(house, customer_browser):
    old = codes.ask("0912000000", caller="x", now=timezone.now() - timedelta(days=2))
    new = codes.ask("0912000000", caller="x", now=timezone.now())
    customer_browser(house)
    live = session_of(customer_browser(house)).session_key
    Session.objects.exclude(session_key=live).update(expire_date=timezone.now() - timedelta(days=1))

    jobs.get_task("portal.prune").function(Job())

    assert list(SignInCode.objects.values_list("pk", flat=True)) == [new.row.pk]
    assert old.row.pk != new.row.pk
    assert list(Session.objects.values_list("session_key", flat=True)) == [live]


@pytest.mark.sqlite
@pytest.mark.parametrize("address", ["0905123456", "an@vi-du.vn"])
def test_an_address_is_found_by_index_among_a_million_customers(db, address):
    plan = Connection.objects.filter(links.names(address, "customer__")).order_by("pk").explain()

    assert "USING INDEX customer_by_" in plan
    assert "SCAN customers_" not in plan


def test_who_staff_linked_without_any_contract_signs_in_too(settings, emailed, world, house):
    account = make_account("nguoi-thue@vi-du.vn")
    assert codes.send(codes.ask(account.address, caller="x", now=timezone.now()).row.pk, timezone.now()).startswith(
        "Kh"
    )
    PortalLink.objects.create(
        account=account, connection=house, customer=house.customer, linked_at=timezone.now(), linked_by=world.clerk
    )

    codes.send(codes.ask(account.address, caller="x", now=timezone.now()).row.pk, timezone.now())

    assert Sending.objects.get().address == "nguoi-thue@vi-du.vn"


@pytest.mark.django_db(transaction=True)
def test_tries_side_by_side_are_five_too_and_the_right_code_is_taken_once(settings):
    row = SignInCode.objects.create(
        address="0905000009", made_at=timezone.now(), expires_at=timezone.now() + codes.LIFE, code_hash=""
    )
    code = codes._make(row)
    answers: list[str] = []

    def enter(text: str) -> None:
        try:
            codes.redeem(SignInCode.objects.get(pk=row.pk), text, timezone.now())
            answers.append("in")
        except codes.WrongCode:
            answers.append("refused")
        finally:
            connection.close()

    threads = [threading.Thread(target=enter, args=(code,)) for _ in range(4)]
    threads += [threading.Thread(target=enter, args=("x",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    row.refresh_from_db()
    assert len(answers) == 12
    assert answers.count("in") <= 1
    assert row.tries <= codes.MOST_TRIES
    assert PortalAccount.objects.count() == answers.count("in")


def _ask_side_by_side(asked: list[tuple[str, str]]) -> list[str]:
    """Ask for codes of (address, caller) from as many threads, all at one moment; return what became of each."""
    answers: list[str] = []
    gate = threading.Barrier(len(asked))

    def run(address: str, caller: str) -> None:
        try:
            gate.wait(30)
            codes.ask(address, caller=caller, now=timezone.now())
            answers.append("sent")
        except codes.TooMany:
            answers.append("refused")
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=one) for one in asked]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


@pytest.mark.django_db(transaction=True)
def test_codes_asked_for_side_by_side_keep_to_the_limit_of_one_place():
    answers = _ask_side_by_side([("0905000009", "nha")] * 12)

    assert sorted(answers) == ["refused"] * 7 + ["sent"] * codes.AN_HOUR_FROM_ONE
    assert SignInCode.objects.count() == codes.AN_HOUR_FROM_ONE


@pytest.mark.django_db(transaction=True)
def test_codes_asked_for_side_by_side_from_many_places_keep_to_the_limit_of_an_address():
    answers = _ask_side_by_side([("0905000009", f"noi-{number}") for number in range(14)])

    assert answers.count("sent") == codes.AN_HOUR_AN_ADDRESS == SignInCode.objects.count()


@pytest.mark.django_db(transaction=True)
def test_codes_asked_for_side_by_side_of_many_addresses_keep_to_the_limit_of_a_caller(monkeypatch):
    monkeypatch.setattr(codes, "AN_HOUR_A_CALLER", 4)

    answers = _ask_side_by_side([(f"09050000{number:02}", "nha") for number in range(12)])

    assert answers.count("sent") == 4 == SignInCode.objects.count()


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_without_the_lock_more_are_sent_than_the_limit(monkeypatch):
    count = codes._check_limits

    def counted_late(*said: object) -> None:
        count(*said)  # type: ignore[arg-type]
        time.sleep(0.3)

    monkeypatch.setattr(codes, "_check_limits", counted_late)
    monkeypatch.setattr(codes, "_wait_for_others", lambda *names: None)

    assert _ask_side_by_side([("0905000009", "nha")] * 12).count("sent") > codes.AN_HOUR_FROM_ONE


# --- the demonstration


@pytest.fixture
def simulated(house) -> str:
    """A simulated house in an installation with demo people and no channel."""
    Person.objects.create(username="qn.thu", full_name="Thử", is_demo=True)
    Customer.objects.filter(pk=house.customer_id).update(phone="0000123456", is_simulated=True)
    Connection.objects.filter(pk=house.pk).update(is_simulated=True)
    return "0000123456"


def test_the_code_of_a_simulated_customer_stands_on_the_page_and_says_so(simulated, house):
    browser = Client()
    ask(browser, simulated)
    page = browser.get(CODE).content.decode()
    code = session_of(browser)["portal_shown_code"]

    assert f"Mô phỏng: mã là {code}" in page
    assert browser.post(CODE, {"code": code}).url == "/kh/"
    assert PortalAccount.objects.get().is_demo
    assert "mô phỏng" in browser.get("/kh/").content.decode()


@pytest.mark.parametrize("state", ["QUEUED", "RUNNING"])
def test_while_simulated_customers_are_loaded_the_pages_say_to_wait(db, state):
    Person.objects.create(username="qn.thu", full_name="Thử", is_demo=True)
    job = Job.objects.create(task="demo.customers", state=state)
    browser = Client()
    ask(browser, "0000000001")

    for page in (SIGN_IN, CODE):
        said = browser.get(page).content.decode()
        assert "Đang nạp khách hàng mô phỏng" in said and "chưa cấu hình gửi tin" not in said
    Job.objects.filter(pk=job.pk).update(state="DONE")
    assert "Đang nạp" not in browser.get(CODE).content.decode() + browser.get(SIGN_IN).content.decode()


def _real_customer(house):
    Customer.objects.filter(pk=house.customer_id).update(is_simulated=False)


def _real_connection(house):
    Connection.objects.filter(pk=house.pk).update(is_simulated=False)


def _real_phone(house):
    Customer.objects.filter(pk=house.customer_id).update(phone="0905123456")


def _no_demo(house):
    Person.objects.update(is_demo=False)


def _linked_to_a_real_one(house):
    other = Connection.objects.exclude(pk=house.pk).get()
    PortalLink.objects.create(
        account=make_account("0000123456"), connection=other, customer=other.customer, linked_at=timezone.now(),
        linked_by=Person.objects.first(),
    )  # fmt: skip


@pytest.mark.parametrize("change", [_real_customer, _real_connection, _real_phone, _no_demo, _linked_to_a_real_one])
def test_the_code_of_anybody_real_is_never_shown(simulated, house, neighbour, change):
    change(house)

    for address in ("0000123456", "0905123456", neighbour.customer.phone):
        browser = Client()
        ask(browser, address)
        assert session_of(browser)["portal_shown_code"] == ""
        assert "mã là" not in browser.get(CODE).content.decode()


def test_the_code_is_not_shown_where_a_channel_could_carry_it(simulated, settings):
    settings.SMS_URL = "https://sms.vi-du.vn"

    assert not codes.may_be_shown(simulated, timezone.now())


def test_a_phone_that_a_real_customer_shares_with_simulated_ones_shows_no_code(simulated, neighbour):
    Customer.objects.filter(pk=neighbour.customer_id).update(phone=simulated)

    assert not codes.may_be_shown(simulated, timezone.now())


# --- the account page


def test_large_type_stays_with_the_account(house, customer_browser):
    browser = customer_browser(house)

    browser.post(reverse("portal:account"), {"large_type": "1"})

    assert 'class="is-large"' in customer_browser(house).get("/kh/").content.decode()


def test_a_customer_names_their_own_connections_alone(house, neighbour, customer_browser):
    browser, other = customer_browser(house), customer_browser(neighbour)

    browser.post(reverse("portal:account"), {f"name-{house.pk}": " Nhà  mẹ ", f"name-{neighbour.pk}": "Của tôi"})

    assert "Nhà mẹ" in browser.get("/kh/").content.decode()
    assert "Của tôi" not in other.get("/kh/").content.decode()
    assert links.list_live(PortalAccount.objects.get(address=neighbour.customer.phone)).get().nickname == ""


def test_an_account_in_session_skips_the_sign_in_page(house, customer_browser):
    assert customer_browser(house).get(SIGN_IN).url == "/kh/"
    assert sessions.ACCOUNT in session_of(customer_browser(house))


def test_strangers_do_not_lock_the_owner_of_an_address_out(emailed):
    for _ in range(codes.AN_HOUR_FROM_ONE):
        codes.ask(emailed, caller="người lạ", now=timezone.now())

    with pytest.raises(codes.TooMany):
        codes.ask(emailed, caller="người lạ", now=timezone.now())
    codes.ask(emailed, caller="chủ nhà", now=timezone.now())


def test_an_address_gets_so_many_codes_a_day(emailed):
    moment = timezone.now()
    for number in range(codes.A_DAY_AN_ADDRESS):
        moment += timedelta(minutes=30)
        codes.ask(emailed, caller=f"nơi {number}", now=moment)

    with pytest.raises(codes.TooMany):
        codes.ask(emailed, caller="nơi khác", now=moment + timedelta(minutes=30))


def test_a_code_that_was_never_entered_is_gone_with_its_customer(settings, house):
    codes.ask(house.customer.phone, caller="ai đó", now=timezone.now())
    run_jobs()

    account_operations.forget(house.customer)
    Customer.objects.filter(pk=house.customer.pk).update(phone="")
    account_operations.forget(house.customer)

    assert not SignInCode.objects.exists()
    assert house.customer.phone[1:] not in str(list(Sending.objects.values_list("address", "text")))
