"""How much of an upload is kept while it arrives: never more than a file may have, whoever sends it."""

from typing import Any

from django.conf import settings
from django.core.files.uploadhandler import FileUploadHandler


class CutTooLong(FileUploadHandler):
    """Drop what goes beyond the largest file that is taken: it is known to be too large, and `files.store` says so.

    Django would write all of it to disk first, for strangers too, since the token of a form stands in the same body.
    """

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self._left_bytes = settings.UPLOAD_MAX_BYTES + 1

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes | None:
        kept = raw_data[: self._left_bytes]
        self._left_bytes -= len(kept)
        return kept or None

    def file_complete(self, file_size: int) -> None:
        """Leave the file to the next handler."""
        return None
