"""The live screens: what they show, to whom, and how often they ask."""

import json
import time
from datetime import datetime

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from machnuoc.core.models import Person
from machnuoc.core.periods import LOCAL_ZONE
from machnuoc.places.models import Grant, Subject
from machnuoc.telemetry import live, live_queries, store
from machnuoc.telemetry.models import Alarm, AlarmRule, QualityLimit
from machnuoc.telemetry.tests import world

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clean_store")]

NOW_MS = time.time_ns() // 1_000_000


def put(channel, *readings: tuple[int, float]) -> None:
    with store.transaction() as cursor:
        store.ensure_months(cursor, min(at for at, _ in readings), max(at for at, _ in readings))
        for at, value in readings:
            cursor.execute(
                store.adapt("INSERT INTO telemetry_reading (channel, at, value, quality) VALUES (?, ?, ?, 0)"),
                (channel.pk, at, value),
            )


def sign_in(work, username="truc-ban", role=Grant.Role.DEPARTMENT) -> Client:
    person = Person.objects.create(username=username, full_name="Người trực")
    Grant.objects.create(person=person, role=role, scope=work.subject, valid_from="2026-01-01")
    client = Client()
    client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def station():
    Subject.objects.create(key="vn", kind=Subject.Kind.COUNTRY, name="Việt Nam")
    work = world.make_work("tram-binh", "Trạm Bình Chánh")
    device = world.make_device(work, is_simulated=True)
    channels = {
        "flow": world.make_channel(device, "flow", "flow", point="OUTLET", name="Lưu lượng ra mạng"),
        "pressure": world.make_channel(
            device, "p", "pressure", point="CRITICAL", role="CONTINUITY", minimum=10.0, name="Áp lực cuối mạng"
        ),
        "ph": world.make_channel(device, "ph", "ph", point="TREATMENT", role="QUALITY", is_public=True, name="pH"),
        "level": world.make_channel(device, "level", "level", point="TANK", full_at=4.0, name="Mực bể"),
        "pump": world.make_channel(device, "pump", "pump", point="SOURCE", name="Bơm 1"),
    }
    for one, value in zip(channels.values(), (62.5, 8.0, 7.25, 3.0, 1.0), strict=True):
        put(one, (NOW_MS - 60_000, value + 0.0), (NOW_MS - 1_000, value))
    return work, channels


def test_the_wall_shows_the_latest_figures_of_a_station(station):
    page = sign_in(station[0]).get(reverse("telemetry:wall")).content.decode()

    assert "Trạm Bình Chánh" in page and "62,5" in page and "3,00" in page
    assert "mô phỏng" in page and "Bình thường" in page


def test_the_wall_is_searched_without_diacritics(station):
    client = sign_in(station[0])

    assert "Trạm Bình Chánh" in client.get(reverse("telemetry:wall"), {"q": "binh chanh"}).content.decode()
    assert "Không có trạm nào khớp" in client.get(reverse("telemetry:wall"), {"q": "tra bong"}).content.decode()


def test_a_station_that_has_said_nothing_for_long_is_stale(station):
    person = Person.objects.create(username="x")
    Grant.objects.create(person=person, role="LEADER", scope=station[0].subject, valid_from="2026-01-01")

    now = live_queries.list_stations(person, NOW_MS)[0]
    later = live_queries.list_stations(person, NOW_MS + 3_600_000)[0]

    assert (now.state, later.state) == ("good", "stale")


def test_somebody_of_another_place_sees_neither_station_nor_channel(station):
    elsewhere = sign_in(world.make_work("tram-khac", "Trạm khác"))
    channel = station[1]["flow"]

    assert "Bình Chánh" not in elsewhere.get(reverse("telemetry:wall")).content.decode()
    assert elsewhere.get(reverse("telemetry:station", args=["tram-binh"])).status_code == 404
    for name in ("channel", "channel_data"):
        assert elsewhere.get(reverse(f"telemetry:{name}", args=[channel.pk])).status_code == 404
    assert elsewhere.post(reverse("telemetry:channel_note", args=[channel.pk]), {"text": "x"}).status_code == 404


def test_a_stream_begins_with_everything_that_stands_and_nothing_of_others(station):
    url = reverse("telemetry:stream")
    mine, other = sign_in(station[0]).get(url), sign_in(world.make_work("k", "K"), "khac").get(url)

    assert mine["Content-Type"].startswith("text/event-stream") and mine["Cache-Control"] == "no-store"
    rows = json.loads(mine.content.decode().split("data: ")[1].strip())["rows"]
    assert {row[0] for row in rows} == {one.pk for one in station[1].values()}
    assert json.loads(other.content.decode().split("data: ")[1].strip())["rows"] == []
    assert Client().get(url).status_code == 401


def test_the_station_page_draws_tank_pump_and_what_is_beyond(station):
    page = sign_in(station[0]).get(reverse("telemetry:station", args=["tram-binh"])).content.decode()

    assert "75 %" in page and "chạy" in page  # 3 m of 4 m
    assert "ngoài giới hạn" in page and "tối thiểu 10,0" in page  # 8 mH2O


def test_water_runs_in_the_drawing_only_where_it_is_not_known_to_stand(station):
    client, address = sign_in(station[0]), reverse("telemetry:station", args=["tram-binh"])

    def drawn():
        page = client.get(address).content.decode()
        return [part.split('"')[0] for part in page.split('class="scheme-flow" d="')[1:]]

    assert drawn() == ["M185 105H265M430 105H510M675 105H755"]
    put(station[1]["pump"], (NOW_MS, 0.0))
    assert drawn() == ["M675 105H755"]
    put(station[1]["flow"], (NOW_MS, 0.0))
    assert drawn() == []


def test_the_chart_data_keep_gaps_carry_notes_and_answer_304(station):
    channel = station[1]["flow"]
    put(channel, *((NOW_MS - 7_200_000 + step * 300_000, 50.0 + step) for step in range(5)))
    client = sign_in(station[0])
    client.post(reverse("telemetry:channel_note", args=[channel.pk]), {"text": "rửa lọc"})
    address = reverse("telemetry:channel_data", args=[channel.pk])
    span = {"from": f"{timezone.localtime() - timezone.timedelta(hours=3):%Y-%m-%dT%H:%M}",
            "to": f"{timezone.localtime() + timezone.timedelta(hours=1):%Y-%m-%dT%H:%M}"}  # fmt: skip

    first = client.get(address, span)
    data = first.json()

    assert None in data["series"][0]["value"] and data["series"][0]["gaps"]
    assert [note["text"] for note in data["notes"]] == ["rửa lọc"]
    assert len(data["series"][0]["at"]) <= 2_000
    assert client.get(address, span, headers={"If-None-Match": first["ETag"]}).status_code == 304


@pytest.mark.parametrize("query", [{"from": "x", "to": "y"}, {"from": "2026-02-01T00:00", "to": "2026-01-01T00:00"}])
def test_a_span_that_makes_no_sense_is_refused(station, query):
    client = sign_in(station[0])

    assert client.get(reverse("telemetry:channel_data", args=[station[1]["flow"].pk]), query).status_code == 400


def test_a_channel_is_exported_reading_by_reading(station):
    client = sign_in(station[0])
    address = reverse("telemetry:channel", args=[station[1]["flow"].pk])

    lines = b"".join(client.get(address, {"export": "csv"}).streaming_content).decode().splitlines()

    assert len(lines) == 3 and "62.5" in lines[-1]
    assert client.get(address, {"export": "xlsx"}).status_code == 200


def test_a_limit_is_shown_with_its_standard_and_only_where_it_is_known(station):
    work, channels = station
    client = sign_in(work)
    before = client.get(reverse("telemetry:online")).content.decode()
    QualityLimit.objects.create(
        subject=work.subject, quantity="ph", low=6.0, high=7.0, standard="QC thử", source="x", confidence="RECALLED"
    )
    after = client.get(reverse("telemetry:online")).content.decode()

    assert "chưa biết giới hạn" in before and "QC thử" not in before
    assert "QC thử" in after and "chưa đối chiếu văn bản" in after and "ngoài giới hạn" in after
    assert channels["ph"].name


def test_the_public_page_shows_what_is_published_alone(station):
    cache.clear()
    url = reverse("telemetry:public_quality")

    page = Client().get(url)
    data = Client().get(url, {"format": "json"}).json()["figures"]

    assert page.status_code == 200 and "mô phỏng" in page.content.decode()
    assert [(one["quantity"], one["value"], one["is_simulated"]) for one in data] == [("pH", 7.25, True)]
    assert "7.25" in Client().get(url, {"format": "csv"}).content.decode()


def test_the_poller_tells_what_is_new_once(station):
    poller = live.Poller()
    channel = station[1]["flow"]
    first, _ = poller.look(NOW_MS)
    put(channel, (NOW_MS, 70.0))
    with store.transaction() as cursor:
        cursor.execute(
            store.adapt(
                "INSERT INTO telemetry_device_state (device, received_at, measured_at, drift_ms, messages) "
                "VALUES (?, ?, ?, 0, 1)"
            ),
            (channel.device_id, NOW_MS, NOW_MS),
        )

    again, _ = poller.look(NOW_MS + 500)
    quiet, _ = poller.look(NOW_MS + 1_000)

    assert len(first) == 5
    assert again == [(station[0].pk, [channel.pk, NOW_MS, 70.0, 0])] and quiet == []


def test_a_session_that_is_over_listens_no_more(station):
    client = sign_in(station[0])
    person = Person.objects.get(username="truc-ban")
    key = client.session.session_key

    before = live.still_listens(key, person.pk)
    client.logout()

    assert before and live.still_listens(key, person.pk) is False


def test_live_pages_ask_a_fixed_number_of_times(station, django_assert_max_num_queries):
    client = sign_in(station[0])
    for name, args in (("wall", []), ("station", ["tram-binh"]), ("channel", [station[1]["ph"].pk]), ("online", [])):
        address = reverse(f"telemetry:{name}", args=args)
        client.get(address)
        with django_assert_max_num_queries(15):
            client.get(address)


@pytest.mark.parametrize(("readings", "named"), [(2, "từng số đo"), (3_000, "số đo gộp mỗi 30 giây")])
def test_a_channel_says_in_one_way_what_is_drawn(station, readings, named):
    work, channels = station
    client = sign_in(work)
    span = {"from": "2026-01-01T00:00", "to": "2026-01-01T12:00"}
    start = live.store_ms(datetime(2026, 1, 1, tzinfo=LOCAL_ZONE))
    put(channels["flow"], *((start + row * 10_000, 50.0) for row in range(readings)))

    page = client.get(reverse("telemetry:channel", args=[channels["flow"].pk]), span).content.decode()
    data = client.get(reverse("telemetry:channel_data", args=[channels["flow"].pk]), span).json()

    assert data["series"][0]["drawn"] == named
    assert named[0].upper() + named[1:] in page


def test_the_list_of_indices_holds_ten_stations_a_page_and_is_found_by_name(station):
    cache.clear()
    work, _ = station
    for number in range(11):
        other = world.make_work(f"tram-{number}", f"Trạm {number:02}")
        world.make_channel(world.make_device(other, f"may-{number}"), "ph", "ph", role="QUALITY", is_public=True)
    client = sign_in(work, role=Grant.Role.ADMIN)
    Grant.objects.update(scope=Subject.objects.get(key="vn"))

    first, second = (client.get(reverse("telemetry:online"), {"page": page}) for page in (1, 2))
    found = Client().get(reverse("telemetry:public_quality"), {"q": "tram 07"}).content.decode()

    assert [len(page.context["groups"]) for page in (first, second)] == [10, 2]
    assert "Trạm 07" in found and "Trạm 08" not in found
    assert first.context["rows"] == 13


def test_the_wall_is_a_table_where_no_script_runs(station):
    work, _ = station

    page = sign_in(work).get(reverse("telemetry:wall")).content.decode()

    table = page[page.index("<noscript>") : page.index("</noscript>")]
    assert "Trạm Bình Chánh" in table and "62,5" in table and "Áp lực điểm bất lợi" in table
    assert '<ul class="wall needs-js">' in page


def test_a_chart_of_the_past_does_not_say_that_it_is_live(station):
    work, channels = station
    client = sign_in(work)
    address = reverse("telemetry:channel", args=[channels["flow"].pk])

    assert "data-live-mark" in client.get(address).content.decode()
    for query in ("?from=2026-01-01T00:00&to=2026-01-02T00:00", "?span=30d"):
        assert "data-live-mark" not in client.get(address + query).content.decode()


def leader(work) -> Person:
    person = Person.objects.create(username="lanh-dao")
    Grant.objects.create(person=person, role="LEADER", scope=work.subject, valid_from="2026-01-01")
    return person


def make_rule(channel, kind="THRESHOLD", *, priority=2, parameters=None, **more) -> AlarmRule:
    return AlarmRule.objects.create(
        key=f"{channel.pk}.{kind}", name=f"{channel.name}: thử", kind=kind, channel=channel, priority=priority,
        parameters=parameters or {}, **more,
    )  # fmt: skip


def make_alarm(rule: AlarmRule, state="ACTIVE_UNACKED", **more) -> Alarm:
    now = timezone.now()
    values = {
        "rule": rule, "work": rule.channel.device.work, "began_at": now - timezone.timedelta(minutes=20),
        "raised_at": now - timezone.timedelta(minutes=20), "state": state, "priority": rule.priority,
        "text": f"{rule.channel.name} báo", "changed_at": now,
        "ended_at": None if state.startswith("ACTIVE") else now - timezone.timedelta(minutes=1),
    }  # fmt: skip
    return Alarm.objects.create(**{**values, **more})


def test_a_tile_marks_each_figure_that_is_old_and_says_of_when_its_figures_are(station):
    work, channels = station
    later_ms = NOW_MS + 28 * 60_000
    put(channels["pump"], (later_ms, 1.0))  # not on the tile
    put(channels["level"], (later_ms - 30_000, 3.0))

    tile = live_queries.list_stations(leader(work), later_ms)[0]

    assert {one.title: one.is_stale for one in tile.figures} == {
        "Lưu lượng ra": True, "Áp lực điểm bất lợi": True, "Mực bể": False,
    }  # fmt: skip
    assert (tile.state, tile.label) == ("partial", "Có số cũ")
    assert [round(at.timestamp() * 1000) for at in (tile.shown_from, tile.shown_to)] == [
        NOW_MS - 1_000, later_ms - 30_000,
    ]  # fmt: skip


def test_the_wall_writes_old_figures_with_their_own_time(station):
    work, channels = station
    with store.transaction() as cursor:
        cursor.execute(store.adapt("DELETE FROM telemetry_reading WHERE channel = ?"), (channels["flow"].pk,))
    put(channels["flow"], (NOW_MS - 28 * 60_000, 60.0))

    page = sign_in(work).get(reverse("telemetry:wall")).content.decode()

    written = [part[:160] for part in page.split("số cũ, ")[1:]]
    when = f"{timezone.localtime() - timezone.timedelta(minutes=28):%H:}"
    assert any(when in part for part in written) and 'class="tile-figure is-old"' in page
    assert "Có số cũ" in page and "Số liệu <span data-age>từ " in page


def test_silences_that_follow_a_cause_which_is_over_keep_a_tile_from_being_well(station):
    work, channels = station
    power = make_alarm(make_rule(channels["pump"], "POWER_LOSS"), "RETURNED_UNACKED")
    make_alarm(make_rule(channels["flow"], "SILENCE", priority=3), cause=power)

    tile = live_queries.list_stations(leader(work), NOW_MS)[0]

    assert (tile.state, tile.alarms, tile.folded, tile.returned) == ("attention", 1, 1, 1)
    assert tile.worst.text == "Lưu lượng ra mạng báo"


def test_an_alarm_that_is_over_but_untaken_keeps_a_tile_from_being_well(station):
    work, channels = station
    make_alarm(make_rule(channels["flow"]), "RETURNED_UNACKED")

    assert live_queries.list_stations(leader(work), NOW_MS)[0].state == "attention"


@pytest.mark.parametrize(
    ("priority", "state", "badge"),
    [(1, "urgent", '"tag is-danger">'), (2, "attention", '"tag is-warning">'), (3, "attention", '"tag is-info">')],
)
def test_wall_station_and_home_call_a_priority_by_one_word_and_colour(station, priority, state, badge):
    work, channels = station
    alarm = make_alarm(make_rule(channels["flow"], priority=priority))
    client = sign_in(work)

    for address in (reverse("telemetry:wall"), reverse("telemetry:station", args=["tram-binh"])):
        page = client.get(address).content.decode()
        assert any(part.split("</span>")[0].endswith(alarm.get_priority_display()) for part in page.split(badge)[1:])
    assert live_queries.list_stations(leader(work), NOW_MS)[0].state == state


def test_the_number_of_alarms_on_a_tile_opens_the_alarms_of_its_station_alone(station):
    work, channels = station
    alarm = make_alarm(make_rule(channels["flow"]))
    other = world.make_channel(world.make_device(world.make_work("khac", "Trạm khác"), "khac"), "flow", "flow")
    elsewhere = make_alarm(make_rule(other), text="Báo ở trạm khác")
    client = sign_in(work)
    Grant.objects.update(scope=Subject.objects.get(key="vn"), role=Grant.Role.ADMIN)

    wall = client.get(reverse("telemetry:wall")).content.decode()
    link = f"{reverse('telemetry:alarm_list')}?work={work.pk}"
    listed = client.get(link).content.decode()
    unread = client.get(reverse("telemetry:alarm_list"), {"work": "work.qn.x"}).content.decode()

    assert link in wall
    assert alarm.text in listed and elsewhere.text not in listed
    assert "không đọc được" in unread and "work.qn.x" in unread
    assert "không đọc được" not in listed


def test_a_clock_that_is_off_is_told_on_tile_and_station(station):
    work, channels = station
    person = leader(work)
    before = live_queries.list_stations(person, NOW_MS)[0].is_drifting
    ahead = live_queries.list_stations(person, NOW_MS - 240_000)[0].is_drifting
    with store.transaction() as cursor:
        cursor.execute(
            store.adapt(
                "INSERT INTO telemetry_device_state (device, received_at, measured_at, drift_ms, messages) "
                "VALUES (?, ?, ?, ?, 1)"
            ),
            (channels["flow"].device_id, NOW_MS, NOW_MS, -181_000),
        )
    client = sign_in(work)

    assert (before, ahead) == (False, True)
    for address in (reverse("telemetry:wall"), reverse("telemetry:station", args=["tram-binh"])):
        assert "đồng hồ thiết bị lệch" in client.get(address).content.decode()


def test_where_no_limit_is_known_the_stations_own_band_is_shown_by_its_name_and_colours_the_value(station):
    work, channels = station
    ph = channels["ph"]
    rule = make_rule(ph, parameters={"low": 6.5, "high": 7.0, "basis": "mức vận hành của trạm"})
    client = sign_in(work)
    figure = live_queries.dress([ph], NOW_MS)[0]

    page = client.get(reverse("telemetry:station", args=["tram-binh"])).content.decode()
    channel_page = client.get(reverse("telemetry:channel", args=[ph.pk])).content.decode()
    bands = client.get(reverse("telemetry:channel_data", args=[ph.pk])).json()["bands"]
    public = Client().get(reverse("telemetry:public_quality")).content.decode()

    assert (figure.tone, figure.is_beyond, figure.band_text) == ("warning", False, "6,50 đến 7,00")
    assert "6,50 đến 7,00" in page and "mức vận hành của trạm" in page and "ngoài mức vận hành" in page
    assert "mức vận hành của trạm" in channel_page and "không có giới hạn đã biết" not in channel_page
    assert bands == [{"value": 6.5, "name": "mức vận hành của trạm"}, {"value": 7.0, "name": "mức vận hành của trạm"}]
    assert "mức vận hành" not in public
    rule.is_enabled = False
    rule.save()
    assert live_queries.dress([ph], NOW_MS)[0].bands == ()


def test_a_known_limit_stands_before_the_stations_own_band(station):
    work, channels = station
    make_rule(channels["ph"], parameters={"low": 6.5, "high": 7.0})
    QualityLimit.objects.create(
        subject=work.subject, quantity="ph", low=6.0, high=8.5, standard="QC thử", source="x", confidence="RECALLED"
    )

    figure = live_queries.dress([channels["ph"]], NOW_MS)[0]

    assert (figure.bands, figure.tone) == ((), "")


def test_power_that_is_lost_a_pump_that_stands_and_an_empty_tank_have_their_colour_in_the_drawing(station):
    work, channels = station
    power = world.make_channel(channels["flow"].device, "power", "power", point="STATION", name="Nguồn điện")
    put(power, (NOW_MS, 0.0))
    put(channels["pump"], (NOW_MS, 0.0))
    put(channels["level"], (NOW_MS, 0.0))

    page = sign_in(work).get(reverse("telemetry:station", args=["tram-binh"])).content.decode()

    assert "scheme-value is-warning" in page and "scheme-pump is-neutral" in page and "scheme-fill is-danger" in page


def test_stations_of_one_state_stand_in_the_order_of_the_alphabet(station):
    work, _ = station
    for number, name in enumerate(("Trạm Đông", "Trạm Dương", "Trạm Ân")):
        other = world.make_work(f"chu-{number}", name)
        world.make_channel(world.make_device(other, f"chu-{number}"), "flow", "flow")
    person = leader(work)
    Grant.objects.filter(person=person).update(scope=Subject.objects.get(key="vn"), role=Grant.Role.ADMIN)

    names = [one.name for one in live_queries.list_stations(person, NOW_MS) if one.state == "none"]

    assert names == ["Trạm Ân", "Trạm Dương", "Trạm Đông"]


def test_a_share_of_thirty_days_says_of_how_much_it_is(station):
    work, channels = station
    hour = NOW_MS // store.HOUR_MS * store.HOUR_MS
    with store.transaction() as cursor:
        cursor.execute(store.adapt("DELETE FROM telemetry_rollup_hour"))
        for hours_ago in range(1, 73):
            cursor.execute(
                store.adapt(
                    "INSERT INTO telemetry_rollup_hour (channel, hour, readings, expected, low, total, high, within, "
                    "out_of_range, computed_at) VALUES (?, ?, 12, 12, 7, 87, 8, 12, 0, 0)"
                ),
                (channels["ph"].pk, hour - hours_ago * store.HOUR_MS),
            )

    page = sign_in(work).get(reverse("telemetry:online")).content.decode()

    assert "của 10 % số đo" in page


def test_a_bucket_of_days_that_still_runs_is_not_drawn(station):
    work, channels = station
    today = store.local_day(NOW_MS)
    with store.transaction() as cursor:
        for days_ago in range(4):
            cursor.execute(
                store.adapt(
                    "INSERT INTO telemetry_rollup_day (channel, day, readings, expected, low, total, high, "
                    "computed_at) VALUES (?, ?, 10, 288, 50, 600, 70, 0)"
                ),
                (channels["flow"].pk, today - days_ago * store.DAY_MS),
            )

    data = sign_in(work).get(
        reverse("telemetry:channel_data", args=[channels["flow"].pk]),
        {"from": f"{timezone.localtime() - timezone.timedelta(days=500):%Y-%m-%dT%H:%M}",
         "to": f"{timezone.localtime():%Y-%m-%dT%H:%M}"},
    ).json()["series"][0]  # fmt: skip

    assert data["bucket_ms"] == store.DAY_MS
    assert data["at"] == [today - days * store.DAY_MS for days in (3, 2, 1)]
