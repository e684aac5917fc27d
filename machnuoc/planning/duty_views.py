"""Pages of report duties: calendar, list, one duty with its rule editor, one instance, one unit, the calendar feed."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from machnuoc.core import export
from machnuoc.core.models import Person
from machnuoc.places import access
from machnuoc.places.models import Organisation
from machnuoc.planning import duty_forms as forms
from machnuoc.planning import duty_operations as operations
from machnuoc.planning import duty_queries as queries
from machnuoc.planning import duty_rules
from machnuoc.planning.duty_rules import STATE_LABELS, State
from machnuoc.planning.errors import PlanningError
from machnuoc.planning.models import Duty, DutyEvent, DutyInstance, FeedToken

_ROWS_A_PAGE = 50
_get_or_post = require_http_methods(["GET", "HEAD", "POST"])
_EVENT_ICONS = {
    DutyEvent.Kind.ASKED: ("bell", "info"),
    DutyEvent.Kind.SUBMITTED: ("send", "good"),
    DutyEvent.Kind.REOPENED: ("arrow-back-up", "warning"),
    DutyEvent.Kind.WAIVED: ("circle-x", ""),
}


def _person(request: HttpRequest) -> Person:
    return request.user  # type: ignore[return-value]


# --- calendar and list: one selection


@require_safe
def duty_calendar(request: HttpRequest) -> HttpResponseBase:
    today = timezone.localdate()
    filters = forms.read_filters(request.GET)
    month = filters.month or today.replace(day=1)
    chosen = queries.select(_person(request), replace(filters, month=None, q=""), today)
    if export.format_of(request):
        return _export(request, replace(filters, month=month, q=""), today)
    return _render_selection(request, "calendar", filters, {"month": queries.get_month(chosen, month, today)})


@require_safe
def duty_list(request: HttpRequest) -> HttpResponseBase:
    today = timezone.localdate()
    filters = forms.read_filters(request.GET)
    if export.format_of(request):
        return _export(request, filters, today)
    chosen = queries.select(_person(request), filters, today)
    page = Paginator(chosen, _ROWS_A_PAGE).get_page(request.GET.get("page"))
    rows = list(queries.dress(page.object_list, today))  # type: ignore[arg-type]
    counts = queries.count_states(chosen, today)
    states = [(state, STATE_LABELS[state], counts[state]) for state in State if counts[state]]
    context = {
        "page": page, "rows": rows, "states": states, "has_overdue": bool(counts[State.OVERDUE]),
    }  # fmt: skip
    return _render_selection(request, "list", filters, context)


def _render_selection(
    request: HttpRequest, view: str, filters: queries.Filters, context: dict[str, Any]
) -> HttpResponse:
    person = _person(request)
    kept = request.GET.copy()
    kept.pop("page", None)
    query = f"?{kept.urlencode()}" if kept else ""
    choices = queries.list_choices(person)
    return render(
        request,
        f"planning/duty/{view}.html",
        {
            "filters": filters,
            "form": forms.DutyFilter(request.GET, choices, view=view),
            "tabs": _tabs(query),
            "view": view,
            "has_any": bool(choices["duty"]),
            "may_add": access.may(person, "manage"),
            "all_url": reverse(f"planning:duty_{view}"),
            **context,
        },
    )


def _tabs(query: str = "") -> list[tuple[str, str, str]]:
    return [
        ("calendar", "Lịch", reverse("planning:duty_calendar") + query),
        ("list", "Danh sách", reverse("planning:duty_list") + query),
        ("duties", "Nghĩa vụ", reverse("planning:duty_index")),
        ("units", "Đúng hạn theo đơn vị", reverse("planning:duty_units")),
    ]


def _export(request: HttpRequest, filters: queries.Filters, today: date) -> HttpResponseBase:
    person = _person(request)
    chosen = queries.select(person, filters, today)

    def of(name: str) -> Callable[[Any], Any]:
        return lambda row: getattr(row, name)

    columns: Sequence[export.Column] = [
        ("Hạn cuối", of("last_day"), "date"),
        ("Báo cáo", of("duty_name"), "text"),
        ("Kỳ", lambda row: row.period.label_vi if row.period else None, "text"),
        ("Đơn vị báo cáo", of("organisation"), "text"),
        ("Gửi đến", of("recipient"), "text"),
        ("Kế hoạch", of("plan"), "text"),
        ("Tình trạng", of("state_label"), "text"),
        ("Diễn giải", lambda row: row.standing.text, "text"),
        ("Ngày gửi", of("submitted_on"), "date"),
        ("Văn bản, cách gửi", of("note"), "text"),
        ("Lý do (đột xuất)", of("reason"), "text"),
    ]
    return export.export(
        request,
        name="Lịch báo cáo",
        columns=columns,
        rows=queries.dress(chosen, today),
        filters=forms.describe_filters(filters, queries.list_choices(person)),
        source_note="Nghĩa vụ báo cáo theo kế hoạch; hạn cuối là ngày cuối cùng còn đúng hạn.",
    )


@require_safe
def duty_index(request: HttpRequest) -> HttpResponse:
    """The duties themselves, by plan, each in words."""
    person, today = _person(request), timezone.localdate()
    duties = list(
        queries.list_readable(person)
        .select_related("plan", "to_organisation__subject", "subject")
        .order_by("plan__key", "order", "pk")
    )
    asked = request.GET.get("plan", "")
    chosen = next((duty.plan for duty in duties if duty.plan is not None and str(duty.plan_id) == asked), None)
    if chosen is not None:
        duties = [duty for duty in duties if duty.plan_id == chosen.pk]
    counts = queries.count_units(duties)
    rows = [
        {
            "duty": duty,
            "words": queries.describe(duty),
            "units": counts.get(duty.pk, 0),
            "recipient": duty.to_organisation.subject.name if duty.to_organisation else duty.to_as_printed,
            "recipient_ended": queries.ended_on(duty.to_organisation, today),
        }
        for duty in duties
    ]
    context = {"rows": rows, "tabs": _tabs(), "view": "duties", "plan": chosen}
    return render(request, "planning/duty/index.html", {**context, "may_add": access.may(person, "manage")})


@require_safe
def duty_units(request: HttpRequest) -> HttpResponseBase:
    """How punctual each unit was."""
    person = _person(request)
    rows = queries.list_punctuality(person, timezone.localdate())
    if export.format_of(request):
        columns: Sequence[export.Column] = [
            ("Đơn vị", lambda row: row[2], "text"),
            ("Đến hạn", lambda row: row[3].past, "number"),
            ("Đúng hạn", lambda row: row[3].on_time, "number"),
            ("Gửi trễ", lambda row: row[3].late, "number"),
            ("Quá hạn chưa gửi", lambda row: row[3].missed, "number"),
            ("Đúng hạn (%)", lambda row: row[3].on_time_pct, "number"),
            ("Được miễn", lambda row: row[3].waived, "number"),
            ("Sắp tới", lambda row: row[3].open, "number"),
        ]
        return export.export(request, name="Đúng hạn theo đơn vị", columns=columns, rows=rows)
    page = Paginator(rows, _ROWS_A_PAGE).get_page(request.GET.get("page"))
    context = {"page": page, "tabs": _tabs(), "view": "units", "may_add": access.may(person, "manage")}
    return render(request, "planning/duty/units.html", context)


# --- one duty


def _get_duty(request: HttpRequest, key: str) -> Duty:
    found = queries.list_readable(_person(request)).select_related(
        "plan", "subject", "to_organisation__subject", "passage__document"
    )
    return get_object_or_404(found, key=key)


def _require_manager(request: HttpRequest, duty: Duty) -> None:
    if not access.may(_person(request), "manage", duty.subject):
        raise PermissionDenied("Chỉ người quản lý ở địa bàn của nghĩa vụ mới sửa được lịch báo cáo.")


@require_safe
def duty_detail(request: HttpRequest, key: str) -> HttpResponse:
    duty, today = _get_duty(request, key), timezone.localdate()
    person = _person(request)
    page = queries.get_duty_page(person, duty, today)
    may_manage = access.may(person, "manage", duty.subject)
    context = {
        "duty": duty,
        "page": page,
        "next_dates": _describe_dates(page.next_dates, today),
        "facts": _facts(duty, page),
        "may_manage": may_manage,
        "recipient_form": forms.RecipientForm(person=person, today=today, initial={"version": duty.version})
        if page.recipient_ended and may_manage
        else None,
    }
    return render(request, "planning/duty/duty.html", context)


def _describe_dates(dates: list[duty_rules.DueDate], today: date) -> list[dict[str, Any]]:
    return [
        {
            "words": duty_rules.date_words(due.last_day),
            "left": (due.last_day - today).days,
            "period": due.period.label_vi if due.period else "",
            "holiday": duty_rules.holiday_name(due.last_day),
            "moved": due.last_day != due.edge_date,
        }
        for due in dates
    ]


def _facts(duty: Duty, page: queries.DutyPage) -> list[tuple[str, Any]]:
    recipient = duty.to_organisation.subject.name if duty.to_organisation else duty.to_as_printed
    facts: list[tuple[str, Any]] = [
        ("Loại", duty.get_timing_display()),
        ("Thời hạn", page.words),
        ("Nguyên văn thời hạn", f"«{duty.edge_as_printed}»" if duty.edge_as_printed else ""),
        ("Gửi đến", recipient),
        ("Gửi đến như in", f"«{duty.to_as_printed}»" if duty.to_as_printed else ""),
        ("Đơn vị báo cáo như in", f"«{duty.from_as_printed}»" if duty.from_as_printed else ""),
        ("Khi trùng ngày nghỉ", duty.get_shift_display() if duty.rule else ""),
        ("Kỳ báo cáo", f"{duty.get_period_kind_display()}, {duty.get_covers_display()}" if duty.period_kind else ""),
        ("Mở trước hạn", f"{duty.opens_days_before} ngày" if duty.rule else ""),
        ("Hình thức gửi", duty.channel),
        ("Áp dụng từ", f"{duty.starts_on:%d/%m/%Y}" if duty.starts_on else ""),
        ("Áp dụng đến hết", f"{duty.ends_on:%d/%m/%Y}" if duty.ends_on else ""),
        ("Quy tắc (RFC 5545)", duty.rule),
        ("Địa bàn", duty.subject.name),
        ("Ghi chú", duty.note),
    ]
    return [(term, text) for term, text in facts if text]


@_get_or_post
def duty_add(request: HttpRequest) -> HttpResponse:
    person, today = _person(request), timezone.localdate()
    access.require(person, "manage")
    initial = {"starts_on": today, "timing": Duty.Timing.RECURRING, "covers": Duty.Covers.NONE}
    form = forms.DutyForm(request.POST or None, person=person, today=today, initial=initial)
    if request.method == "POST" and form.is_valid():
        said = form.said()
        try:
            duty = operations.add_duty(by=person, today=today, **said)
        except PlanningError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, f"Đã thêm nghĩa vụ «{duty}» và mở các kỳ sắp tới.")
            return redirect("planning:duty_detail", duty.key)
    return _render_editor(request, form, None, today)


@_get_or_post
def duty_edit(request: HttpRequest, key: str) -> HttpResponse:
    duty, person, today = _get_duty(request, key), _person(request), timezone.localdate()
    _require_manager(request, duty)
    form = forms.DutyForm(
        request.POST or None, person=person, today=today, duty=duty, initial=forms.DutyForm.initial_of(duty)
    )
    if request.method == "POST" and form.is_valid():
        try:
            operations.edit_duty(
                duty, by=person, today=today, version=form.cleaned_data["version"] or 0, order=duty.order, **form.said()
            )
        except PlanningError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(
                request, f"Đã lưu nghĩa vụ «{form.cleaned_data['name']}»; các kỳ sắp tới theo quy tắc mới."
            )
            return redirect("planning:duty_detail", duty.key)
    return _render_editor(request, form, duty, today)


def _render_editor(request: HttpRequest, form: forms.DutyForm, duty: Duty | None, today: date) -> HttpResponse:
    terms = forms.read_terms(request.POST) if request.method == "POST" else None
    if terms is None and duty is not None:
        terms = operations.terms_of(duty)
    context = {
        "form": form,
        "duty": duty,
        "examples": [(example.rule, duty_rules.words(example)) for example in forms.EXAMPLES],
        "title": "Sửa nghĩa vụ báo cáo" if duty else "Thêm nghĩa vụ báo cáo",
        **_preview(terms, today),
    }
    return render(request, "planning/duty/editor.html", context)


@require_POST
def duty_preview(request: HttpRequest) -> HttpResponse:
    """The next ten due dates of a rule that is not saved yet, in words."""
    access.require(_person(request), "manage")
    today = timezone.localdate()
    terms = None
    if operations.has_dates(request.POST.get("timing", "RECURRING")):
        terms = forms.read_terms(request.POST)
    return render(request, "planning/duty/preview.html", _preview(terms, today))


def _preview(terms: duty_rules.Terms | None, today: date) -> dict[str, Any]:
    if terms is None or not terms.rule.strip():
        return {"preview_words": "", "preview_dates": [], "preview_error": "", "preview_explanation": ""}
    try:
        dates = duty_rules.next_due(terms, today)
        return {
            "preview_words": duty_rules.words(terms),
            "preview_dates": _describe_dates(dates, today),
            "preview_explanation": duty_rules.explain(terms, dates[0]) if dates else "",
            "preview_error": "" if dates else "Quy tắc không còn ngày nào từ hôm nay trở đi.",
        }
    except duty_rules.BadRule as reason:
        return {"preview_words": "", "preview_dates": [], "preview_error": str(reason), "preview_explanation": ""}


@_get_or_post
def duty_ad_hoc(request: HttpRequest, key: str) -> HttpResponse:
    duty, person, today = _get_duty(request, key), _person(request), timezone.localdate()
    _require_manager(request, duty)
    form = forms.AdHocForm(request.POST or None, duty=duty, today=today)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            made = operations.add_ad_hoc(
                duty, organisations=form.chosen(), due_on=data["due_on"], reason=data["reason"], period=data["period"],
                today=today, by=person,
            )  # fmt: skip
        except PlanningError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, f"Đã yêu cầu {len(made)} đơn vị báo cáo, hạn {data['due_on']:%d/%m/%Y}.")
            return redirect("planning:duty_detail", duty.key)
    return render(request, "planning/duty/ad_hoc.html", {"form": form, "duty": duty})


@require_POST
def duty_recipient(request: HttpRequest, key: str) -> HttpResponse:
    duty, person, today = _get_duty(request, key), _person(request), timezone.localdate()
    _require_manager(request, duty)
    form = forms.RecipientForm(request.POST, person=person, today=today)
    if form.is_valid():
        try:
            operations.set_recipient(duty, form.chosen(), version=form.cleaned_data["version"], today=today, by=person)
            messages.success(request, f"Báo cáo này từ nay gửi đến {form.chosen().subject.name}.")
        except PlanningError as reason:
            messages.error(request, str(reason))
    else:
        messages.error(request, "Chọn đơn vị kế tục rồi lưu lại.")
    return redirect("planning:duty_detail", duty.key)


# --- one instance


def _get_instance(request: HttpRequest, pk: int) -> DutyInstance:
    found = queries.list_instances(_person(request)).select_related(
        "duty__plan", "duty__subject", "duty__to_organisation__subject", "duty__passage__document",
        "organisation__subject", "submitted_by", "waived_by",
    )  # fmt: skip
    return get_object_or_404(found, pk=pk)


@require_safe
def duty_instance(request: HttpRequest, pk: int) -> HttpResponse:
    return _render_instance(request, _get_instance(request, pk))


def _render_instance(
    request: HttpRequest, instance: DutyInstance, form: Any = None, *, status: int = 200
) -> HttpResponse:
    person, today = _person(request), timezone.localdate()
    duty = instance.duty
    standing = queries.standing_of(instance, today)
    may_submit = operations.may_submit(person, instance)
    may_manage = access.may(person, "manage", duty.subject)
    is_open = instance.submitted_on is None and instance.waived_by_id is None
    period = queries.period_of(instance)
    explanation = ""
    if instance.reason == "" and duty.rule:
        due = duty_rules.DueDate(
            instance.rule_date, duty_rules.apply_edge(instance.rule_date, duty.edge), instance.last_day,  # type: ignore[arg-type]
            instance.grace_until, instance.opens_on, period,
        )  # fmt: skip
        explanation = duty_rules.explain(operations.terms_of(duty), due)
    events = [
        {
            "text": f"{event.get_kind_display()[0].upper()}{event.get_kind_display()[1:]}"
            + (f" (gửi ngày {event.on_date:%d/%m/%Y})" if event.on_date else "")
            + f": {event.text}",
            "at": timezone.localtime(event.at),
            "person": event.person.full_name if event.person else "",
            "icon": _EVENT_ICONS[event.kind][0],  # type: ignore[index]
            "tone": _EVENT_ICONS[event.kind][1],  # type: ignore[index]
        }
        for event in instance.events.select_related("person")
    ]
    context = {
        "instance": instance,
        "duty": duty,
        "standing": standing,
        "state_label": STATE_LABELS[standing.state],
        "period": period,
        "last_day_words": duty_rules.date_words(instance.last_day),
        "explanation": explanation,
        "recipient": duty.to_organisation.subject.name if duty.to_organisation else duty.to_as_printed,
        "recipient_ended": queries.ended_on(duty.to_organisation, today),
        "reminders": list(instance.reminders.order_by("sent_at")),
        "stage_labels": _STAGE_LABELS,
        "events": events,
        "report_link": queries.report_link(instance) if may_submit else None,
        "may_manage": may_manage,
        "submit_form": (form or forms.SubmitForm(initial={"submitted_on": today})) if may_submit and is_open else None,
        "is_open": is_open,
    }
    return render(request, "planning/duty/instance.html", context, status=status)


_STAGE_LABELS = {
    "OPENED": "Mở kỳ", "D7": "Còn 7 ngày", "D3": "Còn 3 ngày", "D1": "Còn 1 ngày", "DUE": "Đến hạn",
    "LATE1": "Quá hạn (báo cả lãnh đạo)", "LATE7": "Quá hạn 7 ngày (báo cả lãnh đạo)",
}  # fmt: skip


@require_POST
def duty_submit(request: HttpRequest, pk: int) -> HttpResponse:
    instance, person = _get_instance(request, pk), _person(request)
    if not operations.may_submit(person, instance):
        raise PermissionDenied("Chỉ người của đơn vị nợ báo cáo mới ghi nhận được việc gửi.")
    form = forms.SubmitForm(request.POST)
    if form.is_valid():
        try:
            operations.submit(instance, today=timezone.localdate(), by=person, **form.cleaned_data)
        except PlanningError as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, "Đã ghi nhận báo cáo đã gửi.")
            return redirect("planning:duty_instance", pk)
    if instance.submitted_on is not None or instance.waived_by_id is not None:  # its page has no form to say it in
        messages.error(request, " ".join(str(error) for error in form.non_field_errors()))
        return redirect("planning:duty_instance", pk)
    return _render_instance(request, instance, form, status=422)


@require_POST
def duty_reopen(request: HttpRequest, pk: int) -> HttpResponse:
    return _act(request, pk, operations.reopen, "Đã mở lại kỳ báo cáo.")


@require_POST
def duty_waive(request: HttpRequest, pk: int) -> HttpResponse:
    return _act(request, pk, operations.waive, "Đã miễn kỳ báo cáo này.")


def _act(request: HttpRequest, pk: int, act: Callable[..., Any], done: str) -> HttpResponse:
    instance, person = _get_instance(request, pk), _person(request)
    if not access.may(person, "manage", instance.duty.subject):
        raise PermissionDenied("Chỉ người quản lý ở địa bàn của nghĩa vụ mới làm được việc này.")
    try:
        act(instance, reason=request.POST.get("reason", ""), by=person)
        messages.success(request, done)
    except PlanningError as reason:
        messages.error(request, str(reason))
    return redirect("planning:duty_instance", pk)


# --- one unit


@require_safe
def duty_organisation(request: HttpRequest, key: str) -> HttpResponse:
    person, today = _person(request), timezone.localdate()
    organisation = Organisation.objects.select_related("subject", "parent__subject").filter(subject__key=key).first()
    seen = organisation is not None and access.may(person, "view", organisation.pk)
    if organisation is None or not (seen or queries.list_instances(person).filter(organisation=organisation).exists()):
        raise Http404("no such organisation in scope")
    page = queries.get_unit_page(person, organisation, today)
    context = {"organisation": organisation, "page": page, "may_open": seen}
    return render(request, "planning/duty/organisation.html", context)


# --- the feed


@_get_or_post
def duty_feed(request: HttpRequest) -> HttpResponse:
    """Make or revoke the secret address of one's calendar."""
    person = _person(request)
    address = ""
    if request.method == "POST":
        if request.POST.get("act") == "revoke":
            operations.revoke_feed(person)
            messages.success(
                request, "Địa chỉ lịch đã thu hồi; lịch đang đăng ký bằng địa chỉ cũ sẽ không cập nhật nữa."
            )
            return redirect("planning:duty_feed")
        token = operations.make_feed(person, timezone.now())
        address = request.build_absolute_uri(reverse("planning:duty_ics", args=[token]))
    feed = FeedToken.objects.filter(person=person).first()
    response = render(request, "planning/duty/feed.html", {"feed": feed, "address": address})
    response["Cache-Control"] = "private, no-store"
    return response


@login_not_required
@require_safe
def duty_ics(request: HttpRequest, token: str) -> HttpResponse:
    """The calendar of whom the secret belongs to: programs that fetch calendars do not sign in."""
    person = operations.find_feed_owner(token)
    if person is None:
        raise Http404("no such feed")
    response = HttpResponse(
        _calendar(request, person, timezone.localdate()), content_type="text/calendar; charset=utf-8"
    )
    response["Cache-Control"] = "private, no-store"
    response["Content-Disposition"] = 'inline; filename="lich-bao-cao.ics"'
    return response


def _calendar(request: HttpRequest, person: Person, today: date) -> bytes:
    import icalendar  # only feeds need it

    calendar = icalendar.Calendar()
    calendar.add("prodid", "-//Mach Nuoc//Lich bao cao//VI")
    calendar.add("version", "2.0")
    calendar.add("x-wr-calname", "Lịch báo cáo – Mạch Nước")
    calendar.add("x-published-ttl", "PT6H")
    host = request.get_host().split(":")[0]
    for entry in queries.list_for_feed(person, today):
        is_done = entry.done == len(entry.rows)
        event = icalendar.Event()
        event.add("uid", f"duty-{entry.duty_id}-{entry.last_day:%Y%m%d}-{person.pk}@{host}")
        event.add("dtstamp", datetime.combine(today, time(0), tzinfo=timezone.get_current_timezone()))
        event.add("dtstart", entry.last_day)
        event.add("dtend", entry.last_day + timedelta(days=1))
        event.add("transp", "TRANSPARENT")
        event.add("summary", f"{'Đã xong: ' if is_done else 'Hạn: '}{entry.duty_name} ({entry.who})")
        lines = [f"{row.organisation}: {row.standing.text}" for row in entry.rows[:40]]
        event.add("description", "\n".join([f"Hạn cuối {entry.last_day:%d/%m/%Y}.", *lines]))
        event.add("url", request.build_absolute_uri(entry.url))
        if not is_done:
            alarm = icalendar.Alarm()
            alarm.add("action", "DISPLAY")
            alarm.add("description", f"Còn 3 ngày: {entry.duty_name}")
            alarm.add("trigger", timedelta(days=-3))
            event.add_component(alarm)
        calendar.add_component(event)
    return bytes(calendar.to_ical())
