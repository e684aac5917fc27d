"""Prices as dated data with their decision, fees, frames, and how an operator bills."""

from django.db import models
from django.db.models import F, Q

from machnuoc.customers.models import Group
from machnuoc.places.models import Organisation, Subject


class Area(models.TextChoices):
    """Of the frame of prices (TT 44/2021/TT-BTC)."""

    URBAN_1 = "URBAN_1", "Đô thị đặc biệt, loại 1"
    URBAN_2_5 = "URBAN_2_5", "Đô thị loại 2, 3, 4, 5"
    RURAL = "RURAL", "Khu vực nông thôn"


class PriceFrame(models.Model):
    """The least and the most that a province may decide, đồng a m³, VAT included."""

    area = models.CharField(max_length=10, choices=Area)
    low_vnd = models.PositiveIntegerField()
    high_vnd = models.PositiveIntegerField()
    valid_from = models.DateField()
    valid_to = models.DateField(null=True, blank=True)
    document = models.CharField(max_length=300)
    is_verified = models.BooleanField(default=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["area", "valid_from"], name="price_frame_once")]

    def __str__(self) -> str:
        return f"{self.area} {self.low_vnd}–{self.high_vnd}"


class Tariff(models.Model):
    """The prices of a decision, for the works under a subject (an operator, a work, a territory), from a day on."""

    class State(models.TextChoices):
        DRAFT = "DRAFT", "Đang soạn"
        IN_FORCE = "IN_FORCE", "Áp dụng"
        WITHDRAWN = "WITHDRAWN", "Hủy"

    key = models.CharField(max_length=60, unique=True)
    name = models.CharField("tên", max_length=160)
    scope = models.ForeignKey(Subject, models.PROTECT, related_name="tariffs", verbose_name="áp dụng cho")
    area = models.CharField("khu vực", max_length=10, choices=Area)
    decision = models.CharField("quyết định", max_length=200)
    decision_date = models.DateField("ngày quyết định", null=True, blank=True)
    is_verified = models.BooleanField("đã đối chiếu văn bản", default=False)
    is_simulated = models.BooleanField("mô phỏng", default=False)
    valid_from = models.DateField("từ ngày")
    valid_to = models.DateField("đến trước ngày", null=True, blank=True)
    vat_basis_points = models.PositiveSmallIntegerField("thuế GTGT (‱)", default=500)  # 500 = 5 %
    includes_vat = models.BooleanField("giá đã gồm thuế GTGT", default=False)
    # Of a shared meter only, where the decision has one: NĐ 124/2011/NĐ-CP struck the minimum use from the law.
    minimum_l_per_household = models.PositiveIntegerField("mức tối thiểu (lít/hộ/tháng)", null=True, blank=True)
    state = models.CharField("tình trạng", max_length=10, choices=State, default=State.DRAFT)
    note = models.CharField("ghi chú", max_length=300, blank=True)
    version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["scope_id", "-valid_from"]
        constraints = [
            models.CheckConstraint(
                condition=Q(valid_to__isnull=True) | Q(valid_from__lt=F("valid_to")), name="tariff_runs_forward"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class TariffPrice(models.Model):
    """One price: of a group, from a volume to another. Block edges in litres a month; the upper edge lies in the block.

    BLOCK_PER_PERSON: edges a person; BLOCK_PER_CONNECTION: a household of the connection; FLAT: 0 to nothing.
    """

    class Structure(models.TextChoices):
        BLOCK_PER_CONNECTION = "BLOCK_PER_CONNECTION", "Bậc theo hộ (đồng hồ)"
        BLOCK_PER_PERSON = "BLOCK_PER_PERSON", "Bậc theo nhân khẩu"
        FLAT = "FLAT", "Một giá"

    tariff = models.ForeignKey(Tariff, models.CASCADE, related_name="prices")
    group = models.CharField("đối tượng", max_length=10, choices=Group)
    structure = models.CharField("cách tính", max_length=20, choices=Structure)
    from_l = models.PositiveIntegerField("từ (lít)", default=0)
    to_l = models.PositiveIntegerField("đến (lít)", null=True, blank=True)
    price_vnd = models.PositiveIntegerField("đơn giá (đồng/m³)")

    class Meta:
        ordering = ["tariff_id", "group", "from_l"]
        constraints = [
            models.UniqueConstraint(fields=["tariff", "group", "from_l"], name="one_price_a_block"),
            models.CheckConstraint(condition=Q(to_l__isnull=True) | Q(from_l__lt=F("to_l")), name="block_has_width"),
        ]

    def __str__(self) -> str:
        return f"{self.tariff_id} {self.group} {self.from_l} {self.price_vnd}"


class FeeRule(models.Model):
    """The environment fee on waste water: on or off for a subject and group, from a day on. The closest row wins."""

    scope = models.ForeignKey(Subject, models.PROTECT, related_name="fee_rules", verbose_name="áp dụng cho")
    group = models.CharField("đối tượng", max_length=10, choices=Group, blank=True)  # empty: all
    basis_points = models.PositiveSmallIntegerField("mức phí (‱ giá chưa thuế)", default=1000)  # 0: not collected
    valid_from = models.DateField("từ ngày")
    valid_to = models.DateField("đến trước ngày", null=True, blank=True)
    document = models.CharField("căn cứ", max_length=300)
    is_verified = models.BooleanField(default=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["scope", "group", "valid_from"], name="fee_rule_once")]

    def __str__(self) -> str:
        return f"{self.scope_id} {self.group} {self.basis_points}"


class BillingProfile(models.Model):
    """How an operator bills: who it is by law, where money goes, when it is due."""

    operator = models.OneToOneField(Organisation, models.CASCADE, primary_key=True, related_name="billing_profile")
    legal_name = models.CharField("tên pháp nhân", max_length=200)
    tax_code = models.CharField("mã số thuế", max_length=14)
    address = models.CharField("địa chỉ", max_length=300)
    phone = models.CharField("đường dây nóng", max_length=40, blank=True)
    bank_bin = models.CharField("mã ngân hàng (BIN)", max_length=6, blank=True)
    bank_account = models.CharField("số tài khoản", max_length=19, blank=True)
    bank_account_name = models.CharField("tên tài khoản (không dấu)", max_length=25, blank=True)
    due_days = models.PositiveSmallIntegerField("hạn thanh toán (ngày)", default=15)
    is_simulated = models.BooleanField("mô phỏng", default=False)
    version = models.PositiveIntegerField(default=1)

    def __str__(self) -> str:
        return self.legal_name


class InvoiceSeries(models.Model):
    """Numbers without gaps: of one operator, form and series, taken in the transaction that uses them."""

    operator = models.ForeignKey(Organisation, models.PROTECT, related_name="invoice_series")
    form = models.CharField("mẫu số", max_length=1, default="1")
    code = models.CharField("ký hiệu", max_length=6)  # K26TAA
    next_number = models.PositiveIntegerField(default=1)
    is_active = models.BooleanField(default=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["operator", "form", "code"], name="invoice_series_once"),
            models.UniqueConstraint(
                fields=["operator"], condition=Q(is_active=True), name="one_active_series_an_operator"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.form}{self.code}"
