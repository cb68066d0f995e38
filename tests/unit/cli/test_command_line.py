from __future__ import annotations

import pytest

from shoal.cli.command_line import UsageError, parse, remarks
from shoal.cli.option_table import OPTIONS


@pytest.mark.parametrize(
    "argv",
    [["--http-port=9000"], ["--http-port", "9000"], ["--http-po=9000"], ["--http-port=1", "--http-port=9000"]],
)
def test_an_option_is_spelled_as_getopt_takes_it(argv: list[str]) -> None:
    assert parse(argv, OPTIONS).number("http-port") == 9000


def test_an_option_that_is_not_given_has_its_default() -> None:
    given = parse([], OPTIONS)
    assert (given.number("http-port"), given.text("id"), given.last("load-model")) == (8000, "triton", None)


def test_a_repeatable_option_keeps_every_value_in_order() -> None:
    given = parse(["--backend-config=a,x=1", "--backend-config", "b,y=2"], OPTIONS)
    assert given.texts("backend-config") == ("a,x=1", "b,y=2")


def test_a_value_may_hold_equal_signs_and_dashes() -> None:
    given = parse(["--backend-config=a,x=1=2", "--id", "--odd"], OPTIONS)
    assert (given.texts("backend-config"), given.text("id")) == (("a,x=1=2",), "--odd")


def test_an_exact_name_wins_over_longer_ones() -> None:
    assert parse(["--allow-vertex-ai=false", "--metrics-config=a=b"], OPTIONS).is_given("metrics-config")
    assert parse(["--grpc-use-ssl=false"], OPTIONS).is_given("grpc-use-ssl")


def test_a_flag_takes_no_value() -> None:
    assert parse(["--disable-auto-complete-config"], OPTIONS).boolean("disable-auto-complete-config")
    with pytest.raises(UsageError, match="'--disable-auto-complete-config' doesn't allow an argument"):
        parse(["--disable-auto-complete-config=true"], OPTIONS)


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["--http-prot=1"], "unrecognized option '--http-prot'; did you mean '--http-port'?"),
        (["--zzzzzzzz=1"], "unrecognized option '--zzzzzzzz'"),
        (["--="], "unrecognized option '--'"),
        (["--http"], "option '--http' is ambiguous; possibilities: '--http-address'"),
        (["--http-port"], "option '--http-port' requires an argument"),
        (["models"], "unexpected argument 'models'"),
        (["-x"], "unexpected argument '-x'"),
    ],
)
def test_a_command_line_that_cannot_be_read_is_explained(argv: list[str], text: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse(argv, OPTIONS)
    assert text in str(raised.value)


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        ("--http-port=often", "Invalid option value. Got often"),
        ("--http-port=70000", "Provided option value is out of bound. Got 70000"),
        ("--repository-poll-secs=99999999999", "Provided option value is out of bound. Got 99999999999"),
        ("--allow-http=maybe", "invalid value for bool option: maybe"),
        ("--model-control-mode=sometimes", "invalid argument for --model-control-mode"),
        ("--rate-limit=sometimes", "invalid argument for --rate-limit"),
        ("--log-format=none", "invalid argument for --log-format"),
        (
            "--grpc-infer-thread-count=1",
            "invalid argument for --grpc_infer_thread_count. Must be in the range 2 to 128.",
        ),
        ("--http-max-input-size=0", "Provided option value is out of bound. Got 0"),
        (
            "--cache-config=local",
            "--cache-config option format is '<cache name>,<setting>=<value>'. Got local",
        ),
    ],
)
def test_a_bad_value_is_answered_in_tritons_words(argument: str, reason: str) -> None:
    name = argument.partition("=")[0]
    with pytest.raises(UsageError) as raised:
        parse([argument], OPTIONS)
    assert str(raised.value) == f'Bad option: "{name}".\n{reason}'


@pytest.mark.parametrize("text", ["true", "ON", "1", "True"])
def test_true_has_several_spellings(text: str) -> None:
    assert parse([f"--reuse-http-port={text}"], OPTIONS).boolean("reuse-http-port")


@pytest.mark.parametrize(("text", "level"), [("true", 1), ("0", 0), ("3", 3), ("-1", 0)])
def test_verbosity_is_a_number_or_a_switch(text: str, level: int) -> None:
    assert parse([f"--log-verbose={text}"], OPTIONS).number("log-verbose") == level


def test_what_does_not_work_yet_is_said_once_for_each_option() -> None:
    given = parse(["--rate-limit=execution_count", "--cache-config=local,size=1", "--cache-config=local,x=1"], OPTIONS)
    assert remarks(given) == [
        "--rate-limit does not work yet: instances are not rate-limited",
        "--cache-config does not work yet: responses are not cached",
    ]


def test_what_is_never_planned_says_so() -> None:
    assert remarks(parse(["--allow-sagemaker=true"], OPTIONS)) == [
        "--allow-sagemaker has no effect: SageMaker's endpoint is not planned"
    ]


def test_a_value_that_describes_what_happens_anyway_needs_no_remark() -> None:
    argv = ["--model-control-mode=none", "--allow-sagemaker=false", "--allow-metrics=false", "--id=x"]
    assert remarks(parse(argv, OPTIONS)) == []
