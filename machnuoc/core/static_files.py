"""Where static files are: by names that carry their content, looked up once a process."""

from typing import Any

from whitenoise.storage import CompressedManifestStaticFilesStorage


class Storage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """A page names 50 static files; composing each address anew took longer than the rest of its shell."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._addresses: dict[str, str] = {}

    def url(self, name: str, force: bool = False) -> str:
        address = self._addresses.get(name)
        if address is None:
            address = self._addresses[name] = super().url(name, force)
        return address

    def post_process(self, *args: Any, **kwargs: Any) -> Any:
        self._addresses.clear()  # the files are being gathered anew
        yield from super().post_process(*args, **kwargs)
        self._addresses.clear()
