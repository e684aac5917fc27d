"""The API of the room: each part adds its operations to this router."""

from ninja import Router

router = Router(tags=["Khách hàng"])

# Each part registers its operations when it is imported, after the router is there.
from machnuoc.customers import connection_api as connection_api  # noqa: E402
from machnuoc.customers import reading_api as reading_api  # noqa: E402
from machnuoc.customers import request_api as request_api  # noqa: E402
