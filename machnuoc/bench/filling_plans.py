"""Plans, targets, tasks and projects for the pages' measurement: one of each for each work."""

from datetime import datetime
from decimal import Decimal

from machnuoc.bench import filling
from machnuoc.bench.filling_works import Country
from machnuoc.indicators.models import Metric
from machnuoc.places.models import Subject
from machnuoc.planning import plan_operations, programme_operations, project_operations, task_operations
from machnuoc.planning.models import CriteriaSet, Plan, Target

PLAN = "bench-ke-hoach"


def make_plan(country: Country, now: datetime) -> Plan:
    """Make the plan of the measurement and a programme of criteria in its communes."""
    programme_operations.load_criteria_sets(now)
    plan = plan_operations.put_plan(
        key=PLAN, name="Kế hoạch của phép đo", short_name="Phép đo", territory=filling.get_country(),
        document=country.passage.document, valid_from=filling.LAST_YEAR.start_date,
    )  # fmt: skip
    programme_operations.put_programme(
        plan, sets=CriteriaSet.objects.order_by("pk")[:1], units=[unit.subject for unit in country.communes[:50]]
    )
    return plan


def add_owed(plan: Plan, country: Country, first: int, last: int) -> None:
    """Add a target, a task and a project for each of the works numbered first to last - 1."""
    connected = Metric.objects.get(key="works.households_connected")
    for number in range(first, last):
        work = Subject.objects.get(key=f"bench.work.{number}")
        operator = country.operators[number % len(country.operators)]
        plan_operations.put_target(
            plan=plan, key=f"dau-noi.{number}", name=f"Đấu nối của công trình {number}", subject=work,
            comparator=Target.Comparator.GE, amount=Decimal(1_000), unit="household", metric=connected,
            period=filling.LAST_YEAR, recorded_in_bulk=True,
        )  # fmt: skip
        task_operations.put_task(
            key=f"bench.task.{number}", content=f"Vận hành công trình {number}", subject=operator.subject, plan=plan,
            timing_as_printed="thường xuyên", passage=country.passage,
            units=[task_operations.Unit("LEAD", operator)],
        )  # fmt: skip
        project_operations.put_project(
            key=f"project.bench.{number}", name=f"Nâng cấp công trình {number}", plan=plan, owner=operator,
            total_vnd=1_000_000_000,
        )  # fmt: skip
