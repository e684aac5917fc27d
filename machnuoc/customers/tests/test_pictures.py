"""Pictures of strangers: what they tell is taken out, what is broken is refused."""

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machnuoc.customers import pictures
from machnuoc.customers.pictures import BadPicture, clean
from machnuoc.customers.tests.fixtures_requests import jpeg, png


def test_place_and_device_leave_a_photo_and_which_side_is_up_stays():
    cleaned, kind = clean(jpeg(orientation=6, secret=b"GPS 15.12 108.80 Telephone of Lan"))

    assert kind == "jpeg"
    assert b"GPS" not in cleaned and b"Telephone" not in cleaned
    assert b"Exif" in cleaned and struct.pack("<HHIH", 0x0112, 3, 1, 6) in cleaned


def test_cleaning_twice_changes_nothing():
    once, _ = clean(jpeg(orientation=8, secret=b"x"))
    flat, _ = clean(png(text=b"Author\0Lan"))

    assert clean(once) == (once, "jpeg")
    assert clean(flat) == (flat, "png")
    assert b"Lan" not in flat


def test_what_follows_the_end_is_dropped():
    assert b"<script>" not in clean(png() + b"<script>alert(1)</script>")[0]
    assert b"PK\x03\x04" not in clean(jpeg() + b"PK\x03\x04")[0]


@pytest.mark.parametrize(
    "content",
    [b"", b"GIF89a", b"<svg onload=alert(1)>", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", jpeg()[:40], png()[:40],
     png().replace(b"IDAT", b"IDOT")],
)  # fmt: skip
def test_a_file_that_is_no_whole_picture_is_refused(content):
    with pytest.raises(BadPicture):
        clean(content)


def test_a_picture_of_absurd_size_is_refused_without_being_unpacked():
    head = struct.pack(">II5B", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", len(head)) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))

    with pytest.raises(BadPicture, match="điểm ảnh"):
        clean(b"\x89PNG\r\n\x1a\n" + chunk)
    with pytest.raises(BadPicture, match="quá lớn"):
        clean(png() + b"\0" * pictures.BYTES_MAX)


@given(st.binary(max_size=300), st.sampled_from([b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b""]))
def test_noise_is_refused_with_a_sentence(noise, head):
    try:
        clean(head + noise)
    except BadPicture as reason:
        assert str(reason)


@given(st.integers(0, 200), st.integers(0, 255))
def test_a_photo_with_one_changed_byte_is_cleaned_or_refused(place, byte):
    photo = bytearray(jpeg(orientation=3, secret=b"here"))
    photo[place % len(photo)] = byte
    try:
        clean(bytes(photo))
    except BadPicture as reason:
        assert str(reason)
