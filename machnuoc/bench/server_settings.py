"""The settings of the program with one view more: the empty page that the benchmark holds the others against."""

from machnuoc.config.settings import *  # noqa: F403

ROOT_URLCONF = "machnuoc.bench.server_urls"
