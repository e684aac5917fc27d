"""Load the projects and handovers, and make up books for two projects, through the operations that the screens use.

Idempotent. What people have changed since is left alone: a project that is there already is not put again.
"""

from collections import defaultdict
from datetime import date, datetime

from django.utils import timezone

from machnuoc.core.models import Passage
from machnuoc.demo.planning import read_projects
from machnuoc.indicators import operations as indicators
from machnuoc.places.models import AdministrativeUnit, Organisation, Subject
from machnuoc.planning import handover_operations, project_operations
from machnuoc.planning.models import Handover, Plan, Project
from machnuoc.works.models import Work

_PROVINCES = {"cao_bang": "vn.cao-bang", "quang_ngai": "vn.quang-ngai"}


def load_projects(now: datetime) -> None:
    """Put the 8 projects of Cao Bằng, the 2 projects and the handover of Quảng Ngãi."""
    today = max(timezone.localdate(now), date(2026, 2, 2))
    plans = {plan.key: plan for plan in Plan.objects.select_related("territory")}
    organisations = {
        row.subject.key: row
        for row in Organisation.objects.select_related("subject").filter(subject__key__startswith="org.")
    }
    works = {work.subject.key: work for work in Work.objects.select_related("subject")}
    there = set(Project.objects.values_list("subject__key", flat=True))
    for folder, (plan_key, document_key) in read_projects.PLANS.items():
        if plan_key not in plans:
            continue
        plan, province = plans[plan_key], _PROVINCES[folder]
        passages = {row.key: row for row in Passage.objects.filter(document__key=document_key)}
        units = {
            f"{province}/{unit.code}": unit
            for unit in AdministrativeUnit.objects.filter(
                parent__subject__key=province, is_in_force=True
            ).select_related("subject")
        }
        whole = AdministrativeUnit.objects.select_related("subject").get(subject__key=province)
        for row in read_projects.list_projects(folder, province):
            if row.key in there:
                continue
            project_operations.put_project(
                key=row.key, name=row.name, plan=plan, number=row.number, owner=organisations.get(row.owner_key),
                owner_as_printed=row.owner_printed, carried_out_by=organisations.get(row.carried_out_by_key),
                total_vnd=row.total_vnd, total_as_printed=row.total_printed,
                sources=[project_operations.Source(name) for name in row.sources],
                completion_as_printed=row.completion_printed, due_on=row.due_on, outcome=row.outcome,
                people_expected=row.people_expected,
                territories=[units[key] for key in row.commune_keys] or [whole], work=works.get(row.work_key),
                note=row.note, passage=passages[row.passage_key],
            )  # fmt: skip
        for handover in read_projects.list_handovers(folder):
            if Handover.objects.filter(passage=passages[handover.passage_key]).exists():  # its name may be corrected
                continue
            handover_operations.request_handover(
                name=handover.name, place=Subject.objects.get(key=handover.place_key),
                receiver=organisations[handover.receiver_key], giver_as_printed=handover.giver_printed, plan=plan,
                request_as_printed=handover.request_printed, requested_on=handover.requested_on, note=handover.note,
                passage=passages[handover.passage_key], today=today,
            )  # fmt: skip
    indicators.recompute_dirty(now)


def simulate_money(now: datetime) -> None:
    """Put made-up books, marked so, for two projects that have none. Their days lie before 11/2026."""
    for folder in read_projects.PLANS:
        _simulate(folder)
    indicators.recompute_dirty(now)


def _simulate(folder: str) -> None:
    rows: dict[str, list[read_projects.Simulated]] = defaultdict(list)
    for row in read_projects.list_simulated(folder):
        rows[row.project_key].append(row)
    projects = Project.objects.select_related("subject").filter(
        subject__key__in=rows, yearly_plans__isnull=True, disbursements__isnull=True
    )
    for project in projects:
        lines = rows[project.subject.key]
        last = max(line.on_date for line in lines)
        for line in lines:
            if line.entry == "plan":
                project_operations.put_yearly_plan(
                    project, year=line.on_date.year, amount_vnd=line.amount_vnd, document_as_printed=line.note,
                    months={one.on_date.month: one.amount_vnd for one in lines if one.entry == "month"},
                    is_simulated=True,
                )  # fmt: skip
            elif line.entry == "paid":
                project_operations.disburse(
                    project, on_date=line.on_date, amount_vnd=line.amount_vnd, note=line.note, today=last,
                    is_simulated=True,
                )  # fmt: skip
            elif line.entry == "accepted":
                project_operations.accept_volume(
                    project, on_date=line.on_date, amount_vnd=line.amount_vnd, note=line.note, today=last,
                    is_simulated=True,
                )  # fmt: skip
