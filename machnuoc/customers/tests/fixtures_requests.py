"""A tiny world of requests: two operators, their stations and people, and pictures made by hand."""

import struct
import zlib


def png(*, text: bytes = b"") -> bytes:
    """Return a picture of one pixel, with a text beside it."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">II5B", 1, 1, 8, 0, 0, 0, 0)
    beside = chunk(b"tEXt", text) if text else b""
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + beside
        + chunk(b"IDAT", zlib.compress(b"\0\0"))
        + chunk(b"IEND", b"")
    )


def jpeg(*, orientation: int = 1, secret: bytes = b"") -> bytes:
    """Return the bones of a photo as a phone writes it: Exif with what it should not tell, one frame, one scan."""
    tiff = struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0) + secret
    exif = b"Exif\0\0" + tiff
    frame = struct.pack(">BHHB3B", 8, 8, 8, 1, 1, 0x11, 0)
    scan = bytes([1, 1, 0, 0, 63, 0])
    return b"".join([
        b"\xff\xd8",
        b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif,
        b"\xff\xdb" + struct.pack(">H", 67) + bytes([0] + [1] * 64),
        b"\xff\xc0" + struct.pack(">H", len(frame) + 2) + frame,
        b"\xff\xda" + struct.pack(">H", len(scan) + 2) + scan,
        b"\x2a\xff\x00\x55",
        b"\xff\xd9",
    ])  # fmt: skip
