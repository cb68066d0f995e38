"""Certificates for tests: an authority, a server for 127.0.0.1 and localhost, and a client."""

from __future__ import annotations

from pathlib import Path

import trustme


class Certificates:
    """PEM files in a folder. Clients trust `ca`, and so do servers that ask clients for certificates; `other_cert` is
    a client's from an authority that nobody trusts."""

    def __init__(self, folder: Path) -> None:
        authority, stranger = trustme.CA(), trustme.CA()
        self.ca = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self.ca))
        self.server_cert, self.server_key = _write(authority.issue_cert("127.0.0.1", "localhost"), folder, "server")
        self.client_cert, self.client_key = _write(authority.issue_cert("client@example.org"), folder, "client")
        self.other_cert, self.other_key = _write(stranger.issue_cert("client@example.org"), folder, "other")

    def flags(self, protocol: str) -> list[str]:
        """The options of a server that uses them."""
        return [f"--{protocol}-server-cert={self.server_cert}", f"--{protocol}-server-key={self.server_key}"]


def _write(issued: trustme.LeafCert, folder: Path, name: str) -> tuple[Path, Path]:
    cert, key = folder / f"{name}.crt", folder / f"{name}.key"
    issued.cert_chain_pems[0].write_to_path(str(cert))
    issued.private_key_pem.write_to_path(str(key))
    return cert, key
