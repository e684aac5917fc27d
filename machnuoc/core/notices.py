"""In-app messages. Written in the transaction of the act they tell of."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from machnuoc.core.models import Notice, Person

KEEP_READ_DAYS = 90
KEEP_UNREAD_DAYS = 365


def notify(persons: Iterable[Person], *, kind: str, text: str, url: str = "") -> list[Notice]:
    """Leave each person (once, and only if active) a message; text in Vietnamese, url within the site."""
    now = timezone.now()
    receivers = {person.pk: person for person in persons if person.is_active}
    shown = text if len(text) <= 400 else text[:399] + "…"
    return Notice.objects.bulk_create(
        [Notice(person=person, kind=kind, text=shown, url=url, created_at=now) for person in receivers.values()],
        batch_size=500,
    )


def count_unread(person: Person) -> int:
    return Notice.objects.filter(person=person, read_at__isnull=True).count()


def mark_read(person: Person, now: datetime, *, notice_id: int | None = None) -> int:
    """Mark one of the person's messages as read, or all of them, and return how many changed."""
    unread = Notice.objects.filter(person=person, read_at__isnull=True)
    if notice_id is not None:
        unread = unread.filter(pk=notice_id)
    return unread.update(read_at=now)


def prune(now: datetime) -> int:
    """Delete messages read more than KEEP_READ_DAYS ago or older than KEEP_UNREAD_DAYS, and return how many."""
    return Notice.objects.filter(
        Q(read_at__lt=now - timedelta(days=KEEP_READ_DAYS)) | Q(created_at__lt=now - timedelta(days=KEEP_UNREAD_DAYS))
    ).delete()[0]
