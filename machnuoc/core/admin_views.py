"""Background jobs, the audit trail and kept files."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from machnuoc.core import admin_forms, audit, files, jobs, permissions, sending
from machnuoc.core.models import Document, Job, Person, Sending, StoredFile

ROWS_A_PAGE = 50


@require_GET
def list_jobs(request: HttpRequest) -> HttpResponse:
    permissions.require_everywhere(request.user, "administer")
    form = admin_forms.JobFilter(request.GET or None)
    criteria = {name: value for name, value in form.cleaned_data.items() if value} if form.is_valid() else {}
    page = Paginator(Job.objects.select_related("enqueued_by").filter(**criteria), ROWS_A_PAGE).get_page(
        request.GET.get("page")
    )
    now = timezone.now()
    rows = [
        {
            "job": job,
            "title": jobs.get_title(job.task),
            "is_later": job.state == Job.State.QUEUED and job.run_after_at > now,
            "may_cancel": job.state in {Job.State.QUEUED, Job.State.RUNNING},
            "may_retry": job.state in {Job.State.FAILED, Job.State.CANCELLED},
        }
        for job in page
    ]
    is_moving = (
        Job.objects.filter(state=Job.State.RUNNING).exists()
        or Job.objects.filter(state=Job.State.QUEUED, run_after_at__lte=now).exists()
    )
    context = {"form": form, "page": page, "rows": rows, "is_moving": is_moving, "alive_at": jobs.last_sign_of_life()}
    is_poll = request.headers.get("HX-Target") == "jobs" and request.headers.get("HX-Request") == "true"
    return render(request, "core/admin/jobs.html#list" if is_poll else "core/admin/jobs.html", context)


@require_GET
def list_sendings(request: HttpRequest) -> HttpResponse:
    """Show what left the program and what did not. For who administers everything: it names people's addresses."""
    permissions.require_everywhere(request.user, "administer")
    form = admin_forms.SendingFilter(request.GET or None)
    criteria = {name: value for name, value in form.cleaned_data.items() if value} if form.is_valid() else {}
    rows = Sending.objects.select_related("person").filter(**criteria)
    page = Paginator(rows, ROWS_A_PAGE).get_page(request.GET.get("page"))
    channels = [
        (label, sending.is_configured(channel))
        for channel, label in Sending.Channel.choices
        if channel not in {Sending.Channel.IN_APP, Sending.Channel.WEBHOOK}
    ]
    return render(request, "core/admin/sendings.html", {"form": form, "page": page, "channels": channels})


@require_POST
def send_again(request: HttpRequest, pk: int) -> HttpResponse:
    person = permissions.require_everywhere(request.user, "administer")
    row = get_object_or_404(Sending, pk=pk)
    try:
        sending.send_again(row, by=person, now=timezone.now())
    except sending.CannotSendAgain as reason:
        messages.error(request, str(reason))
    else:
        messages.success(request, f"Tin #{row.pk} đã vào hàng chờ gửi.")
    return redirect("core:sendings")


@require_POST
def retry_job(request: HttpRequest, pk: int) -> HttpResponse:
    person = permissions.require_everywhere(request.user, "administer")
    job = get_object_or_404(Job, pk=pk)
    try:
        jobs.retry(job, by=person, now=timezone.now())
    except jobs.NotPossibleNow as reason:
        messages.error(request, str(reason))
    else:
        messages.success(request, f"Tác vụ #{job.pk} đã vào hàng đợi để chạy lại.")
    return redirect("core:jobs")


@require_POST
def cancel_job(request: HttpRequest, pk: int) -> HttpResponse:
    person = permissions.require_everywhere(request.user, "administer")
    job = get_object_or_404(Job, pk=pk)
    try:
        jobs.cancel(job, by=person, now=timezone.now())
    except jobs.NotPossibleNow as reason:
        messages.error(request, str(reason))
    else:
        messages.success(request, f"Đã hủy tác vụ #{job.pk}.")
    return redirect("core:jobs")


def _audit_filter(request: HttpRequest, person: Person) -> admin_forms.AuditFilter:
    """Return the filter, which lets nobody reach the acts of people outside their scope."""
    return admin_forms.AuditFilter(request.GET or None, within=permissions.list_overseen_ids(person, "read_audit"))


@require_GET
def list_audit(request: HttpRequest) -> HttpResponse:
    person = permissions.require(request.user, "read_audit")
    form = _audit_filter(request, person)
    form.is_valid()
    page = Paginator(audit.list_entries(**form.criteria()), ROWS_A_PAGE).get_page(request.GET.get("page"))
    entries = list(page)
    context = {"form": form, "page": page, "rows": list(zip(entries, audit.sentences(entries), strict=True))}
    return render(request, "core/admin/audit.html", context)


@require_GET
def export_audit(request: HttpRequest) -> StreamingHttpResponse:
    person = permissions.require(request.user, "read_audit")
    form = _audit_filter(request, person)
    form.is_valid()
    # Up to here, so that the line written about this export is not part of it.
    now = timezone.now()
    criteria = form.criteria()
    criteria["end_at"] = min(criteria["end_at"] or now, now)
    entries = audit.list_entries(**criteria)
    audit.record("core.audit.exported", actor=person, count=entries.count())
    response = StreamingHttpResponse(audit.export_csv(entries), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="nhat-ky-{timezone.localdate(now):%Y-%m-%d}.csv"'
    response["Cache-Control"] = "private, no-store"
    return response


@require_GET
def download_file(request: HttpRequest, pk: int) -> FileResponse:
    """Files of official documents are open to all who sign in; any other to its uploader and who manages them."""
    stored = get_object_or_404(StoredFile, pk=pk)
    is_open = stored.uploaded_by_id == request.user.pk or Document.objects.filter(file=stored).exists()
    if not is_open and not _manages(request.user, stored):
        raise PermissionDenied("Chỉ người tải tệp lên và người quản lý mới tải tệp này về được.")
    try:
        return files.as_download(stored)
    except files.LostFile as reason:
        raise Http404(str(reason)) from None


def _manages(person: Any, stored: StoredFile) -> bool:
    overseen = permissions.list_overseen_ids(person, "manage")
    if overseen is None or stored.uploaded_by_id is None:
        return overseen is None
    return Person.objects.filter(pk=stored.uploaded_by_id).filter(pk__in=overseen).exists()
