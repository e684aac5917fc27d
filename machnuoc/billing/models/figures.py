"""What bills, payments and the ledger come to, by work and month: made anew from them whenever a month changes."""

from django.db import models

from machnuoc.works.models import Work


class WorkMonth(models.Model):
    """Of one work and billing month. Bills of the month as they stand, corrections included; money in đồng.

    receivable: what account 131 of the work's connections gained on days of the month, so that its sum up to a month is
    the debt at the end of it. Simulated bills have rows of their own.
    """

    work = models.ForeignKey(Work, models.CASCADE, related_name="+")
    period_start_date = models.DateField()
    is_simulated = models.BooleanField(default=False)
    bills = models.PositiveIntegerField(default=0)
    volume_l = models.BigIntegerField(default=0)
    household_l = models.BigIntegerField(default=0)
    billed_vnd = models.BigIntegerField(default=0)
    collected_vnd = models.BigIntegerField(default=0)
    receivable_vnd = models.BigIntegerField(default=0)
    computed_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["work", "period_start_date", "is_simulated"], name="work_month_once")
        ]
        indexes = [models.Index(fields=["period_start_date", "work"], name="work_month_by_period")]

    def __str__(self) -> str:
        return f"{self.work_id} {self.period_start_date:%Y-%m}"


class ReadUpTo(models.Model):
    """Up to which id the rows of a table have been looked at for months that changed.

    sure_id: what later looks begin after. It follows seen_id an hour later, since on PostgreSQL a lower id may become
    visible after a higher one.
    """

    table = models.CharField(max_length=40, unique=True)
    seen_id = models.PositiveBigIntegerField(default=0)
    seen_at = models.DateTimeField()
    sure_id = models.PositiveBigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.table} {self.sure_id}"
