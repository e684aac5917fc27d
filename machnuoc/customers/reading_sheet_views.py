"""Pages of sheets of readings: upload, preview, take, undo."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from machnuoc.core import export, files
from machnuoc.core.models import StoredFile
from machnuoc.customers import plausibility, reading_desk, reading_forms, reading_sheets
from machnuoc.customers.errors import CustomersError
from machnuoc.customers.models import ReadingImport
from machnuoc.customers.reading_views import page_of, person_of, tabs
from machnuoc.places import access

_get_or_post = require_http_methods(["GET", "HEAD", "POST"])


@_get_or_post
def reading_imports(request: HttpRequest) -> HttpResponse:
    person, today = person_of(request), timezone.localdate()
    access.require(person, "serve")
    access.require(person, "read_meters")
    data = request.POST if request.method == "POST" else None
    form = reading_forms.UploadReadings(data, request.FILES if data is not None else None, today=today)
    if form.is_bound and form.is_valid():
        upload = form.cleaned_data["file"]
        wanted = form.cleaned_data["period"]
        try:
            batch = reading_sheets.receive(
                upload, name=upload.name, period=reading_desk.month_of(wanted, today) if wanted else None, by=person,
                now=timezone.now(),
            )  # fmt: skip
        except (CustomersError, files.RefusedFile) as reason:
            form.add_error("file", str(reason))
        else:
            return redirect("customers:reading_import", batch.pk)
    context = {"form": form, "page": page_of(reading_sheets.list_batches(person), request, 20), "tabs": tabs()}
    return render(request, "customers/readings/imports.html", context, status=422 if form.errors else 200)


@require_safe
def reading_template(request: HttpRequest) -> HttpResponse:
    access.require(person_of(request), "read_meters")
    answer = HttpResponse(reading_sheets.template(), content_type=export.XLSX)
    answer["Content-Disposition"] = 'attachment; filename="mau-chi-so.xlsx"'
    return answer


@_get_or_post
def reading_import(request: HttpRequest, pk: int) -> HttpResponseBase:
    person, now = person_of(request), timezone.now()
    batch = get_object_or_404(
        ReadingImport.objects.select_related("file", "job", "undone_by", "uploaded_by"), pk=pk, uploaded_by=person
    )
    if request.GET.get("file") == "rejected" and batch.found.get("rejected_file"):
        return files.as_download(get_object_or_404(StoredFile, pk=batch.found["rejected_file"]))
    refusal = ""
    if request.method == "POST":
        access.require(person, "read_meters")
        try:
            if request.POST.get("action") == "undo":
                back, kept = reading_sheets.undo(batch, by=person, now=now)
                more = f", giữ {kept} chỉ số của kỳ đã chốt hoặc đã có người xem lại" if kept else ""
                messages.success(request, f"Đã hoàn tác {back} chỉ số{more}.")
            else:
                reading_sheets.begin(batch, mode=request.POST.get("mode", ""), by=person, now=now)
        except CustomersError as reason:
            refusal = str(reason)
            batch.refresh_from_db()
        else:
            return redirect("customers:reading_import", batch.pk)
    is_waiting = batch.job is not None and batch.job.state in {"QUEUED", "RUNNING"}
    flags = [(plausibility.WARNINGS[key], n) for key, n in (batch.found.get("flags") or {}).items()]
    context = {
        "batch": batch, "refusal": refusal, "is_waiting": is_waiting, "flags": flags,
        "problems": batch.found.get("problems") or [], "good": batch.received - batch.rejected,
    }  # fmt: skip
    template = "customers/readings/import.html"
    if request.headers.get("HX-Request"):
        template += "#state"
    return render(request, template, context, status=409 if refusal else 200)
