"""From the wish for a connection to its first bill."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from machnuoc.core.models import AuditEntry
from machnuoc.core.periods import local_date
from machnuoc.customers import application_operations, application_queries, connection_operations, meters
from machnuoc.customers.application_operations import ApplicationFacts
from machnuoc.customers.application_queries import ApplicationFilters
from machnuoc.customers.connection_operations import ChangedMeanwhile, ConnectionFacts, RecordError
from machnuoc.customers.errors import CustomersError
from machnuoc.customers.models import Application, Connection, Contract, Customer, DataAccess, Fitting, Meter, Reading
from machnuoc.customers.tests.world import NOW, TODAY, make_person
from machnuoc.places.models import AdministrativeUnit, Containment, Grant, Subject

pytestmark = pytest.mark.django_db
FACTS = ApplicationFacts("Phạm Văn Đông", "Thôn Phú Lễ", phone="0914 555 666", persons=4)


def begin(centre, stage: str = "REQUESTED", work=None) -> Application:
    """Bring an application as far as the stage."""
    one = application_operations.open_application(
        work=work or centre.binh_chanh, facts=FACTS, by=centre.clerk, now=NOW - timedelta(days=3)
    )
    said = {"by": centre.clerk, "now": NOW}
    if stage in {"QUOTED", "CONTRACTED", "INSTALLED"}:
        application_operations.advance(one, at=NOW - timedelta(days=2), quote_vnd=2_500_000, **said)
    if stage in {"CONTRACTED", "INSTALLED"}:
        application_operations.advance(one, at=NOW - timedelta(days=1), contract_number="77/HĐ", **said)
    if stage == "INSTALLED":
        application_operations.install(one, at=NOW, serial="A777", index_l=3_000, **said)
    one.refresh_from_db()
    return one


def test_an_application_goes_from_survey_to_the_first_bill(centre):
    one = application_operations.open_application(
        work=centre.binh_chanh, facts=FACTS, by=centre.clerk, now=NOW, stage="SURVEYED", source="campaign"
    )
    said = {"by": centre.clerk, "now": NOW, "at": NOW}
    application_operations.advance(one, **said)
    application_operations.advance(one, quote_vnd=0, **said)
    scan = application_operations.keep_paper(b"%PDF-1.4 hop dong", name="hop-dong.pdf", by=centre.clerk)
    application_operations.advance(one, contract_number="77/HĐ", paper=scan, **said)
    made = application_operations.install(one, serial="A777", index_l=3_000, digits=5, **said)

    assert made.contracts.get().paper == scan  # what was signed is the contract of the connection
    assert made.customer.phone == "0914555666" and made.origin == "NEW" and made.status == "ACTIVE"
    assert made.connected_date == TODAY and made.persons == 4
    assert made.contracts.get().number == "77/HĐ"
    assert made.fittings.get().meter.serial == "A777" and made.readings.get().index_l == 3_000
    assert made.customer.consents.get().purpose == "CONTRACT"
    other = centre.connection()
    assert application_operations.mark_billed([made.pk, other.pk], NOW) == 1
    assert application_operations.mark_billed([made.pk, other.pk], NOW) == 0
    one.refresh_from_db()
    assert [step.stage for step in one.steps.all()] == list(application_operations.STAGES)
    assert not any("Đông" in str(entry.detail) for entry in AuditEntry.objects.all())


@pytest.mark.parametrize(
    ("stage", "said", "why"),
    [
        ("REQUESTED", {}, "chi phí"), ("QUOTED", {}, "số hợp đồng"), ("CONTRACTED", {}, "chờ lắp đặt"),
        ("REQUESTED", {"quote_vnd": 1, "at": NOW + timedelta(days=1)}, "tương lai"),
        ("QUOTED", {"contract_number": "1/HĐ", "at": NOW - timedelta(days=9)}, "không thể trước lúc"),
        ("INSTALLED", {}, "không còn bước nào"),
    ],
)  # fmt: skip
def test_a_step_that_lacks_something_or_is_out_of_order_is_refused(centre, stage, said, why):
    one = begin(centre, stage)
    with pytest.raises(RecordError, match=why):
        application_operations.advance(one, **{"at": NOW, "by": centre.clerk, "now": NOW, **said})
    one.refresh_from_db()
    assert one.stage == stage


def test_an_installation_that_fails_leaves_nothing_behind(centre):
    begin(centre, "INSTALLED")
    one = application_operations.open_application(work=centre.binh_chanh, facts=FACTS, by=centre.clerk, now=NOW)
    said = {"by": centre.clerk, "now": NOW, "at": NOW}
    application_operations.advance(one, quote_vnd=0, **said)
    application_operations.advance(one, contract_number="78/HĐ", **said)

    with pytest.raises(CustomersError, match="đang lắp tại"):
        application_operations.install(one, serial="A777", **said)  # that meter hangs elsewhere

    one.refresh_from_db()
    assert one.stage == "CONTRACTED" and one.connection is None
    assert Connection.objects.count() == Customer.objects.count() == Contract.objects.count() == 1


def test_two_people_cannot_take_the_same_step(centre):
    one = begin(centre)
    application_operations.advance(one, at=NOW, by=centre.clerk, now=NOW, quote_vnd=1, version=1)
    with pytest.raises(ChangedMeanwhile):
        application_operations.advance(one, at=NOW, by=centre.clerk, now=NOW, quote_vnd=2, version=1)


def test_a_manager_takes_back_the_last_step_with_all_it_made(centre):
    one = begin(centre, "INSTALLED")
    cashier = centre.cashier
    with pytest.raises(PermissionDenied):
        application_operations.undo(one, by=cashier, now=NOW)

    application_operations.undo(one, by=centre.clerk, now=NOW)

    one.refresh_from_db()
    assert one.stage == "CONTRACTED" and one.connection is None
    for model in (Connection, Customer, Contract, Fitting, Meter, Reading):
        assert not model.objects.exists(), model
    application_operations.undo(one, by=centre.clerk, now=NOW)
    application_operations.undo(one, by=centre.clerk, now=NOW)
    one.refresh_from_db()
    assert one.stage == "REQUESTED" and one.quote_vnd is None
    with pytest.raises(RecordError, match="bước đầu tiên"):
        application_operations.undo(one, by=centre.clerk, now=NOW)


def test_an_installation_that_has_been_read_or_billed_stays(centre):
    one = begin(centre, "INSTALLED")
    fitting = one.connection.fittings.get()
    Reading.objects.create(
        connection=one.connection, fitting=fitting, source="OFFICE", read_at=NOW, index_l=4_000, received_at=NOW
    )
    with pytest.raises(RecordError, match="đã có chỉ số"):
        application_operations.undo(one, by=centre.clerk, now=NOW)

    application_operations.mark_billed([one.connection_id], NOW)
    with pytest.raises(RecordError, match="hóa đơn đầu tiên"):
        application_operations.undo(one, by=centre.clerk, now=NOW)
    assert meters.get_live(one.connection) == fitting


def test_the_board_and_the_list_keep_to_the_scope(centre):
    own = begin(centre)
    foreign = begin(centre, work=centre.nghia_phu)

    assert list(application_queries.list_applications(centre.station)) == [own]
    board = application_queries.board(centre.clerk, ApplicationFilters())
    assert [(column.stage, column.count) for column in board if column.count] == [("REQUESTED", 2)]
    assert list(application_queries.select(centre.clerk, ApplicationFilters(q="0914555"))) == [foreign, own]
    assert not application_queries.select(centre.agency, ApplicationFilters(q="Đông")).exists()


def test_the_pages_lead_an_application_through_all_steps(centre, browser_of):
    browser = browser_of(centre.station)
    said = {
        "work": str(centre.binh_chanh.pk), "stage": "REQUESTED", "source": "counter", "name": "Hồ Thị Sáu",
        "kind": "HOUSEHOLD", "address": "Thôn 5", "group": "SH", "households": "1",
    }  # fmt: skip
    home = browser.post("/khach-hang/de-nghi/them/", said)["Location"]
    paper = SimpleUploadedFile("bao-gia.pdf", b"%PDF-1.4 bao gia", "application/pdf")
    at = (NOW.replace(year=2026) + timedelta(hours=7)).strftime("%Y-%m-%dT%H:%M")
    Application.objects.get().steps.update(at=NOW - timedelta(days=1))

    for step in (
        {"at": at, "quote_vnd": "1.500.000", "paper": paper}, {"at": at, "contract_number": "5/HĐ"},
        {"at": at, "serial": "B5", "kind": "MECHANICAL", "diameter_mm": "15", "digits": "5", "index_m3": "2"},
    ):  # fmt: skip
        assert browser.get(home + "buoc/").status_code == 200
        answer = browser.post(home + "buoc/", step)
        assert answer.status_code == 302, answer.content.decode()

    one = Application.objects.get()
    assert (one.stage, one.quote_vnd, one.connection.readings.get().index_l) == ("INSTALLED", 1_500_000, 2_000)
    page = browser.get(home).content.decode()
    assert "Hồ Thị Sáu" in page and "bao-gia.pdf" in page and "Lùi một bước" not in page
    step = one.steps.get(paper__isnull=False)
    assert browser.get(f"{home}giay-to/{step.pk}/").status_code == 200
    assert browser_of(centre.agency).get(f"{home}giay-to/{step.pk}/").status_code == 403
    masked = browser_of(centre.agency).get(home).content.decode()
    assert "Hồ T. S." in masked and "Thị Sáu" not in masked
    for page in ("/khach-hang/de-nghi/", "/khach-hang/de-nghi/bang/", "/khach-hang/de-nghi/?export=xlsx"):
        assert browser.get(page).status_code == 200
    assert DataAccess.objects.filter(person=centre.station, what="EXPORT", count=1).exists()


def test_a_paper_request_of_last_week_is_typed_in_today_with_all_its_days(centre):
    said = {"by": centre.clerk, "now": NOW}
    one = application_operations.open_application(
        work=centre.binh_chanh, facts=FACTS, received_date=TODAY - timedelta(days=7), **said
    )
    application_operations.advance(one, at=NOW - timedelta(days=6), quote_vnd=0, **said)
    application_operations.advance(one, at=NOW - timedelta(days=6), contract_number="79/HĐ", **said)
    made = application_operations.install(one, at=NOW - timedelta(days=5), serial="A779", **said)

    assert one.created_at == datetime(2026, 7, 26, 17, 0, tzinfo=UTC)  # midnight in Quảng Ngãi
    assert made.connected_date == local_date(made.fittings.get().installed_at) == TODAY - timedelta(days=5)
    later = application_operations.open_application(
        work=centre.binh_chanh, facts=FACTS, received_date=TODAY - timedelta(days=300), **said
    )
    assert list(application_queries.list_applications(centre.clerk)) == [one, later]  # by receipt, not by entry


@pytest.mark.parametrize("days", [-1, 367, 5_000])
def test_a_day_of_receipt_to_come_or_over_a_year_ago_is_refused(centre, days):
    with pytest.raises(RecordError, match="Ngày tiếp nhận"):
        application_operations.open_application(
            work=centre.binh_chanh, facts=FACTS, by=centre.clerk, now=NOW, received_date=TODAY - timedelta(days=days)
        )


def test_a_step_is_not_a_minute_before_the_one_before_it(centre):
    one = begin(centre, "QUOTED")
    said = {"by": centre.clerk, "now": NOW}
    signed_at = NOW - timedelta(hours=3) + timedelta(seconds=40)
    application_operations.advance(one, at=signed_at, contract_number="80/HĐ", **said)

    with pytest.raises(RecordError, match="không thể trước lúc đó"):
        application_operations.install(one, at=signed_at - timedelta(minutes=1), serial="A780", **said)
    application_operations.install(one, at=signed_at - timedelta(seconds=40), serial="A780", **said)  # the same minute


def test_the_form_says_at_its_fields_what_is_wrong_and_takes_the_commune_from_the_address(centre, browser_of):
    province = Subject.objects.create(key="vn.thu", kind="UNIT", name="Tỉnh Thử")
    unit = AdministrativeUnit.objects.create(
        subject=province, level="PROVINCE", unit_type="Tỉnh", code="98", full_name="Tỉnh Thử"
    )
    for code, name in (("98001", "Xã Bình Chánh"), ("98002", "Xã Bình Chánh Đông")):
        commune = Subject.objects.create(key=f"vn.thu.{code}", kind="UNIT", name=name)
        AdministrativeUnit.objects.create(
            subject=commune, level="COMMUNE", unit_type="Xã", code=code, full_name=name, parent=unit
        )
        Containment.objects.create(ancestor=province, descendant=commune)
    Containment.objects.create(ancestor=province, descendant=centre.binh_chanh.subject)
    browser = browser_of(centre.clerk)
    today = timezone.localdate()
    said = {
        "work": str(centre.binh_chanh.pk), "stage": "REQUESTED", "source": "counter", "name": "Hồ Thị Sáu",
        "kind": "HOUSEHOLD", "group": "SH", "households": "1",
    }  # fmt: skip
    wrong = {"phone": "abc", "address": "Thôn 5", "received_date": str(today + timedelta(days=1))}

    answer = browser.post("/khach-hang/de-nghi/them/", {**said, **wrong})

    assert answer.status_code == 422
    errors = answer.context["form"].errors
    assert set(errors) == {"phone", "place", "received_date"} and "không phải số điện thoại" in errors["phone"][0]
    right = {"address": "Thôn 5, xã Bình Chánh Đông", "received_date": str(today - timedelta(days=7))}
    answer = browser.post("/khach-hang/de-nghi/them/", {**said, **right}, follow=True)
    made = Application.objects.get()
    assert made.place.name == "Xã Bình Chánh Đông" and "lấy theo địa chỉ" in answer.content.decode()
    assert local_date(made.created_at) == today - timedelta(days=7)
    assert "00:00" not in answer.content.decode()  # of the day of receipt no hour is known


def test_a_stopped_application_says_why_and_goes_no_further(centre, browser_of):
    one = begin(centre)
    home = f"/khach-hang/de-nghi/{one.code}/"

    answer = browser_of(centre.clerk).post(home + "dung/", {"stage": "REFUSED", "reason": "xa mạng lưới"}, follow=True)
    assert "xa mạng lưới" in answer.content.decode()
    with pytest.raises(RecordError, match="không còn bước nào"):
        application_operations.advance(one, at=NOW, by=centre.clerk, now=NOW)
    assert browser_of(centre.clerk).post(home + "lui/", {"version": "2"}, follow=True).status_code == 200
    one.refresh_from_db()
    assert one.stage == "REQUESTED"


def test_whoever_serves_elsewhere_reaches_no_application(centre, browser_of):
    one = begin(centre)
    other = make_person("thu.xa", Grant.Role.STATION, centre.other_work.subject)

    assert browser_of(other).get(f"/khach-hang/de-nghi/{one.code}/").status_code == 404


SHOP = replace(FACTS, group="KDDV")


def test_who_takes_money_does_not_choose_the_price_group_of_who_asks_for_a_connection(centre):
    with pytest.raises(RecordError, match=r"quyết định giá nước.*nhờ trạm hoặc phòng khách hàng"):
        application_operations.open_application(work=centre.binh_chanh, facts=SHOP, by=centre.cashier, now=NOW)
    one = application_operations.open_application(work=centre.binh_chanh, facts=FACTS, by=centre.cashier, now=NOW)

    with pytest.raises(RecordError, match="quyết định giá nước"):
        application_operations.edit_application(one, SHOP, version=None, by=centre.cashier, now=NOW)
    decided = application_operations.edit_application(one, SHOP, version=None, by=centre.clerk, now=NOW)
    corrected = application_operations.edit_application(
        decided, replace(SHOP, address="Thôn Phú Lễ 2"), version=None, by=centre.cashier, now=NOW
    )

    assert (corrected.group, corrected.address) == ("KDDV", "Thôn Phú Lễ 2")
    assert Application.objects.count() == 1


def test_who_takes_money_puts_in_no_connection_of_another_group_than_that_of_households(centre):
    asked = application_operations.open_application(
        work=centre.binh_chanh, facts=replace(FACTS, group="SH_NGHEO"), by=None, now=NOW - timedelta(days=3)
    )
    said = {"by": centre.cashier, "now": NOW}
    application_operations.advance(asked, at=NOW - timedelta(days=2), quote_vnd=0, **said)
    application_operations.advance(asked, at=NOW - timedelta(days=1), contract_number="78/HĐ", **said)

    with pytest.raises(RecordError, match="quyết định giá nước"):
        application_operations.install(asked, at=NOW, serial="A778", index_l=0, **said)

    made = application_operations.install(asked, at=NOW, serial="A778", index_l=0, by=centre.clerk, now=NOW)
    assert made.group == "SH_NGHEO"


@pytest.mark.parametrize("by_edit", [True, False])
def test_who_takes_money_puts_in_a_connection_whose_group_was_decided_by_who_may(centre, browser_of, by_edit):
    said = {"by": centre.cashier, "now": NOW}
    one = application_operations.open_application(
        work=centre.binh_chanh, facts=FACTS if by_edit else SHOP, by=centre.clerk, now=NOW - timedelta(days=3)
    )
    if by_edit:
        application_operations.edit_application(one, SHOP, version=None, by=centre.clerk, now=NOW)
    application_operations.advance(one, at=NOW, quote_vnd=0, **said)
    application_operations.advance(one, at=NOW, contract_number="81/HĐ", **said)

    answer = browser_of(centre.cashier).post(
        f"/khach-hang/de-nghi/{one.code}/buoc/",
        {"at": "2026-08-03T09:00", "serial": "A781", "kind": "MECHANICAL", "diameter_mm": "15", "digits": "5",
         "index_m3": "0"},
    )  # fmt: skip

    assert answer.status_code == 302
    made = Connection.objects.get()
    assert made.group == "KDDV"
    with pytest.raises(RecordError, match="quyết định giá nước"):
        connection_operations.create_connection(
            work=centre.binh_chanh, customer=made.customer, facts=ConnectionFacts("Thôn 9", group="KDDV"),
            connected_date=TODAY, **said,
        )  # fmt: skip


@pytest.mark.parametrize("way", ["look", "step", "households"])
def test_a_group_that_who_applies_named_is_confirmed_before_a_cashier_puts_it_in(centre, way):
    one = application_operations.open_application(work=centre.binh_chanh, facts=SHOP, by=None, now=NOW)
    said = {"by": centre.cashier, "now": NOW}
    assert not one.is_group_confirmed

    if way == "look":
        application_operations.edit_application(one, SHOP, version=None, by=centre.clerk, now=NOW)
    if way == "households":
        application_operations.edit_application(one, FACTS, version=None, **said)
    by = centre.clerk if way == "step" else centre.cashier
    application_operations.advance(one, at=NOW, quote_vnd=0, by=by, now=NOW)
    application_operations.advance(one, at=NOW, contract_number="82/HĐ", **said)

    made = application_operations.install(one, at=NOW, serial="A782", **said)
    assert made.group == ("SH" if way == "households" else "KDDV")
