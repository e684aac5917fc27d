"""A worker as a process of its own, on the database of the tests, with tasks that show how they were run.

Usage: python worker_process.py NAME_OF_DATABASE FOLDER
"""

import os
import sys
import time
from pathlib import Path


def main(database: str, folder: Path) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "machnuoc.config.settings")
    import django
    from django.conf import settings

    settings.DATABASES["default"]["NAME"] = database
    django.setup()
    from django.core.management import call_command

    from machnuoc.core import jobs

    call_command("migrate", verbosity=0)  # what rooms keep outside the main database is in a data folder of its own

    @jobs.task("test.hang", timeout_s=60)
    def hang(job):
        (folder / f"started-{job.pk}-{job.attempts}").touch()
        time.sleep(60)

    @jobs.task("test.touch", timeout_s=60)
    def touch(job, name):
        with (folder / name).open("a", encoding="ascii") as file:
            file.write(f"{os.getpid()}\n")

    @jobs.task("test.seal", timeout_s=60)
    def seal(job):
        from django.utils import timezone

        from machnuoc.core import audit

        audit.seal(timezone.now())

    (folder / f"ready-{os.getpid()}").touch()
    jobs.run_worker()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
