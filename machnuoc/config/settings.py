"""Django settings, read from the environment (see environment.VARIABLES)."""

import os
import sys
import tempfile
from pathlib import Path

from csp.constants import NONE, SELF

from machnuoc.config import environment

PACKAGE_DIR = Path(__file__).resolve().parent.parent
IS_TESTING = "pytest" in sys.modules
# Tests never touch the data of the one who runs them: conftest.py removes the folder again.
_DATA_DIR = environment.read_text("MACHNUOC_DATA_DIR") or (
    tempfile.mkdtemp(prefix="machnuoc-test-") if IS_TESTING else "data"
)
# Each process of a test run keeps its files apart: the store of readings is one file a folder.
DATA_DIR = Path(_DATA_DIR, os.environ.get("PYTEST_XDIST_WORKER", "") if IS_TESTING else "").resolve()
DEBUG = environment.read_flag("MACHNUOC_DEBUG")
SECRET_KEY = environment.read_secret(DATA_DIR)
HOST = environment.read_text("MACHNUOC_HOST", "127.0.0.1")
PORT = environment.read_int("MACHNUOC_PORT", 8000, minimum=1, maximum=65535)
ALLOWED_HOSTS = environment.read_names("MACHNUOC_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
UPLOAD_MAX_BYTES = environment.read_int("MACHNUOC_UPLOAD_MAX_MB", 20, minimum=1, maximum=500) * 1024 * 1024
_CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
WEB_PROCESSES = environment.read_int("MACHNUOC_WEB_PROCESSES", min(_CORES, 2), minimum=1, maximum=64)
WEB_THREADS = environment.read_int("MACHNUOC_WEB_THREADS", 2, minimum=1, maximum=64)

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "axes",
    "csp",
    "django_htmx",
    "template_partials.apps.SimpleAppConfig",
    "machnuoc.core",
    "machnuoc.places",
    "machnuoc.indicators",
    "machnuoc.works",
    "machnuoc.telemetry",
    "machnuoc.customers",
    "machnuoc.billing",
    "machnuoc.planning",
    "machnuoc.reports",
    "machnuoc.portal",
    "machnuoc.demo",
    "machnuoc.config",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.gzip.GZipMiddleware",
    "machnuoc.portal.middleware.SeparateSessions",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",
    "machnuoc.core.middleware.keep_private",
    "machnuoc.core.middleware.refuse_nul",
    "machnuoc.core.middleware.drop_unseen",
    "machnuoc.core.once.act_once",
]

ROOT_URLCONF = "machnuoc.config.urls"
WSGI_APPLICATION = "machnuoc.config.wsgi.application"

_CONTEXT_PROCESSORS = [
    "django.template.context_processors.request",
    "django.contrib.auth.context_processors.auth",
    "django.contrib.messages.context_processors.messages",
    "machnuoc.core.context_processors.shell",
    "machnuoc.places.context_processors.roles",
]
_LOADERS: list[object] = [
    "django.template.loaders.app_directories.Loader",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {
            "context_processors": _CONTEXT_PROCESSORS,
            "loaders": [
                (
                    "template_partials.loader.Loader",
                    _LOADERS if DEBUG else [("django.template.loaders.cached.Loader", _LOADERS)],
                )
            ],
            "builtins": [
                "template_partials.templatetags.partials",
                "machnuoc.core.templatetags.machnuoc",
            ],
        },
    }
]

DATABASES = {"default": environment.read_database(DATA_DIR)}
if IS_TESTING and DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # A file, not memory: the threads of a live server need connections of their own.
    DATABASES["default"]["TEST"] = {"NAME": str(DATA_DIR / "test.sqlite3")}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "core.Person"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
if IS_TESTING:
    PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
LOGIN_URL = "core:sign_in"
LOGIN_REDIRECT_URL = "core:overview"
LOGOUT_REDIRECT_URL = "core:sign_in"

AXES_FAILURE_LIMIT = 8
AXES_CLIENT_IP_CALLABLE = "machnuoc.core.middleware.client_address"
AXES_COOLOFF_TIME = 0.25
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_LOCKOUT_CALLABLE = "machnuoc.core.views.signed_out_for_now"
AXES_ENABLE_ACCESS_FAILURE_LOG = False
AXES_VERBOSE = False

LANGUAGE_CODE = "vi"
TIME_ZONE = "Asia/Ho_Chi_Minh"
USE_I18N = True
USE_TZ = True
USE_THOUSAND_SEPARATOR = False

STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG or IS_TESTING
        else "machnuoc.core.static_files.Storage"
    },
}
WHITENOISE_USE_FINDERS = DEBUG or IS_TESTING
WHITENOISE_MAX_AGE = 0 if DEBUG else 31_536_000
FILES_DIR = DATA_DIR / "files"
DATA_UPLOAD_MAX_MEMORY_SIZE = 5 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 5_000
FILE_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FILES = 4
FILE_UPLOAD_HANDLERS = [
    "machnuoc.core.uploads.CutTooLong",
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "django.core.files.uploadhandler.TemporaryFileUploadHandler",
]

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:", "blob:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "manifest-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "object-src": [NONE],
    }
}
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_NAME, PORTAL_COOKIE_NAME = "machnuoc_session", "machnuoc_khach"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = environment.read_int("MACHNUOC_RETENTION_SESSIONS_H", 12, minimum=1, maximum=24 * 90) * 3600
PORTAL_SESSION_DAYS = environment.read_int("MACHNUOC_RETENTION_PORTAL_DAYS", 30, minimum=1, maximum=365)
SIMULATED_DAYS = environment.read_int("MACHNUOC_SIMULATED_DAYS", 40, minimum=4, maximum=400)
SIMULATED_CUSTOMERS = environment.read_int("MACHNUOC_SIMULATED_CUSTOMERS", 0, minimum=0, maximum=100_000)
TELEMETRY_HOT_DAYS = environment.read_int("MACHNUOC_RETENTION_HOT_DAYS", 62, minimum=0, maximum=3660)
TELEMETRY_KEEP_YEARS = environment.read_int("MACHNUOC_RETENTION_READINGS_YEARS", 0, minimum=0, maximum=100)
CSRF_COOKIE_NAME = "machnuoc_csrf"
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_FAILURE_VIEW = "machnuoc.core.views.csrf_failure"
if environment.read_flag("MACHNUOC_HTTPS"):
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    SECURE_HSTS_SECONDS = 31_536_000
    SESSION_COOKIE_NAME, PORTAL_COOKIE_NAME = "__Host-machnuoc_session", "__Secure-machnuoc_khach"
IS_BEHIND_PROXY = environment.read_flag("MACHNUOC_BEHIND_PROXY")
if IS_BEHIND_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

SOFFICE = environment.read_text("MACHNUOC_SOFFICE")
SIGNING_P12 = environment.read_text("MACHNUOC_SIGNING_P12")
SIGNING_PASSWORD_FILE = environment.read_text("MACHNUOC_SIGNING_PASSWORD_FILE")
REPORT_PUSH_URL, REPORT_PUSH_KEY = environment.read_push()
globals().update(environment.read_email())
SITE_URL = environment.read_address("MACHNUOC_SITE_URL")
SMS_URL = environment.read_address("MACHNUOC_SMS_URL")
SMS_KEY = environment.read_text("MACHNUOC_SMS_KEY")
ZALO_URL = environment.read_address("MACHNUOC_ZALO_URL")
ZALO_TOKEN = environment.read_text("MACHNUOC_ZALO_TOKEN")
ZALO_TEMPLATE = environment.read_text("MACHNUOC_ZALO_TEMPLATE")

MQTT_URL = environment.read_mqtt()
MQTT_CA = environment.read_text("MACHNUOC_MQTT_CA")
MQTT_CERT = environment.read_text("MACHNUOC_MQTT_CERT")
MQTT_KEY = environment.read_text("MACHNUOC_MQTT_KEY")
MQTT_HOST = environment.read_text("MACHNUOC_MQTT_HOST", "127.0.0.1")
MQTT_PORT = environment.read_int("MACHNUOC_MQTT_PORT", 0, minimum=0, maximum=65535)  # 0: the first free one
MQTT_SHARED = environment.read_flag("MACHNUOC_MQTT_SHARED")
MOSQUITTO = environment.read_text("MACHNUOC_MOSQUITTO")
METRICS_TOKEN = environment.read_token("MACHNUOC_METRICS_TOKEN")
EINVOICE_P12 = environment.read_text("MACHNUOC_EINVOICE_P12")
EINVOICE_PASSWORD_FILE = environment.read_text("MACHNUOC_EINVOICE_PASSWORD_FILE")
EINVOICE_URL, EINVOICE_KEY, EINVOICE_TAX_CODE = environment.read_einvoice()
VNPAY = environment.read_gateway("MACHNUOC_VNPAY", 2)
MOMO = environment.read_gateway("MACHNUOC_MOMO", 3)
ZALOPAY = environment.read_gateway("MACHNUOC_ZALOPAY", 3)

MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {"axes": {"level": "WARNING"}, "django.request": {"level": "ERROR"}},
}
SILENCED_SYSTEM_CHECKS = ["axes.W003"]
