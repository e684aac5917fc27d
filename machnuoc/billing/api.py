"""The API of the room: each part adds its operations to this router."""

from ninja import Router

router = Router(tags=["Hóa đơn và thu tiền"])

from machnuoc.billing import tariff_api as tariff_api  # noqa: E402 - they add to the router
