"""A form that is sent twice acts once: a double press, a page reloaded after sending, a line that broke off.

`{% form_fields %}` puts a number of its own into each form. Of two posts with the same number and the same content the
first acts, and the other is led to where the first one led. What was refused (422) may be sent again.
"""

import hashlib
import time
from collections.abc import Callable
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils import timezone

from machnuoc.core.models import IdempotentWrite

FIELD = "_once"
_KEY = "form:"
_FORMS = {"application/x-www-form-urlencoded", "multipart/form-data"}
_UNSAID = {FIELD, "csrfmiddlewaretoken"}
_PENDING = 0  # the status of a row whose post is still at work
_LOOKS, _EVERY_S = 50, 0.1  # how long the second post waits for the first
_LOST_AFTER = timedelta(minutes=2)  # a post that has not answered by then died with its process
_KEPT = timedelta(days=1)


def act_once(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    def answered(request: HttpRequest) -> HttpResponse:
        wanted = _digest(request)
        if not wanted:
            return get_response(request)
        row = _begin(request, wanted)
        for _ in range(_LOOKS):
            if row is not None:
                break
            before = IdempotentWrite.objects.filter(person=request.user, key=_KEY + wanted).first()  # type: ignore[misc]
            if before is not None and before.status != _PENDING:
                return HttpResponseRedirect(before.body)
            if before is not None and timezone.now() - before.created_at > _LOST_AFTER:
                before.delete()
            time.sleep(_EVERY_S)
            row = _begin(request, wanted)
        if row is None:
            return render(request, "core/errors/still_at_work.html", status=409)
        response = get_response(request)
        if response.status_code == 302:
            IdempotentWrite.objects.filter(pk=row.pk).update(status=302, body=response["Location"])
        else:
            row.delete()
        return response

    return answered


def _digest(request: HttpRequest) -> str:
    """Return the hash of what is posted under which number; empty for what is no form of a signed-in person."""
    if request.method != "POST" or request.content_type not in _FORMS or not request.user.is_authenticated:
        return ""
    number = request.POST.get(FIELD, "")
    if not number or "HX-Request" in request.headers:  # parts of pages are asked for again and again on purpose
        return ""
    said = [(name, request.POST.getlist(name)) for name in sorted(request.POST) if name not in _UNSAID]
    brought = [(name, [(one.name, one.size) for one in request.FILES.getlist(name)]) for name in sorted(request.FILES)]
    return hashlib.sha256(repr((number, request.get_full_path(), said, brought)).encode()).hexdigest()


def _begin(request: HttpRequest, wanted: str) -> IdempotentWrite | None:
    """Write down that the post is at work; None if the same one is, or was."""
    now = timezone.now()
    mine = IdempotentWrite.objects.filter(person=request.user, key__startswith=_KEY)  # type: ignore[misc]
    mine.filter(created_at__lt=now - _KEPT).delete()
    try:
        with transaction.atomic():
            return IdempotentWrite.objects.create(
                person=request.user,
                key=_KEY + wanted,
                request_hash=wanted,
                status=_PENDING,
                body="",
                created_at=now,  # type: ignore[misc]
            )
    except IntegrityError:
        return None
