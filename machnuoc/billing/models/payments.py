"""The ledger, payments and what they pay, gateways, bank statements, the till; debts and the steps they may take."""

from django.db import models
from django.db.models import F, Q

from machnuoc.billing.models.bills import Bill
from machnuoc.core.models import Person, StoredFile
from machnuoc.customers.models import Connection, Customer, Route, WorkOrder
from machnuoc.places.models import Organisation


class Account(models.TextChoices):
    """Accounts of the ledger. Numbers as in the Vietnamese chart of accounts (TT 200/2014/TT-BTC, recalled)."""

    RECEIVABLE = "131", "Phải thu của khách hàng"
    ADVANCE = "131U", "Khách hàng trả trước"
    CASH = "1111", "Tiền mặt tại quỹ thu"
    BANK = "1121", "Tiền gửi ngân hàng"
    TRANSIT = "113", "Tiền đang chuyển (cổng thanh toán, người thu)"
    REVENUE = "511", "Doanh thu tiền nước"
    VAT = "33311", "Thuế GTGT phải nộp"
    FEE = "3339", "Phí bảo vệ môi trường phải nộp"
    REFUND = "338R", "Phải hoàn trả khách hàng"
    GATEWAY_FEE = "6417", "Phí dịch vụ cổng thanh toán"
    DIFFERENCE = "711", "Chênh lệch quỹ"


class Posting(models.Model):
    """An amount that moves from one account to another: two sides by construction. Never changed or removed."""

    class Source(models.TextChoices):
        BILL = "BILL", "Hóa đơn"
        PAYMENT = "PAYMENT", "Khoản thu"
        ALLOCATION = "ALLOCATION", "Cấn trừ trả trước"
        REFUND = "REFUND", "Hoàn tiền"
        TILL = "TILL", "Chốt quỹ"
        SETTLEMENT = "SETTLEMENT", "Cổng chuyển tiền về"
        SETTLEBACK = "SETTLEBACK", "Đảo lần cổng chuyển về"  # source_id: of the same settlement
        REVERSAL = "REVERSAL", "Bút toán đảo"

    operator = models.ForeignKey(Organisation, models.PROTECT, related_name="postings")
    at = models.DateTimeField("ghi lúc")
    date = models.DateField("ngày hạch toán")
    debit = models.CharField("nợ", max_length=6, choices=Account)
    credit = models.CharField("có", max_length=6, choices=Account)
    amount_vnd = models.PositiveBigIntegerField("số tiền")
    connection = models.ForeignKey(Connection, models.PROTECT, null=True, blank=True, related_name="postings")
    source = models.CharField(max_length=10, choices=Source)
    source_id = models.PositiveBigIntegerField()  # id of the bill, payment, refund, session
    is_simulated = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(amount_vnd__gt=0), name="posting_moves_something"),
            models.CheckConstraint(condition=~Q(debit=F("credit")), name="posting_has_two_sides"),
        ]
        indexes = [
            models.Index(fields=["connection", "debit", "credit"], name="posting_by_connection"),
            models.Index(fields=["source", "source_id"], name="posting_by_source"),
            models.Index(fields=["operator", "date"], name="posting_by_date"),
            models.Index(fields=["date", "id"], name="posting_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.debit} ← {self.credit} {self.amount_vnd}"


class TillSession(models.Model):
    """One cashier's drawer, or one collector's bag, from opening to closing."""

    class State(models.TextChoices):
        OPEN = "OPEN", "Đang mở"
        CLOSED = "CLOSED", "Đã chốt"

    operator = models.ForeignKey(Organisation, models.PROTECT, related_name="till_sessions")
    person = models.ForeignKey(Person, models.PROTECT, related_name="till_sessions")
    state = models.CharField(max_length=6, choices=State, default=State.OPEN)
    opened_at = models.DateTimeField()
    opening_vnd = models.PositiveBigIntegerField("tiền đầu ca", default=0)
    closed_at = models.DateTimeField(null=True, blank=True)
    expected_vnd = models.BigIntegerField(null=True, blank=True)
    counted_vnd = models.PositiveBigIntegerField("đếm được", null=True, blank=True)
    note = models.CharField(max_length=300, blank=True)
    confirmed_by = models.ForeignKey(Person, models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["person"], condition=Q(state="OPEN"), name="one_open_till_a_person")
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.person_id}"


class GatewayOrder(models.Model):
    """One attempt to pay through a gateway: made before the customer leaves, settled by the server callback."""

    class Gateway(models.TextChoices):
        VNPAY = "vnpay", "VNPAY"
        MOMO = "momo", "MoMo"
        ZALOPAY = "zalopay", "ZaloPay"

    class State(models.TextChoices):
        PENDING = "PENDING", "Chờ cổng báo"
        PAID = "PAID", "Đã thu"
        FAILED = "FAILED", "Không thành công"
        EXPIRED = "EXPIRED", "Quá hạn"

    gateway = models.CharField(max_length=8, choices=Gateway)
    reference = models.CharField(max_length=40)  # vnp_TxnRef, orderId, app_trans_id
    connection = models.ForeignKey(Connection, models.PROTECT, related_name="gateway_orders")
    bills = models.ManyToManyField(Bill, related_name="gateway_orders")
    amount_vnd = models.PositiveBigIntegerField()
    state = models.CharField(max_length=8, choices=State, default=State.PENDING)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True, blank=True)
    queried_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["gateway", "reference"], name="gateway_reference_once")]

    def __str__(self) -> str:
        return f"{self.gateway} {self.reference}"


class Callback(models.Model):
    """What a gateway's server said, as it came, and what we made of it. Kept whether true or forged."""

    class Verdict(models.TextChoices):
        ACCEPTED = "ACCEPTED", "Ghi nhận"
        REPEATED = "REPEATED", "Đã ghi nhận trước đó"
        FAILED_PAYMENT = "FAILED_PAYMENT", "Giao dịch không thành công"
        NOT_YET = "NOT_YET", "Giao dịch chưa xong"
        FORGED = "FORGED", "Sai chữ ký"
        UNKNOWN_ORDER = "UNKNOWN_ORDER", "Không có giao dịch này"
        WRONG_AMOUNT = "WRONG_AMOUNT", "Sai số tiền"
        MALFORMED = "MALFORMED", "Không đọc được"

    gateway = models.CharField(max_length=8, choices=GatewayOrder.Gateway)
    received_at = models.DateTimeField()
    body = models.TextField()  # at most 8 kB; signatures included, secrets never
    order = models.ForeignKey(GatewayOrder, models.PROTECT, null=True, related_name="callbacks")
    verdict = models.CharField(max_length=14, choices=Verdict)
    reply = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.gateway} {self.verdict}"


class Payment(models.Model):
    """Money that came in. What it pays is in its allocations; the rest is an advance."""

    class Method(models.TextChoices):
        CASH = "CASH", "Tiền mặt tại quầy"
        COLLECTOR = "COLLECTOR", "Thu tại nhà"
        BANK = "BANK", "Chuyển khoản"
        VNPAY = "vnpay", "VNPAY"
        MOMO = "momo", "MoMo"
        ZALOPAY = "zalopay", "ZaloPay"

    operator = models.ForeignKey(Organisation, models.PROTECT, related_name="payments")
    connection = models.ForeignKey(Connection, models.PROTECT, related_name="payments")
    customer = models.ForeignKey(  # whose bills it pays: a connection may pass to another holder
        Customer, models.PROTECT, null=True, related_name="payments"
    )
    method = models.CharField("hình thức", max_length=10, choices=Method)
    amount_vnd = models.PositiveBigIntegerField("số tiền")
    received_at = models.DateTimeField("nhận lúc")  # when the payer paid, as the channel tells
    recorded_at = models.DateTimeField("ghi nhận lúc")
    external_id = models.CharField("mã giao dịch", max_length=80, null=True, blank=True)  # of the gateway or bank
    order = models.OneToOneField(GatewayOrder, models.PROTECT, null=True, blank=True, related_name="payment")
    till = models.ForeignKey(TillSession, models.PROTECT, null=True, blank=True, related_name="payments")
    receipt_number = models.PositiveIntegerField("số biên lai", null=True, blank=True)
    payer = models.CharField("người nộp", max_length=160, blank=True)
    note = models.CharField("ghi chú", max_length=300, blank=True)
    recorded_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    # The form's own key: a button pressed twice is one payment.
    idempotency_key = models.CharField(max_length=64, null=True, blank=True, unique=True)
    is_simulated = models.BooleanField("mô phỏng", default=False)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(  # a gateway numbers what it takes for everybody
                fields=["method", "external_id"],
                condition=Q(external_id__isnull=False) & ~Q(method="BANK"),
                name="a_transfer_counts_once",
            ),
            models.UniqueConstraint(  # two operators' banks may give the same number
                fields=["operator", "external_id"],
                condition=Q(external_id__isnull=False, method="BANK"),
                name="a_bank_transfer_counts_once",
            ),
            models.UniqueConstraint(
                fields=["operator", "receipt_number"],
                condition=Q(receipt_number__isnull=False),
                name="receipt_number_once_an_operator",
            ),
            models.CheckConstraint(condition=Q(amount_vnd__gt=0), name="payment_is_of_something"),
        ]
        indexes = [
            models.Index(fields=["connection", "received_at"], name="payment_by_connection"),
            models.Index(fields=["operator", "received_at"], name="payment_by_time"),
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.amount_vnd}"


class PaymentReversal(models.Model):
    """A payment that was taken back, whole, with why: wrong person, bounced, typed twice. Its postings were undone."""

    payment = models.OneToOneField(Payment, models.PROTECT, related_name="reversal")
    reason = models.CharField("lý do", max_length=300)
    at = models.DateTimeField()
    by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    till = models.ForeignKey(  # the drawer that gave the cash back
        TillSession, models.PROTECT, null=True, blank=True, related_name="reversals"
    )

    def __str__(self) -> str:
        return f"#{self.payment_id} taken back"


class Allocation(models.Model):
    """How much of a payment pays a bill. Taking it back is a row with the opposite sign; rows are never changed."""

    payment = models.ForeignKey(Payment, models.PROTECT, null=True, blank=True, related_name="allocations")
    credit_bill = models.ForeignKey(  # instead of a payment: a decrease that is set against another bill
        Bill, models.PROTECT, null=True, blank=True, related_name="+"
    )
    bill = models.ForeignKey(Bill, models.PROTECT, related_name="allocations")
    amount_vnd = models.BigIntegerField()
    at = models.DateTimeField()
    by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")

    class Meta:
        constraints = [
            models.CheckConstraint(condition=~Q(amount_vnd=0), name="allocation_is_of_something"),
            models.CheckConstraint(
                condition=Q(payment__isnull=True, credit_bill__isnull=False)
                | Q(payment__isnull=False, credit_bill__isnull=True),
                name="allocation_has_one_source",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.payment_id} → {self.bill_id} {self.amount_vnd}"


class Refund(models.Model):
    """Money that goes back to a customer: asked for by one person, approved by another."""

    class State(models.TextChoices):
        REQUESTED = "REQUESTED", "Chờ duyệt"
        APPROVED = "APPROVED", "Đã duyệt"
        PAID = "PAID", "Đã trả"
        REFUSED = "REFUSED", "Không duyệt"

    connection = models.ForeignKey(Connection, models.PROTECT, related_name="refunds")
    payment = models.ForeignKey(Payment, models.PROTECT, null=True, blank=True, related_name="refunds")
    credit_bill = models.ForeignKey(  # instead of a payment: a decrease that no bill is left to be set against
        Bill, models.PROTECT, null=True, blank=True, related_name="refunds"
    )
    amount_vnd = models.PositiveBigIntegerField()
    reason = models.CharField(max_length=300)
    state = models.CharField(max_length=9, choices=State, default=State.REQUESTED)
    requested_at = models.DateTimeField()
    requested_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    paid_at = models.DateTimeField(null=True, blank=True)
    paid_how = models.CharField(max_length=120, blank=True)
    till = models.ForeignKey(  # the drawer that the cash came from; empty: by the bank
        TillSession, models.PROTECT, null=True, blank=True, related_name="refunds"
    )

    class Meta:
        ordering = ["-id"]
        constraints = [models.CheckConstraint(condition=Q(amount_vnd__gt=0), name="refund_is_of_something")]

    def __str__(self) -> str:
        return f"#{self.pk} {self.amount_vnd}"


class BankStatement(models.Model):
    """A statement file as a bank gave it, read by a named layout of columns."""

    operator = models.ForeignKey(Organisation, models.PROTECT, related_name="bank_statements")
    file = models.ForeignKey(StoredFile, models.PROTECT, related_name="+")
    bank = models.CharField("ngân hàng", max_length=40, blank=True)  # under this name its columns are remembered
    account = models.CharField(max_length=30, blank=True)
    layout = models.JSONField(default=dict)  # which column is which, as a person confirmed
    imported_at = models.DateTimeField()
    imported_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    received = models.PositiveIntegerField(default=0)
    stored = models.PositiveIntegerField(default=0)
    duplicate = models.PositiveIntegerField(default=0)
    rejected = models.PositiveIntegerField(default=0)
    problems = models.JSONField(default=list)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"#{self.pk}"


class BankLine(models.Model):
    """One transfer of a statement and the payment it became."""

    class Match(models.TextChoices):
        EXACT = "EXACT", "Khớp mã và số tiền"
        REFERENCE = "REFERENCE", "Khớp mã, khác số tiền"
        PROPOSED = "PROPOSED", "Gợi ý, chờ xác nhận"
        NONE = "NONE", "Chưa khớp"
        CONFIRMED = "CONFIRMED", "Đã xác nhận"
        IGNORED = "IGNORED", "Không phải tiền nước"
        SETTLED = "SETTLED", "Cổng thanh toán chuyển về"

    statement = models.ForeignKey(BankStatement, models.PROTECT, related_name="lines")
    operator = models.ForeignKey(Organisation, models.PROTECT, related_name="+")  # that of its statement
    row = models.PositiveIntegerField()
    booked_at = models.DateTimeField()
    amount_vnd = models.BigIntegerField()  # negative: money out
    text = models.CharField(max_length=500)
    bank_reference = models.CharField(max_length=80)  # «account:number»: once for each account of an operator
    match = models.CharField(max_length=9, choices=Match, default=Match.NONE)
    proposed = models.ForeignKey(Connection, models.PROTECT, null=True, blank=True, related_name="+")
    proposed_customer = models.ForeignKey(  # a former holder whose bills it seems to be for
        Customer, models.PROTECT, null=True, blank=True, related_name="+"
    )
    proposed_why = models.CharField(max_length=200, blank=True)
    payment = models.OneToOneField(Payment, models.PROTECT, null=True, blank=True, related_name="bank_line")
    confirmed_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    confirmed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-booked_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["operator", "bank_reference"], name="bank_reference_once"),
        ]
        indexes = [models.Index(fields=["match", "booked_at"], name="bank_line_by_match")]

    def __str__(self) -> str:
        return self.bank_reference


class DebtCase(models.Model):
    """The way of an unpaid connection through reminders to a cut-off, step by step; no step can be jumped."""

    class State(models.TextChoices):
        OPEN = "OPEN", "Đang theo dõi"
        PAUSED = "PAUSED", "Tạm dừng"  # a complaint is open, or the customer told an objective reason
        SETTLED = "SETTLED", "Đã trả đủ"
        CUT_OFF = "CUT_OFF", "Đã ngừng cấp"
        CANCELLED = "CANCELLED", "Hủy"

    connection = models.ForeignKey(Connection, models.PROTECT, related_name="debt_cases")
    customer = models.ForeignKey(Customer, models.PROTECT, related_name="debt_cases")
    state = models.CharField(max_length=9, choices=State, default=State.OPEN)
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)
    objective_reason = models.CharField("lý do khách quan", max_length=300, blank=True)
    objective_reason_date = models.DateField(null=True, blank=True)
    work_order = models.ForeignKey(WorkOrder, models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["connection", "customer"],
                condition=Q(state__in=["OPEN", "PAUSED"]),
                name="one_live_debt_case_a_holder",
            )
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.connection_id}"


class DebtStep(models.Model):
    """A step taken in a case, with the amount owed then and how it was told."""

    class Kind(models.TextChoices):
        REMINDER = "REMINDER", "Nhắc nợ"
        NOTICE = "NOTICE", "Thông báo bằng văn bản"  # the clock of the law starts here
        FINAL_NOTICE = "FINAL_NOTICE", "Thông báo ngừng cấp"
        CUT_OFF = "CUT_OFF", "Ngừng cấp nước"
        PAUSE = "PAUSE", "Tạm dừng"
        RESUME = "RESUME", "Tiếp tục"
        SETTLED = "SETTLED", "Trả đủ"
        REOPEN = "REOPEN", "Mở nước lại"

    case = models.ForeignKey(DebtCase, models.CASCADE, related_name="steps")
    kind = models.CharField(max_length=12, choices=Kind)
    date = models.DateField()
    at = models.DateTimeField()
    by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    owed_vnd = models.BigIntegerField()
    how = models.CharField(max_length=200, blank=True)
    proof = models.ForeignKey(StoredFile, models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.case_id} {self.kind} {self.date}"


class CollectionSheet(models.Model):
    """The bills that a collector takes along on a route, and what came back."""

    route = models.ForeignKey(Route, models.PROTECT, related_name="collection_sheets")
    collector = models.ForeignKey(Person, models.PROTECT, related_name="collection_sheets")
    till = models.ForeignKey(TillSession, models.PROTECT, null=True, blank=True, related_name="sheets")
    made_at = models.DateTimeField()
    made_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    bills = models.ManyToManyField(Bill, related_name="collection_sheets")
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"#{self.pk} {self.route_id}"
