"""What who applies for a connection is told by e-mail or phone, and what the staff see of it."""

from datetime import timedelta

import pytest
from django.core import mail

from machnuoc.core import sending
from machnuoc.core.models import Sending
from machnuoc.customers import application_operations, privacy
from machnuoc.customers.application_operations import ApplicationFacts
from machnuoc.customers.models import Application, Connection
from machnuoc.customers.tests.world import NOW, TODAY

pytestmark = pytest.mark.django_db
FACTS = ApplicationFacts("Phạm Văn Đông", "Thôn Phú Lễ", phone="0914 555 666", email="dong@vi-du.vn")


@pytest.fixture(autouse=True)
def mail_server(settings):
    settings.EMAIL_HOST = "localhost"
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"


def opened(centre, **said) -> Application:
    return application_operations.open_application(work=centre.binh_chanh, by=None, now=NOW, **{"facts": FACTS, **said})


def quote(centre, one: Application, **said) -> None:
    application_operations.advance(one, **{"at": NOW, "by": centre.clerk, "now": NOW, "quote_vnd": 2_500_000, **said})


def test_a_quote_and_the_installation_are_told_without_a_name_an_address_or_an_amount(centre):
    one = opened(centre)
    assert not Sending.objects.exists()  # a stranger's form alone sends nothing

    quote(centre, one)
    application_operations.advance(one, at=NOW, by=centre.clerk, now=NOW, contract_number="77/HĐ")
    application_operations.install(one, at=NOW, serial="A777", by=centre.clerk, now=NOW)
    sending.send_due(NOW)

    quoted, installed = (message.subject + message.body for message in mail.outbox)
    assert one.code in quoted and "đã có báo giá" in quoted and f"/kh/lap-moi/{one.code}/" in quoted
    assert "nước đã mở" in installed
    for secret in ("Đông", "Phú Lễ", "0914", "2.500.000", "2500000"):
        assert secret not in quoted + installed
    assert [message.to for message in mail.outbox] == [["dong@vi-du.vn"]] * 2


def test_an_answer_is_told_once_and_not_what_it_says(centre):
    one = opened(centre)
    application_operations.ask(one, text="Bao giờ lắp?", now=NOW)
    assert not Sending.objects.exists()

    for _ in range(2):
        application_operations.answer(one, text="Sáng thứ hai.", by=centre.clerk, now=NOW)

    assert "Sáng thứ hai" not in Sending.objects.get().text


def test_the_phone_is_told_where_messages_to_phones_go_with_the_address_of_the_page(centre, settings):
    settings.SMS_URL, settings.SITE_URL = "https://sms.vi-du.vn/", "https://nuoc.vi-du.vn"
    one = opened(centre)

    quote(centre, one)

    told = Sending.objects.get()
    assert (told.channel, told.address) == ("SMS", "84914555666")
    assert told.text.endswith(f"Xem: https://nuoc.vi-du.vn/kh/lap-moi/{one.code}/")


@pytest.mark.parametrize(
    ("said", "at"),
    [
        ({"is_simulated": True}, NOW), ({"facts": ApplicationFacts("Bùi Ba", "Thôn 1", phone="02553822111")}, NOW),
        ({"received_date": TODAY - timedelta(days=30)}, NOW - timedelta(days=8)),
    ],
    ids=["simulated", "a fixed line", "typed in a week later"],
)  # fmt: skip
def test_who_is_not_there_or_cannot_be_reached_or_knows_it_long_since_is_told_nothing(centre, said, at):
    quote(centre, opened(centre, **said), at=at)

    assert not Sending.objects.exists()


def test_who_is_refused_is_told_and_who_withdraws_is_not(centre):
    application_operations.stop(opened(centre), "WITHDRAWN", reason="Đổi ý", by=None, now=NOW)
    assert not Sending.objects.exists()

    application_operations.stop(opened(centre), "REFUSED", reason="Xa tuyến ống", by=centre.clerk, now=NOW)

    assert "Xa tuyến" not in Sending.objects.get().text


def test_the_staff_see_by_what_way_each_was_told(centre, browser_of):
    one = opened(centre)
    quote(centre, one)
    application_operations.answer(one, text="Sáng thứ hai.", by=centre.clerk, now=NOW)
    address = f"/khach-hang/de-nghi/{one.code}/"
    waiting = browser_of(centre.clerk).get(address).content.decode()
    sending.send_due(NOW)

    shown = browser_of(centre.clerk).get(address).content.decode()

    assert waiting.count("đang báo qua Thư điện tử") == 2
    assert shown.count("đã báo qua Thư điện tử") == 2
    assert "đã báo qua" not in browser_of(centre.agency).get(address).content.decode()


def test_the_staff_see_what_did_not_go_and_whom_they_must_call(centre, browser_of, settings):
    settings.EMAIL_HOST = ""
    one, other = opened(centre), opened(centre, facts=ApplicationFacts("Bùi Ba", "Thôn 1"))
    quote(centre, one)
    quote(centre, other)

    told, silent = (
        browser_of(centre.clerk).get(f"/khach-hang/de-nghi/{row.code}/").content.decode() for row in (one, other)
    )

    assert "chưa báo được qua Tin nhắn SMS: Chưa cấu hình" in told and "gọi điện hoặc đến nhà" not in told
    assert "gọi điện hoặc đến nhà" in silent


def test_erasure_takes_the_address_out_of_what_was_sent(centre):
    one = opened(centre)
    quote(centre, one)
    application_operations.undo(one, by=centre.clerk, now=NOW)
    quote(centre, one)
    application_operations.advance(one, at=NOW, by=centre.clerk, now=NOW, contract_number="77/HĐ")
    made = application_operations.install(one, at=NOW, serial="A777", by=centre.clerk, now=NOW)
    Connection.objects.filter(pk=made.pk).update(status="CLOSED", closed_date=TODAY)

    privacy.erase(made.customer, reason="Theo yêu cầu", by=None, now=NOW)

    assert list(Sending.objects.values_list("address", flat=True)) == ["(đã xóa)"] * 3  # two quotes, the installation
