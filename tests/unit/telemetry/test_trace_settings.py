from __future__ import annotations

import pytest

from shoal.core.errors import InvalidArgument
from shoal.telemetry.trace_settings import TraceSettings, from_config, levels_from, merged, number_from


def test_the_start_has_tritons_defaults() -> None:
    assert from_config([]).to_json() == {
        "trace_level": ["OFF"],
        "trace_rate": "1000",
        "trace_count": "-1",
        "log_frequency": "0",
        "trace_file": "",
        "trace_mode": "triton",
    }


def test_a_start_puts_settings_together() -> None:
    texts = ["level=TENSORS", "level=min", "rate=3", "count=9", "triton,file=a", "triton,log-frequency=2", "rate=4"]
    assert from_config(texts) == TraceSettings(("TIMESTAMPS", "TENSORS"), 4, 9, 2, "a")


def test_only_the_settings_of_the_mode_are_shown() -> None:
    found = from_config(["mode=opentelemetry", "opentelemetry,url=http://o:4318", "triton,file=a"])
    assert found.to_json() == {
        "trace_level": ["OFF"],
        "trace_rate": "1000",
        "trace_count": "-1",
        "trace_mode": "opentelemetry",
        "url": "http://o:4318",
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("level=loud", "invalid value for trace level option: loud"),
        ("mode=jaeger", "invalid value for trace mode option: jaeger"),
        ("jaeger,url=x", "invalid value for trace mode option: jaeger"),
        ("colour=red", "option format is '<mode>,<setting>=<value>'. Got colour=red"),
        ("rate=often", "rate=often: expected an integer of 0 or more. Got often"),
        ("count=-2", "expected an integer of -1 or more. Got -2"),
        ("triton,log-frequency=x", "expected an integer of 0 or more. Got x"),
    ],
)
def test_a_start_that_cannot_be_is_refused(text: str, words: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        from_config([text])
    assert words in raised.value.message


def test_changes_are_inherited_until_they_are_taken_back() -> None:
    start = TraceSettings(file="t")
    everywhere = merged({}, {"trace_rate": 31, "trace_count": 4})
    of_model = merged({}, {"trace_rate": 23, "trace_level": ["TENSORS"]})
    assert start.updated(everywhere).updated(of_model) == TraceSettings(("TENSORS",), 23, 4, 0, "t")
    of_model = merged(of_model, {"trace_rate": None})
    everywhere = merged(everywhere, {"trace_count": None})
    assert start.updated(everywhere).updated(of_model) == TraceSettings(("TENSORS",), 31, -1, 0, "t")


def test_a_model_can_be_switched_off_below_global_tracing() -> None:
    everywhere = TraceSettings(("TIMESTAMPS",), file="t")
    assert everywhere.updated({"trace_level": []}).levels == ()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (TraceSettings(("TENSORS",), rate=0, file="t"), "invalid trace setting :sample rate must be non-zero"),
        (TraceSettings(("TENSORS",)), "invalid trace setting :trace file name is not given"),
    ],
)
def test_tracing_that_is_impossible_is_refused(settings: TraceSettings, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        settings.check()


@pytest.mark.parametrize(
    "settings",
    [
        TraceSettings(rate=0),
        TraceSettings(("TENSORS",), rate=0, mode="opentelemetry"),
        TraceSettings(("TENSORS",), file="t"),
    ],
)
def test_what_is_possible_or_off_is_fine(settings: TraceSettings) -> None:
    settings.check()


@pytest.mark.parametrize(
    ("names", "levels"),
    [
        (["OFF"], []),
        (["TENSORS", "TIMESTAMPS"], ["TIMESTAMPS", "TENSORS"]),
        (["timestamps"], None),
        ([], None),
    ],
)
def test_levels_of_an_update(names: list[str], levels: list[str] | None) -> None:
    assert levels_from(names) == levels


def test_off_stands_alone() -> None:
    with pytest.raises(InvalidArgument, match="Expect only one trace level 'OFF' is specified"):
        levels_from(["OFF", "TENSORS"])


@pytest.mark.parametrize(("text", "number"), [("17", 17), (" 18", 18), ("17abc", 17), ("+4", 4)])
def test_numbers_are_read_as_leniently_as_triton_reads_them(text: str, number: int) -> None:
    assert number_from("trace_rate", text) == number


@pytest.mark.parametrize(
    ("key", "text", "words"),
    [
        ("trace_rate", "often", "Unable to parse 'trace_rate', got: often"),
        ("trace_rate", "", "Unable to parse 'trace_rate', got: "),
        ("trace_rate", "-5", "Unable to parse 'trace_rate', value is out of range [ 0, 4294967295 ], got: -5"),
        ("log_frequency", "9" * 5000, "Unable to parse 'log_frequency', value is out of range [ 0, 4294967295 ], got:"),
        ("trace_count", "-7", "Unable to parse 'trace_count'. Expecting value >= -1, got:-7"),
        ("trace_count", "2147483648", "value is out of range [ -1, 2147483647 ], got: 2147483648"),
    ],
)
def test_numbers_that_cannot_be_are_refused_in_tritons_words(key: str, text: str, words: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        number_from(key, text)
    assert words in raised.value.message
