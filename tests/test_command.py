"""The command line as a person meets it: exit codes and words."""

import json
import re

import pytest

from machnuoc.__main__ import build_parser


def test_help_lists_every_command_in_vietnamese(run_machnuoc):
    done = run_machnuoc("--help")

    assert done.returncode == 0
    assert done.stdout.startswith("cách dùng: machnuoc")
    commands = ("up", "web", "worker", "migrate", "demo", "audit", "doctor", "backup", "restore", "template", "bench",
                "createperson", "manage")  # fmt: skip
    for command in commands:
        assert re.search(rf"^    {command}\s", done.stdout, re.MULTILINE), command


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "thiếu LỆNH"),
        (["bay"], "không có lựa chọn «bay»"),
        (["audit"], "thiếu action"),
        (["audit", "erase"], "không có lựa chọn «erase»"),
        (["migrate", "--fast"], "không hiểu tham số --fast"),
        (["up", "--port"], "--port: cần một giá trị"),
        (["bench"], "thiếu TÊN"),
        (["bench", "khong_co"], "Không có phép đo «khong_co»"),
        (["bench", "../x"], "Không có phép đo"),
    ],
)
def test_wrong_use_ends_with_2_and_says_why(run_machnuoc, arguments, words):
    done = run_machnuoc(*arguments)

    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_template_that_is_not_there_is_wrong_use(run_machnuoc):
    assert run_machnuoc("template", "khong-co").returncode == 1  # without a database there are no sheets to speak of
    run_machnuoc("migrate")

    done = run_machnuoc("template", "khong-co")

    assert done.returncode == 2, done.stderr
    assert "biểu mẫu" in done.stderr


def test_a_setting_that_is_not_understood_ends_with_1(run_machnuoc):
    done = run_machnuoc("migrate", MACHNUOC_DEBUG="có")

    assert done.returncode == 1
    assert "MACHNUOC_DEBUG='có': chỉ nhận 1 hoặc 0." in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["audit", "verify"], ["worker"], ["web"], ["backup", "x.tar.gz"]])
def test_a_database_without_tables_is_told_how_to_get_them(run_machnuoc, arguments, free_port):
    done = run_machnuoc(*arguments, MACHNUOC_PORT=str(free_port))

    assert done.returncode == 1
    assert "machnuoc migrate" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_first_administrator_is_made_once_and_may_administer(run_machnuoc):
    done = run_machnuoc("createperson", "quantri", "--full-name", "Đinh Thị Suối", stdin="chín-dòng-suối-2026\n")
    assert done.returncode == 0, done.stderr

    again = run_machnuoc("createperson", "quantri", stdin="chín-dòng-suối-2026\n")
    rights = run_machnuoc(
        "manage", "shell", "-c",
        "from machnuoc.core.models import Person; from machnuoc.places import access;"
        "print(access.may(Person.objects.get(username='quantri'), 'administer'))",
    )  # fmt: skip

    assert again.returncode == 1
    assert "Đã có người dùng «quantri»" in again.stderr
    assert rights.stdout.strip().endswith("True"), rights.stderr


def test_a_weak_password_is_refused_and_nobody_is_made(run_machnuoc):
    done = run_machnuoc("createperson", "quantri", stdin="123\n")
    count = run_machnuoc(
        "manage", "shell", "-c", "from machnuoc.core.models import Person; print(Person.objects.count())"
    )

    assert done.returncode == 1
    assert "mật khẩu" in done.stderr.lower()
    assert count.stdout.strip().endswith("0")


def test_the_audit_trail_is_sealed_and_verified_from_the_command_line(run_machnuoc):
    run_machnuoc("createperson", "quantri", stdin="chín-dòng-suối-2026\n")

    sealed, nothing_new, verified = (run_machnuoc("audit", action) for action in ("seal", "seal", "verify"))

    assert "Đã niêm phong" in sealed.stdout
    assert "Không có dòng nào mới" in nothing_new.stdout
    assert verified.returncode == 0
    assert "Chuỗi niêm phong nguyên vẹn" in verified.stdout


def test_a_command_of_django_gives_its_own_exit_code(run_machnuoc):
    assert run_machnuoc("manage", "check").returncode == 0
    assert run_machnuoc("manage", "no_such_command").returncode != 0


def test_what_a_program_reads_is_json(run_machnuoc):
    assert set(json.loads(run_machnuoc("doctor", "--json").stdout)) == {"ok", "findings"}


def test_options_of_a_bench_may_stand_before_and_after_its_name():
    parser = build_parser()

    before = parser.parse_args(["bench", "--json", "--size", "communes=9", "indicators"])
    after = parser.parse_args(["bench", "indicators", "--json", "--plans"])

    assert (before.json, before.size, before.rest) == (True, "communes=9", [])
    assert after.rest == ["--json", "--plans"]
