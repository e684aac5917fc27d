"""Secrets of devices, and the files of the broker that follow from them."""

from datetime import timedelta

import pytest
from django.utils import timezone

from machnuoc.core.models import AuditEntry
from machnuoc.telemetry import broker, credentials
from machnuoc.telemetry.models import Credential
from machnuoc.telemetry.tests import making

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _folder_of_its_own(settings, tmp_path):
    settings.DATA_DIR = tmp_path


def _users(now) -> dict[str, broker.Right]:
    return {right.user: right for right in broker.list_rights(now)}


def test_a_secret_is_kept_as_hashes_alone_and_opens_the_device_s_own_topics():
    now = timezone.now()
    device = making.make_device("dh-01")

    made, secret = credentials.make(device, None, now)

    right = _users(now)["dh-01"]
    assert right.writes == ("machnuoc/v1/dh-01/#",)
    assert right.reads == ()
    assert broker.is_password(secret, right.password_hash)
    assert made.token_sha256 == credentials.token_sha256(secret)
    assert secret not in str(vars(made))
    assert [entry.action for entry in AuditEntry.objects.all()] == ["telemetry.credential.made"]


def test_a_new_secret_takes_the_place_of_the_old_ones():
    now = timezone.now()
    device = making.make_device("dh-01")
    _, first = credentials.make(device, None, now)

    _, second = credentials.rotate(device, None, now + timedelta(minutes=1))

    right = _users(now + timedelta(minutes=1))["dh-01"]
    assert broker.is_password(second, right.password_hash)
    assert not broker.is_password(first, right.password_hash)
    assert Credential.objects.filter(revoked_at__isnull=True).count() == 1


def test_who_expired_was_revoked_or_removed_is_not_in_the_files(tmp_path):
    now = timezone.now()
    expired, revoked, removed, good = (making.make_device(code) for code in ("hethan", "thuhoi", "dathao", "dangdung"))
    credentials.make(expired, None, now, expires_at=now + timedelta(hours=1))
    made, _ = credentials.make(revoked, None, now)
    credentials.revoke(made, None, now)
    credentials.make(removed, None, now)
    removed.removed_at = now + timedelta(minutes=30)
    removed.save()
    credentials.make(good, None, now)

    later = now + timedelta(hours=1)
    broker.write_files(tmp_path, later)

    assert set(_users(later)) == {broker.RECEIVER, broker.CHIRPSTACK, "dangdung"}
    assert "hethan" in _users(now)
    text = (tmp_path / "passwords").read_text()
    assert "dangdung:$7$" in text
    assert not [code for code in ("hethan", "thuhoi", "dathao") if code in text + (tmp_path / "acl").read_text()]
    assert (tmp_path / "passwords").stat().st_mode & 0o077 == 0


def test_files_change_only_when_rights_do(tmp_path):
    now = timezone.now()
    device = making.make_device("dh-01")
    credentials.make(device, None, now)

    assert broker.write_files(tmp_path, now)
    assert not broker.write_files(tmp_path, now + timedelta(minutes=5))
    credentials.rotate(device, None, now)
    assert broker.write_files(tmp_path, now)


@pytest.mark.parametrize("code", ["machnuoc-ingest", "a/b", "a+", "#", "có dấu", "a:b", "A1", "a\nuser x"])
def test_a_code_that_would_reach_beyond_its_topics_gets_no_secret_and_no_line(code):
    now = timezone.now()
    device = making.make_device(code)
    Credential.objects.create(device=device, broker_hash="$7$x", token_sha256="y", made_at=now)

    with pytest.raises(credentials.CannotMakeCredential, match="không dùng được"):
        credentials.make(device, None, now)
    assert set(_users(now)) == {broker.RECEIVER, broker.CHIRPSTACK}


def test_a_simulator_writes_for_simulated_devices_alone():
    making.make_device("that")
    making.make_device("gia", is_simulated=True)

    assert "machnuoc/v1/gia/#" in _users(timezone.now())[broker.SIMULATOR].writes
    assert "machnuoc/v1/that/#" not in _users(timezone.now())[broker.SIMULATOR].writes
