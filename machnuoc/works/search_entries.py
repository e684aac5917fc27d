"""What the search box knows of works."""

from django.urls import reverse

from machnuoc.core import search
from machnuoc.places.models import PrintedName
from machnuoc.works.models import ServiceArea, Work

WORK = "work"


def put_work(work: Work) -> None:
    """Index the work under its name, other printed names, places served and operator."""
    subject = work.subject
    names = PrintedName.objects.filter(subject=subject).values_list("text", flat=True)
    places = ServiceArea.objects.filter(work=work, valid_to__isnull=True).values_list("place__name", flat=True)
    operator = work.operator.subject.name if work.operator else ""
    search.put(
        WORK,
        subject.pk,
        title=subject.name,
        subtitle=" · ".join(filter(None, [work.get_kind_display(), operator])),
        url=reverse("works:detail", args=[subject.key]),
        text=" ".join([subject.name, *names, *places, operator]),
        subject_id=subject.pk,
        weight=26,
    )
