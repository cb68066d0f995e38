from __future__ import annotations

import pytest

from shoal.gateway.options import HttpOptions, http_options, make_parser


def test_http_defaults_are_tritonserver_s() -> None:
    arguments = make_parser().parse_args(["--protocol", "http"])
    assert http_options(arguments) == HttpOptions("0.0.0.0", 8000, False, 64 * 1024 * 1024, 30)
    assert (arguments.id, arguments.strict_readiness) == ("triton", True)


def test_booleans_are_spelled_as_tritonserver_spells_them() -> None:
    flags = ["--protocol=http", "--strict-readiness=FALSE", "--reuse-http-port=on"]
    arguments = make_parser().parse_args(flags)
    assert (arguments.strict_readiness, arguments.reuse_http_port) == (False, True)


@pytest.mark.parametrize("flag", ["--strict-readiness=perhaps", "--http-max-input-size=0", "--exit-timeout-secs=x"])
def test_values_out_of_range_are_refused(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        make_parser().parse_args(["--protocol=http", flag])
    assert flag.split("=", maxsplit=1)[0] in capsys.readouterr().err
