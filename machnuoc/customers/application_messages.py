"""What who applies for a connection is told outside their page: that a quote or an answer is there, what became of it.

Only what a person of the unit did is told, as with requests: a form that names somebody's phone sends nothing to it.
A message names the application and says that there is news; what the news is stands on the page behind the sign-in.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.urls import reverse

from machnuoc.core import sending
from machnuoc.core.models import Sending
from machnuoc.customers.models import Application, ApplicationMessage, ApplicationStep

_NEWS = {
    Application.Stage.QUOTED: "đã có báo giá lắp đặt, mời xem và trả lời.",
    Application.Stage.INSTALLED: "đã lắp đặt xong, nước đã mở.",
    Application.Stage.REFUSED: "chưa thực hiện được, mời xem lý do.",
}
_ANSWERED = "có tin nhắn mới của đơn vị cấp nước."
_FRESH = timedelta(days=7)  # a step typed in later than that is no news
_ERASED = "(đã xóa)"
Row = ApplicationStep | ApplicationMessage


def tell_step(one: Application, step: ApplicationStep, *, now: datetime) -> None:
    """Tell who applies of a step that concerns them, if a person took it just now."""
    if step.by_id is not None and step.stage in _NEWS and step.at >= now - _FRESH:
        _tell(one, key_of(step), _NEWS[Application.Stage(step.stage)], now)


def tell_answer(one: Application, said: ApplicationMessage, *, now: datetime) -> None:
    """Tell who applies that they were written to."""
    _tell(one, key_of(said), _ANSWERED, now)


def key_of(row: Row) -> str:
    return f"application:{row.application_id}:{'step' if isinstance(row, ApplicationStep) else 'said'}:{row.pk}"


def _tell(one: Application, key: str, news: str, now: datetime) -> None:
    channel, address = sending.reach(one.phone, one.email)
    if one.is_simulated or not address:
        return  # there is nobody, or no way to them: the page of the application says so
    operator = one.work.operator.subject.name if one.work.operator else one.work.subject.name
    url = reverse("portal:application_detail", args=[one.code])
    text = f"{operator}: {news} Đăng nhập trang khách hàng bằng số hoặc địa chỉ nhận tin này."
    sending.queue(
        key=key, channel=channel, title=f"Đề nghị lắp nước {one.code}", now=now, address=address, url=url,
        text=sending.with_link(text, url, channel),
    )  # fmt: skip


def told_of(rows: Iterable[Row]) -> dict[str, Sending]:
    """Return the messages that went out about steps and answers, by `key_of` what each was about."""
    return {one.key: one for one in Sending.objects.filter(key__in=[key_of(row) for row in rows])}


def is_reached(one: Application) -> bool:
    """Return whether there is a number or an address that messages can go to."""
    return bool(sending.reach(one.phone, one.email)[1])


def forget_addresses(application_ids: Sequence[int]) -> None:
    """Take addresses out of the messages about applications, part of the erasure of a customer's data."""
    for pk in application_ids:  # by their beginning: steps that were taken back have told too
        Sending.objects.filter(key__startswith=f"application:{pk}:").update(address=_ERASED)
