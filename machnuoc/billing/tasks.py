"""Background work of billing, found at start-up: each area registers its own in <area>_jobs.py."""

from machnuoc.billing import einvoice_jobs as einvoice_jobs
from machnuoc.billing import estimate_jobs as estimate_jobs
from machnuoc.billing import figure_jobs as figure_jobs
from machnuoc.billing import money_jobs as money_jobs
from machnuoc.billing import print_jobs as print_jobs
from machnuoc.billing import remote_jobs as remote_jobs
from machnuoc.billing import run_jobs as run_jobs
