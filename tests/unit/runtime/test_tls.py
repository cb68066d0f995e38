from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from certificates import Certificates
from shoal.core.errors import InvalidArgument
from shoal.runtime.tls import TlsFiles, server_context, tls_files


def test_files_that_are_missing_are_named() -> None:
    with pytest.raises(InvalidArgument, match=r"^http over TLS needs --http-server-key, a PEM file$"):
        tls_files("http", "cert", "", "", is_mutual=False)
    with pytest.raises(InvalidArgument, match="needs --grpc-root-cert"):
        tls_files("grpc", "cert", "key", "", is_mutual=True)
    assert tls_files("grpc", "cert", "key", "ca", is_mutual=False) == TlsFiles(Path("cert"), Path("key"), None)


def test_clients_need_a_certificate_only_where_an_authority_is_named(tmp_path: Path) -> None:
    made = Certificates(tmp_path)
    assert server_context(TlsFiles(made.server_cert, made.server_key)).verify_mode is ssl.CERT_NONE
    context = server_context(TlsFiles(made.server_cert, made.server_key, made.ca))
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_what_is_wrong_with_a_file_is_told(tmp_path: Path) -> None:
    made = Certificates(tmp_path)
    with pytest.raises(InvalidArgument, match="missing' cannot be read: No such file"):
        server_context(TlsFiles(made.server_cert, tmp_path / "missing"))
    with pytest.raises(InvalidArgument, match="are not a PEM certificate and its unencrypted key"):
        server_context(TlsFiles(made.server_cert, made.client_key))
    with pytest.raises(InvalidArgument, match="holds no PEM certificates"):
        server_context(TlsFiles(made.server_cert, made.server_key, made.server_key))
