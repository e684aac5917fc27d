"""Load what the five plans ask for, area by area, through the operations that the screens use. Idempotent."""

from collections.abc import Callable
from datetime import datetime

from machnuoc.demo.planning import (
    documents,
    duties,
    khanh_hoa,
    plans,
    programme,
    projects,
    reports,
    rural,
    targets,
    tasks,
)
from machnuoc.planning import plan_search

# In the order of loading: what stands later may refer to what stands before.
LOADERS: tuple[Callable[[datetime], None], ...] = (
    documents.load_documents,
    plans.load_plans,
    targets.load_targets,
    khanh_hoa.load_khanh_hoa_targets,
    khanh_hoa.load_khanh_hoa_funds,
    programme.load_programme,
    khanh_hoa.load_khanh_hoa_figures,
    rural.load_rural_form,
    projects.load_projects,
    duties.load_duties,  # last: they name the organisations of all plans
    tasks.load_tasks,  # names the organisations of all plans
)
# Histories that no document gives, to have something to follow; every figure of them says «mô phỏng».
SIMULATORS: tuple[Callable[[datetime], None], ...] = (targets.simulate_connections, projects.simulate_money)


def load(now: datetime, *, simulate: bool = True) -> None:
    """Load the plans' documents, targets, tasks, programme, projects and duties; judge the targets in the end."""
    for loader in (*LOADERS, *(SIMULATORS if simulate else ())):
        loader(now)
    plan_search.put_all()  # also what an earlier version has loaded without an index
    targets.load_standings(now)
    if simulate:  # drafts are no part of the documents
        reports.load_reports(now)
