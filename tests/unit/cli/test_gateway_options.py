from __future__ import annotations

from pathlib import Path

import pytest

from certificates import Certificates
from shoal.cli.command_line import UsageError, parse
from shoal.cli.gateway_options import check_gateway_options, grpc_flags, http_flags
from shoal.cli.option_table import OPTIONS


def complaint(*argv: str) -> str:
    with pytest.raises(UsageError) as raised:
        check_gateway_options(parse(argv, OPTIONS))
    return str(raised.value)


@pytest.mark.parametrize(
    ("flag", "text"),
    [
        (
            "--http-restricted-api=foo",
            "--http-restricted-api option format is '<config name>:<setting>=<value>'. Got foo",
        ),
        ("--http-restricted-api=bogus:k=v", "unknown restricted api 'bogus'"),
        ("--grpc-restricted-protocol=bogus:k=v", "unknown restricted protocol 'bogus'"),
        ("--http-header-forward-pattern=(", "'(' is not a regular expression"),
    ],
)
def test_a_bad_option_is_told_as_tritonserver_tells_it(flag: str, text: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse([flag], OPTIONS)
    name = flag.partition("=")[0]
    assert str(raised.value).startswith(f'Bad option: "{name}".\n{text}')


def test_a_category_in_two_options_is_refused() -> None:
    text = complaint("--http-restricted-api=health:a=b", "--http-restricted-api=metadata,health:c=d")
    assert text == (
        "Bad option: \"--http-restricted-api\".\nrestricted api 'health' can not be specified in multiple config groups"
    )


def test_keys_are_read_before_anything_is_started(tmp_path: Path) -> None:
    missing = tmp_path / "keys.toml"
    assert complaint(f"--api-keys={missing}") == f"API keys '{missing}': cannot be read: No such file or directory"
    missing.write_text("[[key]]\nname = 'a'\n")
    assert complaint(f"--api-keys={missing}").startswith(f"API keys '{missing}': key 1 ('a'): 'sha256' must be")


def test_files_for_tls_are_read_before_anything_is_started(tmp_path: Path) -> None:
    made = Certificates(tmp_path)
    assert complaint(f"--http-server-cert={made.server_cert}") == "http over TLS needs --http-server-key, a PEM file"
    swapped = [f"--grpc-server-cert={made.server_key}", f"--grpc-server-key={made.server_cert}", "--grpc-use-ssl=true"]
    assert "are not a PEM certificate and its unencrypted key" in complaint(*swapped)
    check_gateway_options(
        parse([f"--http-server-cert={made.server_cert}", f"--http-server-key={made.server_key}"], OPTIONS)
    )


def test_gateways_get_what_was_given_and_nothing_else() -> None:
    given = parse(["--grpc-use-ssl=false", "--overload-control=off", "--http-max-connections=7"], OPTIONS)
    assert http_flags(given) == ("--overload-control=False", "--http-max-connections=7")
    assert grpc_flags(given) == ("--overload-control=False", "--grpc-use-ssl=False")
