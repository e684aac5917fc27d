"""Pictures from phones of strangers: checked, freed of what they tell beside the picture, and made small.

A phone writes where, when and with which device a picture was taken into the file. Only the pixels stay, turned the
right way up, at most KEPT_SIDE wide and high: enough to read a meter. The structure is checked before anything is
decoded (`strip`), and the stated size is bounded, so a picture that unpacks to gigabytes is refused unopened.
"""

import io
import struct
import zlib

from PIL import Image, ImageOps

BYTES_MAX = 10 * 1024 * 1024
SIDE_MAX = 16_384  # pixels
PIXELS_MAX = 64_000_000  # of a JPEG, of which a part of the pixels is decoded
WHOLE_PIXELS_MAX = 24_000_000  # of what is decoded whole: a PNG, a progressive JPEG, one too narrow to be scaled
SCANS_MAX = 32  # of a progressive JPEG: each costs a pass over all pixels, and cameras make about ten
KEPT_SIDE = 1_600  # pixels
_QUALITY = 82

_PNG_MARK = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = frozenset(
    {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"sBIT", b"bKGD", b"pHYs"}
)
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})  # JPEG marks without a length
_PROGRESSIVE = 0xC2
_FRAMES = frozenset({0xC0, 0xC1, _PROGRESSIVE})  # the others: baseline, extended
_KEPT = frozenset({0xC4, 0xDB, 0xDD, 0xDA, 0xC0, 0xC1, 0xC2})


class BadPicture(ValueError):
    """A file that is no whole JPEG or PNG, or too large; the text says what to do."""


_BROKEN = "Tệp không phải ảnh JPEG hoặc PNG nguyên vẹn. Chụp lại hoặc chọn ảnh khác."


def clean(content: bytes) -> tuple[bytes, str]:
    """Return the picture as it is kept, and its kind: "jpeg" or "png". Raises BadPicture.

    Decoded, turned the right way up, at most KEPT_SIDE pixels wide and high, and encoded anew.
    """
    stripped, kind = strip(content)
    try:
        with Image.open(io.BytesIO(stripped), formats=("JPEG", "PNG")) as opened:
            opened.draft(None, (2 * KEPT_SIDE, 2 * KEPT_SIDE))  # of a large JPEG only what is needed is decoded
            _check_size(opened.width, opened.height, WHOLE_PIXELS_MAX)
            picture = ImageOps.exif_transpose(opened)
            picture.thumbnail((KEPT_SIDE, KEPT_SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0)
            made = io.BytesIO()
            if kind == "jpeg":
                plain = picture if picture.mode in {"L", "RGB"} else picture.convert("RGB")
                plain.info.clear()
                plain.save(made, "JPEG", quality=_QUALITY, optimize=True, progressive=True)
            else:
                plain = picture if picture.mode in {"1", "L", "LA", "RGB", "RGBA"} else picture.convert("RGBA")
                plain.info.clear()
                plain.save(made, "PNG", optimize=True)
    except BadPicture:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise BadPicture(_BROKEN) from None
    return made.getvalue(), kind


def strip(content: bytes) -> tuple[bytes, str]:
    """Return the picture without what it tells beside its pixels, and its kind, without decoding it.

    Raises BadPicture.
    """
    if len(content) > BYTES_MAX:
        raise BadPicture(f"Ảnh quá lớn: tối đa {BYTES_MAX // (1024 * 1024)} MB. Chọn ảnh nhỏ hơn.")
    try:
        if content.startswith(_PNG_MARK):
            return _clean_png(content), "png"
        if content.startswith(b"\xff\xd8\xff"):
            return _clean_jpeg(content), "jpeg"
    except (struct.error, IndexError):
        raise BadPicture(_BROKEN) from None
    raise BadPicture(_BROKEN)


def _check_size(width: int, height: int, pixels_max: int) -> None:
    if not (0 < width <= SIDE_MAX and 0 < height <= SIDE_MAX):
        raise BadPicture(f"Ảnh rộng, cao quá {SIDE_MAX} điểm ảnh hoặc bằng 0. Chọn ảnh khác.")
    if width * height > pixels_max:
        most = pixels_max // 1_000_000
        raise BadPicture(f"Ảnh có hơn {most} triệu điểm ảnh. Chụp ở cỡ thường hoặc thu nhỏ rồi gửi lại.")


def _clean_png(content: bytes) -> bytes:
    kept = [_PNG_MARK]
    at = len(_PNG_MARK)
    seen: list[bytes] = []
    while True:
        (length,) = struct.unpack_from(">I", content, at)
        name, body = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        whole = content[at : at + 12 + length]
        if len(whole) != 12 + length or struct.unpack(">I", whole[-4:])[0] != zlib.crc32(name + body):
            raise BadPicture(_BROKEN)
        if not seen and name != b"IHDR":
            raise BadPicture(_BROKEN)
        if name == b"IHDR":
            width, height = struct.unpack_from(">II", body)
            _check_size(width, height, WHOLE_PIXELS_MAX)
        seen.append(name)
        if name in _PNG_KEPT:
            kept.append(whole)
        at += 12 + length
        if name == b"IEND":
            break
    if b"IDAT" not in seen or seen.count(b"IHDR") != 1:
        raise BadPicture(_BROKEN)
    return b"".join(kept)  # what follows the end is dropped


def _clean_jpeg(content: bytes) -> bytes:
    kept: list[bytes] = []
    at, orientation, has_frame, scans = 2, 1, False, 0
    while True:
        if content[at] != 0xFF:
            raise BadPicture(_BROKEN)
        while content[at] == 0xFF:  # fill bytes may stand before a mark
            at += 1
        mark = content[at]
        at += 1
        if mark == 0xD9:
            break
        if mark in _ALONE:
            continue
        (length,) = struct.unpack_from(">H", content, at)
        body = content[at + 2 : at + length]
        if length < 2 or len(body) != length - 2:
            raise BadPicture(_BROKEN)
        if mark in _FRAMES:
            height, width = struct.unpack_from(">HH", body, 1)
            _check_size(width, height, WHOLE_PIXELS_MAX if mark == _PROGRESSIVE else PIXELS_MAX)
            has_frame = True
        elif 0xC3 <= mark <= 0xCF and mark not in _KEPT and mark != 0xC8:
            raise BadPicture("Ảnh JPEG này thuộc loại không hiển thị được trên trình duyệt. Lưu lại thành JPEG thường.")
        if mark == 0xE1 and body.startswith(b"Exif\0\0"):
            orientation = _orientation(body[6:])
        if mark in _KEPT or (mark == 0xEE and body.startswith(b"Adobe")):
            kept.append(b"\xff" + bytes([mark]) + struct.pack(">H", length) + body)
        at += length
        if mark == 0xDA:
            if not has_frame:
                raise BadPicture(_BROKEN)
            scans += 1
            if scans > SCANS_MAX:
                raise BadPicture(_BROKEN)
            end = _end_of_scan(content, at)
            kept.append(content[at:end])
            at = end
    if not scans:
        raise BadPicture(_BROKEN)
    head = [b"\xff\xd8"] if orientation == 1 else [b"\xff\xd8", _exif(orientation)]
    return b"".join([*head, *kept, b"\xff\xd9"])


def _end_of_scan(content: bytes, at: int) -> int:
    """Return where the next mark stands: FF that neither is escaped by 00 nor restarts the scan."""
    while True:
        at = content.find(b"\xff", at)
        if at < 0 or at + 1 >= len(content):
            raise BadPicture(_BROKEN)
        following = content[at + 1]
        if following != 0 and following != 0xFF and not 0xD0 <= following <= 0xD7:
            return at
        at += 1 if following == 0xFF else 2


def _orientation(tiff: bytes) -> int:
    """Return which side is up, 1 to 8; 1 where it is not said or makes no sense."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        for number in range(min(count, 200)):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tiff, start + 2 + 12 * number)
            if tag == 0x0112 and kind == 3:
                return value if 1 <= value <= 8 else 1
    except struct.error:
        return 1
    return 1


def _exif(orientation: int) -> bytes:
    tiff = struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    body = b"Exif\0\0" + tiff
    return b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
