"""Background work of this room, found at start-up: each area has its own module."""

from machnuoc.customers import connection_jobs as connection_jobs
from machnuoc.customers import figure_jobs as figure_jobs
from machnuoc.customers import notice_jobs as notice_jobs
from machnuoc.customers import reading_jobs as reading_jobs
from machnuoc.customers import request_jobs as request_jobs
