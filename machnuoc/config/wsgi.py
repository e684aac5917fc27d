"""The WSGI application that granian serves."""

import gc
import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "machnuoc.config.settings")
application = get_wsgi_application()

# What start-up made stays: never walk it again. A page makes some ten thousand objects and leaves no circles to speak
# of, so look for circles seldom: a full collection in the middle of a page was a tenth of a second.
gc.collect()
gc.freeze()
gc.set_threshold(50_000, 20, 50)
