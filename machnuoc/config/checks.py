"""System checks for the mistakes that whoever sets up a server can make. `up`, `migrate` and `doctor` run them."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from machnuoc.config import environment

_LOCAL = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})


@register("machnuoc")
def check_what_strangers_reach(app_configs: Any, **options: Any) -> list[CheckMessage]:
    """Find settings that are safe on one's own machine but not where others come in."""
    found: list[CheckMessage] = []
    is_https = environment.read_flag("MACHNUOC_HTTPS")
    is_proxied = environment.read_flag("MACHNUOC_BEHIND_PROXY")
    is_local = settings.HOST in _LOCAL
    strangers = [name for name in settings.ALLOWED_HOSTS if name not in _LOCAL and name != "testserver"]
    if settings.DEBUG and (is_https or is_proxied or not is_local or strangers):
        found.append(
            Error(
                "MACHNUOC_DEBUG=1 trên máy chủ mà người khác truy cập được: trang lỗi sẽ lộ mã nguồn và cài đặt.",
                hint="Bỏ MACHNUOC_DEBUG.",
                id="machnuoc.E001",
            )
        )
    if "*" in settings.ALLOWED_HOSTS:
        found.append(
            Warning(
                "MACHNUOC_ALLOWED_HOSTS=* nhận mọi tên miền, kể cả tên giả trong liên kết gửi cho người dùng.",
                hint="Ghi đúng tên miền của trang, ví dụ MACHNUOC_ALLOWED_HOSTS=nuocsach.vidu.gov.vn.",
                id="machnuoc.W002",
            )
        )
    if is_https and not is_proxied:
        found.append(
            Warning(
                "MACHNUOC_HTTPS=1 nhưng không có MACHNUOC_BEHIND_PROXY=1: chương trình không tự phục vụ HTTPS, "
                "nên sẽ từ chối mọi biểu mẫu gửi qua HTTPS.",
                hint="Đặt MACHNUOC_BEHIND_PROXY=1 khi có nginx (hoặc máy chủ tương tự) đứng trước.",
                id="machnuoc.W003",
            )
        )
    if (not is_local or strangers) and not is_https:
        found.append(
            Warning(
                "Người khác truy cập được mà không có HTTPS: mật khẩu đi qua mạng không mã hóa.",
                hint="Đặt nginx có chứng thư ở phía trước, rồi MACHNUOC_HTTPS=1 và MACHNUOC_BEHIND_PROXY=1.",
                id="machnuoc.W004",
            )
        )
    if is_proxied and not is_local:
        found.append(
            Warning(
                f"MACHNUOC_BEHIND_PROXY=1 nhưng chương trình nghe ở {settings.HOST}: ai đi vòng qua nginx có thể giả "
                "địa chỉ của mình.",
                hint="Đặt MACHNUOC_HOST=127.0.0.1, hoặc chặn cổng này bằng tường lửa.",
                id="machnuoc.W005",
            )
        )
    return found


@register("machnuoc")
def check_payment_gateways(app_configs: Any, **options: Any) -> list[CheckMessage]:
    """Find gateways whose server could not call back: it needs the site's public address."""
    names = [name for name in ("VNPAY", "MOMO", "ZALOPAY") if getattr(settings, name)]
    if not names or settings.SITE_URL.startswith("https://"):
        return []
    return [
        Warning(
            f"Đã khai cổng thanh toán {', '.join(names)} nhưng MACHNUOC_SITE_URL không phải địa chỉ https: "
            "cổng không báo kết quả về được, hóa đơn chỉ được gạch nợ khi chương trình tự hỏi cổng.",
            hint="Đặt MACHNUOC_SITE_URL=https://… và khai địa chỉ …/thanh-toan/<cổng>/bao/ với cổng.",
            id="machnuoc.W006",
        )
    ]
