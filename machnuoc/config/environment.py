"""Strict readers of environment variables. A value that is not understood stops the program with a sentence."""

import contextlib
import os
import re
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit


class BadSetting(ValueError):
    """A setting has a value that the program does not accept; the text names the variable and the remedy."""


VARIABLES = {
    "MACHNUOC_DATA_DIR": "folder of the embedded database, files and the secret (default: ./data)",
    "MACHNUOC_DATABASE_URL": "empty for the embedded SQLite, or postgresql://user:password@host:port/name",
    "MACHNUOC_SECRET_KEY": "secret of at least 32 characters (default: made on first run, kept in the data folder)",
    "MACHNUOC_DEBUG": "1 shows error details; never on a server that others reach (default: 0)",
    "MACHNUOC_HOST": "address to listen on (default: 127.0.0.1)",
    "MACHNUOC_PORT": "port to listen on (default: 8000)",
    "MACHNUOC_ALLOWED_HOSTS": "names under which the site is reached, separated by commas (default: localhost)",
    "MACHNUOC_HTTPS": "1 when a front server gives HTTPS: cookies become Secure and HSTS is sent (default: 0)",
    "MACHNUOC_BEHIND_PROXY": "1 when a front server sets X-Forwarded-Proto and X-Forwarded-For (default: 0)",
    "MACHNUOC_UPLOAD_MAX_MB": "largest file that may be uploaded, in MB (default: 20)",
    "MACHNUOC_WEB_PROCESSES": "processes that answer requests (default: one a core, at most 2)",
    "MACHNUOC_WEB_THREADS": "threads of each of them (default: 2)",
    "MACHNUOC_RETENTION_SESSIONS_H": "hours after which a signed-in session ends (default: 12)",
    "MACHNUOC_RETENTION_PORTAL_DAYS": "days without a visit after which a customer signs in anew (default: 30)",
    "MACHNUOC_SIMULATED_CUSTOMERS": "most simulated customers a station of the demonstration (default: as planned)",
    "MACHNUOC_SIMULATED_DAYS": "days of history that simulated devices of the demonstration begin with (default: 40)",
    "MACHNUOC_RETENTION_HOT_DAYS": "days after its end until a month of readings goes into the archive (default: 62)",
    "MACHNUOC_RETENTION_READINGS_YEARS": "years after which archived readings are deleted; 0: never (default: 0)",
    "MACHNUOC_SOFFICE": "LibreOffice's program soffice, for PDF (default: looked for on this machine)",
    "MACHNUOC_SIGNING_P12": "certificate and key (.p12) that reports are signed with (default: one made for trying)",
    "MACHNUOC_SIGNING_PASSWORD_FILE": "file that holds the password of the certificate",
    "MACHNUOC_EMAIL_URL": "smtp://user:password@host:587, smtps://… for TLS from the start; empty: no e-mail",
    "MACHNUOC_EMAIL_FROM": "address that e-mail comes from (default: machnuoc@localhost)",
    "MACHNUOC_SITE_URL": "https address under which people reach the site, for links in messages; empty: none",
    "MACHNUOC_SMS_URL": "address of a message gateway that takes JSON {to, text, id}; empty: no SMS",
    "MACHNUOC_SMS_KEY": "bearer token of the message gateway",
    "MACHNUOC_ZALO_TOKEN": "access token of Zalo ZNS; empty: no Zalo",
    "MACHNUOC_ZALO_TEMPLATE": "number of the ZNS template, with the fields tieu_de and noi_dung",
    "MACHNUOC_ZALO_URL": "address of ZNS (default: Zalo's own)",
    "MACHNUOC_REPORT_PUSH_URL": "https address that reports are pushed to; empty: none",
    "MACHNUOC_REPORT_PUSH_KEY": "secret of at least 32 characters, shared with the receiver of pushed reports",
    "MACHNUOC_MQTT_URL": "mqtt://user:password@host:1883, mqtts://… for TLS; empty: a broker of our own",
    "MACHNUOC_MQTT_CA": "file of the authorities that the broker's certificate is held against (default: the system's)",
    "MACHNUOC_MQTT_CERT": "certificate with which ingest shows itself to the broker; empty: by password",
    "MACHNUOC_MQTT_KEY": "key of that certificate, where it is in a file of its own",
    "MACHNUOC_MQTT_HOST": "address that the program's own broker listens on (default: 127.0.0.1)",
    "MACHNUOC_MQTT_PORT": "port of the program's own broker (default: the first free one from 1883 on)",
    "MACHNUOC_MQTT_SHARED": "1 where several ingest processes share the messages (default: 0)",
    "MACHNUOC_MOSQUITTO": "Mosquitto's program (default: looked for on this machine; none: the small one for trying)",
    "MACHNUOC_EINVOICE_P12": "certificate and key (.p12) that signs e-invoices (default: one made for trying)",
    "MACHNUOC_EINVOICE_PASSWORD_FILE": "file that holds the password of that certificate",
    "MACHNUOC_EINVOICE_URL": "https address of the e-invoice provider's adapter; empty: nothing is sent",
    "MACHNUOC_EINVOICE_KEY": "secret of at least 32 characters, shared with the e-invoice provider",
    "MACHNUOC_EINVOICE_TAX_CODE": "tax code of the e-invoice provider (MSTTCGP)",
    "MACHNUOC_VNPAY": "vnpay://TMN_CODE:SECRET@sandbox.vnpayment.vn; empty: no payment through VNPAY",
    "MACHNUOC_MOMO": "momo://PARTNER_CODE:ACCESS_KEY:SECRET_KEY@test-payment.momo.vn; empty: none through MoMo",
    "MACHNUOC_ZALOPAY": "zalopay://APP_ID:KEY1:KEY2@sb-openapi.zalopay.vn; empty: none through ZaloPay",
    "MACHNUOC_METRICS_TOKEN": "at least 32 characters that open /metrics from elsewhere; empty: this machine only",
}


def read_text(name: str, default: str = "", *, environ: Mapping[str, str] | None = None) -> str:
    return (os.environ if environ is None else environ).get(name, default).strip()


def read_flag(name: str, default: bool = False, *, environ: Mapping[str, str] | None = None) -> bool:
    """Return True for 1/true/yes/on and False for 0/false/no/off. Raises BadSetting for anything else."""
    text = read_text(name, "1" if default else "0", environ=environ).lower()
    if text in {"1", "true", "yes", "on"}:
        return True
    if text in {"0", "false", "no", "off", ""}:
        return False
    raise BadSetting(f"{name}={text!r}: chỉ nhận 1 hoặc 0.")


def read_int(name: str, default: int, *, minimum: int, maximum: int, environ: Mapping[str, str] | None = None) -> int:
    text = read_text(name, str(default), environ=environ)
    try:
        number = int(text)
    except ValueError:
        raise BadSetting(f"{name}={text!r}: cần một số nguyên.") from None
    if not minimum <= number <= maximum:
        raise BadSetting(f"{name}={number}: phải nằm trong khoảng {minimum}–{maximum}.")
    return number


def read_names(name: str, default: str, *, environ: Mapping[str, str] | None = None) -> list[str]:
    names = [part.strip() for part in read_text(name, default, environ=environ).split(",") if part.strip()]
    if not names:
        raise BadSetting(f"{name}: cần ít nhất một tên.")
    return names


def read_database(data_dir: Path, *, environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return Django's settings of the main database: SQLite in data_dir, or the PostgreSQL that the URL names."""
    url = read_text("MACHNUOC_DATABASE_URL", environ=environ)
    if not url:
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": data_dir / "machnuoc.sqlite3",
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": 30,
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-65536;",
            },
            "CONN_MAX_AGE": None,
        }
    parts = urlsplit(url)
    if parts.scheme not in {"postgres", "postgresql"}:
        raise BadSetting("MACHNUOC_DATABASE_URL: chỉ nhận postgresql://… hoặc để trống để dùng SQLite nhúng.")
    name = unquote(parts.path.lstrip("/"))
    if not name:
        raise BadSetting("MACHNUOC_DATABASE_URL: thiếu tên cơ sở dữ liệu sau dấu / cuối cùng.")
    try:
        port = parts.port
    except ValueError:
        raise BadSetting("MACHNUOC_DATABASE_URL: cổng không phải là số.") from None
    options = dict(parse_qsl(parts.query))
    unknown = set(options) - {"sslmode", "sslrootcert", "host"}
    if unknown:
        raise BadSetting(f"MACHNUOC_DATABASE_URL: không hiểu tham số {', '.join(sorted(unknown))}.")
    host = options.pop("host", "") or (parts.hostname or "")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": host,
        "PORT": str(port or ""),
        # Compiling a query of many parts takes 100 ms and more; the queries of pages run for a few.
        "OPTIONS": {**options, "options": "-c jit=off"},
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    }


def read_email(*, environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return Django's settings of outgoing mail; EMAIL_HOST is empty where there is none. Raises BadSetting."""
    settings: dict[str, Any] = {
        "EMAIL_HOST": "",
        "DEFAULT_FROM_EMAIL": read_text("MACHNUOC_EMAIL_FROM", "machnuoc@localhost", environ=environ),
        "EMAIL_TIMEOUT": 30,
    }
    url = read_text("MACHNUOC_EMAIL_URL", environ=environ)
    if not url:
        return settings
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        raise BadSetting("MACHNUOC_EMAIL_URL: cổng không phải là số.") from None
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
        raise BadSetting("MACHNUOC_EMAIL_URL: viết như smtp://nguoi-dung:mat-khau@may-chu:587, hoặc để trống.")
    is_local = parts.hostname in {"localhost", "127.0.0.1", "::1"}
    return settings | {
        "EMAIL_HOST": parts.hostname,
        "EMAIL_PORT": port or (465 if parts.scheme == "smtps" else 587),
        "EMAIL_HOST_USER": unquote(parts.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
        "EMAIL_USE_SSL": parts.scheme == "smtps",
        "EMAIL_USE_TLS": parts.scheme == "smtp" and not is_local,
    }


def read_mqtt(*, environ: Mapping[str, str] | None = None) -> str:
    """Return the address of the province's broker, empty where the program starts its own. Raises BadSetting."""
    url = read_text("MACHNUOC_MQTT_URL", environ=environ)
    if not url:
        return ""
    parts = urlsplit(url)
    try:
        is_known = parts.scheme in {"mqtt", "mqtts"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise BadSetting("MACHNUOC_MQTT_URL: cổng không phải là số.") from None
    if not is_known or parts.path.strip("/") or parts.query:
        raise BadSetting("MACHNUOC_MQTT_URL: viết như mqtts://nguoi-dung:mat-khau@may-chu:8883, hoặc để trống.")
    return url


def read_gateway(name: str, keys: int, *, environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return (address, key, …) of a payment gateway, empty where there is none. Raises BadSetting.

    keys: how many keys stand before the host. The address is https, but for a stand-in on this machine.
    """
    text, scheme = read_text(name, environ=environ), name.removeprefix("MACHNUOC_").lower()
    if not text:
        return ()
    shape = f"{scheme}://{':'.join(f'KHOA{number + 1}' for number in range(keys))}@may-chu"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
        is_known = parts.scheme == scheme and bool(host) and not parts.path.strip("/") and not parts.query
        given = [unquote(part) for part in parts.netloc.rpartition("@")[0].split(":")]
    except ValueError:
        is_known, host, port, given = False, "", None, []
    if not is_known or len(given) != keys or not all(given):
        raise BadSetting(f"{name}: viết như {shape}, hoặc để trống.")
    is_local = host in {"localhost", "127.0.0.1", "::1"}
    return (f"{'http' if is_local else 'https'}://{host}{f':{port}' if port else ''}", *given)


def read_token(name: str, *, environ: Mapping[str, str] | None = None) -> str:
    """Return a secret, empty where there is none. Raises BadSetting if it is short."""
    text = read_text(name, environ=environ)
    if text and len(text) < 32:
        raise BadSetting(f"{name}: cần ít nhất 32 ký tự.")
    return text


def read_address(name: str, *, environ: Mapping[str, str] | None = None) -> str:
    """Return an http(s) address that the operator sets, empty where there is none. Raises BadSetting."""
    url = read_text(name, environ=environ)
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in {"https", "http"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_address = False
    if not is_address:
        raise BadSetting(f"{name}={url!r}: viết như https://vi-du.vn/duong-dan, hoặc để trống.")
    return url


def read_push(*, environ: Mapping[str, str] | None = None) -> tuple[str, str]:
    """Return address and key of the receiver of pushed reports, both empty where there is none. Raises BadSetting."""
    url = read_text("MACHNUOC_REPORT_PUSH_URL", environ=environ)
    key = read_text("MACHNUOC_REPORT_PUSH_KEY", environ=environ)
    if not url:
        return "", ""
    parts = urlsplit(url)
    is_local = parts.hostname in {"localhost", "127.0.0.1", "::1"}
    if not parts.hostname or parts.scheme not in {"https", "http"} or (parts.scheme == "http" and not is_local):
        raise BadSetting("MACHNUOC_REPORT_PUSH_URL: chỉ nhận https://… (hoặc http:// đến chính máy này).")
    if len(key) < 32:
        raise BadSetting("MACHNUOC_REPORT_PUSH_KEY: cần ít nhất 32 ký tự khi đặt MACHNUOC_REPORT_PUSH_URL.")
    return url, key


def read_einvoice(*, environ: Mapping[str, str] | None = None) -> tuple[str, str, str]:
    """Return address, key and tax code of the e-invoice provider, all empty where there is none. Raises BadSetting."""
    url = read_address("MACHNUOC_EINVOICE_URL", environ=environ)
    key = read_token("MACHNUOC_EINVOICE_KEY", environ=environ)
    tax_code = read_text("MACHNUOC_EINVOICE_TAX_CODE", environ=environ)
    parts = urlsplit(url)
    if url and parts.scheme == "http" and parts.hostname not in {"localhost", "127.0.0.1", "::1"}:
        raise BadSetting("MACHNUOC_EINVOICE_URL: chỉ nhận https://… (hoặc http:// đến chính máy này).")
    if url and not key:
        raise BadSetting("MACHNUOC_EINVOICE_KEY: cần ít nhất 32 ký tự khi đặt MACHNUOC_EINVOICE_URL.")
    if tax_code and not re.fullmatch("[0-9]{10}(-[0-9]{3})?", tax_code, re.ASCII):
        raise BadSetting(f"MACHNUOC_EINVOICE_TAX_CODE={tax_code!r}: mã số thuế có 10 chữ số, hoặc 10-3 chữ số.")
    return url.rstrip("/"), key, tax_code


def read_secret(data_dir: Path, *, environ: Mapping[str, str] | None = None) -> str:
    """Return the secret of the environment or of data_dir/secret.key, which is made on first use with mode 600."""
    text = read_text("MACHNUOC_SECRET_KEY", environ=environ)
    if text:
        if len(text) < 32:
            raise BadSetting("MACHNUOC_SECRET_KEY: cần ít nhất 32 ký tự.")
        return text
    path = data_dir / "secret.key"
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        # Two processes may start at once: the whole file appears in one step, and the first one's stays.
        handle, draft = tempfile.mkstemp(dir=data_dir, prefix=".secret-")  # mode 600
        try:
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(secrets.token_urlsafe(48))
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
        finally:
            os.unlink(draft)
    text = path.read_text(encoding="utf-8", errors="replace").strip()
    if len(text) < 32:
        raise BadSetting(f"{path}: khóa bí mật hỏng. Xóa tệp này để tạo khóa mới (mọi người phải đăng nhập lại).")
    return text
