"""The certificate that electronic invoices are signed with: of the settings, or one made for trying."""

import contextlib
import os
import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID
from django.conf import settings

from machnuoc.billing.errors import BillingError

TEST_NAME = "CHỨNG THƯ THỬ NGHIỆM HÓA ĐƠN"
_TEST_FILE = "signing/einvoice-test.pem"  # key and certificate


class CannotSign(BillingError):
    """The certificate of the settings cannot be used."""


@dataclass(frozen=True)
class Signer:
    """A key and its certificate. is_test: made by the program itself, without any value in law."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate
    is_test: bool

    @property
    def name(self) -> str:
        found = self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(found[0].value) if found else self.certificate.subject.rfc4514_string()

    @property
    def fingerprint(self) -> str:
        return self.certificate.fingerprint(hashes.SHA256()).hex()


def load(now: datetime) -> Signer:
    """Return what invoices are signed with at a moment. Raises CannotSign, also when the certificate has run out."""
    if not settings.EINVOICE_P12:
        return load_test(now)
    signer = _load_p12(settings.EINVOICE_P12, settings.EINVOICE_PASSWORD_FILE)
    certificate = signer.certificate
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise CannotSign(
            f"Chứng thư «{signer.name}» chỉ có giá trị từ {certificate.not_valid_before_utc:%d/%m/%Y} đến "
            f"{certificate.not_valid_after_utc:%d/%m/%Y}. Gia hạn rồi thay tệp ở MACHNUOC_EINVOICE_P12."
        )
    return signer


def load_test(now: datetime) -> Signer:
    """Return the certificate made for trying, made on first use in the data folder (mode 600). Raises CannotSign."""
    path: Path = settings.DATA_DIR / _TEST_FILE
    if not path.exists():
        _make_test(path, now)
    return _load_test(path)


@cache
def _load_p12(path: str, password_file: str) -> Signer:
    try:
        password = Path(password_file).read_bytes().strip() if password_file else None
        key, certificate, _ = pkcs12.load_key_and_certificates(Path(path).read_bytes(), password or None)
    except OSError as reason:
        raise CannotSign(
            f"Không đọc được {reason.filename} ({reason.strerror}). Kiểm tra MACHNUOC_EINVOICE_P12 và "
            "MACHNUOC_EINVOICE_PASSWORD_FILE."
        ) from None
    except ValueError:
        raise CannotSign(
            f"Không mở được chứng thư {path}: sai mật khẩu hoặc tệp hỏng. Kiểm tra MACHNUOC_EINVOICE_P12 và "
            "MACHNUOC_EINVOICE_PASSWORD_FILE."
        ) from None
    if not isinstance(key, rsa.RSAPrivateKey) or certificate is None:
        raise CannotSign(f"Tệp {path} không có đủ khóa RSA và chứng thư. Xuất lại tệp .p12 kèm khóa bí mật.")
    return Signer(key, certificate, is_test=False)


@cache
def _load_test(path: Path) -> Signer:
    broken = f"Chứng thư thử nghiệm {path} bị hỏng. Xóa tệp này để tạo lại."
    try:
        content = path.read_bytes()
        key = serialization.load_pem_private_key(content, None)
        certificate = x509.load_pem_x509_certificate(content)
    except (OSError, ValueError):
        raise CannotSign(broken) from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise CannotSign(broken)
    return Signer(key, certificate, is_test=True)


def _make_test(path: Path, now: datetime) -> None:
    """Make key and certificate in one step: of two processes that start at once the first one's stay."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = rsa.generate_private_key(65_537, 2_048)
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
        .not_valid_before(now - timedelta(days=3_650))  # simulated bills are signed as of their month
        .not_valid_after(now + timedelta(days=3_650))
        .sign(key, hashes.SHA256())
    )
    content = certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=".einvoice-")  # mode 600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.unlink(draft)
