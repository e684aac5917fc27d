"""Who asked for a connection and has none yet: sending the wish, signing in, following it, and seeing nothing else."""

from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone

from machnuoc.core import jobs
from machnuoc.core.models import Person
from machnuoc.customers import application_operations, application_talk, connection_operations, request_spam
from machnuoc.customers.application_operations import ApplicationFacts
from machnuoc.customers.connection_operations import CustomerFacts
from machnuoc.customers.models import Application, ApplicationStep, Connection, PublicPost
from machnuoc.portal import codes, links
from machnuoc.portal.models import PortalAccount
from machnuoc.portal.tests.conftest import make_account
from machnuoc.portal.tests.test_services import commune, wish

__all__ = ["commune"]  # a fixture
pytestmark = pytest.mark.django_db
PHONE, APPLY = "0905777001", "/kh/dang-ky/"


@pytest.fixture
def wished(world) -> Application:
    """An application of somebody without any connection."""
    return application_operations.open_application(
        work=world.work, facts=ApplicationFacts("Lê Thị Mới", "Thôn Mới", phone=PHONE, email="moi@vi-du.vn"), by=None,
        now=timezone.now(), source="public",
    )  # fmt: skip


def advance(world, one: Application, **said: Any) -> None:
    application_operations.advance(one, at=timezone.now(), by=world.clerk, now=timezone.now(), **said)


def quote(world, one: Application, **said: Any) -> None:
    lines = application_talk.parse_lines("Ống HDPE DN25; 12,5; m; 18.000\nCông lắp đặt; 1; lần; 350.000")
    advance(world, one, items=lines, **said)


def install(world, one: Application) -> Connection:
    quote(world, one)
    advance(world, one, contract_number="99/HĐ")
    return application_operations.install(one, at=timezone.now(), serial="M1", by=world.clerk, now=timezone.now())


def page(browser: Client, one: Application) -> str:
    return browser.get(f"/kh/lap-moi/{one.code}/").content.decode()


def test_who_applied_signs_in_by_a_code_and_sees_the_application_alone(settings, world, wished, house):
    settings.EMAIL_HOST = "localhost"
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    browser = Client()
    browser.post("/kh/dang-nhap/", {"address": "moi@vi-du.vn"})
    while jobs.run_next(timezone.now()):
        pass
    browser.post("/kh/dang-nhap/ma/", {"code": mail.outbox[-1].body.partition(".")[0]})

    home = browser.get("/kh/").content.decode()

    assert wished.code in home and "Chưa có đấu nối nào" not in home and house.code not in home
    assert browser.get(f"/kh/dau-noi/{house.pk}/").status_code == 404
    assert browser.get("/kh/hoa-don/").status_code == 200


def test_who_applied_long_ago_and_was_refused_is_written_to_no_more(wished, world):
    application_operations.stop(wished, "REFUSED", reason="Xa tuyến ống", by=world.clerk, now=timezone.now())
    now = timezone.now()

    assert links.opens(PHONE, now)
    ApplicationStep.objects.filter(application=wished).update(at=now - timedelta(days=366))
    assert not links.opens(PHONE, now)


def test_a_phone_in_more_applications_than_one_person_makes_opens_none(wished, world, monkeypatch):
    monkeypatch.setattr(links, "MOST", 1)
    assert links.opens(PHONE, timezone.now())
    application_operations.open_application(
        work=world.work, facts=ApplicationFacts("Người khác", "Thôn 8", phone=PHONE), by=None, now=timezone.now()
    )
    assert not links.opens(PHONE, timezone.now())


def test_a_closed_account_is_sent_no_code_for_its_application(wished):
    PortalAccount.objects.create(address=PHONE, created_at=timezone.now(), is_active=False)

    assert not links.opens(PHONE, timezone.now())


def test_the_days_promised_stand_on_the_page_with_their_clock(world, wished, customer_browser):
    day = timezone.localdate() + timedelta(days=2)
    application_operations.promise(
        wished, survey_date=day, due_date=day, version=None, by=world.clerk, now=timezone.now()
    )

    shown = page(customer_browser(PHONE), wished)

    assert f"Hẹn đến khảo sát: <strong>{day:%d/%m/%Y}" in shown and "còn 2 ngày" in shown


def test_the_quote_stands_with_its_items_and_is_accepted_once(world, wished, customer_browser):
    quote(world, wished)
    browser = customer_browser(PHONE)

    shown = page(browser, wished)
    for _ in range(2):
        assert browser.post(f"/kh/lap-moi/{wished.code}/", {"act": "accept"}).status_code == 302

    assert "Ống HDPE DN25" in shown and "225.000" in shown and "575.000" in shown
    assert "Bạn đã đồng ý" in page(browser, wished) and wished.messages.filter(kind="ACCEPTED").count() == 1


def test_a_quote_that_was_taken_back_and_made_anew_is_not_accepted_yet(world, wished, customer_browser):
    quote(world, wished)
    application_operations.accept_quote(wished, now=timezone.now())
    application_operations.undo(wished, by=world.leader, now=timezone.now())
    wished.refresh_from_db()
    assert not wished.quote_items.exists()
    quote(world, wished)

    assert not application_talk.is_accepted(wished)
    assert "Đồng ý báo giá" in page(customer_browser(PHONE), wished)


def test_without_a_quote_nothing_is_accepted(wished, customer_browser):
    answer = customer_browser(PHONE).post(f"/kh/lap-moi/{wished.code}/", {"act": "accept"})

    assert answer.status_code == 422 and "không có báo giá" in answer.content.decode()


def test_a_question_is_answered_on_the_page(world, wished, customer_browser):
    browser = customer_browser(PHONE)
    browser.post(f"/kh/lap-moi/{wished.code}/", {"act": "ask", "text": "Bao giờ khảo sát?"})
    application_operations.answer(wished, text="Thứ hai tới.", by=world.clerk, now=timezone.now())

    shown = page(browser, wished)

    assert "Bao giờ khảo sát?" in shown and "Thứ hai tới." in shown and world.clerk.full_name not in shown


@pytest.mark.parametrize("text", ["", "ab", "x" * 1001])
def test_a_question_that_is_none_is_refused(wished, customer_browser, text):
    answer = customer_browser(PHONE).post(f"/kh/lap-moi/{wished.code}/", {"act": "ask", "text": text})

    assert answer.status_code == 422 and not wished.messages.exists()


def test_questions_have_an_end(wished):
    for number in range(application_talk.QUESTIONS_MOST):
        application_operations.ask(wished, text=f"Câu hỏi {number}", now=timezone.now())

    with pytest.raises(connection_operations.RecordError, match="20 câu hỏi"):
        application_operations.ask(wished, text="Thêm nữa", now=timezone.now())


def test_papers_of_the_quote_are_given_and_those_of_other_steps_are_not(world, wished, customer_browser):
    paper = application_operations.keep_paper(b"%PDF-1.4 bg", name="bao-gia.pdf", by=world.clerk)
    quote(world, wished, paper=paper)
    step = wished.steps.get(stage="QUOTED")
    first = wished.steps.get(stage="REQUESTED")
    ApplicationStep.objects.filter(pk=first.pk).update(paper=paper)
    browser = customer_browser(PHONE)

    assert "bao-gia.pdf" in page(browser, wished)
    assert browser.get(f"/kh/lap-moi/{wished.code}/giay-to/{step.pk}/").status_code == 200
    assert browser.get(f"/kh/lap-moi/{wished.code}/giay-to/{first.pk}/").status_code == 404
    assert customer_browser("0905777002").get(f"/kh/lap-moi/{wished.code}/giay-to/{step.pk}/").status_code == 404


def test_the_connection_that_was_installed_shows_beside_at_once(world, wished, customer_browser):
    browser = customer_browser(PHONE)
    made = install(world, wished)

    home = browser.get("/kh/").content.decode()

    assert made.code in home and wished.code in home
    assert f"Đấu nối {made.code}" in page(browser, wished) and "99/HĐ" in page(browser, wished)


def test_who_has_the_phone_after_the_customer_named_another_sees_no_application(world, wished, customer_browser):
    made = install(world, wished)
    connection_operations.edit_customer(
        made.customer, CustomerFacts("Lê Thị Mới", phone="0905777009"), version=None, by=world.clerk,
        now=timezone.now(),
    )  # fmt: skip

    assert not links.opens(PHONE, timezone.now())
    assert customer_browser(PHONE).get(f"/kh/lap-moi/{wished.code}/").status_code == 404


def test_a_simulated_application_shows_its_code_and_a_real_one_beside_it_ends_that(world):
    Person.objects.create(username="qn.thu", full_name="Thử", is_demo=True)
    said = {"work": world.work, "facts": ApplicationFacts("Mô phỏng", "Thôn 7", phone="0000555001"), "by": None}
    application_operations.open_application(now=timezone.now(), is_simulated=True, **said)
    assert codes.may_be_shown("0000555001", timezone.now())

    application_operations.open_application(now=timezone.now(), **said)
    assert not codes.may_be_shown("0000555001", timezone.now())


# --- the page without signing in


def posted(commune, *, age_s: float = 30, **said: Any) -> dict[str, Any]:
    stamp = request_spam.make_stamp(timezone.now() - timedelta(seconds=age_s))
    return {**wish(commune), "phone": PHONE, "email": "", "stamp": stamp, "website": "", **said}


def test_anybody_applies_without_an_account_and_is_led_to_sign_in(commune, world):
    answer = Client().post(APPLY, posted(commune), follow=True)
    one = Application.objects.get()

    assert "Đăng nhập bằng số đó" not in answer.content.decode()  # no code can be sent
    assert one.code in answer.content.decode() and answer.redirect_chain[-1][0].startswith("/kh/dang-nhap/?next=")
    assert (one.source, one.phone, one.work, one.is_simulated) == ("public", PHONE, world.work, False)


def test_the_public_form_sent_twice_is_one_application(commune):
    said = posted(commune)
    for _ in range(2):
        assert Client().post(APPLY, said).status_code == 302

    assert Application.objects.count() == 1


@pytest.mark.parametrize("said", [{"age_s": 1}, {"website": "http://xau.vn"}, {"stamp": "bịa"}, {"age_s": 50_000}])
def test_what_looks_like_a_machine_has_to_answer_a_sum(commune, said):
    answer = Client().post(APPLY, posted(commune, **said))

    assert answer.status_code == 422 and "không phải là máy" in answer.content.decode()
    assert not Application.objects.exists()


def test_the_right_sum_lets_a_person_through(commune):
    asked = request_spam.make_sum()
    first, second = (int(part) for part in asked.text.split("+"))

    answer = Client().post(APPLY, posted(commune, age_s=1, sum_answer=str(first + second), sum_stamp=asked.stamp))

    assert answer.status_code == 302 and Application.objects.count() == 1


def test_beyond_the_limit_of_a_network_address_nothing_is_taken(commune):
    for _ in range(request_spam.AN_HOUR):
        PublicPost.objects.create(nonce=f"n{_}", address_hash=request_spam.address_hash(_request()), at=timezone.now())

    answer = Client().post(APPLY, posted(commune))

    assert answer.status_code == 429 and not Application.objects.exists()


def _request() -> Any:
    return Client().get(APPLY).wsgi_request


def test_three_open_wishes_of_a_phone_are_enough(commune):
    for number in range(3):
        PublicPost.objects.all().delete()
        assert Client().post(APPLY, posted(commune, address=f"Thôn {number}")).status_code == 302
    PublicPost.objects.all().delete()

    answer = Client().post(APPLY, posted(commune, address="Thôn 9"))

    assert answer.status_code == 422 and Application.objects.count() == 3


@pytest.mark.parametrize(
    "said", [{"phone": "0000555001"}, {"phone": "an@vi-du.vn"}, {"phone": ""}, {"email": "x"}, {"place": ""}]
)
def test_a_public_wish_that_makes_no_sense_is_not_taken(commune, said):
    assert Client().post(APPLY, posted(commune, **said)).status_code == 422
    assert not Application.objects.exists()


def test_the_list_of_an_account_of_another_phone_stays_empty(wished):
    account = make_account("0905777003")

    assert links.list_applications(account.address, timezone.now()) == []
