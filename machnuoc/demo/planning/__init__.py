"""Load what the five plans ask for, area by area, through the operations that the screens use. Idempotent."""

from collections.abc import Callable
from datetime import datetime

from machnuoc.demo.planning import documents, duties, plans, targets

# In the order of loading: what stands later may refer to what stands before.
LOADERS: tuple[Callable[[datetime], None], ...] = (
    documents.load_documents,
    plans.load_plans,
    targets.simulate_connections,
    duties.load_duties,  # last: they name the organisations of all plans
    targets.load_targets,  # after all that brings measures, organisations and documents
    targets.load_standings,  # the very last: it judges what the others have loaded
)


def load(now: datetime) -> None:
    """Load the plans' documents, targets, tasks, programme, projects and duties."""
    for loader in LOADERS:
        loader(now)
