"""The API of the room: each part adds its operations to this router."""

from ninja import Router

router = Router(tags=["Khách hàng"])
