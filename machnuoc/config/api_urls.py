"""The API of the program, version 1: every room's router, one way of signing in, one form of errors."""

from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.urls import URLPattern, URLResolver
from django.views.decorators.http import conditional_page, require_safe
from ninja import NinjaAPI

from machnuoc.billing.api import router as billing_router
from machnuoc.billing.errors import BillingError
from machnuoc.core import api as shared
from machnuoc.customers.api import router as customers_router
from machnuoc.customers.errors import CustomersError
from machnuoc.indicators import entry
from machnuoc.indicators.api import router as indicators_router
from machnuoc.indicators.operations import IndicatorsError
from machnuoc.places.api import router as places_router
from machnuoc.places.operations import PlacesError
from machnuoc.planning.duty_api import router as duties_router
from machnuoc.planning.errors import PlanningError
from machnuoc.planning.plan_api import router as plans_router
from machnuoc.planning.programme_api import router as programmes_router
from machnuoc.planning.project_api import router as projects_router
from machnuoc.planning.task_api import router as tasks_router
from machnuoc.reports.api import router as reports_router
from machnuoc.reports.errors import ReportsError
from machnuoc.telemetry.alarm_operations import AlarmError
from machnuoc.telemetry.device_api import router as telemetry_router
from machnuoc.works.api import router as works_router


class Api(NinjaAPI):
    """The API, whose description names the errors too."""

    def get_openapi_schema(self, **where: Any) -> Any:
        schema = super().get_openapi_schema(**where)
        shared.describe_problems(schema)
        return schema


api = Api(
    title="Mạch Nước",
    version="1",
    description=(
        "Công trình cấp nước, địa bàn, chỉ tiêu và nguồn gốc của từng số liệu. "
        "Số liệu có trạng thái SIMULATED là số liệu mô phỏng."
    ),
    auth=[shared.Token(), shared.Session()],
    docs_url=None,
    urls_namespace="api",
)
_EXPECTED = (
    IndicatorsError, PlacesError, entry.EntryError, PlanningError, ReportsError, AlarmError, CustomersError,
    BillingError,
)  # fmt: skip
shared.add_error_answers(api, expected=_EXPECTED)
api.add_router("", places_router)
api.add_router("", works_router)
api.add_router("", indicators_router)
api.add_router("", tasks_router)
api.add_router("", projects_router)
api.add_router("", plans_router)
api.add_router("", duties_router)
api.add_router("", programmes_router)
api.add_router("", reports_router)
api.add_router("", telemetry_router)
api.add_router("", customers_router)
api.add_router("", billing_router)


def _open(patterns: list[URLPattern | URLResolver]) -> list[URLPattern | URLResolver]:
    """Return the patterns with ETags, and without the redirect to the sign-in page: the API answers 401 itself."""
    for pattern in patterns:
        if isinstance(pattern, URLPattern):
            csrf_exempt = getattr(pattern.callback, "csrf_exempt", False)
            # Each operation knows its methods; the address of the description would take any.
            known = pattern.callback if pattern.name != "openapi-json" else require_safe(pattern.callback)
            view = shared.answer_wrong_method(known)
            pattern.callback = login_not_required(conditional_page(view))
            pattern.callback.csrf_exempt = csrf_exempt  # type: ignore[attr-defined]
    return patterns


urlpatterns, _, app_name = api.urls
urlpatterns = _open(urlpatterns)
