"""What a counter did is told on its pages, and a person's word about it reaches the very reading it is meant for."""

from datetime import datetime, timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from machnuoc.telemetry import channel_terms, counter_steps, device_operations, rollups, store
from machnuoc.telemetry.device_operations import DeviceError
from machnuoc.telemetry.models import Channel, TotaliserMark
from machnuoc.telemetry.tests.desk import person, sign_in
from machnuoc.telemetry.tests.desk import station as station
from machnuoc.telemetry.tests.readings import put

pytestmark = pytest.mark.django_db

MINUTE = 60_000
NOT_ROUND_MS = 7_000  # readings of a real device stand at no whole minute


@pytest.fixture
def counter(station):
    """A counter that was reset: 990, 1,000, 5, 15, ten minutes apart and seven seconds past the minute.

    The reset ends its hour, the reading after it stands in the next one, at whatever minute the tests run.
    """
    Channel.objects.filter(key="total").update(largest_step_per_h=60.0)
    channel = Channel.objects.get(key="total")
    first = timezone.now().replace(minute=25, second=0, microsecond=0) - timedelta(hours=3)
    start = channel_terms.to_ms(first) + NOT_ROUND_MS
    put((channel.pk, start + step * 10 * MINUTE, value) for step, value in enumerate([980, 990, 1_000, 5, 15, 25]))
    _roll()
    return channel, start + 30 * MINUTE


def _roll():
    while rollups.roll_hours(channel_terms.to_ms(timezone.now())):
        pass


def _volume(channel):
    return store.query("SELECT sum(volume) FROM telemetry_rollup_hour WHERE channel = ?", [channel.pk])[0][0]


def _page(channel, **query):
    return reverse("telemetry:channel", args=[channel.pk], query=query)


def _form(channel, **query):
    return reverse("telemetry:channel_totaliser", args=[channel.device.code, channel.pk], query=query)


def _now_ms():
    return channel_terms.to_ms(timezone.now())


@pytest.mark.parametrize("is_rolled", [True, False])
def test_a_reset_is_told_with_its_readings_rule_confidence_and_volume(counter, is_rolled):
    channel, at_ms = counter
    if not is_rolled:
        put([(channel.pk, at_ms, 5.0)])

    found = counter_steps.list_steps(channel, 0, _now_ms())

    (step,) = found.rows
    assert (step.at_ms, step.what, step.before, step.value) == (at_ms, "RESET", (at_ms - 10 * MINUTE, 1_000.0), 5.0)
    assert (step.volume, step.is_lost, step.confidence, step.mark, found.is_cut) == (5.0, True, "Khá chắc", None, False)


def test_the_page_of_a_counter_lists_its_steps_and_the_page_of_a_level_has_no_such_list(counter):
    channel, at_ms = counter
    client = sign_in("qn.khkt")

    page = client.get(_page(channel)).content.decode()
    reader = sign_in("qn.binhchanh").get(_page(channel)).content.decode()
    level = client.get(_page(Channel.objects.get(key="flow"))).content.decode()

    assert (
        "Bước nhảy của đồng hồ" in page and "1.000,0 → 5,0 m³" in page and "Số về gần 0" in page and "khá chắc" in page
    )
    assert f"{_form(channel)}?step={at_ms}" in page
    assert "Bước nhảy của đồng hồ" in reader and "?step=" not in reader
    assert "Bước nhảy của đồng hồ" not in level


def test_chart_table_and_export_carry_the_step_and_the_line_has_a_gap_there(counter):
    channel, at_ms = counter
    client = sign_in("qn.khkt")

    data = client.get(reverse("telemetry:channel_data", args=[channel.pk])).json()
    lines = b"".join(client.get(_page(channel, export="csv")).streaming_content).decode()

    assert data["steps"] == [{"at": at_ms, "text": "Về 0"}]
    value = data["series"][0]["value"]
    assert value == [980, 990, 1_000, None, 5, 15, 25]
    assert "Bước nhảy của đồng hồ" in lines and "Về 0: 1.000,0 → 5,0 m³" in lines
    assert "<small>Về 0</small>" in client.get(_page(channel)).content.decode()


@pytest.mark.parametrize("points", [10, 30, 4_000])
def test_a_roll_over_is_a_gap_in_a_chart_of_summaries_too(counter, points):
    from machnuoc.telemetry import history

    channel, _ = counter
    channel.rolls_over_at = 1_000_000
    channel.save()
    start = 1_772_323_200_000
    put((channel.pk, start + step * 5 * MINUTE, (999_000 + step * 4) % 1_000_000) for step in range(500))
    _roll()
    (step,) = counter_steps.list_steps(channel, start, start + 500 * 5 * MINUTE).rows

    drawn = counter_steps.break_line(history.read(channel.pk, start, start + 500 * 5 * MINUTE, points), [step])

    assert (step.what, step.volume) == ("ROLLOVER", 4.0)
    falls = [(a, b) for a, b in zip(drawn.value.tolist(), drawn.value.tolist()[1:], strict=False) if b < a]
    assert falls == []
    assert max((drawn.high - drawn.low)[drawn.high == drawn.high]) < 500_000


def test_a_person_chooses_the_step_that_the_program_saw_and_the_volume_changes(
    counter, django_capture_on_commit_callbacks
):
    channel, at_ms = counter
    client = sign_in("qn.khkt")
    before = _volume(channel)

    shown = client.get(_form(channel)).content.decode()
    with django_capture_on_commit_callbacks(execute=True):
        answer = client.post(_form(channel), {"step": at_ms, "what": "SWAP", "step_m3": "", "reason": "Thay đồng hồ"})
    _roll()

    assert f'value="{at_ms}"' in shown and "1.000,0 → 5,0 m³" in shown and "Số về gần 0" in shown
    assert answer.status_code == 302
    mark = TotaliserMark.objects.get()
    assert (channel_terms.to_ms(mark.at), mark.what, mark.decided_by.username) == (at_ms, "SWAP", "qn.khkt")
    assert (before, _volume(channel)) == (pytest.approx(45.0), pytest.approx(40.0))
    (step,) = counter_steps.list_steps(channel, 0, _now_ms()).rows
    assert (step.what, step.mark, step.ruled) == ("SWAP", mark, "Về 0")
    assert "Thay đồng hồ. Chương trình nhận là: về 0" in client.get(_page(channel)).content.decode()


def test_a_step_that_a_person_calls_plain_stays_in_the_list(counter):
    channel, at_ms = counter
    at = datetime.fromtimestamp((at_ms + 10 * MINUTE) / 1000, timezone.get_default_timezone())

    device_operations.overrule_totaliser(
        channel, at=at, what="NORMAL", step_m3=None, reason="đã xem", by=person("qn.khkt"), now=timezone.now()
    )

    assert [step.what for step in counter_steps.list_steps(channel, 0, _now_ms()).rows] == ["NORMAL", "RESET"]


def test_a_minute_names_the_reading_within_it(counter):
    channel, at_ms = counter
    minute = timezone.localtime(datetime.fromtimestamp((at_ms + 10 * MINUTE) / 1000, timezone.get_default_timezone()))
    said = {"step": "other", "at": f"{minute:%Y-%m-%dT%H:%M}", "what": "SWAP", "reason": "Thay mặt số"}

    answer = sign_in("qn.khkt").post(_form(channel), said)

    assert answer.status_code == 302
    assert channel_terms.to_ms(TotaliserMark.objects.get().at) == at_ms + 10 * MINUTE


def test_a_minute_without_a_reading_is_refused_with_a_sentence(counter):
    channel, at_ms = counter
    minute = timezone.localtime(datetime.fromtimestamp((at_ms + 3 * MINUTE) / 1000, timezone.get_default_timezone()))
    said = {"step": "other", "at": f"{minute:%Y-%m-%dT%H:%M}", "what": "SWAP", "reason": "Thay mặt số"}

    answer = sign_in("qn.khkt").post(_form(channel), said)

    assert answer.status_code == 422
    assert "không có số đọc nào lúc" in answer.content.decode()
    assert not TotaliserMark.objects.exists()


def test_a_minute_with_several_readings_offers_them(counter):
    channel, at_ms = counter
    put([(channel.pk, at_ms + 10 * MINUTE + 20_000, 16.0)])
    minute = timezone.localtime(datetime.fromtimestamp((at_ms + 10 * MINUTE) / 1000, timezone.get_default_timezone()))
    said = {"step": "other", "at": f"{minute:%Y-%m-%dT%H:%M}", "what": "SWAP", "reason": "Thay mặt số"}
    client = sign_in("qn.khkt")

    asked = client.post(_form(channel), said)
    chosen = client.post(_form(channel), {**said, "step": at_ms + 10 * MINUTE + 20_000})

    assert asked.status_code == 422
    assert "Lúc ấy có 2 số đọc" in asked.content.decode()
    assert f'value="{at_ms + 10 * MINUTE + 20_000}"' in asked.content.decode()
    assert chosen.status_code == 302
    assert channel_terms.to_ms(TotaliserMark.objects.get().at) == at_ms + 10 * MINUTE + 20_000


@pytest.mark.parametrize("said", [{}, {"step": "other"}, {"step": "1"}, {"step": "x" * 40}, {"step": "9" * 13},
                                   {"step": "other", "at": "hôm qua"}])  # fmt: skip
def test_a_decision_about_nothing_is_refused(counter, said):
    channel, _ = counter

    answer = sign_in("qn.khkt").post(_form(channel), {"what": "SWAP", "reason": "x", **said})

    assert answer.status_code == 422
    assert not TotaliserMark.objects.exists()


@pytest.mark.parametrize("earlier_ms", [30 * MINUTE, 1])
def test_no_decision_is_stored_for_the_first_reading_or_for_none(counter, earlier_ms):
    channel, at_ms = counter
    at = datetime.fromtimestamp((at_ms - earlier_ms) / 1000, timezone.get_default_timezone())

    with pytest.raises(DeviceError, match="không có bước nào kết thúc lúc"):
        device_operations.overrule_totaliser(
            channel, at=at, what="SWAP", step_m3=None, reason="x", by=person("qn.khkt"), now=timezone.now()
        )


def test_a_decision_of_old_that_meets_no_reading_is_said_to_have_no_effect(counter):
    channel, at_ms = counter
    TotaliserMark.objects.create(
        channel=channel, at=datetime.fromtimestamp((at_ms - 7_000) / 1000, timezone.get_default_timezone()),
        what="SWAP", reason="x", decided_by=person("qn.khkt"), decided_at=timezone.now(),
    )  # fmt: skip

    assert "Không có hiệu lực" in sign_in("qn.khkt").get(_form(channel)).content.decode()


def test_only_a_counter_has_steps_to_decide_on(station):
    flow = Channel.objects.get(key="flow")

    assert sign_in("qn.khkt").get(_form(flow)).status_code == 404
    assert counter_steps.list_steps(flow, 0, _now_ms()).rows == ()


def test_of_many_steps_the_newest_are_shown_and_the_cut_is_said(counter):
    channel, at_ms = counter
    start = at_ms - 40 * 24 * 60 * MINUTE
    put((channel.pk, start + step * 20 * MINUTE, 500.0 + step if step % 2 else 3.0) for step in range(60))
    _roll()

    found = counter_steps.list_steps(channel, 0, _now_ms(), most=5)

    assert len(found.rows) == 5 and found.is_cut
    assert [step.at_ms for step in found.rows] == sorted((step.at_ms for step in found.rows), reverse=True)
