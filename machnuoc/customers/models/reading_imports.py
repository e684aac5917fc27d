"""Sheets of readings that somebody uploaded, and what became of their rows."""

from django.db import models
from django.db.models import F, Q

from machnuoc.core.models import Job, Person, StoredFile


class ReadingImport(models.Model):
    """One uploaded sheet. received = stored + suspect + conflict + duplicate + rejected, also before it is taken."""

    class Mode(models.TextChoices):
        ALL = "ALL", "Tất cả hoặc không dòng nào"
        GOOD = "GOOD", "Chỉ các dòng hợp lệ"

    file = models.ForeignKey(StoredFile, models.PROTECT, related_name="+")
    file_name = models.CharField("tệp", max_length=200)
    uploaded_by = models.ForeignKey(Person, models.PROTECT, related_name="+")
    uploaded_at = models.DateTimeField("tải lên lúc")
    period_start_date = models.DateField("kỳ", null=True, blank=True)  # of all rows; empty: by the day of each
    job = models.ForeignKey(Job, models.SET_NULL, null=True, blank=True, related_name="+")
    received = models.PositiveIntegerField(default=0)  # rows
    stored = models.PositiveIntegerField(default=0)
    suspect = models.PositiveIntegerField(default=0)  # stored too, and wait for a person
    conflict = models.PositiveIntegerField(default=0)
    duplicate = models.PositiveIntegerField(default=0)
    rejected = models.PositiveIntegerField(default=0)
    found = models.JSONField(default=dict)  # what its page shows: hints, problems by cell; no personal data
    mode = models.CharField(max_length=4, choices=Mode, blank=True)
    previewed_at = models.DateTimeField(null=True, blank=True)
    applied_at = models.DateTimeField("nạp lúc", null=True, blank=True)
    undone_at = models.DateTimeField("hoàn tác lúc", null=True, blank=True)
    undone_by = models.ForeignKey(Person, models.PROTECT, null=True, related_name="+")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(received=F("stored") + F("suspect") + F("conflict") + F("duplicate") + F("rejected")),
                name="reading_import_rows_add_up",
            ),
            models.CheckConstraint(
                condition=Q(undone_at__isnull=True) | Q(applied_at__isnull=False), name="only_taken_readings_are_undone"
            ),
        ]

    def __str__(self) -> str:
        return self.file_name
