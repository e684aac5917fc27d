"""What a request tells whom: people of the unit inside the program, its sender by e-mail and message.

A sender is written to only after a person has acted on the request: a stranger's form alone sends nothing to the phone
or address that it names.
"""

from collections.abc import Iterable
from datetime import datetime

from django.urls import reverse

from machnuoc.core import notices, sending
from machnuoc.core.models import Person, Sending
from machnuoc.customers import clock
from machnuoc.customers.models import Request, RequestEvent

_NOTICE = "request"


def page_of(request: Request) -> str:
    return reverse("customers:request_detail", args=[request.code])


def follow_page_of(request: Request) -> str:
    return reverse("customers:public_request", args=[request.token])


def tell_people(request: Request, people: Iterable[Person], text: str) -> None:
    notices.notify(people, kind=_NOTICE, text=f"{request.code}: {text}", url=page_of(request))


def warn_people(request: Request, people: Iterable[Person], *, pct: int, now: datetime) -> None:
    """Tell people that so much of the clock is used, inside the program and, where configured, by e-mail."""
    if request.due_at is None:
        return
    left = clock.left_text(request.due_at, now)
    text = (
        f"{request.category.name}: đã dùng {pct} % thời hạn, {left}"
        if pct < 100
        else f"{request.category.name}: {left}"
    )
    receivers = list({person.pk: person for person in people}.values())
    tell_people(request, receivers, text)
    if not sending.is_configured(Sending.Channel.EMAIL):
        return
    for person in receivers:
        if person.email:
            sending.queue(
                key=f"request:{request.pk}:{pct}:{request.clock_from_at:%y%m%d%H%M%S}:{person.pk}",
                channel=Sending.Channel.EMAIL, title=f"Phản ánh {request.code}", text=text, now=now, person=person,
                url=page_of(request),
            )  # fmt: skip


def tell_sender(request: Request, event: RequestEvent, *, now: datetime) -> None:
    """Tell the sender of a request, and those of requests merged into it, what an event of it says."""
    for one in [request, *request.merged.all()]:
        if one.is_simulated:
            continue  # there is nobody
        for channel, address in (
            (Sending.Channel.EMAIL, one.email), (Sending.Channel.SMS, sending.phone_84(one.phone)),
        ):  # fmt: skip
            if address:
                sending.queue(
                    key=f"request:{one.pk}:{event.pk}:{channel}", channel=channel, title=f"Phản ánh {one.code}",
                    text=event.text, now=now, address=address, url=follow_page_of(one),
                )  # fmt: skip


def forget_addresses(request: Request) -> None:
    """Take the sender's address out of the messages that were sent about a request."""
    Sending.objects.filter(key__startswith=f"request:{request.pk}:", person__isnull=True).update(
        address="(đã xóa)", text="(đã xóa)"
    )
