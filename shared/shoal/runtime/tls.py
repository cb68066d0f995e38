"""TLS of an endpoint: which files, and what a server makes of them. The same for every protocol.

Options by protocol: `--grpc-use-ssl`, `--grpc-use-ssl-mutual` and the files `--grpc-server-cert`, `--grpc-server-key`,
`--grpc-root-cert` are tritonserver's; `--http-server-cert`, `--http-server-key` and `--http-root-cert` are ours, and to
name them is to use them.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NamedTuple

from shoal.core.errors import InvalidArgument


class TlsFiles(NamedTuple):
    """PEM files. `client_ca`: the authority of the certificates that clients must have; None: they need none."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


def tls_files(protocol: str, certificate: str, key: str, client_ca: str, *, is_mutual: bool) -> TlsFiles:
    """The files that the options of a protocol name; a path is empty that was not given. Raises InvalidArgument when
    one is missing."""
    needed = {"server-cert": certificate, "server-key": key, **({"root-cert": client_ca} if is_mutual else {})}
    for name, path in needed.items():
        if not path:
            raise InvalidArgument(f"{protocol} over TLS needs --{protocol}-{name}, a PEM file")
    return TlsFiles(Path(certificate), Path(key), Path(client_ca) if is_mutual else None)


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """The context of a server: TLS 1.2 or newer. Raises InvalidArgument naming the file when one cannot be read, is
    not what it should be, or when certificate and key do not belong together."""
    for path in (file for file in files if file is not None):
        try:
            path.open("rb").close()
        except OSError as error:
            raise InvalidArgument(f"TLS file '{path}' cannot be read: {error.strerror}") from None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(files.certificate, files.key, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        raise InvalidArgument(
            f"'{files.certificate}' and '{files.key}' are not a PEM certificate and its unencrypted key: {error}"
        ) from None
    if files.client_ca is not None:
        try:
            context.load_verify_locations(files.client_ca)
        except ssl.SSLError as error:
            raise InvalidArgument(f"'{files.client_ca}' holds no PEM certificates: {error}") from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _no_password() -> str:
    # Without this OpenSSL would ask at the terminal, and wait.
    return ""
