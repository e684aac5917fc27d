"""Other brokers than Mosquitto in the clear: TLS and certificates, the small one in Python, a database that dies."""

import contextlib
import ipaddress
import os
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from machnuoc.bench import cluster
from machnuoc.telemetry import broker, small_broker
from machnuoc.telemetry.tests.receiving.publisher import Publisher, Refused
from machnuoc.telemetry.tests.receiving.world import is_closed, make_world, messages_of, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.django_db]


@pytest.fixture
def unblocked(django_db_setup, django_db_blocker):
    with django_db_blocker.unblock():
        yield


def test_the_small_broker_takes_the_same_road(unblocked, tmp_path):
    with make_world(tmp_path, devices=3, MACHNUOC_MOSQUITTO="none") as world:
        world.start_broker()
        world.start("ingest")
        wait_for(lambda: "receiving from" in (world.data_dir / "log").read_text(), 30)

        world.publisher("d00", window=20).publish([*messages_of("d00", 300), *messages_of("d01", 5)], pause_s=0.002)

        wait_for(lambda: world.count_stored("d00") == 300, 30)
        assert is_closed(world.ledger("d00"))
        assert world.ledger("d01")["received"] == 0, "a device wrote for another"
        wrong = world.publisher("d00")
        wrong.secret += "x"
        with pytest.raises((Refused, ConnectionResetError)):
            wrong.connect()
        world.do("revoke", device="d02")
        time.sleep(broker.LOOK_EVERY_S + 1)
        with pytest.raises((Refused, ConnectionResetError)):
            world.publisher("d02").connect()


@pytest.mark.parametrize(
    ("topic", "pattern", "expected"),
    [
        ("machnuoc/v1/a/up", "machnuoc/v1/a/#", True),
        ("machnuoc/v1/ab/up", "machnuoc/v1/a/#", False),
        ("machnuoc/v1/#", "machnuoc/v1/a/#", False),
        ("machnuoc/v1/+/up", "machnuoc/v1/a/#", False),
        ("machnuoc/v1/#", "machnuoc/v1/#", True),
        ("application/1/device/ff/event/up", "application/+/device/+/event/up", True),
        ("application/1/device/ff/event", "application/+/device/+/event/up", False),
        ("#", "machnuoc/v1/#", False),
    ],
)
def test_a_right_covers_a_topic_or_every_topic_of_a_filter(topic, pattern, expected):
    assert small_broker.is_within(topic, pattern) is expected


def test_a_password_is_kept_as_mosquitto_keeps_it(tmp_path):
    made = broker.hash_password("mật khẩu")

    assert broker.is_password("mật khẩu", made)
    assert not broker.is_password("mật khẩu ", made)
    assert not broker.is_password("mật khẩu", "$6$short")
    program = shutil.which("mosquitto_passwd")
    if program:  # the broker's own tool and ours agree
        theirs = tmp_path / "passwords"
        subprocess.run([program, "-c", "-b", str(theirs), "a", "secret"], check=True, capture_output=True)
        assert broker.is_password("secret", theirs.read_text().strip().partition(":")[2])


# --- TLS ----------------------------------------------------------------------------------------------------------


def _certificate(folder: Path, name: str, by=None):
    """Write a key and a certificate of this name; return (certificate, key). by: who signs, None for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by[0].subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(by[1] if by else key, hashes.SHA256())
    )
    (folder / f"{name}.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return made, key


def test_a_broker_of_the_province_speaks_tls_with_passwords_or_a_certificate_a_device(unblocked, tmp_path, free_port):
    mosquitto = broker.find_mosquitto()
    if mosquitto is None:
        pytest.skip("no Mosquitto: scripts/install_test_system.sh installs it")
    authority = _certificate(tmp_path, "authority")
    for name in ("server", "machnuoc-ingest", "d01"):
        _certificate(tmp_path, name, authority)
    by_certificate = free_port
    with socket.create_server(("127.0.0.1", 0)) as probe:
        by_password = probe.getsockname()[1]
    variables = {
        "MACHNUOC_MQTT_URL": f"mqtts://machnuoc-ingest:rat-bi-mat@127.0.0.1:{by_password}",
        "MACHNUOC_MQTT_CA": str(tmp_path / "authority.crt"),
        "MACHNUOC_MQTT_CERT": str(tmp_path / "machnuoc-ingest.crt"),
        "MACHNUOC_MQTT_KEY": str(tmp_path / "machnuoc-ingest.key"),
    }
    with make_world(tmp_path, devices=2, **variables) as world:
        assert world.do("files")
        tls = "\n".join([
            f"cafile {tmp_path}/authority.crt", f"certfile {tmp_path}/server.crt", f"keyfile {tmp_path}/server.key",
        ])  # fmt: skip
        place = world.data_dir / "broker"
        (tmp_path / "province.conf").write_text(
            f"per_listener_settings true\n"
            f"listener {by_password} 127.0.0.1\n{tls}\nallow_anonymous false\n"
            f"password_file {place}/passwords\nacl_file {place}/acl\n"
            f"listener {by_certificate} 127.0.0.1\n{tls}\nrequire_certificate true\nuse_identity_as_username true\n"
            f"acl_file {place}/acl\n" + ("user root\n" if os.geteuid() == 0 else "")
        )
        process = subprocess.Popen([mosquitto, "-c", str(tmp_path / "province.conf")])
        try:
            world.start("ingest")
            wait_for(lambda: "receiving from mqtts://" in (world.data_dir / "log").read_text(), 30)
            trusting = ssl.create_default_context(cafile=str(tmp_path / "authority.crt"))
            shown = ssl.create_default_context(cafile=str(tmp_path / "authority.crt"))
            shown.load_cert_chain(tmp_path / "d01.crt", tmp_path / "d01.key")

            secret = world.devices["d00"]["secret"]
            Publisher("127.0.0.1", by_password, "d00", secret, tls=trusting).publish(messages_of("d00", 50))
            Publisher("127.0.0.1", by_certificate, "", "", tls=shown).publish(
                [*messages_of("d01", 50), *messages_of("d00", 5, first=50)]
            )

            wait_for(lambda: world.count_stored("d00") == 50 and world.count_stored("d01") == 50, 20)
            assert world.ledger("d00")["received"] == 50, "a certificate wrote for another device"
            with pytest.raises(ssl.SSLError):  # who does not know the authority does not speak to the broker
                Publisher("127.0.0.1", by_password, "d00", secret, tls=ssl.create_default_context()).connect()
        finally:
            process.terminate()
            process.wait(10)


# --- a database server that is killed -----------------------------------------------------------------------------


@pytest.mark.postgresql
def test_no_reading_is_lost_when_postgresql_is_killed(unblocked, tmp_path):
    from django.db import connection

    if broker.find_mosquitto() is None:
        pytest.skip("no Mosquitto: scripts/install_test_system.sh installs it")
    server = connection.settings_dict
    dump = tmp_path / "tables.sql"
    subprocess.run(
        ["pg_dump", "--no-owner", f"--file={dump}", f"--host={server['HOST']}", f"--username={server['USER']}",
         str(server["NAME"])], check=True,
    )  # fmt: skip
    with cluster.start() as url:
        home = url.partition("host=")[2]
        subprocess.run(
            ["psql", "-q", f"--host={home}", "--username=machnuoc", "postgres", "-f", str(dump)],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        with make_world(tmp_path, devices=1, MACHNUOC_DATABASE_URL=url) as world:
            world.start_broker()
            world.start("ingest")
            messages = messages_of("d00", 4_000)
            thread = threading.Thread(
                target=lambda: world.publisher("d00", window=100).publish(messages, pause_s=0.001, within_s=90)
            )
            thread.start()
            for _ in range(3):
                time.sleep(1.5)
                _kill_and_start(Path(home))
            thread.join()

            wait_for(lambda: world.count_stored("d00") == len(messages), 60)
            ledger = world.ledger("d00")
            assert is_closed(ledger)
            assert ledger["stored"] == len(messages)
            assert "readings cannot be stored" in (world.data_dir / "log").read_text()


def _kill_and_start(home: Path) -> None:
    """End the server as a power cut does, every process of it at once, and start it again with its own options."""
    data = home / "data"
    pid = int((data / "postmaster.pid").read_text().split()[0])
    words = shlex.split((data / "postmaster.opts").read_text())
    settings = [word for word in words if "=" in word and not word.startswith("--")]
    every = [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    for each in every:
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)
    wait_for(lambda: all(_is_gone(each) for each in every), 10)
    # Where nobody asks for the code of a dead process, its number looks alive: the locks that name it go by hand.
    for lock in (data / "postmaster.pid", home / ".s.PGSQL.5432.lock"):
        lock.unlink(missing_ok=True)
    owner = data.stat()
    with (home / "again.log").open("ab") as log:
        done = subprocess.run(
            [cluster.find_programs() / "pg_ctl", f"--pgdata={data}", "--wait", "--timeout=60", "--silent",
             f"--log={home / 'server.log'}", f"--options={' '.join(f'-c {each!r}' for each in settings)}", "start"],
            cwd="/", stdout=log, stderr=log,
            **({"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.geteuid() == 0 else {}),
        )  # fmt: skip
    assert done.returncode == 0, (home / "again.log").read_text() + (home / "server.log").read_text()[-2000:]


def _is_gone(pid: int) -> bool:
    """Return whether the process has ended, even if nobody has asked for its code yet."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True
