"""Pictures of strangers: what they tell is taken out, what is broken is refused."""

import io
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from machnuoc.customers import pictures
from machnuoc.customers.pictures import KEPT_SIDE, BadPicture, clean, strip
from machnuoc.customers.tests.fixtures_requests import jpeg, photo, png


def test_place_and_device_leave_a_photo_and_which_side_is_up_stays():
    cleaned, kind = strip(jpeg(orientation=6, secret=b"GPS 15.12 108.80 Telephone of Lan"))

    assert kind == "jpeg"
    assert b"GPS" not in cleaned and b"Telephone" not in cleaned
    assert b"Exif" in cleaned and struct.pack("<HHIH", 0x0112, 3, 1, 6) in cleaned


def test_stripping_twice_changes_nothing():
    once, _ = strip(jpeg(orientation=8, secret=b"x"))
    flat, _ = strip(png(text=b"Author\0Lan"))

    assert strip(once) == (once, "jpeg")
    assert strip(flat) == (flat, "png")
    assert b"Lan" not in flat


def test_what_follows_the_end_is_dropped():
    assert b"<script>" not in clean(png() + b"<script>alert(1)</script>")[0]
    assert b"PK\x03\x04" not in strip(jpeg() + b"PK\x03\x04")[0]


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
    changed = bytearray(photo(40, 30, orientation=3, secret="here"))
    changed[place % len(changed)] = byte
    try:
        clean(bytes(changed))
    except BadPicture as reason:
        assert str(reason)


def _size(content: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(content)) as picture:
        picture.load()
        assert not picture.getexif() and "comment" not in picture.info
        return picture.size


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_a_large_photo_is_kept_small_and_without_what_it_tells(kind):
    kept, named = clean(photo(4_000, 3_000, kind=kind, secret="GPS of my house"))

    assert named == kind
    assert _size(kept) == (KEPT_SIDE, 1_200)
    assert b"GPS" not in kept
    assert len(kept) < 400_000


def test_a_photo_taken_upright_stays_upright():
    kept, _ = clean(photo(2_000, 1_000, orientation=6))

    assert _size(kept) == (800, KEPT_SIDE)


def test_a_small_photo_keeps_its_size():
    assert _size(clean(photo(640, 480))[0]) == (640, 480)


def test_a_photo_of_another_kind_of_colour_is_kept_as_one_that_browsers_show():
    made = io.BytesIO()
    Image.new("CMYK", (50, 40), (0, 50, 50, 0)).save(made, "JPEG")

    with Image.open(io.BytesIO(clean(made.getvalue())[0])) as kept:
        assert kept.mode == "RGB"


def test_a_photo_cut_off_in_the_middle_is_refused():
    whole = photo(300, 200)

    with pytest.raises(BadPicture, match="nguyên vẹn"):
        clean(whole[: len(whole) // 2])


def test_a_photo_of_too_many_pixels_is_refused_unopened():
    head = struct.pack(">II5B", 12_000, 12_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", len(head)) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))

    with pytest.raises(BadPicture, match="24 triệu"):
        clean(b"\x89PNG\r\n\x1a\n" + chunk)


def test_a_picture_of_many_passes_is_refused_undecoded():
    made = io.BytesIO()
    Image.new("L", (64, 64), 90).save(made, "JPEG", progressive=True)
    content = made.getvalue()
    scan = content[content.rindex(b"\xff\xda") : content.rindex(b"\xff\xd9")]

    assert clean(content)[1] == "jpeg"
    with pytest.raises(BadPicture):
        clean(content[:-2] + scan * pictures.SCANS_MAX + b"\xff\xd9")


@pytest.mark.parametrize("is_progressive", [False, True])
def test_a_long_picture_that_cannot_be_decoded_small_is_refused(is_progressive):
    made = io.BytesIO()
    Image.new("L", (16_000, 2_000)).save(made, "JPEG", progressive=is_progressive)

    with pytest.raises(BadPicture, match="24 triệu điểm ảnh"):
        clean(made.getvalue())
