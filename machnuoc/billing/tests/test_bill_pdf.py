import io
import subprocess
from datetime import date
from pathlib import Path

import pytest
import zxingcpp
from PIL import Image

from machnuoc.billing import bill_pdf, pdf_fonts, reference, vietqr
from machnuoc.billing.models import Allocation, Bill, BillLine, Payment
from machnuoc.billing.tests.fixtures_documents import make_bill
from machnuoc.billing.tests.world import JULY, JUNE, NOW

pytestmark = pytest.mark.django_db


def text_of(pdf: bytes) -> str:
    shown = subprocess.run(["pdftotext", "-layout", "-", "-"], input=pdf, capture_output=True, check=True)
    return shown.stdout.decode()


def pages_of(pdf: bytes) -> int:
    told = subprocess.run(["pdfinfo", "-"], input=pdf, capture_output=True, check=True).stdout.decode()
    return int(next(line.split()[1] for line in told.splitlines() if line.startswith("Pages:")))


def codes_of(pdf: bytes, tmp_path: Path) -> list[str]:
    """Read the codes of the first page as a telephone would: from a picture of it, 1,080 pixels wide."""
    subprocess.run(
        ["pdftoppm", "-png", "-singlefile", "-scale-to-x", "1080", "-scale-to-y", "-1", "-", str(tmp_path / "page")],
        input=pdf, check=True,
    )  # fmt: skip
    with Image.open(io.BytesIO((tmp_path / "page.png").read_bytes())) as picture:
        return [found.text for found in zxingcpp.read_barcodes(picture.convert("L"))]


@pytest.fixture
def bill(world) -> Bill:
    return make_bill(world, world.connection({JUNE: 100, JULY: 112}))


def test_a_bill_is_one_page_that_says_who_owes_what_for_which_water(bill):
    pdf = bill_pdf.render([bill.pk], served=None)

    assert pages_of(pdf) == 1
    said = text_of(pdf)
    for part in (
        "Trung tâm Nước thử", "MST 4300000001", "1K26TAA", "00000001", "HÓA ĐƠN TIỀN NƯỚC", "Kỳ tháng 07/2026",
        "01/07/2026 – 31/07/2026 (31 ngày)", "Nguyễn Văn Thử 1", "Thôn 1", "KH000001", "DN000001", "S00000001",
        "Bậc 1", "6.000", "60.000", "Bậc 2", "7.500", "15.000", "Thuế GTGT 5", "3.750", "86.250",
        "Tám mươi sáu nghìn hai trăm năm mươi đồng", "16/08/2026", "Vietcombank", "0123456789",
        reference.make(bill.pk), "1900 0000",
    ):  # fmt: skip
        assert part in said, part


def test_the_code_on_the_page_pays_the_bill(bill, tmp_path):
    (code,) = codes_of(bill_pdf.render([bill.pk], served=None), tmp_path)

    read = vietqr.decode(code)
    assert (read.bank_bin, read.account, read.amount_vnd) == ("970436", "0123456789", 86_250)
    assert reference.find(read.purpose) == [bill.pk]


def test_who_may_not_see_the_customer_gets_the_bill_without(bill):
    said = text_of(bill_pdf.render([bill.pk], served=frozenset()))

    assert "Nguyễn V. T. 1." in said
    assert "Nguyễn Văn Thử" not in said
    assert "Thôn 1" not in said


def pay(world, bill, amount_vnd, **fields):
    payment = Payment.objects.create(
        operator=world.operator, connection=bill.connection, method=Payment.Method.CASH, amount_vnd=amount_vnd,
        received_at=NOW, recorded_at=NOW, recorded_by=world.cashier, **fields,
    )  # fmt: skip
    Allocation.objects.create(payment=payment, bill=bill, amount_vnd=min(amount_vnd, bill.total_vnd), at=NOW)
    return payment


def test_what_is_paid_in_part_asks_for_the_rest(world, bill, tmp_path):
    pay(world, bill, 50_000)

    pdf = bill_pdf.render([bill.pk], served=None)

    assert "còn phải trả 36.250" in " ".join(text_of(pdf).split())
    assert vietqr.decode(codes_of(pdf, tmp_path)[0]).amount_vnd == 36_250


def test_what_is_paid_asks_for_nothing(world, bill, tmp_path):
    pay(world, bill, bill.total_vnd)

    pdf = bill_pdf.render([bill.pk], served=None)

    assert "Đã thanh toán đủ" in text_of(pdf)
    assert codes_of(pdf, tmp_path) == []


def test_a_simulated_bill_says_so(world):
    bill = make_bill(world, world.connection({JUNE: 100, JULY: 112}), is_simulated=True)

    assert "MÔ PHỎNG" in text_of(bill_pdf.render([bill.pk], served=None))


def test_a_correction_names_what_it_corrects_and_why(world, bill):
    down = make_bill(
        world, bill.connection, volumes_l=(2_000,), kind=Bill.Kind.ADJUSTMENT_DOWN, corrects=bill,
        reason="đọc nhầm chỉ số",
    )  # fmt: skip

    said = " ".join(text_of(bill_pdf.render([down.pk], served=None)).split())
    assert "HÓA ĐƠN ĐIỀU CHỈNH GIẢM" in said
    assert "Điều chỉnh giảm cho hóa đơn 1K26TAA 00000001 kỳ 07/2026. Lý do: đọc nhầm chỉ số" in said
    assert "Tổng cộng giảm trừ" in said
    assert "-13.800" in said
    assert "Âm mười ba nghìn tám trăm đồng" in said
    old = " ".join(text_of(bill_pdf.render([bill.pk], served=None)).split())
    assert "Đã được điều chỉnh bởi hóa đơn 1K26TAA 00000002" in old


def test_a_month_of_many_parts_still_fits_one_page(world, bill):
    for order in range(3, 40):
        BillLine.objects.create(
            bill=bill, order=order, tariff=world.tariff, group="SH", block=order % 4 + 1, days=order, volume_l=500,
            price_vnd=6_000, amount_vnd=3_000,
        )  # fmt: skip

    for paper in bill_pdf.PAPERS:
        pdf = bill_pdf.render([bill.pk], served=None, paper=paper)
        assert pages_of(pdf) == 1
        assert "39 ngày" in text_of(pdf)
        assert "86.250" in text_of(pdf)


def test_the_longest_texts_stay_on_the_page(world, tmp_path):
    connection = world.connection({JUNE: 100, JULY: 112}, households=12, address="Thôn Đăk Pờ Trang, " * 15)
    connection.customer.name = "Công ty trách nhiệm hữu hạn một thành viên " * 3
    connection.customer.save()
    bill = make_bill(world, connection, persons=48)

    pdf = bill_pdf.render([bill.pk], served=None)

    assert pages_of(pdf) == 1
    assert vietqr.decode(codes_of(pdf, tmp_path)[0]).amount_vnd == 86_250


def test_a_meter_changed_in_the_month_has_a_row_of_its_own(world):
    connection = world.connection({JUNE: 100})
    old = connection.fittings.get()
    old.removed_at, old.removed_index_l = NOW.replace(month=7, day=10), 105_000
    old.save()
    from machnuoc.customers.models import Fitting, Meter

    new = Fitting.objects.create(
        connection=connection, meter=Meter.objects.create(operator=world.operator, serial="MOI-1"),
        installed_at=NOW.replace(month=7, day=10), installed_index_l=0,
    )  # fmt: skip
    world.read(connection, JULY, 7, fitting=new)
    bill = make_bill(world, connection)

    said = " ".join(text_of(bill_pdf.render([bill.pk], served=None)).split())
    assert "S00000001 100 105 5" in said
    assert "MOI-1 0 7 7" in said
    assert "tháo 10/07/2026" in said


def test_past_months_stand_beside_this_one(world, bill):
    for month, litres in ((date(2026, 5, 1), 8_000), (date(2026, 6, 1), 9_000)):
        make_bill(world, bill.connection, month, volumes_l=(litres,))

    said = text_of(bill_pdf.render([bill.pk], served=None))
    assert "05/2026" in said
    assert "Lượng nước các kỳ gần đây" in said


def test_many_bills_come_in_the_order_asked_for_with_few_questions(world, django_assert_max_num_queries):
    bills = [make_bill(world, world.connection({JUNE: 100, JULY: 112})) for _ in range(7)]
    order = [bills[at].pk for at in (3, 0, 6, 1, 2, 5, 4)]

    with django_assert_max_num_queries(12):
        pages = bill_pdf.gather(order, served=None)

    assert [page["reference"] for page in pages] == [reference.make(pk) for pk in order]
    assert pages_of(bill_pdf.render(order, served=None, is_tagged=False)) == 7


def test_nothing_too_many_and_unknown_bills_are_refused(bill):
    for ids in ([], [bill.pk] * (bill_pdf.MOST_BILLS + 1)):
        with pytest.raises(bill_pdf.CannotPrint, match=r"In được 1–1\.000 hóa đơn"):
            bill_pdf.render(ids, served=None)
    with pytest.raises(bill_pdf.CannotPrint, match="Không có hóa đơn mang mã 999999"):
        bill_pdf.render([999_999], served=None)
    with pytest.raises(bill_pdf.CannotPrint, match="Không có khổ giấy"):
        bill_pdf.render([bill.pk], served=None, paper="letter")


def test_markup_in_a_name_is_only_text(world, bill):
    bill.customer.name = '#import "x" *đậm* <b> $x$ \\ `code`'
    bill.customer.save()

    assert '#import "x" *đậm* <b> $x$' in text_of(bill_pdf.render([bill.pk], served=None))


def test_a_receipt_says_what_was_paid_for_what(world, bill):
    payment = pay(world, bill, 100_000, receipt_number=7, payer="Trần Thị Nộp Hộ")

    said = " ".join(text_of(bill_pdf.receipt(payment)).split())
    for part in (
        "BIÊN LAI THU TIỀN NƯỚC", "000007", "Trần Thị Nộp Hộ", "1K26TAA 00000001", "86.250", "Trả trước", "13.750",
        "100.000", "Một trăm nghìn đồng", "Người thu.thu",
    ):  # fmt: skip
        assert part in said, part
    masked = text_of(bill_pdf.receipt(payment, unmasked=False))
    assert "Nguyễn V. T. 1." in masked
    assert "Nộp Hộ" not in masked


def test_the_fonts_are_made_once_and_have_all_vietnamese_letters():
    folder = pdf_fonts.folder()

    assert sorted(path.name for path in folder.iterdir()) == [
        f"be-vietnam-pro-{weight}.ttf" for weight in pdf_fonts.WEIGHTS
    ]
    assert pdf_fonts.folder() == folder
