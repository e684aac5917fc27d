"""The API of the room: each part adds its operations to this router."""

from ninja import Router

router = Router(tags=["Hóa đơn và thu tiền"])

from machnuoc.billing import bill_api as bill_api  # noqa: E402 - they add to the router
from machnuoc.billing import einvoice_api as einvoice_api  # noqa: E402
from machnuoc.billing import payment_api as payment_api  # noqa: E402
from machnuoc.billing import tariff_api as tariff_api  # noqa: E402
