"""`machnuoc doctor`, on a real installation on either database."""

import json

import pytest

from machnuoc.config import doctor


def _by_name(findings: list[dict[str, str]]) -> dict[str, dict[str, str]]:
    return {finding["name"]: finding for finding in findings}


def test_a_finding_is_one_line_with_what_to_do():
    finding = doctor.Finding("Đĩa", "warning", "còn trống 0,9 GB", "Dọn đĩa.")

    assert finding.line() == "! Đĩa — còn trống 0,9 GB — Dọn đĩa."
    assert doctor.Finding("Đĩa", "ok", "còn trống 90,0 GB").line() == "✓ Đĩa — còn trống 90,0 GB"


def test_a_new_installation_is_told_to_migrate_and_is_sound_afterwards(run_machnuoc):
    before = run_machnuoc("doctor", "--json")
    assert before.returncode == 1, before.stderr
    assert _by_name(json.loads(before.stdout)["findings"])["Bảng dữ liệu"]["todo"] == "Chạy: machnuoc migrate"

    assert run_machnuoc("migrate").returncode == 0
    after = run_machnuoc("doctor", "--json")

    findings = _by_name(json.loads(after.stdout)["findings"])
    assert after.returncode == 0, after.stdout
    assert json.loads(after.stdout)["ok"] is True
    assert (
        findings["Cơ sở dữ liệu"]["state"] == findings["Nhật ký"]["state"] == findings["Khóa bí mật"]["state"] == "ok"
    )
    assert "createperson" in findings["Người dùng"]["todo"]
    assert findings["Tác vụ nền"]["state"] == "warning"


def test_a_setting_that_is_not_understood_is_named(run_machnuoc):
    done = run_machnuoc("doctor", MACHNUOC_PORT="tám nghìn")

    assert done.returncode == 1
    assert "✗ Cài đặt — MACHNUOC_PORT='tám nghìn': cần một số nguyên." in done.stdout
    assert "Traceback" not in done.stderr


def test_a_misspelt_variable_is_noticed(run_machnuoc):
    assert "không có biến MACHNUOC_PORTT" in run_machnuoc("doctor", MACHNUOC_PORTT="8000").stdout


def test_a_secret_that_others_can_read_is_an_error(run_machnuoc, fresh_environment, tmp_path):
    run_machnuoc("doctor")
    (tmp_path / "data" / "secret.key").chmod(0o644)

    done = run_machnuoc("doctor")

    assert done.returncode == 1
    assert "✗ Khóa bí mật" in done.stdout
    assert "chmod 600" in done.stdout


def test_a_data_folder_that_others_can_write_is_an_error(run_machnuoc, tmp_path):
    run_machnuoc("doctor")
    (tmp_path / "data").chmod(0o777)

    assert "✗ Thư mục dữ liệu" in run_machnuoc("doctor").stdout


def test_a_database_that_does_not_answer_is_an_error(run_machnuoc, tmp_path):
    done = run_machnuoc("doctor", MACHNUOC_DATABASE_URL=f"postgresql://nuoc@/nuoc?host={tmp_path}")

    assert done.returncode == 1
    assert "✗ Cơ sở dữ liệu — không kết nối được" in done.stdout


def test_debug_on_a_server_for_others_is_an_error(run_machnuoc):
    done = run_machnuoc("doctor", MACHNUOC_DEBUG="1", MACHNUOC_ALLOWED_HOSTS="nuocsach.vidu.gov.vn")

    assert done.returncode == 1
    assert "MACHNUOC_DEBUG=1" in done.stdout


def test_a_broken_audit_chain_is_an_error(run_machnuoc, fresh_environment):
    run_machnuoc("createperson", "quantri", stdin="chín-dòng-suối-2026\n")
    run_machnuoc("audit", "seal")
    assert "✓ Nhật ký" in run_machnuoc("doctor").stdout
    code = (
        "from django.db import connection as c; k = c.cursor();"
        "trigger = [] if c.vendor == 'postgresql' else"
        " k.execute(\"SELECT name FROM sqlite_master WHERE type='trigger' AND tbl_name='core_auditentry'\").fetchall();"
        "[k.execute(f'DROP TRIGGER {name}') for name, in trigger];"
        "c.vendor == 'postgresql' and k.execute('ALTER TABLE core_auditentry DISABLE TRIGGER ALL');"
        "k.execute(\"UPDATE core_auditentry SET action = 'places.unit.renamed'\")"
    )
    changed = run_machnuoc("manage", "shell", "-c", code)
    assert changed.returncode == 0, changed.stderr

    done = run_machnuoc("doctor")

    assert done.returncode == 1
    assert "✗ Nhật ký" in done.stdout
    assert run_machnuoc("audit", "verify").returncode == 1


@pytest.mark.sqlite
def test_the_embedded_database_is_checked_for_what_search_needs(run_machnuoc):
    assert "chế độ WAL, tìm kiếm trigram" in run_machnuoc("doctor").stdout


@pytest.mark.postgresql
def test_the_server_is_checked_for_what_search_needs(run_machnuoc):
    assert "✓ Tìm kiếm — pg_trgm sẽ được tạo" in run_machnuoc("doctor").stdout
    run_machnuoc("migrate")
    assert "✓ Tìm kiếm — có pg_trgm" in run_machnuoc("doctor").stdout
