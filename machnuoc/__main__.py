"""The command `machnuoc`: exit code 0 is done, 1 is failed, 2 is wrong use."""

import argparse
import getpass
import importlib
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

DONE, FAILED, WRONG_USE = 0, 1, 2
_BENCHES = ("indicators", "pages", "forecasts", "telemetry", "rollup", "soak", "billing")

# argparse speaks English; these are the faults that a person at the keyboard meets.
_FAULTS = (
    (r"unrecognized arguments: (.*)", r"không hiểu tham số {}"),
    (r"the following arguments are required: (.*)", r"thiếu {}"),
    (r"argument (\S+): invalid choice: '?(.*?)'? \(.*", r"{}: không có lựa chọn «{}»"),
    (r"argument (\S+): invalid int value: '(.*)'", r"{}: «{}» không phải số nguyên"),
    (r"argument (\S+): expected one argument", r"{}: cần một giá trị"),
    (r"argument (\S+): ignored explicit argument (.*)", r"{}: không nhận giá trị {}"),
)


class CommandFailed(Exception):
    """The command could not do its work; the text says what, why and what next."""


class WrongUse(Exception):
    """The command line asks for something that is not there."""


class Parser(argparse.ArgumentParser):
    """A parser that speaks Vietnamese."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "add_help": False, "allow_abbrev": False})
        self._positionals.title = "lệnh và tham số"
        self._optionals.title = "tùy chọn"
        self.add_argument("-h", "--help", action="help", help="hiện trợ giúp này")

    def format_usage(self) -> str:
        return super().format_usage().replace("usage:", "cách dùng:", 1)

    def format_help(self) -> str:
        return super().format_help().replace("usage:", "cách dùng:", 1)

    def error(self, message: str) -> NoReturn:
        for pattern, vietnamese in _FAULTS:
            found = re.fullmatch(pattern, message, re.DOTALL)
            if found:
                message = vietnamese.format(*found.groups())
                break
        self.exit(WRONG_USE, f"{self.prog}: {message}.\nXem: {self.prog} --help\n")


def say(text: str = "") -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def start_django() -> None:
    """Load settings and models. Raises CommandFailed if a setting is not understood."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "machnuoc.config.settings")
    os.umask(0o077)  # database, uploads and backups are for the account that runs the program alone
    import django

    from machnuoc.config import environment

    try:
        django.setup()
    except environment.BadSetting as reason:
        raise CommandFailed(str(reason)) from None
    except OSError as reason:
        raise CommandFailed(f"Không đọc ghi được thư mục dữ liệu: {reason}. Kiểm tra MACHNUOC_DATA_DIR.") from None


def start_with_tables() -> None:
    """Load Django and see that the database answers and has this version's tables. Raises CommandFailed."""
    start_django()
    from machnuoc.config import process

    try:
        process.require_tables()
    except process.CannotStart as reason:
        raise CommandFailed(str(reason)) from None


def run_up(args: argparse.Namespace) -> int:
    if args.port is not None:
        os.environ["MACHNUOC_PORT"] = args.port
    start_django()
    from machnuoc.config import process

    try:
        return process.run_up(with_demo=args.demo, say=say)
    except process.CannotStart as reason:
        raise CommandFailed(str(reason)) from None


def run_web(args: argparse.Namespace) -> int:
    if args.port is not None:
        os.environ["MACHNUOC_PORT"] = args.port
    start_with_tables()
    from django.conf import settings

    from machnuoc.config import process

    try:
        process.require_free_port(settings.HOST, settings.PORT)
    except process.CannotStart as reason:
        raise CommandFailed(str(reason)) from None
    process.collect_static()
    process.serve_web()
    return DONE


def run_worker(args: argparse.Namespace) -> int:
    start_with_tables()
    from machnuoc.core import jobs

    jobs.run_worker()
    return DONE


def run_ingest(args: argparse.Namespace) -> int:
    start_with_tables()
    from machnuoc.telemetry import ingest

    try:
        ingest.run()
    except ingest.NoSlot as reason:
        raise CommandFailed(str(reason)) from None
    return DONE


def run_watch(args: argparse.Namespace) -> int:
    start_with_tables()
    import signal
    import threading

    from machnuoc.telemetry import watching

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    watching.run(stop)
    return DONE


def run_broker(args: argparse.Namespace) -> int:
    start_with_tables()
    import signal
    import threading

    from django.utils import timezone

    from machnuoc.telemetry import broker

    if args.action == "files":
        target = Path(args.folder) if args.folder else broker.folder()
        if not target.is_dir():
            raise CommandFailed(f"Không có thư mục {target}.")
        is_new = broker.write_files(target, timezone.now())
        say(f"{'Đã ghi lại' if is_new else 'Không có gì thay đổi ở'} {target / 'passwords'} và {target / 'acl'}.")
        return DONE
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        return broker.run(stop, say)
    except broker.NoBroker as reason:
        raise CommandFailed(str(reason)) from None


def run_migrate(args: argparse.Namespace) -> int:
    start_django()
    from machnuoc.config import process

    process.migrate()
    say("Cơ sở dữ liệu đã đúng với phiên bản này.")
    return DONE


def run_demo(args: argparse.Namespace) -> int:
    start_django()
    from django.utils import timezone

    from machnuoc.config import process
    from machnuoc.demo import load

    process.migrate()
    for line in process.describe_accounts(load.load_demo(timezone.now())):
        say(line)
    return DONE


def run_simulate(args: argparse.Namespace) -> int:
    start_with_tables()
    from machnuoc.demo.simulator import command, playing

    try:
        command.run(args, say)
    except command.BadArgument as reason:
        raise WrongUse(str(reason)) from None
    except playing.CannotPlay as reason:
        raise CommandFailed(str(reason)) from None
    return DONE


def run_audit(args: argparse.Namespace) -> int:
    start_with_tables()
    from django.utils import timezone

    from machnuoc.core import audit
    from machnuoc.core.vietnamese import format_number

    if args.action == "seal":
        seal = audit.seal(timezone.now())
        say(f"Đã niêm phong {seal.entry_count} dòng: {seal.hash}" if seal else "Không có dòng nào mới để niêm phong.")
        return DONE
    result = audit.verify()
    sealed, unsealed = format_number(result.sealed), format_number(result.unsealed)
    say(f"Nhật ký: {sealed} dòng đã niêm phong, {unsealed} dòng chưa niêm phong.")
    for problem in result.problems:
        say(f"✗ {problem}")
    if not result.problems:
        say("✓ Chuỗi niêm phong nguyên vẹn.")
    return FAILED if result.problems else DONE


def run_ledger(args: argparse.Namespace) -> int:
    start_with_tables()
    from machnuoc.billing import ledger
    from machnuoc.core.vietnamese import format_number

    found = ledger.verify()
    if args.json:
        report = {"ok": found.is_sound, "postings": found.postings, "bills": found.bills, "problems": found.problems}
        say(json.dumps(report, ensure_ascii=False))
        return DONE if found.is_sound else FAILED
    say(f"Sổ cái: {format_number(found.postings)} bút toán, {format_number(found.bills)} hóa đơn.")
    for problem in found.problems:
        say(f"✗ {problem}")
    if found.is_sound:
        say("✓ Sổ cái cân và khớp với hóa đơn, khoản thu, cấn trừ.")
    return DONE if found.is_sound else FAILED


def run_doctor(args: argparse.Namespace) -> int:
    from machnuoc.config import doctor

    findings = doctor.examine()
    if args.json:
        say(json.dumps({"ok": doctor.is_sound(findings), "findings": doctor.as_rows(findings)}, ensure_ascii=False))
    else:
        for finding in findings:
            say(finding.line())
    return DONE if doctor.is_sound(findings) else FAILED


def run_backup(args: argparse.Namespace) -> int:
    start_with_tables()
    from machnuoc.config import backup

    try:
        manifest = backup.make_backup(Path(args.file))
    except backup.BackupFailed as reason:
        raise CommandFailed(str(reason)) from None
    say(f"Đã sao lưu {len(manifest.files)} tệp vào {args.file}. Khóa bí mật không nằm trong bản sao.")
    return DONE


def run_restore(args: argparse.Namespace) -> int:
    start_django()
    from machnuoc.config import backup, process
    from machnuoc.core.periods import LOCAL_ZONE

    try:
        manifest = backup.restore_backup(Path(args.file))
    except backup.BackupFailed as reason:
        raise CommandFailed(str(reason)) from None
    process.migrate()
    made_at = datetime.fromisoformat(manifest.made_at).astimezone(LOCAL_ZONE)
    say(
        f"Đã khôi phục {len(manifest.files)} tệp từ bản sao lưu lúc {made_at:%H:%M ngày %d/%m/%Y}. "
        "Kiểm tra: machnuoc doctor"
    )
    return DONE


def run_archive(args: argparse.Namespace) -> int:
    start_with_tables()
    from django.utils import timezone

    from machnuoc.telemetry import archive

    now_ms = int(timezone.now().timestamp() * 1000)
    try:
        if args.before:
            archive.month_start(args.before)
    except ValueError:
        raise WrongUse(f"--before {args.before}: không hiểu tháng này. Viết theo mẫu 2026-10.") from None
    if args.keep_days is not None and args.keep_days < 0:
        raise WrongUse("--keep-days: cần số ngày từ 0 trở lên.")
    if args.verify:
        problems = archive.verify()
        for problem in problems:
            say(f"✗ {problem}")
        if not problems:
            say(f"✓ {len(archive.list_months())} tháng lưu trữ nguyên vẹn.")
        return FAILED if problems else DONE
    try:
        done = archive.archive_closed(now_ms, before=args.before, keep_days=args.keep_days)
    except archive.ArchiveFailed as reason:
        raise CommandFailed(str(reason)) from None
    for month in done:
        say(
            f"Tháng {month.key}: {month.readings} số đo, {month.bytes} byte "
            f"({month.bytes / max(1, month.readings):.2f} byte một số đo), đã dọn {month.removed} dòng."
        )
    for key in archive.expire(now_ms):
        say(f"Tháng {key}: đã xóa vì quá thời hạn lưu.")
    if not done:
        say("Không có tháng nào cần lưu trữ.")
    return DONE


def run_template(args: argparse.Namespace) -> int:
    start_with_tables()
    from machnuoc.indicators import sheets

    names = sheets.list_templates()
    if args.name not in names:
        raise WrongUse(f"Không có biểu mẫu «{args.name}». Có: {', '.join(names) or 'chưa có biểu mẫu nào'}.")
    path = Path(args.output or f"{args.name}.xlsx")
    path.write_bytes(sheets.template_bytes(args.name))
    say(f"Đã ghi biểu mẫu «{args.name}» vào {path}")
    return DONE


def run_bench(args: argparse.Namespace) -> int:
    start_django()
    if args.name not in _BENCHES:
        raise WrongUse(f"Không có phép đo «{args.name}». Có: {', '.join(_BENCHES)}.")
    bench = importlib.import_module(f"machnuoc.bench.{args.name}")
    parser = Parser(prog=f"machnuoc bench {args.name}", description=(bench.__doc__ or "").strip().partition("\n")[0])
    _add_bench_options(parser)
    parser.set_defaults(json=args.json, size=args.size)
    if hasattr(bench, "add_arguments"):
        bench.add_arguments(parser)
    from machnuoc.bench import common

    try:
        report = bench.run(parser.parse_args(args.rest))
    except common.BenchFailed as reason:
        raise CommandFailed(str(reason)) from None
    if args.json or "--json" in args.rest:
        say(json.dumps(report, ensure_ascii=False))
        return DONE
    say(f"{report['bench']}: {report['size']}")
    for row in report["results"]:
        value = "không đo được" if row["value"] is None else f"{row['value']:g} {row['unit']}".rstrip()
        ratio = f" = {row['ratio']:.3g} × {row['against']}" if row.get("ratio") is not None else ""
        note = f" ({row['note']})" if row.get("note") else ""
        say(f"  {row['metric']}: {value}{ratio}{note}")
    return DONE


def run_createperson(args: argparse.Namespace) -> int:
    start_django()
    from django.contrib.auth.password_validation import validate_password
    from django.core.exceptions import ValidationError
    from django.db import transaction

    from machnuoc.config import process
    from machnuoc.core import audit
    from machnuoc.core.models import Person
    from machnuoc.places import load_units, operations, queries
    from machnuoc.places.models import Grant

    process.migrate()
    if Person.objects.filter(username=args.username).exists():
        raise CommandFailed(f"Đã có người dùng «{args.username}». Chọn tên đăng nhập khác.")
    person = Person(username=args.username, full_name=args.full_name or args.username, title=args.title)
    if sys.stdin.isatty():
        password = getpass.getpass("Mật khẩu: ")
        if getpass.getpass("Nhập lại mật khẩu: ") != password:
            raise CommandFailed("Hai lần nhập mật khẩu không giống nhau.")
    else:
        password = sys.stdin.readline().rstrip("\n")
    try:
        person.full_clean(exclude=["password"])
        validate_password(password, person)
    except ValidationError as reason:
        raise CommandFailed(" ".join(reason.messages)) from None
    with transaction.atomic():
        load_units.load_units()
        person.set_password(password)
        person.save()
        audit.record("core.person.created", actor=None, target=person)
        operations.give_grant(person=person, role=Grant.Role.ADMIN, scope=queries.get_country(), by=None)
    say(f"Đã tạo quản trị viên «{person.username}». Đăng nhập rồi cấp quyền cho những người khác.")
    return DONE


def run_manage(args: argparse.Namespace) -> int:
    start_django()
    from django.core.management import execute_from_command_line

    execute_from_command_line(["machnuoc manage", *args.rest])
    return DONE


def _add_bench_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="in kết quả dạng JSON")
    parser.add_argument("--size", default="", metavar="CỠ", help="cỡ của phép đo, ví dụ communes=300,months=12")


def build_parser() -> Parser:
    parser = Parser(
        prog="machnuoc",
        description="Mạch Nước: nền tảng điều hành cấp nước sạch của một tỉnh.",
        epilog="Mã kết thúc: 0 xong, 1 không làm được, 2 dùng sai. Biến môi trường: xem docs/operations.md.",
    )
    parser.add_argument(
        "--version", action="version", version=f"machnuoc {metadata.version('machnuoc')}", help="in phiên bản"
    )
    commands = parser.add_subparsers(metavar="LỆNH", required=True, parser_class=Parser)

    def add(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        return command

    up = add("up", run_up, "chạy tất cả trong một cửa sổ: cơ sở dữ liệu, tác vụ nền, trang web")
    up.add_argument("--demo", action="store_true", help="nạp dữ liệu của các kế hoạch và tài khoản dùng thử")
    up.add_argument("--port", metavar="CỔNG", help="cổng của trang web (mặc định: MACHNUOC_PORT hoặc 8000)")
    web = add("web", run_web, "chạy riêng trang web")
    web.add_argument("--port", metavar="CỔNG", help="cổng của trang web (mặc định: MACHNUOC_PORT hoặc 8000)")
    add("worker", run_worker, "chạy riêng tác vụ nền; được chạy nhiều tiến trình")
    add("ingest", run_ingest, "nhận số đo của thiết bị từ máy chủ MQTT; được chạy nhiều tiến trình")
    add("watch", run_watch, "tính tổng hợp, xét cảnh báo, gọi người trực; tiến trình thứ hai chờ thay")
    broker = add("broker", run_broker, "máy chủ MQTT của chương trình, hoặc tệp quyền cho máy chủ MQTT của đơn vị")
    broker.add_argument(
        "action", nargs="?", choices=["run", "files"], default="run",
        help="run: chạy máy chủ (mặc định); files: ghi tệp mật khẩu và quyền cho Mosquitto",
    )  # fmt: skip
    broker.add_argument(
        "folder", nargs="?", metavar="THƯ_MỤC", help="nơi ghi tệp (mặc định: broker/ của thư mục dữ liệu)"
    )
    add("migrate", run_migrate, "đưa cơ sở dữ liệu lên đúng phiên bản này")
    add("demo", run_demo, "dữ liệu mẫu lấy từ các kế hoạch; nạp lại không tạo bản trùng").add_argument(
        "action", choices=["load"], help="load: nạp"
    )
    simulate = add("simulate", run_simulate, "chơi các thiết bị mô phỏng qua đường truyền thật, hoặc đặt một sự kiện")
    simulate.add_argument("--speed", default="1", metavar="LẦN", help="1 đến 10000; không vượt quá hiện tại")
    simulate.add_argument("--seed", metavar="SỐ", help="hạt giống (mặc định: của dữ liệu dùng thử)")
    simulate.add_argument("--from", dest="since", metavar="LÚC", help="chơi lại từ lúc này, ví dụ 2026-11-20T07:00")
    simulate.add_argument("--to", dest="until", metavar="LÚC", help="dừng ở lúc này")
    simulate.add_argument("--stations", default="", metavar="TRẠM,…", help="chỉ các trạm này, ví dụ binh-hai,tinh-hoa")
    simulate.add_argument(
        "--event", metavar="LOẠI",
        help="leak, break, pump-failure, power-cut, chlorine-loss, drift, stuck, silence, clock-drift, late-batch, "
        "rollover",
    )  # fmt: skip
    simulate.add_argument("--station", metavar="TRẠM", help="trạm xảy ra sự kiện")
    simulate.add_argument("--at", metavar="LÚC", help="lúc sự kiện bắt đầu (mặc định: ngay)")
    simulate.add_argument("--lasts", metavar="PHÚT", help="sự kiện kéo dài bao lâu")
    simulate.add_argument("--size", metavar="SỐ", help="độ lớn của sự kiện")
    simulate.add_argument("--once", action="store_true", help="mỗi thiết bị gửi số mới nhất một lần rồi thôi")
    add("audit", run_audit, "nhật ký: kiểm tra hoặc niêm phong").add_argument(
        "action", choices=["verify", "seal"], help="verify: kiểm tra chuỗi; seal: niêm phong các dòng mới"
    )
    ledger = add("ledger", run_ledger, "sổ cái tiền nước: kiểm tra")
    ledger.add_argument("action", choices=["verify"], help="verify: đối chiếu bút toán với hóa đơn và khoản thu")
    ledger.add_argument("--json", action="store_true", help="in kết quả dạng JSON")
    doctor = add("doctor", run_doctor, "kiểm tra cài đặt và nói phải làm gì")
    doctor.add_argument("--json", action="store_true", help="in kết quả dạng JSON")
    add("backup", run_backup, "sao lưu cơ sở dữ liệu và các tệp vào một tệp .tar.gz").add_argument(
        "file", metavar="TỆP", help="tệp sẽ tạo"
    )
    add("restore", run_restore, "khôi phục bản sao lưu vào thư mục dữ liệu còn trống").add_argument(
        "file", metavar="TỆP", help="tệp do lệnh backup tạo"
    )
    archive = add("archive", run_archive, "lưu trữ số đo của các tháng đã qua vào tệp Parquet")
    archive.add_argument("--before", default="", metavar="THÁNG", help="chỉ các tháng trước tháng này, ví dụ 2026-10")
    archive.add_argument(
        "--keep-days", type=int, metavar="NGÀY",
        help="để lại các tháng chưa hết quá số ngày này (mặc định: MACHNUOC_RETENTION_HOT_DAYS)",
    )  # fmt: skip
    archive.add_argument("--verify", action="store_true", help="chỉ kiểm tra các tệp đã lưu trữ")
    template = add("template", run_template, "ghi biểu mẫu nhập liệu (.xlsx)")
    template.add_argument("name", metavar="TÊN", help="tên biểu mẫu")
    template.add_argument("-o", "--output", metavar="TỆP", help="tệp sẽ tạo (mặc định: TÊN.xlsx)")
    bench = add("bench", run_bench, "đo tốc độ")
    _add_bench_options(bench)
    bench.add_argument("name", metavar="TÊN", help="tên phép đo: indicators, pages…")
    bench.add_argument("rest", nargs=argparse.REMAINDER, metavar="…", help="tùy chọn riêng của phép đo")
    person = add("createperson", run_createperson, "tạo quản trị viên đầu tiên (hỏi mật khẩu)")
    person.add_argument("username", metavar="TÊN_ĐĂNG_NHẬP", help="tên đăng nhập")
    person.add_argument("--full-name", default="", metavar="HỌ_TÊN", help="họ và tên")
    person.add_argument("--title", default="", metavar="CHỨC_VỤ", help="chức vụ")
    manage = add("manage", run_manage, "lệnh bất kỳ của Django")
    manage.add_argument("rest", nargs=argparse.REMAINDER, metavar="…", help="lệnh và tham số của Django")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    args = build_parser().parse_args(arguments)
    try:
        return int(args.run(args))
    except WrongUse as reason:
        sys.stderr.write(f"machnuoc: {reason}\n")
        return WRONG_USE
    except CommandFailed as reason:
        sys.stderr.write(f"machnuoc: {reason}\n")
        return FAILED
    except KeyboardInterrupt:
        return FAILED


if __name__ == "__main__":
    sys.exit(main())
