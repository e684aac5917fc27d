"""PAdES signatures on the PDF of a report, by pyHanko, with the certificate of the settings or one made for trying.

The certificate made for trying names itself «CHỨNG THƯ THỬ NGHIỆM» in the certificate and on the page: it proves that
the bytes have not changed since this installation signed them, and nothing about who signed.
"""

import io
import os
import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.conf import settings

from machnuoc.core.periods import LOCAL_ZONE
from machnuoc.reports.errors import ReportsError

TEST_NAME = "CHỨNG THƯ THỬ NGHIỆM"
_FONTS = (
    "/usr/share/fonts/truetype/croscore/Tinos-Regular.ttf",
    "/usr/share/fonts/truetype/msttcorefonts/Times_New_Roman.ttf",
    "/usr/share/fonts/truetype/dejavu/DejaVuSerif.ttf",
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
)


class CannotSign(ReportsError):
    """The certificate of the settings cannot be used."""


@dataclass(frozen=True)
class Signed:
    """A signed PDF. is_test: by the certificate made for trying."""

    content: bytes
    is_test: bool
    signer: str


def sign(pdf: bytes, *, signer_name: str, reason: str, now: datetime) -> Signed:
    """Return the PDF with a PAdES-B signature, shown on page 1 at the top right as the decree asks of separate files.

    Raises CannotSign where the certificate or its password does not open.
    """
    from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
    from pyhanko.sign import fields, signers

    signer, is_test = _load_signer(now)
    output = io.BytesIO()
    writer = IncrementalPdfFileWriter(io.BytesIO(pdf))
    metadata = signers.PdfSignatureMetadata(
        field_name="ChuKySo", subfilter=fields.SigSeedSubFilter.PADES, reason=reason, name=signer_name,
        location="Việt Nam", md_algorithm="sha256",
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        style = _style(signer_name, is_test, now, Path(folder))
        box = (315, 804, 585, 838) if style is not None else None
        field = fields.SigFieldSpec(sig_field_name="ChuKySo", on_page=0, box=box)
        maker = signers.PdfSigner(metadata, signer, stamp_style=style, new_field_spec=field)
        maker.sign_pdf(writer, output=output)
    return Signed(output.getvalue(), is_test, signer_name)


@cache
def _stamp_font(path: str) -> bytes:
    """Return the font with 1,000 units to the em: the library writes widths unscaled, which a PDF takes for these."""
    from fontTools.ttLib import TTFont
    from fontTools.ttLib.scaleUpem import scale_upem

    font = TTFont(path)
    scale_upem(font, 1000)
    output = io.BytesIO()
    font.save(output)
    return output.getvalue()


def _style(signer_name: str, is_test: bool, now: datetime, folder: Path) -> Any:
    """Return what is shown: who, when (ISO 8601 with the zone of Viet Nam), and that it is for trying, if it is.

    folder: takes the font for as long as the PDF is being signed.
    """
    from pyhanko.pdf_utils.font import opentype
    from pyhanko.pdf_utils.text import TextBoxStyle
    from pyhanko.stamp import TextStampStyle

    font = next((path for path in _FONTS if Path(path).exists()), None)
    if font is None:
        return None  # no font that has Vietnamese letters: the signature is there, but not drawn
    file = folder / "stamp.ttf"
    file.write_bytes(_stamp_font(font))
    at = now.astimezone(LOCAL_ZONE).isoformat(timespec="seconds")
    first = f"{TEST_NAME}, KHÔNG CÓ GIÁ TRỊ PHÁP LÝ\n" if is_test else ""
    return TextStampStyle(
        stamp_text=f"{first}Ký bởi: {signer_name}\nThời gian ký: {at}",
        text_box_style=TextBoxStyle(font=opentype.GlyphAccumulatorFactory(str(file)), font_size=8),
        border_width=1 if is_test else 0,
    )


def _simple_signer() -> Any:
    from pyhanko.sign import signers  # slow to import, and only the worker signs

    return signers.SimpleSigner


def _load_signer(now: datetime) -> tuple[Any, bool]:
    if settings.SIGNING_P12:
        password = b""
        if settings.SIGNING_PASSWORD_FILE:
            try:
                password = Path(settings.SIGNING_PASSWORD_FILE).read_bytes().strip()
            except OSError as reason:
                raise CannotSign(
                    f"Không đọc được tệp mật khẩu chứng thư {settings.SIGNING_PASSWORD_FILE} ({reason.strerror}). "
                    "Kiểm tra MACHNUOC_SIGNING_PASSWORD_FILE."
                ) from None
        signer = _simple_signer().load_pkcs12(settings.SIGNING_P12, passphrase=password or None)
        if signer is None:
            raise CannotSign(
                f"Không mở được chứng thư {settings.SIGNING_P12}: sai mật khẩu hoặc tệp hỏng. "
                "Kiểm tra MACHNUOC_SIGNING_P12 và MACHNUOC_SIGNING_PASSWORD_FILE."
            )
        return signer, False
    key, certificate = test_certificate(now)
    signer = _simple_signer().load(str(key), str(certificate))
    if signer is None:
        raise CannotSign(f"Chứng thư thử nghiệm ở {key.parent} bị hỏng. Xóa thư mục đó để tạo lại.")
    return signer, True


def test_certificate(now: datetime) -> tuple[Path, Path]:
    """Return key and certificate for trying, made on first use in the data folder (mode 600)."""
    folder = settings.DATA_DIR / "signing"
    key_path, certificate_path = folder / "test-key.pem", folder / "test-certificate.pem"
    if key_path.exists() and certificate_path.exists():
        return key_path, certificate_path
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, TEST_NAME),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Mạch Nước, không có giá trị pháp lý"),
            x509.NameAttribute(NameOID.COUNTRY_NAME, "VN"),
        ]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True, content_commitment=True, key_encipherment=False, data_encipherment=False,
                key_agreement=False, key_cert_sign=True, crl_sign=False, encipher_only=False, decipher_only=False,
            ),
            critical=True,
        )
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    _write(certificate_path, certificate.public_bytes(serialization.Encoding.PEM))
    _write(
        key_path,
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
    return key_path, certificate_path


def _write(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
