"""A provider of e-invoices on this machine: real HTTP, remembers what it was sent, answers as it is told."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from machnuoc.billing import einvoice_xml
from machnuoc.core import outgoing

KEY = "khoa-bi-mat-cua-nha-cung-cap-de-thu-nghiem"
PAGE = 2


@dataclass
class StandIn:
    """url: its address. invoices: what it holds, by key. fail: statuses to answer next, instead of working."""

    url: str = ""
    invoices: dict[str, dict[str, Any]] = field(default_factory=dict)
    fail: list[int] = field(default_factory=list)
    garbage: list[bytes] = field(default_factory=list)
    refuse: dict[str, str] = field(default_factory=dict)  # key: reason
    accept_at_once: bool = True
    calls: int = 0

    def take(self, key: str, xml: bytes) -> dict[str, Any]:
        if key not in self.invoices:
            read = einvoice_xml.read(xml)
            state = "REFUSED" if key in self.refuse else "ACCEPTED" if self.accept_at_once else "RECEIVED"
            self.invoices[key] = {
                "reference": f"R{len(self.invoices) + 1}", "state": state, "error": self.refuse.get(key, ""),
                "authority_code": f"M1-26-{read.number:011d}" if state == "ACCEPTED" else "",
                "form": read.form, "series": read.series, "number": read.number, "total_vnd": read.total_vnd,
                "seller": read.seller_tax_code, "day": read.issued_date.isoformat(),
            }  # fmt: skip
        return self.invoices[key]

    def status(self, reference: str) -> dict[str, Any]:
        return next(one for one in self.invoices.values() if one["reference"] == reference)

    def day(self, seller: str, day: str, cursor: str) -> dict[str, Any]:
        found = [one for one in self.invoices.values() if (one["seller"], one["day"]) == (seller, day)]
        start = int(cursor or 0)
        return {
            "invoices": found[start : start + PAGE],
            "next": str(start + PAGE) if start + PAGE < len(found) else "",
        }


@contextmanager
def running() -> Iterator[StandIn]:
    stand_in = StandIn()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            stand_in.calls += 1
            content = self.rfile.read(int(self.headers["Content-Length"]))
            if stand_in.garbage:
                return self._answer(200, stand_in.garbage.pop(0))
            if stand_in.fail:
                return self._answer(stand_in.fail.pop(0), b"{}")
            if self.headers[outgoing.SIGNATURE] != outgoing.sign(content, KEY):
                return self._answer(401, b"{}")
            if self.path.endswith("/invoices"):
                body = stand_in.take(self.headers["Idempotency-Key"], content)
            elif self.path.endswith("/status"):
                body = stand_in.status(json.loads(content)["reference"])
            else:
                asked = json.loads(content)
                body = stand_in.day(asked["seller"], asked["day"], asked["cursor"])
            return self._answer(200, json.dumps(body).encode())

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *ignored: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stand_in.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield stand_in
    finally:
        server.shutdown()
        server.server_close()
