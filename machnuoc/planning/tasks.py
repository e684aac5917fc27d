"""Background work of planning, found at start-up: each area registers its own in <area>_jobs.py."""
