"""Calls from this server to others, over HTTPS, signed, to public addresses alone, following no redirect.

An address that a person types must not make the server call into its own network; one that the operator of the server
sets in the environment may (a message gateway in the same building).
"""

import hashlib
import hmac
import http.client
import ipaddress
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_S = 15
ANSWER_MAX_BYTES = 64 * 1024
SIGNATURE = "X-Machnuoc-Signature"


class CannotCall(Exception):
    """The call did not get there, or was refused; the text says why. is_final: trying again cannot help."""

    def __init__(self, text: str, *, is_final: bool = False) -> None:
        super().__init__(text)
        self.is_final = is_final


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes


def sign(content: bytes, key: str) -> str:
    """Return the signature of bytes by HMAC-SHA256: «sha256=…».

    >>> sign(b"{}", "k")[:15]
    'sha256=add853b1'
    """
    return f"sha256={hmac.new(key.encode(), content, hashlib.sha256).hexdigest()}"


def check_url(url: str) -> str:
    """Return an address that a person typed, if the server may call it as far as it can be read. Raises CannotCall."""
    url = url.strip()
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise CannotCall(f"«{url[:80]}» không phải địa chỉ web. Nhập như https://vi-du.vn/nhan-tin.") from None
    if parts.scheme != "https" or not host or parts.username or parts.password or len(url) > 300:
        raise CannotCall("Chỉ nhận địa chỉ bắt đầu bằng https://, không kèm tên đăng nhập, không quá 300 ký tự.")
    if port not in {None, 443, 8443}:
        raise CannotCall("Chỉ nhận cổng 443 hoặc 8443.")
    try:
        is_ours = not ipaddress.ip_address(host.strip("[]")).is_global
    except ValueError:
        is_ours = host == "localhost" or host.endswith((".localhost", ".local", ".internal")) or "." not in host
    if is_ours:
        raise CannotCall(f"«{host}» là địa chỉ trong mạng nội bộ. Nhập địa chỉ công khai của nơi nhận.")
    return url


class _PublicConnection(http.client.HTTPSConnection):
    """Refuses a peer in a private network, whatever name led there, before a byte is sent."""

    def connect(self) -> None:
        http.client.HTTPConnection.connect(self)
        peer = ipaddress.ip_address(self.sock.getpeername()[0].partition("%")[0])
        if isinstance(peer, ipaddress.IPv6Address) and peer.ipv4_mapped is not None:
            peer = peer.ipv4_mapped
        if not peer.is_global:
            self.close()
            raise CannotCall(f"«{self.host}» trỏ vào mạng nội bộ ({peer}), nên không gửi.", is_final=True)
        self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=self.host)


class _PublicHandler(urllib.request.HTTPSHandler):
    def https_open(self, request: urllib.request.Request) -> Any:
        return self.do_open(_PublicConnection, request)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *ignored: Any) -> None:
        return None


def opener(*, may_be_local: bool) -> urllib.request.OpenerDirector:
    """Return what opens addresses: no redirect; without may_be_local no proxy and none inside a private network."""
    handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
    if not may_be_local:
        handlers += [urllib.request.ProxyHandler({}), _PublicHandler()]
    return urllib.request.build_opener(*handlers)


def post(url: str, content: bytes, headers: Mapping[str, str], *, may_be_local: bool = False) -> Answer:
    """Post bytes and return the answer (2xx). Raises CannotCall.

    may_be_local: the address is the operator's own setting; otherwise it must be https and public.
    """
    if not may_be_local:
        check_url(url)
    request = urllib.request.Request(url, data=content, headers=dict(headers), method="POST")  # noqa: S310
    try:
        with opener(may_be_local=may_be_local).open(request, timeout=TIMEOUT_S) as response:
            return Answer(response.status, response.read(ANSWER_MAX_BYTES))
    except urllib.error.HTTPError as reason:
        is_final = 400 <= reason.code < 500 and reason.code not in {408, 425, 429}
        raise CannotCall(f"Nơi nhận từ chối (HTTP {reason.code}).", is_final=is_final) from None
    except (OSError, http.client.HTTPException, socket.gaierror, ValueError) as reason:
        raise CannotCall(f"Không kết nối được nơi nhận: {reason}.") from None
