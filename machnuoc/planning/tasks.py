"""Background work of planning, found at start-up: each area registers its own in <area>_jobs.py."""

from machnuoc.planning import duty_jobs as duty_jobs
from machnuoc.planning import plan_jobs as plan_jobs
from machnuoc.planning import task_jobs as task_jobs
