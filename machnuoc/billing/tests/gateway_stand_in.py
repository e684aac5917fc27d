"""A server in place of the payment gateways, which lie outside our walls: orders and questions over real HTTP."""

import hashlib
import hmac
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

VNPAY_SECRET = b"bi-mat-cua-vnpay"
_ANSWER_ORDER = (
    "vnp_ResponseId", "vnp_Command", "vnp_ResponseCode", "vnp_Message", "vnp_TmnCode", "vnp_TxnRef", "vnp_Amount",
    "vnp_BankCode", "vnp_PayDate", "vnp_TransactionNo", "vnp_TransactionType", "vnp_TransactionStatus",
    "vnp_OrderInfo", "vnp_PromotionCode", "vnp_PromotionAmount",
)  # fmt: skip


class StandIn(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.paid = False
        self.is_broken = False
        self.amount_vnd = 105_000


class _Handler(BaseHTTPRequestHandler):
    server: StandIn

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.is_broken:
            self.send_error(500)
            return
        said = json.loads(body) if body.startswith(b"{") else {k: v[0] for k, v in parse_qs(body.decode()).items()}
        answer = json.dumps(self._answer(said)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _answer(self, said: dict[str, Any]) -> dict[str, Any]:
        paid, amount = self.server.paid, self.server.amount_vnd
        match self.path:
            case "/v2/gateway/api/create":
                return {"resultCode": 0, "payUrl": "https://momo.vn/tra-tien/1"}
            case "/v2/gateway/api/query":
                return {
                    "partnerCode": said["partnerCode"], "orderId": said["orderId"], "amount": amount,
                    "transId": 4088878653 if paid else 0, "resultCode": 0 if paid else 1000, "responseTime": 0,
                }  # fmt: skip
            case "/v2/create":
                return {"return_code": 1, "order_url": "https://zalopay.vn/tra-tien/1"}
            case "/v2/query":
                return {"return_code": 1 if paid else 3, "amount": amount, "zp_trans_id": 260801000000123}
        fields = {
            "vnp_ResponseId": "1", "vnp_Command": "querydr", "vnp_ResponseCode": "00" if paid else "91",
            "vnp_Message": "OK", "vnp_TmnCode": said["vnp_TmnCode"], "vnp_TxnRef": said["vnp_TxnRef"],
            "vnp_Amount": str(amount * 100), "vnp_TransactionNo": "14226112", "vnp_TransactionType": "01",
            "vnp_TransactionStatus": "00",
        }  # fmt: skip
        text = "|".join(fields.get(key, "") for key in _ANSWER_ORDER)
        return fields | {"vnp_SecureHash": hmac.new(VNPAY_SECRET, text.encode(), hashlib.sha512).hexdigest()}

    def log_message(self, *ignored: Any) -> None:
        return None
