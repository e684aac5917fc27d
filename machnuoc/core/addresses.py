"""Addresses of pages for lists that link to hundreds: what `reverse` says, looked up once for each page."""

from functools import lru_cache
from urllib.parse import quote

from django.conf import settings
from django.urls import get_urlconf, reverse

_KEY = "0-0"  # stands for a key while the address is looked up; no address has it by itself
_AS_THEY_ARE = "!$&'()*+,;=/~:@"  # what `reverse` does not quote either


def of(name: str, *keys: str) -> str:
    """Return the address of the page with these keys (of addresses that take them as <str:…>), not yet escaped.

    Raises NoReverseMatch where the site has no such page.
    """
    parts = _parts(str(get_urlconf() or settings.ROOT_URLCONF), name, len(keys))
    found = parts[0]
    for key, after in zip(keys, parts[1:], strict=True):
        found += quote(key, safe=_AS_THEY_ARE) + after
    return found


@lru_cache
def _parts(urlconf: str, name: str, count: int) -> tuple[str, ...]:
    return tuple(reverse(name, urlconf, args=[_KEY] * count).split(_KEY))
