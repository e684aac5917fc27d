"""What a payment gateway hands over: which payments it was for, what came to the bank and what the gateway kept."""

from django.db import models
from django.db.models import F, Q

from machnuoc.billing.models.payments import BankLine, GatewayOrder, Payment
from machnuoc.core.models import Person
from machnuoc.places.models import Organisation


class GatewaySettlement(models.Model):
    """One hand-over of a gateway. gross = net + fee, đồng: money in transit that is at the bank, or was its price."""

    operator = models.ForeignKey(Organisation, models.PROTECT, related_name="gateway_settlements")
    gateway = models.CharField("cổng", max_length=8, choices=GatewayOrder.Gateway)
    paid_date = models.DateField("ngày chuyển")  # the day the money came to the bank
    document = models.CharField("số bảng kê", max_length=80)  # of the gateway's statement
    gross_vnd = models.BigIntegerField("tổng giao dịch")
    fee_vnd = models.BigIntegerField("phí cổng")
    net_vnd = models.BigIntegerField("thực nhận")
    bank_line = models.ForeignKey(BankLine, models.PROTECT, null=True, blank=True, related_name="settlements")
    at = models.DateTimeField("ghi lúc")
    by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")
    is_reversed = models.BooleanField("đã đảo", default=False)  # and never again not; why: its reversal
    is_simulated = models.BooleanField("mô phỏng", default=False)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["operator", "gateway", "document"],
                condition=Q(is_reversed=False),
                name="settlement_document_once",
            ),
            models.UniqueConstraint(
                fields=["bank_line"], condition=Q(is_reversed=False), name="transfer_is_one_settlement"
            ),
            models.CheckConstraint(
                condition=Q(gross_vnd=F("net_vnd") + F("fee_vnd"), net_vnd__gt=0, fee_vnd__gte=0),
                name="settlement_is_its_parts",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.gateway} {self.document}"


class SettlementItem(models.Model):
    """A payment that a hand-over holds; below zero: one taken back after it had been handed over, which it deducts."""

    settlement = models.ForeignKey(GatewaySettlement, models.PROTECT, related_name="items")
    payment = models.ForeignKey(Payment, models.PROTECT, related_name="settlement_items")
    amount_vnd = models.BigIntegerField()
    is_reversed = models.BooleanField(default=False)  # as its settlement

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["payment"],
                condition=Q(amount_vnd__gt=0, is_reversed=False),
                name="payment_is_handed_over_once",
            ),
            models.UniqueConstraint(
                fields=["payment"], condition=Q(amount_vnd__lt=0, is_reversed=False), name="payment_is_deducted_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.settlement_id}: {self.payment_id} {self.amount_vnd}"


class SettlementReversal(models.Model):
    """A hand-over that was recorded by mistake and taken back, whole, with why. Its postings were undone by others."""

    settlement = models.OneToOneField(GatewaySettlement, models.PROTECT, related_name="reversal")
    reason = models.CharField("lý do", max_length=300)
    at = models.DateTimeField("đảo lúc")
    by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")

    def __str__(self) -> str:
        return f"{self.settlement_id} taken back"
