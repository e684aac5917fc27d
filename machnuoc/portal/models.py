"""Customers who sign in by a code: no password, no account of the staff."""

from django.db import models
from django.db.models import Q

from machnuoc.core.models import Person
from machnuoc.customers.models import Connection, Customer


class PortalAccount(models.Model):
    """One phone number or e-mail that proved itself by a code."""

    address = models.CharField("điện thoại hoặc thư điện tử", max_length=254, unique=True)  # 0905123456 or a@b.vn
    created_at = models.DateTimeField()
    last_seen_at = models.DateTimeField(null=True, blank=True)
    sessions_from_at = models.DateTimeField(null=True, blank=True)  # sessions begun before are over
    large_type = models.BooleanField("chữ lớn", default=False)
    is_active = models.BooleanField(default=True)
    is_demo = models.BooleanField(default=False)

    def __str__(self) -> str:
        return f"#{self.pk}"


class PortalLink(models.Model):
    """A connection that an account may see: its contract names this phone or e-mail, or the staff linked it."""

    account = models.ForeignKey(PortalAccount, models.CASCADE, related_name="links")
    connection = models.ForeignKey(Connection, models.CASCADE, related_name="portal_links")
    customer = models.ForeignKey(Customer, models.CASCADE, related_name="+")  # of whom: a transfer ends what it opens
    nickname = models.CharField("gọi là", max_length=60, blank=True)
    linked_at = models.DateTimeField()
    linked_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")  # empty: by the address itself
    reason = models.CharField("lý do", max_length=300, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")  # the address does not renew it
    end_reason = models.CharField("lý do gỡ", max_length=300, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["account", "connection"], condition=Q(ended_at__isnull=True), name="linked_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.account_id} {self.connection_id}"


class SignInCode(models.Model):
    """A code of six digits, sent to an address: good for ten minutes and five tries. Kept hashed."""

    address = models.CharField(max_length=254, db_index=True)
    code_hash = models.CharField(max_length=128)
    made_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    tries = models.PositiveSmallIntegerField(default=0)
    used_at = models.DateTimeField(null=True, blank=True)
    from_ip_hash = models.CharField(max_length=64, blank=True)  # to count, not to know

    class Meta:
        indexes = [models.Index(fields=["address", "made_at"], name="code_by_address")]

    def __str__(self) -> str:
        return f"#{self.pk}"
