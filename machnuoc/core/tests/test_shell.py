"""The shell: coming and going, the pages of this room, and what must hold on every page."""

import re
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.db import connection
from django.template import engines
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from machnuoc.core import documents, notices, panels, tokens, views
from machnuoc.core.models import ApiToken, AuditEntry, Document, Notice, Person

PACKAGE = Path(views.__file__).parent.parent
STATIC = PACKAGE / "core" / "static"
PASSWORD = "mot-mat-khau-dai"
# Names of XML dialects, and addresses in comments and licences: nothing is fetched from them.
NAMED_ONLY = re.compile(
    r"https?://(www\.w3\.org/|www\.apache\.org/licenses/|github\.com/|tabler\.io|leafletjs\.com"
    r"|bugs\.chromium\.org/|bugzilla\.mozilla\.org/)",
    re.IGNORECASE,
)


@pytest.fixture
def hoa(db) -> Person:
    return Person.objects.create_user("hoa", PASSWORD, full_name="Nguyễn Thị Hoà", title="Giám đốc")


@pytest.fixture
def mai(db) -> Person:
    return Person.objects.create_user("mai", PASSWORD, full_name="Lê Thị Mai")


@pytest.fixture
def hoa_browser(hoa) -> Client:
    client = Client()
    client.force_login(hoa)
    return client


@pytest.fixture
def plan(db) -> Document:
    plan = documents.put_document(
        "ke-hoach-79", number="79/KH-TTNS", title="Kế hoạch cấp nước sạch", issuer="Trung tâm Nước sạch"
    )
    documents.put_passage(plan, "muc-2", "Mục 2", "Đoạn thứ hai", 2)
    documents.put_passage(plan, "muc-1", "Mục 1", "Đoạn thứ nhất <b>", 1)
    return plan


def sign_in(client: Client, username: str, password: str, **extra: str):
    return client.post(reverse("core:sign_in"), {"username": username, "password": password, **extra})


# --- coming and going


def test_a_person_signs_in_and_goes_where_they_wanted(client, hoa):
    response = sign_in(client, "hoa", PASSWORD, next="/van-ban/")

    assert response.status_code == 302
    assert response["Location"] == "/van-ban/"


def test_sign_in_does_not_lead_to_another_site(client, hoa):
    response = sign_in(client, "hoa", PASSWORD, next="https://example.org/")

    assert response["Location"] == "/"


def test_a_wrong_password_is_answered_with_what_to_do(client, hoa):
    response = sign_in(client, "hoa", "sai")

    assert response.status_code == 200
    assert "Tên đăng nhập hoặc mật khẩu không đúng" in response.content.decode()


def test_too_many_wrong_passwords_lock_the_account_for_a_while_even_for_the_right_one(client, hoa):
    answers = [sign_in(client, "hoa", "sai").status_code for _ in range(settings.AXES_FAILURE_LIMIT)]

    locked = sign_in(client, "hoa", PASSWORD)

    assert answers[0] == 200
    assert locked.status_code == 429
    assert "Tạm dừng đăng nhập" in locked.content.decode()


def test_another_person_signs_in_while_one_is_locked(client, hoa, mai):
    for _ in range(settings.AXES_FAILURE_LIMIT + 1):
        sign_in(client, "hoa", "sai")

    assert sign_in(client, "mai", PASSWORD).status_code == 302


def test_an_inactive_person_stays_outside(client, hoa):
    Person.objects.filter(pk=hoa.pk).update(is_active=False)

    assert sign_in(client, "hoa", PASSWORD).status_code == 200
    assert client.get("/").status_code == 302


def test_demo_accounts_are_named_at_sign_in_only_where_there_are_some(client, hoa):
    before = client.get(reverse("core:sign_in")).content.decode()
    Person.objects.create_user("tram", views.DEMO_PASSWORD, full_name="Trạm", title="Tổ trưởng", is_demo=True)
    after = client.get(reverse("core:sign_in")).content.decode()

    assert views.DEMO_PASSWORD not in before
    assert "hoa" not in re.findall(r'data-fill-username="(\w+)"', after)
    assert 'data-fill-username="tram"' in after
    assert views.DEMO_PASSWORD in after
    assert "Tổ trưởng" in after


def test_signing_out_needs_a_post(hoa_browser):
    assert hoa_browser.get(reverse("core:sign_out")).status_code == 405
    assert hoa_browser.post(reverse("core:sign_out")).status_code == 302
    assert hoa_browser.get("/").status_code == 302


# --- every page


OWN_PAGES = ["core:overview", "core:account", "core:notices", "core:documents"]


@pytest.mark.parametrize("name", OWN_PAGES)
def test_a_page_sends_strangers_to_the_sign_in(client, db, name):
    response = client.get(reverse(name))

    assert response.status_code == 302
    assert response["Location"].startswith(reverse("core:sign_in"))


@pytest.mark.parametrize("name", OWN_PAGES)
def test_a_page_opens_for_who_is_signed_in(hoa_browser, name):
    response = hoa_browser.get(reverse(name))

    assert response.status_code == 200
    check_page(response.content.decode())


def test_health_is_public_and_asks_nobody(client, db, django_assert_num_queries):
    with django_assert_num_queries(0):
        response = client.get("/healthz")

    assert response.content == b"ok"


def test_the_content_policy_allows_nothing_inline_and_nothing_foreign(client, db):
    policy = client.get(reverse("core:sign_in"))["Content-Security-Policy"]

    assert "unsafe" not in policy
    assert "http" not in policy
    assert "default-src 'none'" in policy


def test_the_list_of_notices_asks_no_more_for_more_notices(hoa_browser, hoa):
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            hoa_browser.get(reverse("core:notices"))
        return len(queries)

    notices.notify([hoa], kind="test", text="Một")
    few = count()
    for number in range(30):
        notices.notify([hoa], kind="test", text=f"Thông báo {number}")

    assert count() == few


class PageReader(HTMLParser):
    """Collects what a strict policy or a far-off station would stumble over."""

    def __init__(self) -> None:
        super().__init__()
        self.problems: list[str] = []
        self.ids: list[str] = []
        self.headings = 0
        self.language = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.headings += tag == "h1"
        if tag == "html":
            self.language = values.get("lang") or ""
        if values.get("id"):
            self.ids.append(str(values["id"]))
        if tag == "style" or "style" in values:
            self.problems.append(f"inline style in <{tag}>")
        if tag == "script" and "src" not in values and values.get("type") != "application/json":
            self.problems.append("inline script")
        for name, value in values.items():
            if name.startswith("on"):
                self.problems.append(f"{name} in <{tag}>")
            is_address = name in {"href", "src", "action", "hx-get", "hx-post"}
            if is_address and re.match(r"(https?:)?//|javascript:", value or ""):
                self.problems.append(f"foreign address {value}")


def check_page(html: str) -> None:
    page = PageReader()
    page.feed(html)
    assert page.problems == []
    assert page.language == "vi"
    assert page.headings == 1
    assert len(page.ids) == len(set(page.ids))


@pytest.mark.parametrize("name", ["400", "403", "404", "500", "csrf", "locked_out"])
def test_an_error_page_says_what_next_without_database_or_person(name):
    html = engines["django"].get_template(f"core/errors/{name}.html").render({})

    check_page(html)
    assert 'class="btn btn-primary"' in html


def test_a_missing_page_answers_404_in_vietnamese(hoa_browser):
    response = hoa_browser.get("/van-ban/khong-co/")

    assert response.status_code == 404
    assert "Không có trang này" in response.content.decode()


def test_an_expired_form_is_refused_with_a_sentence(hoa):
    client = Client(enforce_csrf_checks=True)
    client.force_login(hoa)

    response = client.post(reverse("core:sign_out"))

    assert response.status_code == 403
    assert "Biểu mẫu đã hết hạn" in response.content.decode()


# --- static files


def list_static(*suffixes: str) -> list[Path]:
    return [path for path in STATIC.rglob("*") if path.suffix in suffixes]


@pytest.mark.parametrize("path", list_static(".css", ".js", ".svg"), ids=lambda path: path.name)
def test_a_static_file_names_no_place_outside(path):
    text = path.read_text(encoding="utf-8")

    foreign = [address for address in re.findall(r"https?://[\w./-]+", text) if not NAMED_ONLY.match(address)]

    assert foreign == []
    assert "sourceMappingURL" not in text


@pytest.mark.parametrize("path", list_static(".css"), ids=lambda path: path.name)
def test_a_style_sheet_refers_only_to_files_that_are_there(path):
    text = path.read_text(encoding="utf-8")

    for address in re.findall(r"""url\(["']?(?!data:|["']|%23)([^"')]+)""", text):
        assert (path.parent / address).is_file(), address


def test_the_vendored_files_stay_small_enough_for_a_slow_line():
    size_bytes = sum(path.stat().st_size for path in STATIC.rglob("*") if path.is_file())

    assert size_bytes < 3.5 * 1024 * 1024


def test_every_vendored_package_brings_its_licence_and_version():
    versions = (STATIC / "vendor" / "VERSIONS.md").read_text(encoding="utf-8")

    for folder in (path for path in (STATIC / "vendor").iterdir() if path.is_dir()):
        assert (folder / "LICENSE").is_file(), folder.name
        assert f"`{folder.name}/`" in versions


def test_every_icon_that_the_program_names_is_in_the_sprite():
    sprite = set(re.findall(r'<symbol id="([^"]+)"', (STATIC / "core" / "icons.svg").read_text(encoding="utf-8")))
    named = set()
    for path in PACKAGE.rglob("templates/**/*.html"):
        text = path.read_text(encoding="utf-8")
        named |= set(re.findall(r"""\{%\s*(?:icon|empty_state)\s+["']([a-z0-9-]+)["']""", text))
        named |= set(re.findall(r"""\bicon=["']([a-z0-9-]+)["']""", text))
        named |= set(re.findall(r"""\{%\s*tag\s+\S+\s+["']\w+["']\s+["']([a-z0-9-]+)["']""", text))
    for path in PACKAGE.rglob("panels.py"):
        text = path.read_text(encoding="utf-8")
        named |= set(re.findall(r"""NavigationItem\([^()]*(?:\([^()]*\)[^()]*)*?,\s*"([a-z0-9-]+)",\s*\d""", text))

    assert named
    assert named - sprite == set()


# --- account


def test_changing_the_password_keeps_this_session_and_leaves_a_trace(hoa_browser, hoa):
    new = "mot-mat-khau-khac-han"

    response = hoa_browser.post(
        reverse("core:account"), {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    )

    hoa.refresh_from_db()
    assert response.status_code == 302
    assert hoa.check_password(new)
    assert hoa_browser.get("/").status_code == 200
    assert AuditEntry.objects.filter(action="core.password.changed", actor=hoa).count() == 1


def test_a_password_is_not_changed_without_the_present_one(hoa_browser, hoa):
    new = "mot-mat-khau-khac-han"

    response = hoa_browser.post(
        reverse("core:account"), {"old_password": "sai", "new_password1": new, "new_password2": new}
    )

    hoa.refresh_from_db()
    assert "Mật khẩu hiện tại không đúng" in response.content.decode()
    assert hoa.check_password(PASSWORD)


def test_a_token_is_shown_once_and_kept_as_a_hash(hoa_browser, hoa):
    answer = hoa_browser.post(reverse("core:create_token"), {"name": "Cổng dữ liệu", "days": "90"})
    raw = re.search(r'value="(mn_[\w-]+)"', answer.content.decode())
    later = hoa_browser.get(reverse("core:account")).content.decode()

    token = ApiToken.objects.get()
    assert raw is not None
    assert answer["Cache-Control"] == "no-store"
    assert token.token_hash == tokens.hash_token(raw[1])
    assert raw[1] not in later
    assert "Cổng dữ liệu" in later
    assert not token.can_write
    assert tokens.find_token(raw[1], now=timezone.now()) == token
    check_page(later)


def test_a_revoked_or_ended_token_opens_nothing(hoa):
    now = timezone.now()
    revoked, revoked_raw = tokens.create_token(person=hoa, name="một", now=now)
    _, ended_raw = tokens.create_token(person=hoa, name="hai", now=now, expires_at=now + timedelta(days=1))

    tokens.revoke_token(revoked, by=hoa, now=now)

    assert tokens.find_token(revoked_raw, now=now) is None
    assert tokens.find_token(ended_raw, now=now) is not None
    assert tokens.find_token(ended_raw, now=now + timedelta(days=1)) is None


def test_the_token_of_a_person_who_left_opens_nothing(hoa):
    now = timezone.now()
    _, raw = tokens.create_token(person=hoa, name="một", now=now)
    Person.objects.filter(pk=hoa.pk).update(is_active=False)

    assert tokens.find_token(raw, now=now) is None


def test_a_person_cannot_revoke_the_token_of_another(hoa_browser, mai):
    token, raw = tokens.create_token(person=mai, name="của Mai", now=timezone.now())

    assert hoa_browser.post(reverse("core:revoke_token", args=[token.pk])).status_code == 404
    assert tokens.find_token(raw, now=timezone.now()) == token


def test_a_person_holds_a_bounded_number_of_live_tokens(hoa):
    now = timezone.now()
    for number in range(20):
        tokens.create_token(person=hoa, name=str(number), now=now)

    with pytest.raises(tokens.TooManyTokens, match="Thu hồi mã không dùng nữa"):
        tokens.create_token(person=hoa, name="thừa", now=now)


# --- notices


def test_opening_a_notice_marks_it_read_and_leads_to_its_page(hoa_browser, hoa):
    notices.notify([hoa], kind="test", text="Biểu chờ duyệt", url="/van-ban/")
    notice = Notice.objects.get()

    response = hoa_browser.post(reverse("core:open_notice", args=[notice.pk]))

    notice.refresh_from_db()
    assert response["Location"] == "/van-ban/"
    assert notice.read_at is not None


def test_a_notice_never_leads_out_of_the_site(hoa_browser, hoa):
    notices.notify([hoa], kind="test", text="Lạ", url="https://example.org/")

    response = hoa_browser.post(reverse("core:open_notice", args=[Notice.objects.get().pk]))

    assert response["Location"] == reverse("core:notices")


def test_the_notices_of_another_person_are_out_of_reach(hoa_browser, mai):
    notices.notify([mai], kind="test", text="Việc của Mai")

    assert "Việc của Mai" not in hoa_browser.get(reverse("core:notices")).content.decode()
    assert hoa_browser.post(reverse("core:open_notice", args=[Notice.objects.get().pk])).status_code == 404


def test_all_notices_are_read_at_once(hoa_browser, hoa):
    for text in ("một", "hai"):
        notices.notify([hoa], kind="test", text=text)

    hoa_browser.post(reverse("core:read_all_notices"))

    assert notices.count_unread(hoa) == 0
    assert "Không còn thông báo chưa đọc" in hoa_browser.get(reverse("core:notices") + "?unread=1").content.decode()


# --- documents


def test_a_document_shows_its_passages_in_order_and_as_printed(hoa_browser, plan):
    html = hoa_browser.get(reverse("core:document", args=[plan.key])).content.decode()

    assert html.index("Đoạn thứ nhất &lt;b&gt;") < html.index("Đoạn thứ hai")
    assert 'id="muc-1"' in html
    check_page(html)


def test_a_document_is_found_without_diacritics(hoa_browser, plan):
    documents.put_document("khac", title="Quyết định khác", issuer="Bộ", confidence="recalled")

    found = hoa_browser.get(reverse("core:documents"), {"q": "cap nuoc"}).content.decode()
    none = hoa_browser.get(reverse("core:documents"), {"q": "xyz"}).content.decode()
    recalled = hoa_browser.get(reverse("core:documents"), {"confidence": "recalled"}).content.decode()

    assert "Kế hoạch cấp nước sạch" in found
    assert "Quyết định khác" not in found
    assert "Không có văn bản nào khớp" in none
    assert "Xóa lọc" in none
    assert "Quyết định khác" in recalled
    assert "Kế hoạch cấp nước sạch" not in recalled


# --- overview and navigation


def test_the_overview_puts_each_panel_into_its_region(hoa_browser, monkeypatch):
    panel = panels.Panel("Việc hôm nay", "core/parts/callout.html", {"tone": "info", "title": "Nộp biểu"}, region="now")
    monkeypatch.setattr(panels, "list_overview", lambda person: [panel])

    html = hoa_browser.get("/").content.decode()

    assert html.index("Cần làm hôm nay") < html.index("Nộp biểu") < html.index("Hiện trạng")
    assert "Không có việc nào đang chờ bạn" not in html
    check_page(html)


def test_a_region_says_that_nothing_waits_once_both_of_its_halves_are_empty(hoa_browser, monkeypatch):
    page, later = hoa_browser.get("/").content.decode(), "/tong-quan/now/"
    assert f'hx-get="{later}?alone=1"' in page
    as_part = {"headers": {"HX-Request": "true"}}

    monkeypatch.setattr(panels, "list_later_overview", lambda person, region: [])
    assert "Không có việc nào đang chờ bạn" in hoa_browser.get(f"{later}?alone=1", **as_part).content.decode()
    assert hoa_browser.get(later, **as_part).content.decode().strip() == ""
    panel = panels.Panel("Việc", "core/parts/callout.html", {"tone": "info", "title": "Nộp biểu"}, region="now")
    monkeypatch.setattr(panels, "list_later_overview", lambda person, region: [panel])
    assert "Không có việc nào đang chờ" not in hoa_browser.get(f"{later}?alone=1", **as_part).content.decode()


def test_the_navigation_marks_where_one_is_and_shows_only_what_one_may(hoa_browser, plan):
    html = hoa_browser.get(reverse("core:document", args=[plan.key])).content.decode()

    assert re.search(r'<a href="/van-ban/" aria-current="page">', html)
    assert not re.search(r'<a href="/" aria-current="page">', html)
    assert reverse("core:jobs") not in html
    assert reverse("core:audit") not in html


def _links(count: int, *, current: int = -1) -> list[Any]:
    from machnuoc.core.context_processors import NavigationLink

    return [
        NavigationLink(f"Trang {number}", f"/{number}/", "file", number % 3, f"Nhóm {number % 3}", number == current)
        for number in range(count)
    ]


def test_groups_of_a_long_side_bar_fold_and_that_of_the_page_is_open():
    from machnuoc.core import context_processors as shell

    html = shell._draw(shell._group(_links(30, current=4)))

    folds = re.findall(r'<details class="nav-fold" data-nav-group="([^"]+)"( open)?><summary', html)
    assert folds == [("Nhóm 0", ""), ("Nhóm 1", " open"), ("Nhóm 2", "")]
    assert html.count("</details>") == 3
    assert '<summary class="nav-group">Nhóm 2<span class="nav-badge">20<' in html  # what waits in it is told outside


def test_a_short_side_bar_is_not_folded():
    from machnuoc.core import context_processors as shell

    assert shell._draw(shell._group(_links(9))).count('" open><summary') == 3


def test_demo_persons_are_told_that_the_data_are_for_trying(hoa_browser, hoa):
    before = hoa_browser.get("/").content.decode()
    Person.objects.filter(pk=hoa.pk).update(is_demo=True)
    after = hoa_browser.get("/").content.decode()

    assert "Dữ liệu dùng thử" not in before
    assert "Dữ liệu dùng thử" in after


def test_the_marks_of_states_follow_the_states_of_figures():
    from machnuoc.core.templatetags import machnuoc as tags

    choices = dict(apps.get_model("indicators", "Value")._meta.get_field("state").choices)

    assert choices[tags._SIMULATED] == "Mô phỏng"
    assert set(choices) <= set(tags._STATES)


def test_a_request_without_a_person_gets_an_empty_shell():
    from machnuoc.core.context_processors import shell

    assert shell(RequestFactory().get("/")) == {"navigation": "", "quick_navigation": []}
