"""What meters and readings add to the page of a connection."""

from machnuoc.core.models import Person
from machnuoc.core.panels import Panel
from machnuoc.customers import reading_desk, reading_queries, visibility
from machnuoc.customers.models import Connection, Reading

_SHOWN = 8


def for_connection(person: Person, connection: Connection) -> list[Panel]:
    """Return the section of the meter, its use and its last readings."""
    fittings = list(connection.fittings.select_related("meter").order_by("installed_at", "pk"))
    readings = list(Reading.objects.filter(connection=connection).order_by("-read_at", "-pk"))
    uses = reading_queries.month_uses_of(fittings, readings, months=13)
    volumes = [None if one.volume_l is None else one.volume_l / 1000 for one in uses]
    context = {
        "connection": connection,
        "fittings": fittings[::-1], "readings": readings[:_SHOWN], "uses": list(reversed(uses)),
        "chart": {
            "type": "bar", "unit": "m³", "categories": [f"{one.period_start_date:%m/%Y}" for one in uses],
            "series": [{"name": "Nước đã dùng", "values": volumes}],
        } if uses else None,
        "may_read": visibility.may_work(person, "read_meters", connection.work_id),
        "serves": visibility.may(person, "serve", connection), "waiting": reading_desk.WAITING,
    }  # fmt: skip
    return [Panel("Đồng hồ và chỉ số", "customers/meters/connection_panel.html", context, order=20)]
