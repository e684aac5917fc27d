"""Who uses water, what they consented to, and who looked at their data."""

from django.db import models
from django.db.models import Q

from machnuoc.core.models import Person
from machnuoc.places.models import Organisation


class Customer(models.Model):
    """A household, agency or business that has a contract. Hộ, khách hàng and đấu nối are three different things."""

    class Kind(models.TextChoices):
        HOUSEHOLD = "HOUSEHOLD", "Hộ gia đình"
        AGENCY = "AGENCY", "Cơ quan, đơn vị sự nghiệp"
        BUSINESS = "BUSINESS", "Doanh nghiệp, cơ sở kinh doanh"

    class Priority(models.TextChoices):
        NONE = "", "Không"
        HEALTH = "HEALTH", "Trạm y tế"
        HOSPITAL = "HOSPITAL", "Bệnh viện"
        SCHOOL = "SCHOOL", "Trường học"
        HIGH_RISE = "HIGH_RISE", "Nhà cao tầng"

    operator = models.ForeignKey(Organisation, models.PROTECT, related_name="customers", verbose_name="đơn vị cấp nước")
    code = models.CharField("mã khách hàng", max_length=24)
    kind = models.CharField("loại", max_length=10, choices=Kind, default=Kind.HOUSEHOLD)
    priority = models.CharField("khách hàng ưu tiên", max_length=10, choices=Priority, blank=True)
    # Personal data: never in the audit trail, masked by role, emptied by erasure.
    name = models.CharField("họ tên, tên đơn vị", max_length=160)
    phone = models.CharField("điện thoại", max_length=20, blank=True)  # digits only, national form: 0905123456
    email = models.EmailField("thư điện tử", blank=True)
    identity_number = models.CharField("số định danh cá nhân", max_length=20, blank=True)
    tax_code = models.CharField("mã số thuế", max_length=14, blank=True)
    address = models.CharField("địa chỉ liên hệ", max_length=300, blank=True)
    erased_at = models.DateTimeField("xóa dữ liệu cá nhân lúc", null=True, blank=True)
    is_simulated = models.BooleanField("mô phỏng", default=False)
    created_at = models.DateTimeField()
    version = models.PositiveIntegerField(default=1)

    class Meta:
        verbose_name = "khách hàng"
        constraints = [models.UniqueConstraint(fields=["operator", "code"], name="customer_code_once_an_operator")]
        indexes = [
            models.Index(fields=["phone"], condition=~Q(phone=""), name="customer_by_phone"),
            models.Index(fields=["email"], condition=~Q(email=""), name="customer_by_email"),
            models.Index(fields=["priority"], name="customer_by_priority"),
        ]

    def __str__(self) -> str:
        return self.code


class Consent(models.Model):
    """What a customer allowed their data to be used for, how it was said, and when it was taken back."""

    class Purpose(models.TextChoices):
        CONTRACT = "CONTRACT", "Thực hiện hợp đồng cấp nước"
        NOTICES = "NOTICES", "Nhắn tin về nước, hóa đơn, ngừng cấp nước"
        SURVEY = "SURVEY", "Khảo sát chất lượng dịch vụ"
        SHARING = "SHARING", "Chia sẻ với cơ quan quản lý nhà nước"

    customer = models.ForeignKey(Customer, models.CASCADE, related_name="consents")
    purpose = models.CharField("mục đích", max_length=10, choices=Purpose)
    given_at = models.DateTimeField("đồng ý lúc")
    withdrawn_at = models.DateTimeField("rút lại lúc", null=True, blank=True)
    how = models.CharField("hình thức", max_length=120)  # «hợp đồng số …», «trang khách hàng»
    recorded_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")

    class Meta:
        ordering = ["-given_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["customer", "purpose"], condition=Q(withdrawn_at__isnull=True), name="one_live_consent"
            )
        ]

    def __str__(self) -> str:
        return f"{self.customer_id} {self.purpose}"


class DataAccess(models.Model):
    """One look at unmasked personal data: who, whose, what for. The audit trail holds ids only; so does this."""

    class What(models.TextChoices):
        PAGE = "PAGE", "Xem hồ sơ"
        LIST = "LIST", "Xem danh sách"
        EXPORT = "EXPORT", "Xuất tệp"
        FIELD = "FIELD", "Tải tuyến ghi chỉ số"
        ERASURE = "ERASURE", "Xóa dữ liệu"

    at = models.DateTimeField(db_index=True)
    person = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    customer = models.ForeignKey(Customer, models.CASCADE, null=True, related_name="accesses")  # empty: of a list
    what = models.CharField(max_length=8, choices=What)
    count = models.PositiveIntegerField(default=1)
    purpose = models.CharField("mục đích", max_length=120, blank=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.person_id} {self.what} {self.customer_id}"
