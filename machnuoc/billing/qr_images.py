"""Codes to scan as pictures: VietQR for paying, plain codes for addresses. By segno; no network."""

import io

import segno

from machnuoc.billing import vietqr
from machnuoc.billing.models import Bill, BillingProfile

QUIET_MODULES = 4  # what the standard asks for around a code


def payload_of(bill: Bill, profile: BillingProfile, amount_vnd: int) -> str:
    """Return the text of the code that pays so much of a bill. Raises vietqr.NotVietQR, vietqr.AmountTooLarge."""
    return vietqr.encode(
        vietqr.for_bill(
            bank_bin=profile.bank_bin,
            account=profile.bank_account,
            account_name=profile.bank_account_name or profile.legal_name,
            amount_vnd=amount_vnd,
            bill_id=bill.pk,
        )
    )


def as_svg(payload: str, *, title: str = "") -> str:
    """Return a code as an SVG element that fills its frame, black on white in every colour scheme."""
    out = io.BytesIO()
    _make(payload).save(
        out,
        kind="svg",
        border=QUIET_MODULES,
        xmldecl=False,
        svgns=True,
        omitsize=True,
        light="#fff",
        title=title or None,
    )
    return out.getvalue().decode()


def as_png(payload: str, *, scale: int = 8) -> bytes:
    """Return a code as PNG, so many pixels a module."""
    out = io.BytesIO()
    _make(payload).save(out, kind="png", border=QUIET_MODULES, scale=scale)
    return out.getvalue()


def _make(payload: str) -> segno.QRCode:
    # Level M: a fold or a stain on paper may cover 15 %. Trying all eight masks takes four fifths of the time and
    # changes nothing for readers; the chequered one (0) is even by itself.
    return segno.make(payload, error="m", micro=False, boost_error=False, mask=0)
