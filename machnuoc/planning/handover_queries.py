"""What reads handovers: the list, the page of one with its steps, what people may do."""

from dataclasses import dataclass
from datetime import date
from typing import Any

from django.db.models import Count, Q, QuerySet

from machnuoc.core import folding
from machnuoc.core.models import Person
from machnuoc.places import access
from machnuoc.planning import handover as rules
from machnuoc.planning import visibility
from machnuoc.planning.models import Handover, HandoverItem, HandoverMove, HandoverPaper, Plan

Step = Handover.Step
# What is done on the way to each step: name in the address, title of the form.
ACTS: dict[str, tuple[str, str]] = {
    Step.INVENTORIED: ("kiem-ke", "Kiểm kê tài sản"),
    Step.SCORED: ("hien-trang", "Đánh giá hiện trạng"),
    Step.PAPERS: ("ho-so", "Rà soát hồ sơ"),
    Step.DECIDED: ("quyet-dinh", "Ghi quyết định giao"),
    Step.EFFECTIVE: ("tiep-nhan", "Tiếp nhận công trình"),
}


def list_readable(person: Person) -> QuerySet[Handover]:
    """Return the handovers that the person may read: of where they lie, or of who gives or receives."""
    if access.sees_everything(person):
        return Handover.objects.all()
    seen = access.visible_subject_ids(person)
    own = Q(receiver_id__in=seen) | Q(giver_id__in=seen)
    return Handover.objects.filter(visibility.readable(person) | own)


def get_handover(pk: int, person: Person) -> Handover:
    """Return the handover. Raises Handover.DoesNotExist also where the person may not read it."""
    if pk >= 2**63:
        raise Handover.DoesNotExist
    return (
        list_readable(person)
        .select_related(
            "plan", "subject__unit", "work__subject", "giver__subject", "receiver__subject", "passage__document"
        )
        .get(pk=pk)
    )


def may_manage(person: Person, handover: Handover) -> bool:
    """Return whether the person manages the receiver (whose work it becomes) or the place."""
    return access.may(person, "manage", handover.receiver_id) or access.may(person, "manage", handover.subject_id)


@dataclass(frozen=True)
class StepLine:
    """A step as the stepper draws it. state: done, current, next, later."""

    code: str
    title: str
    state: str
    on_date: date | None
    text: str
    act: str  # name of its form in the address, «» where there is none now
    act_title: str


def list_steps(handover: Handover, moves: list[HandoverMove]) -> list[StepLine]:
    """Return the six steps of the way, each with its day and what it left."""
    stopped = handover.step == Step.STOPPED
    at = moves[-1].from_step if stopped and moves else handover.step
    here = rules.STEPS.index(at) if at in rules.STEPS else 0
    days = {
        Step.REQUESTED: handover.requested_on, Step.INVENTORIED: handover.inventoried_on,
        Step.SCORED: handover.scored_on, Step.PAPERS: handover.papers_checked_on, Step.DECIDED: handover.decided_on,
        Step.EFFECTIVE: handover.effective_on,
    }  # fmt: skip
    texts = {Step.REQUESTED: handover.request_as_printed, Step.DECIDED: handover.decision_as_printed}
    lines = []
    for number, code in enumerate(rules.STEPS):
        state = "done" if number <= here else "next" if number == here + 1 and not stopped else "later"
        act, title = ACTS.get(code, ("", ""))
        lines.append(
            StepLine(
                code,
                title if title and state != "done" else Step(code).label,
                state,
                days[Step(code)] if number <= here else None,
                texts.get(Step(code), "") if number <= here else "",
                act if state == "next" else "",
                title,
            )
        )
    return lines


@dataclass(frozen=True)
class HandoverPage:
    """All that the page of one handover shows."""

    handover: Handover
    steps: list[StepLine]
    items: list[HandoverItem]
    score: rules.Score
    papers: list[HandoverPaper]
    missing_papers: int
    moves: list[HandoverMove]
    back_to: list[tuple[str, str]]
    may_stop: bool
    correctable: tuple[str, str] | None


def get_page(handover: Handover) -> HandoverPage:
    """Return the page of a handover. Three queries."""
    items = list(handover.items.all())
    papers = list(handover.papers.select_related("file"))
    moves = list(handover.moves.select_related("made_by"))
    correctable = handover.step if handover.step in {Step.INVENTORIED, Step.SCORED, Step.PAPERS, Step.DECIDED} else ""
    return HandoverPage(
        handover=handover,
        steps=list_steps(handover, moves),
        items=items,
        score=rules.score(rules.Item(item.condition, item.weight) for item in items),
        papers=papers,
        missing_papers=sum(not paper.is_there for paper in papers),
        moves=moves,
        back_to=[(code, Step(code).label) for code in rules.STEPS if rules.may_go_back(handover.step, code)],
        may_stop=rules.may_stop(handover.step),
        correctable=ACTS[correctable] if correctable else None,
    )


def select(person: Person, *, q: str = "", step: str = "", plan: int = 0) -> list[Any]:
    """Return the handovers in the person's reach, the newest request first, with counts of lines and papers."""
    rows = list_readable(person).select_related(
        "plan", "subject__unit", "work__subject", "receiver__subject", "giver__subject"
    )
    if step:
        rows = rows.filter(step=step)
    if plan:
        rows = rows.filter(plan_id=plan)
    rows = rows.annotate(
        item_count=Count("items", distinct=True),
        paper_count=Count("papers", distinct=True),
        missing_count=Count("papers", filter=Q(papers__is_there=False), distinct=True),
    )
    found = list(rows.order_by("-requested_on", "-pk"))
    wanted = _folded(q)
    if wanted:
        found = [row for row in found if wanted in _folded(" ".join(_names(row)))]
    return found


def _names(row: Handover) -> list[str]:
    return [row.name, row.giver_as_printed, str(row.giver or ""), str(row.receiver), row.subject.name]


def _folded(text: str) -> str:
    return folding.fold(text).lower().strip()


def list_plans(person: Person) -> list[tuple[int, str]]:
    """Return the plans of the handovers that the person may read: (id, short name)."""
    owned = list_readable(person).order_by().values("plan_id")
    return list(Plan.objects.filter(pk__in=owned).order_by("short_name").values_list("pk", "short_name"))


def count_taken_over(rows: list[Any], year: int) -> int:
    return sum(row.step == Step.EFFECTIVE and row.effective_on and row.effective_on.year == year for row in rows)
