"""Pages on which connections and poverty lists come in as sheets, and are taken back."""

from typing import Any

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from machnuoc.core import export, files, jobs
from machnuoc.core.models import Job, Person
from machnuoc.customers import connection_sheets
from machnuoc.customers.models import ConnectionImport
from machnuoc.indicators.sheets import SheetError
from machnuoc.places import access

_get_or_post = require_http_methods(["GET", "HEAD", "POST"])


class ConnectionUploadForm(forms.Form):
    kind = forms.ChoiceField(label="Tệp chứa", choices=ConnectionImport.Kind.choices)
    file = forms.FileField(
        label="Tệp", widget=forms.ClearableFileInput({"accept": ".xlsx,.csv"}),
        help_text="Bảng tính .xlsx (đến 50.000 dòng) hoặc .csv (đến 2.000.000 dòng).",
    )  # fmt: skip


def _person(request: HttpRequest) -> Person:
    """Return who asks. Raises PermissionDenied for those who serve nobody."""
    person: Person = request.user  # type: ignore[assignment]
    access.require(person, "serve")
    return person


@require_safe
def connection_template(request: HttpRequest, name: str) -> HttpResponse:
    _person(request)
    if name not in connection_sheets.TEMPLATES:
        raise Http404("no such template")
    answer = HttpResponse(connection_sheets.template(connection_sheets.TEMPLATES[name]), content_type=export.XLSX)
    answer["Content-Disposition"] = f'attachment; filename="mau-{name}.xlsx"'
    return answer


@never_cache
@_get_or_post
def connection_imports(request: HttpRequest) -> HttpResponse:
    """Take an upload to its preview; list the person's uploads."""
    person = _person(request)
    is_post = request.method == "POST"
    form = ConnectionUploadForm(request.POST if is_post else None, request.FILES if is_post else None)
    if form.is_bound and form.is_valid():
        upload = form.cleaned_data["file"]
        try:
            batch = connection_sheets.receive_sheet(
                upload, kind=form.cleaned_data["kind"], name=upload.name, by=person, now=timezone.now()
            )
        except (files.RefusedFile, SheetError) as reason:
            form.add_error("file", str(reason))
        else:
            return redirect("customers:connection_import", batch.pk)
    rows = ConnectionImport.objects.filter(uploaded_by=person)
    templates = [(name, kind.label) for name, kind in connection_sheets.TEMPLATES.items()]
    context = {"form": form, "page": Paginator(rows, 20).get_page(request.GET.get("page")), "templates": templates}
    return render(request, "customers/connections/imports.html", context, status=422 if form.errors else 200)


def _is_waiting(batch: ConnectionImport) -> bool:
    return batch.job is not None and batch.job.state in {Job.State.QUEUED, Job.State.RUNNING}


def _is_read(batch: ConnectionImport) -> bool:
    return bool(batch.found)


@never_cache
@_get_or_post
def connection_import(request: HttpRequest, pk: int) -> HttpResponse:
    """Show what a sheet holds, by cell; take it, long ones in the background."""
    person = _person(request)
    batch = get_object_or_404(ConnectionImport.objects.select_related("job", "file"), pk=pk, uploaded_by=person)
    refusal = ""
    is_long = batch.received > connection_sheets.LONG_ROWS
    if request.method == "POST" and not _is_waiting(batch) and _is_read(batch):
        mode = request.POST.get("mode", "")
        try:
            if is_long and batch.applied_at is None and mode in {"ALL", "GOOD"}:
                _enqueue(batch, "customers.import_sheet", person, mode=mode)
            else:
                batch = connection_sheets.apply(batch, mode=mode, by=person, now=timezone.now())
                messages.success(request, f"Đã nhập: {connection_sheets.outcome(batch)}.")
            return redirect("customers:connection_import", batch.pk)
        except SheetError as reason:
            refusal = str(reason)
    context = {
        "batch": batch, "refusal": refusal, "is_waiting": _is_waiting(batch), "is_long": is_long,
        "is_read": _is_read(batch), "outcome": connection_sheets.outcome(batch),
    }  # fmt: skip
    name = "customers/connections/import.html"
    template = f"{name}#state" if request.htmx else name  # type: ignore[attr-defined]
    return render(request, template, context, status=422 if refusal else 200)


def _enqueue(batch: ConnectionImport, task: str, person: Person, **more: Any) -> None:
    with transaction.atomic():
        batch.job = jobs.enqueue(task, by=person, batch_id=batch.pk, person_id=person.pk, **more)
        batch.save(update_fields=["job"])


@require_POST
def connection_import_undo(request: HttpRequest, pk: int) -> HttpResponse:
    person = _person(request)
    batch = get_object_or_404(ConnectionImport.objects.select_related("job"), pk=pk, uploaded_by=person)
    if not _is_waiting(batch):
        try:
            if batch.stored > connection_sheets.LONG_ROWS:
                _enqueue(batch, "customers.undo_sheet", person)
            else:
                connection_sheets.undo(batch, by=person, now=timezone.now())
                messages.success(request, f"Đã hoàn tác tệp {batch.file_name}.")
        except SheetError as reason:
            messages.error(request, str(reason))
    return redirect("customers:connection_import", pk)
