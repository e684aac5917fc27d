"""The broker that devices publish to: who may speak to it, and the one that the program starts itself.

Rights are files that Mosquitto reads (password_file, acl_file), written from the table of credentials: a device writes
below `machnuoc/v1/{its code}/` and nowhere else, and reads nothing; the receiver reads; ChirpStack writes the uplinks
of its nodes. A province gives the files to its own broker (`machnuoc broker files`). Otherwise `machnuoc broker`
starts one: Mosquitto where it is installed, else amqtt inside Python (docs/adr/0007-broker.md: what that cannot do).
"""

import base64
import hashlib
import hmac
import json
import logging
import os
import re
import secrets
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.db import InterfaceError, OperationalError, connections
from django.utils import timezone

from machnuoc.telemetry import payloads
from machnuoc.telemetry.models import Credential, Device

logger = logging.getLogger(__name__)

ROOT_TOPIC = "machnuoc/v1"
RECEIVER = "machnuoc-ingest"  # user name of `machnuoc ingest`
CHIRPSTACK = "machnuoc-chirpstack"
SIMULATOR = "machnuoc-simulator"
GROUP = "machnuoc"  # of the shared subscription of all receivers
LARGEST_MESSAGE_BYTES = 16 * 1024 * 1024  # beyond what a decoder takes, so that the ledger knows of the refusal
LOOK_EVERY_S = 2.0  # so soon a new credential opens the broker, and a revoked or expired one closes it
_ITERATIONS = 101  # as mosquitto_passwd: our secrets are long and random, so a hash needs not be slow
_SPEAKABLE = re.compile(r"[a-z0-9][a-z0-9_-]*")
_DEFAULT_PORT = 1883
_PORTS_TRIED = 100


class NoBroker(Exception):
    """There is no broker to speak to; the text says what to do."""


@dataclass(frozen=True)
class Address:
    """Where the broker is and as whom the receiver speaks to it. is_mqtt5: False where only MQTT 3.1.1 works."""

    host: str
    port: int
    user: str
    password: str
    is_tls: bool = False
    is_mqtt5: bool = True

    def shown(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.is_tls else 'mqtt'}://{host}:{self.port}"


@dataclass(frozen=True)
class Right:
    """One user of the broker: hash of the password as Mosquitto keeps it, and topics."""

    user: str
    password_hash: str
    writes: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()


# --- secrets --------------------------------------------------------------------------------------------------------


def hash_password(secret: str, salt: bytes | None = None) -> str:
    """Return the secret as Mosquitto 2 keeps it: $7$, PBKDF2 with SHA-512."""
    salt = salt or secrets.token_bytes(12)
    made = hashlib.pbkdf2_hmac("sha512", secret.encode(), salt, _ITERATIONS, 64)
    return f"$7${_ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(made).decode()}"


def is_password(secret: str, password_hash: str) -> bool:
    """Return whether the hash, as hash_password makes it, is of this secret."""
    try:
        kind, iterations, salt, made = password_hash.removeprefix("$").split("$")
        found = hashlib.pbkdf2_hmac("sha512", secret.encode(), base64.b64decode(salt), int(iterations), 64)
        return kind == "7" and hmac.compare_digest(found, base64.b64decode(made))
    except ValueError:
        return False


def folder() -> Path:
    """Return the folder of the broker's files, made on first use and for its owner alone."""
    path: Path = settings.DATA_DIR / "broker"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def own_secret(user: str) -> str:
    """Return the password of one of the program's own users, made on first use."""
    path = folder() / f"{user}.secret"
    if not path.exists():
        handle, draft = tempfile.mkstemp(dir=folder(), prefix=".secret-")  # mode 600
        try:
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(secrets.token_urlsafe(32))
            os.link(draft, path)
        except FileExistsError:
            logger.debug("another process made the secret of %s", user)
        finally:
            os.unlink(draft)
    return path.read_text(encoding="ascii").strip()


# --- where it is ----------------------------------------------------------------------------------------------------


def is_embedded() -> bool:
    """Return whether the program starts its own broker."""
    return not settings.MQTT_URL


def address(user: str = RECEIVER) -> Address:
    """Return where the broker is, for one of the program's own users. Raises NoBroker if it has not come up yet."""
    if not is_embedded():
        parts = urlsplit(settings.MQTT_URL)
        is_tls = parts.scheme == "mqtts"
        name, password = unquote(parts.username or ""), unquote(parts.password or "")
        if user != RECEIVER:
            name, password = user, own_secret(user)
        return Address(parts.hostname or "", parts.port or (8883 if is_tls else 1883), name, password, is_tls)
    try:
        found = json.loads((folder() / "address.json").read_text(encoding="ascii"))
        host, port, is_mqtt5 = str(found["host"]), int(found["port"]), bool(found["is_mqtt5"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        raise NoBroker("Máy chủ MQTT chưa chạy. Chạy: machnuoc up, hoặc machnuoc broker.") from None
    return Address(host, port, user, own_secret(user), is_mqtt5=is_mqtt5)


def tls_context() -> ssl.SSLContext:
    """Return how to check the province's broker, and with which certificate to show ourselves.

    Raises NoBroker if a file cannot be read.
    """
    try:
        context = ssl.create_default_context(cafile=settings.MQTT_CA or None)
        if settings.MQTT_CERT:
            context.load_cert_chain(settings.MQTT_CERT, settings.MQTT_KEY or None)
    except (OSError, ssl.SSLError) as reason:
        raise NoBroker(
            f"Không đọc được chứng thư của MQTT ({reason}). "
            "Xem MACHNUOC_MQTT_CA, MACHNUOC_MQTT_CERT, MACHNUOC_MQTT_KEY."
        ) from None
    return context


def answers(timeout_s: float = 2.0) -> bool:
    """Return whether something takes connections at the broker's address. Raises NoBroker."""
    found = address()
    try:
        socket.create_connection((found.host, found.port), timeout=timeout_s).close()
    except OSError:
        return False
    return True


# --- who may do what ------------------------------------------------------------------------------------------------


def device_topics(code: str) -> str:
    """Return the one filter below which a device may write."""
    return f"{ROOT_TOPIC}/{code}/#"


def receiver_filters() -> list[str]:
    """Return the filters that the receiver subscribes to: everything of devices, and what decoders name beside."""
    mine = f"{ROOT_TOPIC}/"
    return [f"{mine}#", *(topic for topic in payloads.topics() if not topic.startswith(mine))]


def subscriptions(*, is_shared: bool, is_mqtt5: bool = True) -> list[str]:
    """Return what a receiver subscribes to: alone, or as one of several that share what comes.

    Mosquitto 2.0 keeps a shared subscription in memory only: after its restart it drops what comes until a receiver is
    back. So one receiver subscribes plainly, and several are a choice (MACHNUOC_MQTT_SHARED).
    """
    return [f"$share/{GROUP}/{topic}" if is_shared and is_mqtt5 else topic for topic in receiver_filters()]


def client_id(slot: int) -> str:
    """Return the name of the session of a receiver at the broker: the same after every restart."""
    place = hashlib.sha256(f"{socket.gethostname()}:{settings.DATA_DIR}".encode()).hexdigest()[:8]
    return f"machnuoc-ingest-{place}-{slot}"


def list_rights(now: datetime) -> list[Right]:
    """Return every user of the broker at this instant: one that expired, was revoked or removed is not there."""
    others = tuple(topic for topic in receiver_filters() if not topic.startswith(f"{ROOT_TOPIC}/"))
    receiver, receiver_secret = RECEIVER, own_secret(RECEIVER)
    if not is_embedded():
        parts = urlsplit(settings.MQTT_URL)
        receiver = unquote(parts.username or "") or RECEIVER
        receiver_secret = unquote(parts.password or "") or receiver_secret
    rights = [
        Right(receiver, _kept_hash(receiver, receiver_secret), reads=tuple(receiver_filters())),
        Right(CHIRPSTACK, _kept_hash(CHIRPSTACK, own_secret(CHIRPSTACK)), writes=others),
    ]
    simulated = tuple(
        device_topics(code)
        for code in Device.objects.filter(is_simulated=True, removed_at__isnull=True).values_list("code", flat=True)
        if may_be_user(code)
    )
    if simulated:
        rights.append(Right(SIMULATOR, _kept_hash(SIMULATOR, own_secret(SIMULATOR)), writes=(*simulated, *others)))
    newest: dict[str, str] = {}
    rows = Credential.objects.filter(revoked_at__isnull=True).order_by("made_at", "id")
    for code, password_hash, expires_at, removed_at in rows.values_list(
        "device__code", "broker_hash", "expires_at", "device__removed_at"
    ):
        is_over = any(instant is not None and instant <= now for instant in (expires_at, removed_at))
        if not is_over and may_be_user(code):
            newest[code] = password_hash
    rights += [Right(code, made, writes=(device_topics(code),)) for code, made in sorted(newest.items())]
    return rights


def may_be_user(code: str) -> bool:
    """Return whether the code can stand in the files: one level of a topic, and no name of our own users."""
    return _SPEAKABLE.fullmatch(code) is not None and not code.startswith("machnuoc-")


_hashes: dict[tuple[str, str], str] = {}


def _kept_hash(user: str, secret: str) -> str:
    """Return the hash of one of our own users, salted by its name, so that files change only when rights do."""
    if (user, secret) not in _hashes:
        _hashes[user, secret] = hash_password(secret, hashlib.sha256(f"{user}:{secret}".encode()).digest()[:12])
    return _hashes[user, secret]


def password_text(rights: Iterable[Right]) -> str:
    return "".join(f"{right.user}:{right.password_hash}\n" for right in rights)


def rights_text(rights: Iterable[Right]) -> str:
    lines = []
    for right in rights:
        lines.append(f"user {right.user}")
        lines += [f"topic write {topic}" for topic in right.writes]
        lines += [f"topic read {topic}" for topic in right.reads]
        lines.append("")
    return "\n".join(lines)


def write_files(target: Path, now: datetime) -> bool:
    """Write passwords and acl into the folder, each in one step; return whether anything changed."""
    rights = list_rights(now)
    changed = [
        _replace(target / name, text)
        for name, text in (("passwords", password_text(rights)), ("acl", rights_text(rights)))
    ]
    return any(changed)


def _replace(path: Path, text: str) -> bool:
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # mode 600
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)
    return True


# --- the one that the program starts ----------------------------------------------------------------------------------


def find_mosquitto() -> str | None:
    """Return the program, where it is installed (the distribution puts it where only root looks)."""
    wanted = settings.MOSQUITTO
    if wanted in {"none", "0"}:
        return None
    return shutil.which(wanted or "mosquitto") or (
        None if wanted else shutil.which("mosquitto", path="/usr/sbin:/sbin")
    )


def mosquitto_text(host: str, port: int, place: Path) -> str:
    """Return the configuration: nobody without a password, nothing dropped for want of room, state kept on disk."""
    lines = [
        f"listener {port} {host}",
        "allow_anonymous false",
        f"password_file {place / 'passwords'}",
        f"acl_file {place / 'acl'}",
        "persistence true",
        f"persistence_location {place}/",
        "persistence_file state.db",
        "autosave_interval 5",
        "max_inflight_messages 0",  # as many as the receiver's window
        "max_queued_messages 0",  # a full queue would drop what a device was told is taken
        f"max_packet_size {LARGEST_MESSAGE_BYTES}",
        "set_tcp_nodelay true",
        "sys_interval 0",
        "connection_messages false",
        "log_dest stderr",
        "log_type error",
        "log_type warning",
    ]
    if os.geteuid() == 0:
        lines.append("user root")  # it would become somebody who cannot read the data folder
    return "\n".join(lines) + "\n"


def pick_port(host: str, *, after: int = 0) -> int:
    """Return the port that the settings name, or the first free one from 1883 on (or from after + 1 on).

    Raises NoBroker if there is none.
    """
    if settings.MQTT_PORT:
        if not _is_free(host, settings.MQTT_PORT):
            raise NoBroker(
                f"Cổng {settings.MQTT_PORT} tại {host} đang có chương trình khác dùng. Dừng chương trình đó, đổi "
                "MACHNUOC_MQTT_PORT, hoặc đặt MACHNUOC_MQTT_URL nếu đó là máy chủ MQTT của đơn vị."
            )
        return int(settings.MQTT_PORT)
    first = max(_DEFAULT_PORT, after + 1)
    for port in range(first, first + _PORTS_TRIED):
        if _is_free(host, port):
            return port
    raise NoBroker(f"Không còn cổng trống từ {first} tại {host}. Đặt MACHNUOC_MQTT_PORT.")


def _is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def announce(host: str, port: int, *, is_mqtt5: bool) -> None:
    """Tell the other processes where the broker is."""
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - only compared
    _replace(folder() / "address.json", json.dumps({"host": reached, "port": port, "is_mqtt5": is_mqtt5}))


def refresh(place: Path) -> bool:
    """Write the files of rights anew if they changed; a database that does not answer changes nothing."""
    try:
        return write_files(place, timezone.now())
    except (OperationalError, InterfaceError) as reason:
        logger.warning("rights of the broker not refreshed: %s", str(reason).strip())
        connections.close_all()
        return False


def run(stop: threading.Event, say: Callable[[str], None]) -> int:
    """Be the broker until told to stop; return the exit code. Raises NoBroker."""
    if not is_embedded():
        raise NoBroker("MACHNUOC_MQTT_URL đã chỉ máy chủ MQTT khác, nên không chạy máy chủ riêng.")
    write_files(folder(), timezone.now())
    found = find_mosquitto()
    if found is None:
        from machnuoc.telemetry import small_broker

        say(
            "Chưa cài Mosquitto: dùng máy chủ MQTT nhỏ trong chương trình, chỉ để dùng thử "
            "(dừng đột ngột có thể mất số đo). Cài: apt-get install mosquitto"
        )
        return small_broker.run(stop)
    return _run_mosquitto(found, stop)


def _run_mosquitto(program: str, stop: threading.Event) -> int:
    place, host, port = folder(), settings.MQTT_HOST, 0
    for _ in range(_PORTS_TRIED):
        port = pick_port(host, after=port)
        _replace(place / "mosquitto.conf", mosquitto_text(host, port, place))
        process = subprocess.Popen([program, "-c", str(place / "mosquitto.conf")])  # noqa: S603 - our own configuration
        try:
            if not _came_up(process, host, port, stop):
                continue  # somebody else took the port in this moment
            announce(host, port, is_mqtt5=True)
            reserve_session(address())
            process.send_signal(signal.SIGUSR1)  # state to disk now: after a kill the session is there at once
            while not stop.wait(LOOK_EVERY_S):
                code = process.poll()
                if code is not None:
                    logger.error("mosquitto ended with code %s", code)
                    return 1
                if refresh(place):
                    process.send_signal(signal.SIGHUP)
            return 0
        finally:
            if process.poll() is None:
                process.terminate()  # it writes what it holds to disk
                try:
                    process.wait(3)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
    raise NoBroker(f"Mosquitto không mở được cổng nào tại {host}. Xem lỗi ở trên, hoặc đặt MACHNUOC_MQTT_PORT.")


def reserve_session(where: Address) -> None:
    """Make the session of the first receiver, so that nothing is dropped between our start and its own.

    A broker acknowledges and forgets what nobody has subscribed to. Raises NoBroker.
    """

    def text(each: str) -> bytes:
        return struct.pack("!H", len(each.encode())) + each.encode()

    hello = text("MQTT") + b"\x04\xc0\x00\x3c" + text(client_id(0)) + text(where.user) + text(where.password)
    wanted = b"\x00\x01" + b"".join(text(topic) + b"\x01" for topic in subscriptions(is_shared=settings.MQTT_SHARED))
    try:
        with socket.create_connection((where.host, where.port), timeout=5) as link:
            link.sendall(b"\x10" + _length(len(hello)) + hello)  # CONNECT, for a session that stays
            answer = link.recv(4)
            if answer[:1] != b"\x20" or answer[3:4] != b"\x00":
                raise NoBroker("Mosquitto từ chối mật khẩu của chính chương trình. Xóa thư mục broker/ rồi chạy lại.")
            if answer[2] & 1:
                return  # it was kept
            link.sendall(b"\x82" + _length(len(wanted)) + wanted)  # SUBSCRIBE
            if link.recv(1) != b"\x90":
                raise NoBroker("Mosquitto từ chối đăng ký của chính chương trình. Xóa thư mục broker/ rồi chạy lại.")
    except OSError as reason:
        raise NoBroker(f"Mosquitto không nhận đăng ký của chương trình: {reason}.") from None


def _length(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number % 128 | 128, number // 128])


def _came_up(process: "subprocess.Popen[bytes]", host: str, port: int, stop: threading.Event) -> bool:
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - only compared
    for _ in range(100):
        if process.poll() is not None:
            if settings.MQTT_PORT or process.returncode not in {1, 98}:
                raise NoBroker(f"Mosquitto không khởi động được (mã {process.returncode}). Xem lỗi ở trên.")
            return False
        try:
            socket.create_connection((reached, port), timeout=1).close()
        except OSError:
            if stop.wait(0.05):
                return True
            continue
        return process.poll() is None
    raise NoBroker("Mosquitto không nhận kết nối sau 5 giây.")
