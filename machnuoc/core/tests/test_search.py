import itertools

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from machnuoc.core import search
from machnuoc.core.folding import fold
from machnuoc.core.models import SearchEntry

SYLLABLES = ["Bình", "Sơn", "Trà", "Bồng", "Nghĩa", "Hành", "Đức", "Mộ", "Phổ", "Ba", "Tơ", "Tây", "Lý", "Minh", "Long"]


def put_titles(*titles: str, kind: str = "work", **fields) -> None:
    first = SearchEntry.objects.count() + 1
    search.put_many(
        search.Entry(kind, number, title, f"/{kind}/{number}/", **fields) for number, title in enumerate(titles, first)
    )


def titles_found(query: str, **limits) -> list[str]:
    return [entry.title for entry in search.find(query, **limits)]


@pytest.mark.django_db
@pytest.mark.parametrize("query", ["hoa binh", "Hoà Bình", "Hòa  Bình", "hoa bình", "HOÀ-BÌNH", "bình hoà", "hoà ình"])
def test_spelling_variants_find_the_same(query):
    put_titles("Trạm Hòa Bình", "Trạm Hòa An", "Trạm An Bình")

    assert titles_found(query) == ["Trạm Hòa Bình"]


@pytest.mark.django_db
@pytest.mark.parametrize("query", ["Đăk", "Đắk", "dak", "ĐĂK", "đak hà"])
def test_the_stroke_of_d_does_not_matter(query):
    put_titles("Trạm Đăk Hà", "Trạm Đức Phổ")

    assert titles_found(query) == ["Trạm Đăk Hà"]


@pytest.mark.django_db
def test_short_queries_find_the_beginnings_of_words():
    put_titles("Trạm Ba Tơ", "Trạm Kon Plông", "Xã Đăk Bla")

    assert titles_found("b") == ["Trạm Ba Tơ", "Xã Đăk Bla"]
    assert titles_found("ba") == ["Trạm Ba Tơ"]
    assert titles_found("la") == []  # inside a word only
    assert titles_found("to ba") == ["Trạm Ba Tơ"]


@pytest.mark.django_db
def test_longer_queries_find_pieces_of_words_and_every_word_must_occur():
    put_titles("Trạm Nghĩa Phú", "Trạm Nghĩa Hành")

    assert titles_found("ghi") == ["Trạm Nghĩa Phú", "Trạm Nghĩa Hành"]
    assert titles_found("nghia phu") == ["Trạm Nghĩa Phú"]
    assert titles_found("nghia quang") == []


@pytest.mark.django_db
def test_the_likeliest_comes_first():
    put_titles(
        "Cụm công trình Trà Bồng mở rộng", "Xã Trà Bồng", "Trà Bồng", "Trà Bồng Đông", "Trà Bồn", "Khu vực Trà Bồngg"
    )
    put_titles("Trà Bồng Tây Bắc", weight=5)

    assert titles_found("trà bồng") == [
        "Trà Bồng",
        "Trà Bồng Tây Bắc",
        "Trà Bồng Đông",
        "Xã Trà Bồng",
        "Khu vực Trà Bồngg",
        "Cụm công trình Trà Bồng mở rộng",
    ]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "query", ["", " ", "%", "_", "%%%", "***", '"', "' OR 1=1 --", "\\", "\0", "NEAR(", "a" * 5000]
)
def test_signs_mean_nothing_special(query):
    put_titles("Trạm Ba Tơ")

    assert titles_found(query) == []


@pytest.mark.django_db
def test_signs_of_the_query_language_are_only_text():
    put_titles("Hồ OR AND NOT", "Hồ NEAR")

    assert titles_found("or and not") == ["Hồ OR AND NOT"]
    assert titles_found("near") == ["Hồ NEAR"]


@pytest.mark.django_db
def test_other_text_is_found_but_ranks_after_titles():
    put_titles("Trạm A", text="Tịnh Khê")
    put_titles("Trạm Tịnh Khê")

    assert titles_found("tinh khe") == ["Trạm Tịnh Khê", "Trạm A"]


@pytest.mark.django_db
def test_only_what_the_person_may_see_is_found():
    put_titles("Trạm Một", subject_id=1)
    put_titles("Trạm Hai", subject_id=2)
    put_titles("Trạm Ba", subject_id=None)

    assert titles_found("trạm", within=[1]) == ["Trạm Ba", "Trạm Một"]
    assert titles_found("trạm", within=[]) == ["Trạm Ba"]
    assert titles_found("trạm", within=SearchEntry.objects.filter(subject_id=2).values("subject_id")) == [
        "Trạm Ba",
        "Trạm Hai",
    ]


@pytest.mark.django_db
def test_kinds_and_limit_narrow_what_is_found():
    put_titles("Trạm Một", "Trạm Hai", kind="work")
    put_titles("Trạm trưởng", kind="organisation")

    assert titles_found("trạm", kinds=["organisation"]) == ["Trạm trưởng"]
    assert len(search.find("trạm", limit=2)) == 2


@pytest.mark.django_db
def test_a_list_page_filters_by_the_ids_that_match():
    put_titles("Trạm Một", "Trạm Hai", kind="work")
    put_titles("Trạm trưởng", kind="organisation")

    assert set(search.matching_ids("work", "trạm")) == {1, 2}
    assert set(search.matching_ids("work", "hai")) == {2}
    assert set(search.matching_ids("work", "%")) == set()


@pytest.mark.django_db
def test_putting_again_renews_and_removing_forgets():
    search.put("work", 1, title="Trạm Cũ", url="/1/", text="")
    search.put("work", 1, title="Trạm Mới", url="/1/", text="")

    assert (titles_found("cũ"), titles_found("trạm")) == ([], ["Trạm Mới"])
    search.remove("work", 1)
    assert titles_found("trạm") == []


@pytest.mark.django_db
def test_of_two_entries_for_one_object_the_later_counts():
    put_titles()
    search.put_many([search.Entry("work", 1, "Trước", "/"), search.Entry("work", 1, "Sau", "/")])

    assert [entry.title for entry in SearchEntry.objects.all()] == ["Sau"]


@pytest.mark.django_db
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_piece_of_three_characters_of_a_title_finds_it(data):
    SearchEntry.objects.all().delete()
    title = data.draw(st.text(alphabet="aăâbcdđeêghiknoôơưuvxyĐẮÀ ởợ%_'\"*-7", min_size=3, max_size=20))
    put_titles(title)
    words = [word for word in fold(title).split() if len(word) >= 3]

    for word in words:
        start = data.draw(st.integers(0, len(word) - 3))
        assert titles_found(word[start : data.draw(st.integers(start + 3, len(word)))]) == [title]
    for word in fold(title).split():
        assert titles_found(word) == [title]


def twenty_thousand_titles():
    names = itertools.product(SYLLABLES, repeat=4)
    return [f"Trạm {' '.join(name)}" for name in itertools.islice(names, 20_000)] + ["Nhà máy nước Vực Quành"]


def explain(queryset) -> str:
    return queryset.explain(analyze=True) if connection.vendor == "postgresql" else queryset.explain()


@pytest.mark.django_db
@pytest.mark.parametrize("query", ["vực quành", "ành vực", "quanh"])
def test_the_trigram_index_answers_in_twenty_thousand_rows(query):
    put_titles(*twenty_thousand_titles())
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE core_searchentry")

    plan = explain(search.matching_ids("work", query))

    assert titles_found(query) == ["Nhà máy nước Vực Quành"]
    if connection.vendor == "postgresql":
        assert "Bitmap Index Scan on core_searchentry_trigram" in plan
        assert "Seq Scan" not in plan
    else:
        assert "core_searchentry_trigram VIRTUAL TABLE INDEX" in plan
        assert "SCAN core_searchentry\n" not in plan + "\n"


@pytest.mark.django_db
def test_two_letters_use_the_index_too():
    put_titles(*twenty_thousand_titles(), "Cống Ỷ")
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE core_searchentry")

    plan = explain(search.matching_ids("work", "vu ng"))

    assert "core_searchentry_trigram" in plan


@pytest.mark.django_db
def test_the_database_keeps_the_index_in_step_by_itself():
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'core_searchentry'")
            expected = {f"core_searchentry_trigram_{event}" for event in ("insert", "update", "delete")}
        else:
            cursor.execute("SELECT indexname FROM pg_indexes WHERE tablename = 'core_searchentry'")
            expected = {"core_searchentry_trigram"}
        assert expected <= {name for (name,) in cursor.fetchall()}

    put_titles("Trạm Một", "Trạm Hai")
    SearchEntry.objects.filter(object_id=1).update(folded=" tram nhat | ")
    SearchEntry.objects.filter(object_id=2).delete()

    assert (titles_found("nhất"), titles_found("một"), titles_found("hai")) == (["Trạm Một"], [], [])
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:  # raises if the index and the table differ
            cursor.execute(
                "INSERT INTO core_searchentry_trigram (core_searchentry_trigram, rank) VALUES ('integrity-check', 1)"
            )
