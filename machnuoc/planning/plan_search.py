"""What the search box knows of plans, their targets and the programmes that carry one out."""

from collections.abc import Sequence

from django.urls import reverse

from machnuoc.core import search
from machnuoc.core.models import Person
from machnuoc.core.vietnamese import format_date
from machnuoc.places import search_kinds
from machnuoc.places.models import Subject
from machnuoc.planning.models import Plan, Programme, Target
from machnuoc.planning.visibility import readable

PLAN, TARGET, PROGRAMME = "plan", "target", "programme"


def put_plan(plan: Plan) -> None:
    number = plan.document.number if plan.document else ""
    issuer = str(plan.issuer) if plan.issuer else ""
    search.put(
        PLAN,
        plan.pk,
        title=plan.short_name or plan.name,
        subtitle=" · ".join(filter(None, ["Kế hoạch", number, issuer])),
        url=reverse("planning:plan_detail", args=[plan.key]),
        text=" ".join([plan.name, plan.short_name, number, issuer, plan.territory.name]),
        subject_id=plan.territory_id,
        weight=26,
    )


def put_targets(targets: Sequence[Target]) -> None:
    """Index targets under their name and words; one that is no longer in force is not found."""
    search.put_many(
        search.Entry(
            TARGET,
            target.pk,
            title=target.name,
            subtitle=" · ".join(
                filter(None, [target.plan.short_name, f"hạn {format_date(target.due_on)}" if target.due_on else ""])
            ),
            url=reverse("planning:target_detail", args=[target.plan.key, target.key]),
            text=" ".join([target.name, target.text, target.section, target.subject.name]),
            subject_id=target.subject_id,
            weight=10 if target.parent_id is None else 6,
        )
        for target in targets
        if target.is_active
    )
    for target in targets:
        if not target.is_active:
            search.remove(TARGET, target.pk)


def put_programme(programme: Programme) -> None:
    plan = programme.plan
    search.put(
        PROGRAMME,
        programme.pk,
        title=f"Nông thôn mới: {plan.short_name or plan.name}",
        subtitle="Chương trình theo tiêu chí",
        url=reverse("planning:programme_detail", args=[plan.key]),
        text=f"{plan.name} {plan.territory.name} chương trình theo tiêu chí ma trận lộ trình",
        subject_id=plan.territory_id,
        weight=24,
    )


def put_all() -> None:
    """Index every plan, target and programme anew, as after an upgrade."""
    for plan in Plan.objects.select_related("document", "issuer__subject", "territory"):
        put_plan(plan)
    put_targets(list(Target.objects.select_related("plan", "subject")))
    for programme in Programme.objects.select_related("plan__territory"):
        put_programme(programme)


def _within(person: Person) -> object:
    return Subject.objects.filter(readable(person, "pk")).values("pk")


def register_kinds() -> None:
    """Let the search page show what planning keeps. A plan speaks to all below its territory."""
    for kind, title, icon in (
        (PLAN, "Kế hoạch", "files"),
        (PROGRAMME, "Nông thôn mới", "checklist"),
        (TARGET, "Chỉ tiêu kế hoạch", "target"),
        ("task", "Nhiệm vụ", "clipboard-list"),
        ("project", "Dự án", "tool"),
    ):
        search_kinds.register(kind, title, icon, _within)
