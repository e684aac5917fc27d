"""Signing in by a code of six digits, sent to the phone or e-mail that a contract or an application names.

What a stranger learns is the same for every address: the request writes one row and queues one job, whether or not
anybody is known by it; the job looks, makes the code and sends it. A code is good for the browser that asked for it,
once, for ten minutes and five tries. It stands nowhere in clear but in the message on its way.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import connection, transaction
from django.db.models import F
from django.utils.crypto import constant_time_compare, salted_hmac

from machnuoc.core import jobs, sending
from machnuoc.core.models import Person, Sending
from machnuoc.customers import connection_operations
from machnuoc.portal import links
from machnuoc.portal.errors import PortalError
from machnuoc.portal.models import PortalAccount, SignInCode

TASK = "portal.send_code"
DIGITS = 6
LIFE = timedelta(minutes=10)
MOST_TRIES = 5
AN_HOUR_FROM_ONE = 5  # of one address, asked for from one place: others cannot lock its owner out so soon
AN_HOUR_AN_ADDRESS, A_DAY_AN_ADDRESS = 10, 30
AN_HOUR_A_CALLER = 30  # behind one address of a mobile operator there are many phones
KEEP = timedelta(days=1)
SIMULATED_PHONES = "0000"  # no number of Vietnam begins so: nobody real owns what demonstrations use


class BadAddress(PortalError):
    """What was typed is neither a phone number nor an e-mail."""


class TooMany(PortalError):
    """Too many codes were asked for, of this address or from this place."""


class WrongCode(PortalError):
    """The code is not the one that was sent, is over, or was tried too often."""


@dataclass(frozen=True)
class Asked:
    """What became of a request for a code. shown: the code itself, for simulated customers of a demonstration alone."""

    row: SignInCode
    shown: str = ""


def read_address(text: str) -> str:
    """Return a phone in national form or an e-mail in small letters. Raises BadAddress.

    >>> read_address("+84 905 123 456"), read_address(" An@Vi-Du.vn ")
    ('0905123456', 'an@vi-du.vn')
    """
    plain = text.strip()
    if "@" in plain:
        try:
            validate_email(plain)
        except ValidationError:
            raise BadAddress("Thư điện tử chưa đúng. Ghi dạng ten@vi-du.vn.") from None
        return plain.lower()[:254]
    try:
        phone = connection_operations.read_phone(plain)
    except connection_operations.RecordError:
        phone = ""
    if not sending.phone_84(phone):
        raise BadAddress("Ghi số điện thoại di động gồm 10 chữ số, ví dụ 0905123456, hoặc địa chỉ thư điện tử.")
    return phone


def channel_of(address: str) -> str:
    """Return by which channel a code goes."""
    return Sending.Channel.EMAIL if "@" in address else sending.phone_channel()


def ask(address: str, *, caller: str, now: datetime) -> Asked:
    """Ask for a code for an address of `read_address`. caller: what stands for the network address of who asks.

    Raises TooMany. The answer is the same for known and unknown addresses, but for simulated customers.
    """
    with transaction.atomic():
        _wait_for_others(address, caller)
        _check_limits(address, caller, now)
        row = SignInCode.objects.create(
            address=address, code_hash="", made_at=now, expires_at=now + LIFE, from_ip_hash=caller
        )
        if may_be_shown(address, now):
            return Asked(row, _make(row))
        jobs.enqueue(TASK, code_id=row.pk)
    return Asked(row)


def _wait_for_others(*names: str) -> None:
    """Let one request at a time count what there is of an address and of a caller, until it is committed.

    SQLite begins the transaction as the one that writes. In one order, so that no two wait for each other.
    """
    if connection.vendor != "postgresql":
        return
    keys = sorted({int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True) for name in names})
    with connection.cursor() as cursor:
        for key in keys:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [key])


def _check_limits(address: str, caller: str, now: datetime) -> None:
    day = SignInCode.objects.filter(made_at__gt=now - timedelta(days=1))
    hour = day.filter(made_at__gt=now - timedelta(hours=1))
    own = list(day.filter(address=address).values_list("made_at", "from_ip_hash")[: A_DAY_AN_ADDRESS + 1])
    lately = [by for at, by in own if at > now - timedelta(hours=1)]
    if lately.count(caller) >= AN_HOUR_FROM_ONE or len(lately) >= AN_HOUR_AN_ADDRESS or len(own) >= A_DAY_AN_ADDRESS:
        raise TooMany("Đã gửi nhiều mã cho địa chỉ này. Dùng mã gửi gần nhất, hoặc thử lại sau ít nhất một giờ.")
    if hour.filter(from_ip_hash=caller).count() >= AN_HOUR_A_CALLER:
        raise TooMany("Từ nơi bạn đang dùng mạng đã có nhiều yêu cầu mã. Thử lại sau một giờ.")


def may_be_shown(address: str, now: datetime) -> bool:
    """Return whether a page may show the code itself: where nobody real can be meant.

    All of these: a number that no real phone has, whose every connection, customer and application is simulated, in
    an installation that holds a demonstration, while no channel is set up that could carry the code.
    """
    if not address.startswith(SIMULATED_PHONES) or sending.is_configured(channel_of(address)):
        return False
    if not Person.objects.filter(is_demo=True).exists():
        return False
    return links.is_simulated(address, now)


def send(code_id: int, now: datetime) -> str:
    """Make the code of a request and send it, if the address opens anything; return what was done, without the address.

    A second run does nothing.
    """
    with transaction.atomic():
        row = SignInCode.objects.select_for_update().filter(pk=code_id, code_hash="", expires_at__gt=now).first()
        if row is None or not links.opens(row.address, now):
            return "Không có gì để gửi."
        channel = channel_of(row.address)
        sending.queue(
            key=f"portal-code:{row.pk}", channel=channel, title="Mã đăng nhập cổng khách hàng nước sạch",
            text=f"{_make(row)}. Dùng trong 10 phút. Không đưa mã cho bất kỳ ai.", now=now,
            address=row.address if channel == Sending.Channel.EMAIL else sending.phone_84(row.address), is_secret=True,
            expires_at=row.expires_at,
        )  # fmt: skip
    return "Đã chuyển một mã sang hàng chờ gửi."


def prune(now: datetime) -> int:
    """Delete requests for codes of long ago, and return how many."""
    return SignInCode.objects.filter(made_at__lt=now - KEEP).delete()[0]


def _make(row: SignInCode) -> str:
    """Make the code of a row, keep its hash, and return it."""
    code = f"{secrets.randbelow(10**DIGITS):0{DIGITS}}"
    SignInCode.objects.filter(pk=row.pk).update(code_hash=_hash(row.pk, code))
    return code


def _hash(pk: int, code: str) -> str:
    return salted_hmac("portal.codes", f"{pk}:{code}", algorithm="sha256").hexdigest()


def find_live(pk: object, now: datetime) -> SignInCode | None:
    """Return the request for a code that a browser made, while a code of it could still be good."""
    if not isinstance(pk, int):
        return None
    return SignInCode.objects.filter(pk=pk, used_at__isnull=True, expires_at__gt=now, tries__lt=MOST_TRIES).first()


def redeem(row: SignInCode, text: str, now: datetime) -> PortalAccount:
    """Take the code that was typed and return whose it is, with what is theirs today. Raises WrongCode.

    Every try counts before it is looked at, so that tries side by side are five too.
    """
    live = SignInCode.objects.filter(pk=row.pk, used_at__isnull=True, expires_at__gt=now)
    if not live.filter(tries__lt=MOST_TRIES).update(tries=F("tries") + 1):
        raise WrongCode("Mã đã hết hạn hoặc đã nhập sai quá năm lần. Yêu cầu mã mới.")
    row.refresh_from_db()
    typed = "".join(char for char in text if char.isascii() and char.isdigit())
    is_right = constant_time_compare(row.code_hash, _hash(row.pk, typed))
    if not is_right or not row.code_hash:
        left = MOST_TRIES - row.tries
        raise WrongCode(
            f"Mã không đúng. Còn {left} lần nhập." if left else "Mã không đúng, đã hết lượt nhập. Yêu cầu mã mới."
        )
    with transaction.atomic():
        if not live.update(used_at=now):
            raise WrongCode("Mã đã được dùng. Yêu cầu mã mới.")
        account, _ = PortalAccount.objects.get_or_create(address=row.address, defaults={"created_at": now})
        if not account.is_active:
            raise WrongCode("Tài khoản này đã bị khóa. Liên hệ đơn vị cấp nước.")
        links.refresh(account, now)
        account.is_demo = links.is_simulated(row.address, now)
        account.save(update_fields=["is_demo"])
    return account
