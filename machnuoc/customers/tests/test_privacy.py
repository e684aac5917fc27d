"""Personal data: consent, looks, a copy for the customer, erasure without a trace."""

import json
from datetime import timedelta

import pytest
from django.apps import apps
from django.db import connection as database

from machnuoc.core import files, panels
from machnuoc.core.models import AuditEntry
from machnuoc.customers import (
    application_operations,
    connection_operations,
    connection_panels,
    privacy,
    readings,
    request_operations,
)
from machnuoc.customers.application_operations import ApplicationFacts
from machnuoc.customers.errors import CustomersError
from machnuoc.customers.models import Category, ConnectionImport, Consent, DataAccess, NormPersons, Reading
from machnuoc.customers.tests.world import NOW, TODAY

pytestmark = pytest.mark.django_db
SECRETS = ("Tuyết Sương", "tuyet suong", "0987654321", "suong@example.vn", "051190001234", "Ngõ Bí Mật", "ngo bi mat")


def make_closed(centre):
    """Make a customer known by every way there is, whose connection has ended."""
    application = application_operations.open_application(
        work=centre.binh_chanh, by=centre.clerk, now=NOW - timedelta(days=9),
        facts=ApplicationFacts("Lý Tuyết Sương", "Ngõ Bí Mật", phone="0987654321", email="suong@example.vn"),
    )  # fmt: skip
    said = {"by": centre.clerk, "now": NOW, "at": NOW - timedelta(days=8)}
    application_operations.advance(application, quote_vnd=0, note="báo cho Tuyết Sương", **said)
    application_operations.advance(application, contract_number="1/HĐ", **said)
    one = application_operations.install(application, serial="A1", **said)
    connection_operations.edit_customer(
        one.customer, connection_operations.CustomerFacts(
            "Lý Tuyết Sương", phone="0987654321", email="suong@example.vn", identity_number="051190001234",
            address="Ngõ Bí Mật",
        ), version=None, by=centre.clerk, now=NOW,
    )  # fmt: skip
    connection_operations.keep_paper(
        one.contracts.get(), b"%PDF-1.4 hop dong Ly Tuyet Suong", name="Lý Tuyết Sương.pdf", by=centre.clerk
    )
    one.fittings.update(removed_at=NOW, removed_index_l=0)
    connection_operations.close(one, on_date=TODAY, reason="Tuyết Sương chuyển đi", by=centre.clerk, now=NOW)
    one.refresh_from_db()
    return one


def everything_stored() -> str:
    """Return all texts of all tables of this database, the search index included."""
    texts = []
    tables = [model._meta.db_table for model in apps.get_models()]
    if database.vendor == "sqlite":
        tables.append("customers_connection_trigram")
    with database.cursor() as cursor:
        for table in tables:
            cursor.execute(f'SELECT * FROM "{table}"')  # noqa: S608 - our own tables
            texts += [str(row) for row in cursor.fetchall()]
    return "\n".join(texts)


def test_an_erased_customer_is_nowhere_to_be_read(centre, browser_of, django_capture_on_commit_callbacks):
    one = make_closed(centre)
    paper = files.path_of(one.contracts.get().paper)
    before = everything_stored()
    assert all(secret in before for secret in SECRETS) and paper.exists()

    with django_capture_on_commit_callbacks(execute=True):
        privacy.erase(one.customer, reason="đơn ngày 01/08/2026", by=centre.clerk, now=NOW)

    after = everything_stored()
    assert [secret for secret in SECRETS if secret in after] == []
    assert not paper.exists()
    browser = browser_of(centre.clerk)
    exported = b"".join(browser.get("/khach-hang/?export=csv").streaming_content).decode()
    shown = browser.get(f"/khach-hang/{one.code}/").content.decode()
    copied = browser.get(f"/khach-hang/{one.code}/ban-sao/").content.decode()
    for text in (exported, shown, copied):
        assert not any(secret in text for secret in SECRETS)
        assert one.code in text
    assert one.contracts.get().number == "1/HĐ"  # what accounts need stays
    assert AuditEntry.objects.get(action="customers.customer.erased").detail == {"connections": [one.code]}


def test_nobody_is_erased_while_connected_or_in_debt(centre, monkeypatch):
    live = centre.connection()
    with pytest.raises(CustomersError, match="chưa chấm dứt"):
        privacy.erase(live.customer, reason="đơn", by=centre.clerk, now=NOW)

    one = make_closed(centre)
    owed = [(one.customer_id, 12_000)]
    monkeypatch.setattr(panels, "collect", lambda function, *arguments: iter(owed if function == "owed_vnd" else ()))
    with pytest.raises(CustomersError, match="còn nợ 12"):
        privacy.erase(one.customer, reason="đơn", by=centre.clerk, now=NOW)
    owed.clear()
    assert connection_panels.owed_vnd([one.customer_id]) == 0
    privacy.erase(one.customer, reason="đơn", by=centre.clerk, now=NOW)
    with pytest.raises(CustomersError, match="đã xóa từ trước"):
        privacy.erase(one.customer, reason="đơn", by=centre.clerk, now=NOW)


def test_why_a_reading_was_judged_is_kept_with_it_and_never_in_the_audit_trail(centre):
    one = make_closed(centre)
    reading = one.readings.get()
    Reading.objects.filter(pk=reading.pk).update(state=Reading.State.SUSPECT)
    reading.refresh_from_db()
    readings.refuse(reading, note="Tuyết Sương đọc giùm", by=centre.clerk, now=NOW)

    assert "Tuyết Sương" not in str(AuditEntry.objects.get(action="customers.reading.refused").detail)
    privacy.erase(one.customer, reason="đơn", by=centre.clerk, now=NOW)
    assert one.readings.get().judged_note == ""


def test_reasons_that_people_wrote_are_not_shown_to_who_sees_names_masked(centre, browser_of):
    one = make_closed(centre)

    assert "Tuyết Sương chuyển đi" in browser_of(centre.clerk).get(f"/khach-hang/{one.code}/").content.decode()
    assert "Tuyết Sương" not in browser_of(centre.agency).get(f"/khach-hang/{one.code}/").content.decode()


def test_only_who_manages_the_work_erases(centre, browser_of):
    one = make_closed(centre)
    said = {"reason": "đơn", "confirmed": "on"}

    assert browser_of(centre.cashier).post(f"/khach-hang/{one.code}/xoa-du-lieu/", said).status_code == 403
    assert browser_of(centre.clerk).post(f"/khach-hang/{one.code}/xoa-du-lieu/", said).status_code == 302
    one.customer.refresh_from_db()
    assert one.customer.erased_at is not None


def test_a_consent_is_given_once_and_taken_back(centre, browser_of):
    customer = centre.connection(code="BC-1").customer
    browser = browser_of(centre.cashier)
    page = "/khach-hang/BC-1/du-lieu-ca-nhan/"

    for _ in range(2):
        browser.post(page, {"act": "give", "purpose": "NOTICES", "how": "phiếu ngày 01/08"})
    assert Consent.objects.get().how == "phiếu ngày 01/08"
    assert privacy.has_consent(customer.pk, "NOTICES")
    browser.post(page, {"act": "withdraw", "purpose": "NOTICES"})
    assert not privacy.has_consent(customer.pk, "NOTICES")
    again = browser.post(page, {"act": "withdraw", "purpose": "NOTICES"})
    assert "không có sự đồng ý nào" in again.content.decode()


def test_a_customer_gets_a_copy_of_all_that_is_kept_and_it_is_logged(centre, browser_of):
    one = make_closed(centre)
    browser = browser_of(centre.cashier)

    kept = json.loads(browser.get(f"/khach-hang/{one.code}/ban-sao/").content)

    assert kept["Khách hàng"]["Họ tên, tên đơn vị"] == "Lý Tuyết Sương"
    assert [row["Số"] for row in kept["Hợp đồng"]] == ["1/HĐ"]
    assert kept["Đấu nối"][0]["Địa chỉ"] == "Ngõ Bí Mật"
    assert (kept["Khách hàng"]["Loại"], kept["Đấu nối"][0]["Tình trạng"]) == ("Hộ gia đình", "Đã chấm dứt")
    page = browser.get(f"/khach-hang/{one.code}/du-lieu-ca-nhan/").content.decode()
    assert "bản sao cho khách hàng" in page and centre.cashier.full_name in page


def test_what_a_former_customer_said_is_neither_copied_nor_erased_with_the_next_one(centre):
    """A connection that changes hands keeps its history, which belongs to whom it was told by."""
    application = application_operations.open_application(
        work=centre.binh_chanh, by=centre.clerk, now=NOW - timedelta(days=9),
        facts=ApplicationFacts("Lý Tuyết Sương", "Ngõ Bí Mật", phone="0987654321"),
    )  # fmt: skip
    said = {"by": centre.clerk, "now": NOW, "at": NOW - timedelta(days=8)}
    application_operations.advance(application, quote_vnd=0, **said)
    application_operations.advance(application, contract_number="1/HĐ", **said)
    one = application_operations.install(application, serial="A1", **said)
    former = one.customer
    category = Category.objects.filter(is_active=True).first()

    def tell(text, days_ago):
        at = NOW - timedelta(days=days_ago)
        made = request_operations.receive(category=category, channel="PHONE", text=text, now=at, connection=one)
        Reading.objects.filter(connection=one).update(latitude=15.1, longitude=108.8, note="Tuyết Sương dắt vào")
        return made

    before = tell("Tuyết Sương báo nước đục", 5)
    norm = NormPersons.objects.create(connection=one, persons=7, valid_from=TODAY - timedelta(days=6))
    contract = connection_operations.transfer(
        one, to=connection_operations.CustomerFacts("Trần Chủ Mới"), number="2/HĐ", version=None,
        signed_date=TODAY - timedelta(days=3), by=centre.clerk, now=NOW,
    )  # fmt: skip
    after = tell("Chủ mới báo nước yếu", 1)
    next_norm = NormPersons.objects.create(connection=one, persons=3, valid_from=TODAY - timedelta(days=2))

    copied = str(privacy.copy_of(contract.customer))
    assert "nước yếu" in copied and "nước đục" not in copied
    assert "nước đục" in str(privacy.copy_of(former))
    assert [row["Số người"] for row in privacy.copy_of(contract.customer)["Định mức"]] == [3]
    assert [row["Số người"] for row in privacy.copy_of(former)["Định mức"]] == [7]
    privacy.erase(former, reason="đơn", by=centre.clerk, now=NOW)

    for row in (before, after, norm, next_norm):
        row.refresh_from_db()
    assert (norm.persons, next_norm.persons) == (0, 3)
    application.refresh_from_db()
    assert before.text == request_operations.ERASED and after.text == "Chủ mới báo nước yếu"
    assert (application.name, application.phone) == (privacy.ERASED_NAME, "")
    assert one.readings.get().latitude is None and one.readings.get().note == ""


def test_a_paper_that_another_page_shows_too_outlives_an_erasure(centre, django_capture_on_commit_callbacks):
    one = make_closed(centre)
    paper = one.contracts.get().paper
    batch = ConnectionImport.objects.create(
        kind=ConnectionImport.Kind.POVERTY, file=paper, file_name="ho-ngheo.csv", uploaded_by=centre.clerk,
        uploaded_at=NOW,
    )  # fmt: skip

    with django_capture_on_commit_callbacks(execute=True):
        privacy.erase(one.customer, reason="đơn", by=centre.clerk, now=NOW)

    assert files.path_of(batch.file).exists()


def test_every_form_that_shows_personal_data_writes_the_look_down(centre, browser_of):
    one = make_closed(centre)
    browser = browser_of(centre.cashier)
    pages = (
        f"/khach-hang/{one.code}/sua/", f"/khach-hang/{one.code}/khach-hang/",
        f"/khach-hang/{one.code}/du-lieu-ca-nhan/", f"/khach-hang/de-nghi/{one.application.code}/sua/",
    )  # fmt: skip

    for number, page in enumerate(pages, start=1):
        shown = browser.get(page).content.decode()
        assert "Bí Mật" in shown or "Tuyết Sương" in shown
        assert DataAccess.objects.filter(person=centre.cashier).count() == number, page
