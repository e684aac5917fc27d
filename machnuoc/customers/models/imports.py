"""Sheets of connections and of poverty lists that somebody uploaded, and what became of their rows."""

from django.db import models

from machnuoc.core.models import Job, Person, StoredFile


class ConnectionImport(models.Model):
    """One uploaded sheet. received = stored + duplicate + rejected, before it is taken as after."""

    class Kind(models.TextChoices):
        CONNECTIONS = "CONNECTIONS", "Đấu nối"
        POVERTY = "POVERTY", "Hộ nghèo, cận nghèo theo năm"

    kind = models.CharField("loại", max_length=12, choices=Kind)
    file = models.ForeignKey(StoredFile, models.PROTECT, related_name="+")
    file_name = models.CharField("tệp", max_length=200)
    uploaded_by = models.ForeignKey(Person, models.PROTECT, related_name="+")
    uploaded_at = models.DateTimeField("tải lên lúc")
    job = models.ForeignKey(Job, models.SET_NULL, null=True, blank=True, related_name="+")
    received = models.PositiveIntegerField(default=0)  # rows
    stored = models.PositiveIntegerField(default=0)  # before it is taken: good rows
    duplicate = models.PositiveIntegerField(default=0)  # said already: left as it is
    rejected = models.PositiveIntegerField(default=0)
    found = models.JSONField(default=dict)  # what its page shows: problems by cell, first good rows; no personal data
    applied_at = models.DateTimeField("nhập lúc", null=True, blank=True)
    undone_at = models.DateTimeField("hoàn tác lúc", null=True, blank=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.file_name
