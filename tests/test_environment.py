"""The readers of environment variables, and the promises that rest on them."""

import re
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.conf import settings
from django.core.checks import run_checks
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from machnuoc.config import environment

EVERYWHERE = "0.0.0.0"  # noqa: S104 - only looked at


@pytest.mark.parametrize("text", ["1", "true", "Yes", " on "])
def test_a_flag_is_on_for_the_usual_words(text):
    assert environment.read_flag("X", environ={"X": text}) is True


@pytest.mark.parametrize("text", ["0", "false", "No", "off", ""])
def test_a_flag_is_off_for_the_usual_words(text):
    assert environment.read_flag("X", default=True, environ={"X": text}) is False


@pytest.mark.parametrize("text", ["2", "có", "truee", "-1"])
def test_a_flag_that_is_not_understood_is_refused(text):
    with pytest.raises(environment.BadSetting, match="X="):
        environment.read_flag("X", environ={"X": text})


@given(st.integers(1, 100))
def test_a_whole_number_within_its_bounds_is_read(number):
    assert environment.read_int("X", 5, minimum=1, maximum=100, environ={"X": str(number)}) == number


@pytest.mark.parametrize("text", ["0", "101", "1.5", "mười", ""])
def test_a_number_out_of_bounds_or_not_whole_is_refused(text):
    with pytest.raises(environment.BadSetting, match="X="):
        environment.read_int("X", 5, minimum=1, maximum=100, environ={"X": text})


def test_a_list_of_names_loses_its_blanks():
    assert environment.read_names("X", "", environ={"X": " a.vn, ,b.vn "}) == ["a.vn", "b.vn"]
    with pytest.raises(environment.BadSetting, match="ít nhất một"):
        environment.read_names("X", "a.vn", environ={"X": " , "})


def test_without_an_address_the_database_is_a_file_in_the_data_folder(tmp_path):
    database = environment.read_database(tmp_path, environ={})

    assert database["ENGINE"].endswith("sqlite3")
    assert database["NAME"] == tmp_path / "machnuoc.sqlite3"
    assert database["OPTIONS"]["transaction_mode"] == "IMMEDIATE"


def test_an_address_of_postgresql_is_taken_apart(tmp_path):
    url = "postgresql://nuoc:m%40t%3Akh%E1%BA%A9u@db.vidu.vn:5433/nuoc_sach?sslmode=verify-full"

    database = environment.read_database(tmp_path, environ={"MACHNUOC_DATABASE_URL": url})

    assert (database["USER"], database["PASSWORD"]) == ("nuoc", "m@t:khẩu")
    assert (database["HOST"], database["PORT"], database["NAME"]) == ("db.vidu.vn", "5433", "nuoc_sach")
    assert database["OPTIONS"]["sslmode"] == "verify-full"


def test_an_address_may_name_a_socket_folder(tmp_path):
    url = "postgresql://nuoc@/nuoc?host=/run/postgresql"

    database = environment.read_database(tmp_path, environ={"MACHNUOC_DATABASE_URL": url})

    assert (database["HOST"], database["PORT"], database["NAME"]) == ("/run/postgresql", "", "nuoc")


@pytest.mark.parametrize(
    "url",
    ["mysql://x/y", "postgresql://host", "postgresql://host:abc/name", "postgresql://host/name?sslmod=x", "nuoc.db"],
)
def test_an_address_that_is_not_understood_is_refused_without_showing_a_password(tmp_path, url):
    with pytest.raises(environment.BadSetting, match="MACHNUOC_DATABASE_URL") as refusal:
        environment.read_database(tmp_path, environ={"MACHNUOC_DATABASE_URL": url})
    assert url not in str(refusal.value)


def test_the_secret_is_made_once_and_only_its_owner_reads_it(tmp_path):
    first = environment.read_secret(tmp_path / "data", environ={})

    assert environment.read_secret(tmp_path / "data", environ={}) == first
    assert len(first) >= 50
    assert stat.S_IMODE((tmp_path / "data" / "secret.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["secret.key"]


def test_processes_that_start_at_once_agree_on_the_secret(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: environment.read_secret(tmp_path, environ={}), range(64)))

    assert len(made) == 1


def test_a_short_or_broken_secret_is_refused(tmp_path):
    with pytest.raises(environment.BadSetting, match="32"):
        environment.read_secret(tmp_path, environ={"MACHNUOC_SECRET_KEY": "ngắn"})
    (tmp_path / "secret.key").write_text("hỏng", encoding="utf-8")
    with pytest.raises(environment.BadSetting, match=r"secret\.key"):
        environment.read_secret(tmp_path, environ={})


def test_every_variable_that_the_code_reads_is_documented(root):
    source = "".join(path.read_text(encoding="utf-8") for path in (root / "machnuoc").rglob("*.py"))
    read = set(re.findall(r'read_\w+\(\s*"(MACHNUOC_\w+)"', source)) | {"MACHNUOC_DATABASE_URL", "MACHNUOC_SECRET_KEY"}
    table = (root / "docs" / "operations.md").read_text(encoding="utf-8")

    assert read == set(environment.VARIABLES)
    assert set(re.findall(r"^\| `(MACHNUOC_\w+)` \|", table, re.MULTILINE)) == set(environment.VARIABLES)
    for name, text in environment.VARIABLES.items():
        assert f"| `{name}` | {text} |" in table


def test_tests_never_touch_the_data_of_the_one_who_runs_them(root):
    assert root / "data" != settings.DATA_DIR
    assert not settings.FILES_DIR.is_relative_to(root)


@pytest.mark.postgresql
@pytest.mark.django_db
def test_the_suite_runs_on_postgresql_15_or_newer():
    assert connection.vendor == "postgresql"
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version_num")
        assert int(cursor.fetchone()[0]) >= 150_000


@pytest.mark.sqlite
@pytest.mark.django_db
def test_the_suite_runs_on_sqlite_with_a_file_and_one_writer_at_a_time():
    assert connection.vendor == "sqlite"
    assert "memory" not in str(connection.settings_dict["NAME"])
    assert connection.transaction_mode == "IMMEDIATE"


def test_a_server_for_others_with_debug_on_is_refused(settings):
    settings.DEBUG = True
    settings.ALLOWED_HOSTS = ["nuocsach.vidu.gov.vn"]

    assert "machnuoc.E001" in {message.id for message in run_checks(tags=["machnuoc"])}


@pytest.mark.parametrize(
    ("variables", "host", "names", "expected"),
    [
        ({}, "127.0.0.1", ["localhost"], set()),
        ({}, EVERYWHERE, ["localhost"], {"machnuoc.W004"}),
        ({}, "127.0.0.1", ["*"], {"machnuoc.W002", "machnuoc.W004"}),
        ({"MACHNUOC_HTTPS": "1"}, "127.0.0.1", ["a.vn"], {"machnuoc.W003"}),
        ({"MACHNUOC_HTTPS": "1", "MACHNUOC_BEHIND_PROXY": "1"}, "127.0.0.1", ["a.vn"], set()),
        ({"MACHNUOC_HTTPS": "1", "MACHNUOC_BEHIND_PROXY": "1"}, EVERYWHERE, ["a.vn"], {"machnuoc.W005"}),
    ],
)
def test_what_strangers_reach_is_warned_about(settings, monkeypatch, variables, host, names, expected):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings.HOST, settings.ALLOWED_HOSTS = host, names

    assert {message.id for message in run_checks(tags=["machnuoc"])} == expected


@pytest.mark.parametrize(
    ("scheme", "text", "expected"),
    [
        ("vnpay", "", ()),
        ("vnpay", "vnpay://TMN:a%3Ab@sandbox.vnpayment.vn", ("https://sandbox.vnpayment.vn", "TMN", "a:b")),
        ("momo", "momo://P:A:S@127.0.0.1:9001", ("http://127.0.0.1:9001", "P", "A", "S")),
    ],
)
def test_a_payment_gateway_is_read_with_its_keys(scheme, text, expected):
    name, keys = f"MACHNUOC_{scheme.upper()}", {"vnpay": 2, "momo": 3}[scheme]
    assert environment.read_gateway(name, keys, environ={name: text}) == expected


@pytest.mark.parametrize(
    "text",
    ["vnpay://TMN@host", "https://TMN:S@host", "vnpay://TMN:S@", "vnpay://:S@host", "vnpay://A:B@host/duong-dan"],
)
def test_a_payment_gateway_that_is_half_set_stops_the_program(text):
    with pytest.raises(environment.BadSetting, match="MACHNUOC_VNPAY"):
        environment.read_gateway("MACHNUOC_VNPAY", 2, environ={"MACHNUOC_VNPAY": text})


def test_a_gateway_without_a_public_address_is_pointed_out(settings):
    settings.VNPAY, settings.SITE_URL = ("https://sandbox.vnpayment.vn", "TMN", "S"), ""
    assert "machnuoc.W006" in {one.id for one in run_checks(tags=["machnuoc"])}

    settings.SITE_URL = "https://nuoc.vidu.vn"
    assert "machnuoc.W006" not in {one.id for one in run_checks(tags=["machnuoc"])}
