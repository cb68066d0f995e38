from __future__ import annotations

import pytest

from shoal.cli.option import Status
from shoal.cli.option_table import OPTIONS, SECTIONS, TRITON_SECTIONS
from shoal.cli.usage import usage

#: tritonserver's options, by their names.
TRITON = """
id exit-timeout-secs model-repository model-store exit-on-error disable-auto-complete-config strict-readiness
model-control-mode repository-poll-secs load-model model-config-name model-load-thread-count model-load-retry-count
model-namespacing enable-peer-access allow-http http-address http-port reuse-http-port http-header-forward-pattern
http-thread-count http-max-input-size http-restricted-api allow-grpc grpc-address grpc-port reuse-grpc-port
grpc-header-forward-pattern grpc-infer-thread-count grpc-infer-allocation-pool-size grpc-max-response-pool-size
grpc-use-ssl grpc-use-ssl-mutual grpc-server-cert grpc-server-key grpc-root-cert
grpc-infer-response-compression-level grpc-keepalive-time grpc-keepalive-timeout grpc-keepalive-permit-without-calls
grpc-http2-max-pings-without-data grpc-http2-min-recv-ping-interval-without-data grpc-http2-max-ping-strikes
grpc-max-connection-age grpc-max-connection-age-grace grpc-restricted-protocol log-verbose log-info log-warning
log-error log-format log-file allow-metrics allow-gpu-metrics allow-cpu-metrics metrics-address metrics-port
metrics-interval-ms metrics-config trace-config trace-file trace-level trace-rate trace-count trace-log-frequency
backend-directory backend-config repoagent-directory cache-config cache-directory rate-limit rate-limit-resource
pinned-memory-pool-byte-size cuda-memory-pool-byte-size cuda-virtual-address-size min-supported-compute-capability
buffer-manager-thread-count host-policy model-load-gpu-limit allow-client-shm allow-sagemaker sagemaker-port
sagemaker-safe-port-range sagemaker-thread-count allow-vertex-ai vertex-ai-port vertex-ai-thread-count
vertex-ai-default-model strict-model-config response-cache-byte-size
"""


def test_every_option_of_tritonserver_is_there() -> None:
    assert sorted(option.name for section in TRITON_SECTIONS for option in section.options) == sorted(TRITON.split())


def test_no_name_stands_twice() -> None:
    assert len(OPTIONS) == sum(len(section.options) for section in SECTIONS)


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_that_does_not_do_everything_says_what_it_lacks(name: str) -> None:
    option = OPTIONS[name]
    assert bool(option.lacks) == (option.status is not Status.WORKS)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_default_is_a_value_that_its_option_takes(name: str) -> None:
    option = OPTIONS[name]
    if option.default is None or name in {"trace-count", "cuda-memory-pool-byte-size", "cuda-virtual-address-size"}:
        return
    assert option.kind.parse(str(option.default)) == option.default


def test_the_help_lists_every_option_within_the_width() -> None:
    text = usage(SECTIONS)
    assert [name for name in OPTIONS if f"--{name}" not in text] == []
    assert max(len(line) for line in text.splitlines()) <= 120
