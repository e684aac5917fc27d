"""Pages of duty: who is on now, one roster by the week, and the acts of those who manage it."""

from datetime import timedelta
from typing import Any

from django import forms as django_forms
from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from machnuoc.core import permissions, roster
from machnuoc.core import roster_forms as forms
from machnuoc.core.models import Person, Roster


def _person(request: HttpRequest) -> Person:
    return request.user  # type: ignore[return-value]


def _get(request: HttpRequest, pk: int) -> Roster:
    try:
        return roster.get_roster(pk, _person(request))
    except Roster.DoesNotExist:
        raise Http404("Không có lịch trực này, hoặc bạn không có quyền xem.") from None


@require_safe
def rosters(request: HttpRequest) -> HttpResponse:
    """List the rosters in scope with who is on now and what is not covered in the week to come."""
    now = timezone.now()
    rows = []
    for one in roster.list_loaded(_person(request))[:200]:
        gaps = roster.list_uncovered(one, now, now + timedelta(days=7))
        on = [span for span in roster.list_spans(one, now, now + timedelta(seconds=1)) if span.start_at <= now]
        rows.append({"roster": one, "on": on, "gaps": gaps})
    context = {"rows": rows, "may_add": permissions.may(request.user, "manage"), "now": now}
    return render(request, "core/roster/list.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def add_roster(request: HttpRequest) -> HttpResponse:
    person = permissions.require(request.user, "manage")
    form = forms.NewRoster(request.POST or None, manager=person)
    if form.is_valid():
        subject = form.cleaned_data["subject"]
        try:
            made = roster.put_roster(subject_id=subject.subject_id, name=form.cleaned_data["name"], by=person)
        except roster.RosterError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, f"Đã lập lịch trực «{made.name}». Thêm các ca trực.")
            return redirect("core:roster", made.pk)
    return render(request, "core/roster/add.html", {"form": form})


@require_safe
def show_roster(request: HttpRequest, pk: int) -> HttpResponse:
    return _render(request, _get(request, pk))


def _render(request: HttpRequest, one: Roster, bound: django_forms.Form | None = None) -> HttpResponse:
    person = _person(request)
    now = timezone.now()
    today = timezone.localdate()
    monday = forms.read_week(request.GET.get("tuan", ""), today)
    may_manage = permissions.may_on(person, "manage", one.subject_id)
    context: dict[str, Any] = {
        "roster": one,
        "week": roster.get_week(one, monday, today),
        "monday": monday,
        "sunday": monday + timedelta(days=6),
        "before": monday - timedelta(days=7),
        "after": monday + timedelta(days=7),
        "on": roster.who_is_on(one, now),
        "levels": one.levels.prefetch_related("people"),
        "gaps": roster.list_uncovered(one, now, now + timedelta(days=7)),
        "may_manage": may_manage,
        "now": now,
    }
    if may_manage:
        context |= {
            "shifts": one.shifts.select_related("person"),
            "overrides": one.overrides.filter(until__gt=now).select_related("person", "instead_of"),
            "forms": _forms(one, person, bound),
        }
    return render(request, "core/roster/roster.html", context, status=422 if bound is not None else 200)


_TITLES = {
    "shift": "Thêm ca trực hằng tuần",
    "override": "Trực thay",
    "level": "Cấp được gọi tiếp",
    "settings": "Tên, webhook",
}


def _new_form(act: str, one: Roster, person: Person, data: Any = None) -> django_forms.Form:
    prefix = f"{act}"
    if act == "settings":
        return forms.Settings(
            data, initial={"act": act, "name": one.name, "webhook_url": one.webhook_url}, auto_id=f"{prefix}_%s"
        )
    kinds = {"shift": forms.AddShift, "override": forms.AddOverride, "level": forms.SetLevel}
    return kinds[act](data, manager=person, auto_id=f"{prefix}_%s")


def _forms(one: Roster, person: Person, bound: django_forms.Form | None) -> list[dict[str, Any]]:
    shown = []
    for act, title in _TITLES.items():
        is_bound = bound is not None and bound.data.get("act") == act
        shown.append({"title": title, "form": bound if is_bound else _new_form(act, one, person), "is_open": is_bound})
    return shown


@require_POST
def change_roster(request: HttpRequest, pk: int) -> HttpResponse:
    """Do one act on a roster: `act` names it."""
    one = _get(request, pk)
    person = permissions.require_on(_person(request), "manage", one.subject_id)
    act = request.POST.get("act", "")
    try:
        if act in {"remove_shift", "remove_override"}:
            said = _remove(one, act, request.POST.get("row", ""), person)
        elif act in _TITLES:
            form = _new_form(act, one, person, request.POST)
            if not form.is_valid():
                return _render(request, one, form)
            try:
                said = _do(one, act, form.cleaned_data, person)
            except roster.RosterError as reason:
                form.add_error(None, str(reason))
                return _render(request, one, form)
        else:
            raise Http404("Không có việc này.")
    except roster.RosterError as reason:
        messages.error(request, str(reason))
    else:
        messages.success(request, said)
    return redirect("core:roster", one.pk)


@transaction.atomic
def _remove(one: Roster, act: str, row: str, person: Person) -> str:
    key = int(row) if row.isascii() and row.isdigit() and len(row) <= 18 else 0
    if act == "remove_shift":
        roster.remove_shift(get_object_or_404(one.shifts, pk=key), by=person)
        return "Đã bỏ ca trực."
    roster.remove_override(get_object_or_404(one.overrides, pk=key), by=person)
    return "Đã bỏ trực thay."


def _do(one: Roster, act: str, data: dict[str, Any], person: Person) -> str:
    fields = {key: value for key, value in data.items() if key != "act"}
    if act == "shift":
        made = roster.add_shifts(one, by=person, **fields)
        return f"Đã thêm {len(made)} ca trực của {fields['person'].full_name}."
    if act == "override":
        roster.add_override(one, by=person, **fields)
        return f"{fields['person'].full_name} trực thay."
    if act == "level":
        level = roster.put_level(one, by=person, **fields)
        return "Đã bỏ cấp này." if level is None else f"Đã đặt người được gọi ở cấp {level.level}."
    roster.put_roster(subject_id=one.subject_id, by=person, **fields)
    return "Đã lưu."
