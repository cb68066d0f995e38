"""Who may call over gRPC, and over what: both transports as real processes, with the official client."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as client
from tritonclient.utils import InferenceServerException

from certificates import Certificates
from grpc_echo_server import Server, listening, start
from shoal.core.api_keys import digest_of

_CHECK = "/grpc.health.v1.Health/Check"
_METADATA = "/inference.GRPCInferenceService/ServerMetadata"
_STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"


@pytest.fixture(params=["envoy", "grpcio"])
def transport(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@contextmanager
def serving(transport: str, *flags: str) -> Iterator[Server]:
    with start(transport, *flags) as process:
        try:
            yield listening(process)
        finally:
            process.kill()


# grpc and tritonclient have no types.
def call(channel: Any, path: str, *metadata: tuple[str, str]) -> bytes:
    answer: bytes = channel.unary_unary(path)(b"", timeout=10, metadata=metadata)
    return answer


def refusal(ask: Callable[[], object]) -> Any:
    with pytest.raises(grpc.RpcError) as caught:
        ask()
    return caught.value


def infer(triton: Any, **headers: str) -> Any:
    given = client.InferInput("INPUT0", [1], "FP32")
    given.set_data_from_numpy(np.ones(1, np.float32))
    return triton.infer("echo", [given], headers=headers).get_response()


def test_a_restricted_protocol_asks_for_its_metadata(transport: str) -> None:
    flag = "--grpc-restricted-protocol=metadata,inference:key=value"
    with serving(transport, flag) as server, grpc.insecure_channel(server.url) as channel:
        assert call(channel, _CHECK) == b"\x08\x01"
        assert call(channel, _METADATA, ("triton-grpc-protocol-key", "value"))
        error = refusal(lambda: call(channel, _METADATA))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert error.details() == "This protocol is restricted, expecting header 'triton-grpc-protocol-key'"
        error = refusal(lambda: list(channel.stream_stream(_STREAM)(iter([b""]), timeout=10)))
        assert error.code() is grpc.StatusCode.UNAVAILABLE


def test_keys_open_what_they_are_for_and_as_much_as_they_may(transport: str, tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    keys.write_text(
        f'[[key]]\nname = "a"\nsha256 = "{digest_of(b"s").hex()}"\nscopes = ["read"]\nrequests_per_second = 0.01\n'
    )
    with serving(transport, f"--api-keys={keys}") as server, grpc.insecure_channel(server.url) as channel:
        assert call(channel, _CHECK) == b"\x08\x01"
        assert refusal(lambda: call(channel, _METADATA)).code() is grpc.StatusCode.UNAUTHENTICATED
        key = ("authorization", "Bearer s")
        assert refusal(lambda: call(channel, _STREAM, key)).code() is grpc.StatusCode.PERMISSION_DENIED
        assert call(channel, _METADATA, key)
        error = refusal(lambda: call(channel, _METADATA, key))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert int(dict(error.trailing_metadata())["retry-after"]) > 1
        keys.write_text("")
        deadline = time.monotonic() + 10
        while refusal(lambda: call(channel, _METADATA, key)).code() is not grpc.StatusCode.UNAUTHENTICATED:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_metadata_found_by_the_pattern_becomes_parameters(transport: str) -> None:
    with serving(transport, "--grpc-header-forward-pattern=^(x-|timeout)") as server:
        triton = client.InferenceServerClient(server.url)
        forwarded = infer(triton, **{"x-a": "1", "other": "2"}).parameters
        assert {name: value.string_param for name, value in forwarded.items()} == {"x-a": "1"}
        with pytest.raises(InferenceServerException, match="Header 'timeout' is reserved for Triton usage"):
            infer(triton, timeout="5")
        triton.close()


def test_calls_go_over_tls(transport: str, tmp_path: Path) -> None:
    made = Certificates(tmp_path)
    with serving(transport, "--grpc-use-ssl=true", *made.flags("grpc")) as server:
        triton = client.InferenceServerClient(server.url, ssl=True, root_certificates=str(made.ca))
        assert triton.is_server_live()
        assert infer(triton).model_name == "echo"
        triton.close()
        with grpc.insecure_channel(server.url) as channel:
            assert refusal(lambda: call(channel, _CHECK)).code() is grpc.StatusCode.UNAVAILABLE


def test_with_mutual_tls_only_clients_of_the_authority_are_served(transport: str, tmp_path: Path) -> None:
    made = Certificates(tmp_path)
    flags = ["--grpc-use-ssl-mutual=true", *made.flags("grpc"), f"--grpc-root-cert={made.ca}"]
    with serving(transport, *flags) as server:

        def live(**identity: Path) -> bool:
            files = {name: str(path) for name, path in identity.items()}
            triton = client.InferenceServerClient(server.url, ssl=True, root_certificates=str(made.ca), **files)
            try:
                return bool(triton.is_server_live())
            finally:
                triton.close()

        assert live(private_key=made.client_key, certificate_chain=made.client_cert)
        with pytest.raises(InferenceServerException):
            live(private_key=made.other_key, certificate_chain=made.other_cert)
        with pytest.raises(InferenceServerException):
            live()


def test_wrong_files_for_tls_are_exit_code_3(transport: str, tmp_path: Path) -> None:
    made = Certificates(tmp_path)
    flags = ["--grpc-use-ssl=true", f"--grpc-server-cert={made.server_cert}", f"--grpc-server-key={made.client_key}"]
    argv = [sys.executable, "-m", "shoal.gateway", "--protocol=grpc", f"--grpc-transport={transport}", *flags]
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 3
    assert "are not a PEM certificate and its unencrypted key" in ended.stderr


class Http2Client:
    """A client that has said hello and answers nothing from then on."""

    def __init__(self, server: Server) -> None:
        self._link = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        self._link.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5))

    def frames(self) -> Iterator[int]:
        """The types of the frames that come until the server closes the connection."""
        with self._link, self._link.makefile("rb") as self._stream:
            while len(head := self._read(9)) == 9:
                self._read(int.from_bytes(head[:3]))
                yield head[3]

    def _read(self, nbytes: int) -> bytes:
        try:
            return self._stream.read(nbytes)
        except ConnectionError:
            return b""


_PING, _GOAWAY = 6, 7


def test_a_connection_that_is_silent_is_pinged_and_closed_without_an_answer(transport: str) -> None:
    flags = ["--grpc-keepalive-time=1000", "--grpc-keepalive-timeout=500", "--grpc-keepalive-permit-without-calls=true"]
    with serving(transport, *flags) as server:
        began = time.monotonic()
        frames = list(Http2Client(server).frames())
        assert _PING in frames
        assert 1 < time.monotonic() - began < 8


def test_a_connection_of_age_is_asked_to_go_away(transport: str) -> None:
    flags = ["--grpc-max-connection-age=1000", "--grpc-max-connection-age-grace=500"]
    with serving(transport, *flags) as server:
        began = time.monotonic()
        frames = list(Http2Client(server).frames())
        assert _GOAWAY in frames
        assert 0.8 < time.monotonic() - began < 8
