"""What runs: preparing the data folder, the web server, and `up`, which keeps its parts alive in one terminal."""

import ctypes
import fcntl
import hashlib
import io
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from types import FrameType
from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import OperationalError, connection, connections
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

if TYPE_CHECKING:
    from machnuoc.demo import load

logger = logging.getLogger(__name__)

STOP_WITHIN_S = 4.0  # the children get this long to finish what they do
LIVED_LONG_S = 60.0  # a child that lived this long starts with a clean record
MOST_BACKOFF_S = 30.0
QUICK_DEATHS = 5  # a child that dies this often in a row will not come up by itself
_PR_SET_PDEATHSIG = 1


class CannotStart(Exception):
    """The program cannot come up; the text says why and what to do."""


def migrate() -> None:
    """Bring the database to this version's tables."""
    call_command("migrate", interactive=False, verbosity=0)


def count_waiting_migrations() -> int:
    """Return how many steps the database is behind this version."""
    executor = MigrationExecutor(connection)
    return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def require_tables() -> None:
    """Raise CannotStart if the database does not answer or is behind this version."""
    try:
        waiting = count_waiting_migrations()
    except OperationalError as reason:
        raise _no_database(reason) from None
    if waiting:
        raise CannotStart("Cơ sở dữ liệu chưa đúng với phiên bản này. Chạy: machnuoc migrate")


def _no_database(reason: OperationalError) -> CannotStart:
    return CannotStart(
        f"Không dùng được cơ sở dữ liệu: {str(reason).strip()}. "
        "Kiểm tra MACHNUOC_DATABASE_URL, rồi thử: machnuoc doctor"
    )


def collect_static() -> bool:
    """Gather and compress the static files if they changed since the last time; return whether they did."""
    if settings.DEBUG:
        return False  # served from where they lie
    digest = hashlib.sha256(metadata.version("machnuoc").encode())
    for finder in get_finders():
        for path, storage in finder.list(ignore_patterns=None):
            found = os.stat(storage.path(path))
            digest.update(f"{path}|{found.st_size}|{found.st_mtime_ns}\n".encode())
    stamp = settings.STATIC_ROOT / "collected.txt"
    # Several web processes may come up at once: one gathers, the others wait and find it done.
    with open(settings.DATA_DIR / "static.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text(encoding="ascii") == digest.hexdigest():
            return False
        call_command("collectstatic", interactive=False, clear=True, verbosity=0, stdout=io.StringIO())
        stamp.write_text(digest.hexdigest(), encoding="ascii")
    return True


def is_static_collected() -> bool:
    return (settings.STATIC_ROOT / "collected.txt").exists()


def serve_web() -> None:
    """Answer requests until SIGTERM or SIGINT.

    A process a core: threads of one process only wait for each other, since pages are made by Python. A second thread
    in each, so that a long export does not hold up who shares its process. Nothing but what never changes is held in
    memory, and SQLite keeps order between processes as between threads. A thread keeps its database connection between
    requests, so idle threads are left alone for long.
    """
    from granian.constants import HTTPModes, Interfaces
    from granian.log import LogLevels
    from granian.server import Server

    Server(
        "machnuoc.config.front:application",
        address=settings.HOST,
        port=settings.PORT,
        interface=Interfaces.RSGI,  # front.py has settings.WEB_THREADS threads of its own for Django
        workers=settings.WEB_PROCESSES,
        http=HTTPModes.http1,  # a front server speaks HTTP/1.1 to us, and so does a browser without TLS
        websockets=False,
        # Counts open connections, kept-alive ones included: too low a number locks browsers out.
        backpressure=1024,
        log_access=False,
        log_level=LogLevels.warning,
        workers_kill_timeout=3,
        respawn_failed_workers=True,
    ).serve()


def require_free_port(host: str, port: int) -> None:
    """Raise CannotStart if something listens there already, or the address is not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as reason:
            raise CannotStart(
                f"Không mở được cổng {port} tại {host} ({reason.strerror}). Có thể chương trình đang chạy ở cửa sổ "
                f"khác; hãy dừng nó, hoặc chọn cổng khác: machnuoc up --port {port + 1 if port < 65535 else port - 1}"
            ) from None


@dataclass
class Child:
    """One process that `up` keeps alive."""

    name: str
    label_vi: str
    process: "subprocess.Popen[bytes] | None" = None
    started_at_s: float = 0.0
    deaths: int = 0
    start_again_at_s: float = 0.0

    def start(self) -> None:
        # A session of its own: Ctrl-C reaches the supervisor alone, which then ends its children in order.
        self.process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "machnuoc", self.name], start_new_session=True, preexec_fn=_die_with_parent
        )
        self.started_at_s = time.monotonic()

    def signal(self, number: signal.Signals) -> None:
        if self.process is not None:
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:
                self.process.poll()


def _die_with_parent() -> None:
    """Have the kernel end this process when the supervisor is killed (Linux; elsewhere it goes on alone)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Supervisor:
    """Keeps the children running until it is told to stop."""

    def __init__(
        self,
        children: list[Child],
        say: Callable[[str], None],
        *,
        is_up: Callable[[], bool],
        announce: Callable[[], None],
    ) -> None:
        self.children = children
        self.say = say
        self.is_up = is_up
        self.announce = announce
        self.stopping = False

    def stop(self, number: int = 0, frame: FrameType | None = None) -> None:
        self.stopping = True

    def run(self) -> int:
        """Return 0 after a requested stop, 1 if a child does not come up."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self.stop)
        try:
            for child in self.children:
                child.start()
            announced = False
            while not self.stopping:
                if not announced and self.is_up():
                    self.announce()
                    announced = True
                if not all(self._look_after(child) for child in self.children):
                    return 1
                time.sleep(0.2)
            self.say("Đang dừng…")
            return 0
        finally:
            self._end_all()

    def _look_after(self, child: Child) -> bool:
        """Start the child again when it is time; return False if it will not come up."""
        now_s = time.monotonic()
        if child.process is None:
            if now_s >= child.start_again_at_s:
                child.start()
            return True
        code = child.process.poll()
        if code is None:
            return True
        child.signal(signal.SIGKILL)  # whatever it left behind in its session
        child.process = None
        child.deaths = 1 if now_s - child.started_at_s > LIVED_LONG_S else child.deaths + 1
        if child.deaths >= QUICK_DEATHS:
            self.say(
                f"{child.label_vi} dừng liên tiếp {child.deaths} lần (mã {code}). Xem lỗi ở trên; thử: machnuoc doctor"
            )
            return False
        wait_s = min(MOST_BACKOFF_S, 0.5 * 2**child.deaths)
        child.start_again_at_s = now_s + wait_s
        self.say(f"{child.label_vi} dừng bất ngờ (mã {code}); chạy lại sau {wait_s:g} giây.")
        return True

    def _end_all(self) -> None:
        for child in self.children:
            child.signal(signal.SIGTERM)
        deadline_s = time.monotonic() + STOP_WITHIN_S
        for child in self.children:
            if child.process is None:
                continue
            try:
                child.process.wait(max(0.0, deadline_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                logger.warning("%s did not end in time and is killed", child.name)
            child.signal(signal.SIGKILL)
            child.process.wait()


def describe_accounts(loaded: "load.Loaded") -> list[str]:
    """Return the lines of a table of the demo accounts: user name, role, whose; with their password above it."""
    from machnuoc.demo import customers

    rows = [("Tên đăng nhập", "Vai trò", "Của")] + [(one.username, one.role, one.where) for one in loaded.accounts]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    table = [f"  {row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}" for row in rows]
    customer = (
        f"Cổng khách hàng /kh/: số điện thoại {customers.PORTAL_PHONE} (mô phỏng), mã hiện trên trang. "
        "Lần chạy đầu: chờ ít phút, máy chủ đang nạp khách hàng mô phỏng."
    )
    return [f"Tài khoản dùng thử, mật khẩu chung: {loaded.password}", *table, customer]


def prepare(*, with_demo: bool, say: Callable[[str], None]) -> list[str]:
    """Make data folder, tables, units, indicators and static files ready; return the lines on the demo accounts.

    Raises CannotStart.
    """
    from machnuoc.demo import load

    require_free_port(settings.HOST, settings.PORT)
    accounts: list[str] = []
    try:
        call_command("check", stdout=io.StringIO(), stderr=io.StringIO())
        say("Chuẩn bị cơ sở dữ liệu…")
        migrate()
        if with_demo:
            say("Nạp dữ liệu của các kế hoạch…")
            accounts = describe_accounts(load.load_demo(timezone.now()))
        else:
            load.load_base(timezone.now())
    except SystemCheckError as reason:
        raise CannotStart(f"Cài đặt chưa đúng.\n{reason}") from None
    except OperationalError as reason:
        raise _no_database(reason) from None
    finally:
        connections.close_all()
    collect_static()
    return accounts


def run_up(*, with_demo: bool, say: Callable[[str], None]) -> int:
    """Prepare everything, then run its parts until stopped. Returns the exit code; raises CannotStart."""
    accounts = prepare(with_demo=with_demo, say=say)

    def announce() -> None:
        for line in accounts:
            say(line)
        host = "127.0.0.1" if _is_everywhere(settings.HOST) else settings.HOST
        say(f"Mạch Nước đang chạy tại http://{f'[{host}]' if ':' in host else host}:{settings.PORT} (dừng: Ctrl-C)")

    return Supervisor(list_children(with_demo=with_demo), say, is_up=_answers, announce=announce).run()


def list_children(*, with_demo: bool = False) -> list[Child]:
    """Return what `up` keeps alive. The broker is among them unless the province has one of its own.

    with_demo: also what plays the devices of the demonstration.
    """
    children = [Child("web", "Trang web"), Child("worker", "Tác vụ nền")]
    if not settings.MQTT_URL:
        children.append(Child("broker", "Máy chủ MQTT"))
    children.append(Child("ingest", "Nhận số đo"))
    if with_demo:
        children.append(Child("simulate", "Thiết bị mô phỏng"))
    children.append(Child("watch", "Xét cảnh báo"))
    return children


def _is_everywhere(host: str) -> bool:
    return host in {"0.0.0.0", "::"}  # noqa: S104 - only compared


def _answers() -> bool:
    """Return whether the web server takes connections."""
    host = settings.HOST
    if _is_everywhere(host):
        host = "::1" if ":" in host else "127.0.0.1"
    try:
        socket.create_connection((host, settings.PORT), timeout=1).close()
    except OSError:
        return False
    return True
