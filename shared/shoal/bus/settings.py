"""How to reach the broker: the options of every process's link."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from shoal.core.errors import InvalidArgument

_NAMESPACE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SCHEMES = ("nats://", "tls://")


@dataclass(frozen=True, slots=True)
class BusSettings:
    """Where the broker is and who we are to it.

    `url` is one address or several of one cluster, separated by commas; `nats://` or `tls://`. `namespace` starts
    every subject and bucket, so that several deployments share one broker: 1 to 64 of `A-Za-z0-9_-`. A broker takes a
    token, a user with a password, or a credentials file, whichever it was set up with. `tls_ca` is a PEM file of
    authorities (the system's when absent), `tls_cert` and `tls_key` are the client's own certificate.
    `connect_timeout_s` bounds the first connect only, for brokers that start beside us; afterwards a lost link is
    mended for ever. `seat` is the place of this process under its supervisor, who fills it again only when its last
    holder has ended: whoever sits there knows that.

    Raises InvalidArgument when options contradict each other, naming both.
    """

    url: str = "nats://127.0.0.1:4222"
    namespace: str = "shoal"
    token: str | None = field(default=None, repr=False)
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    creds_file: str | None = None
    tls_ca: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    connect_timeout_s: float = 30.0
    seat: str | None = None

    def __post_init__(self) -> None:
        if not _NAMESPACE.fullmatch(self.namespace):
            raise InvalidArgument(
                f"namespace {self.namespace!r} has characters that subjects do not take; use 1 to 64 of A-Z a-z 0-9 _ -"
            )
        for url in self.servers:
            if not url.startswith(_SCHEMES):
                raise InvalidArgument(f"broker address {url!r} starts with neither nats:// nor tls://")
        if self.user and not self.password:
            raise InvalidArgument("a broker user was given without a password")
        if self.token and (self.user or self.creds_file):
            raise InvalidArgument("a broker token was given together with a user or a credentials file; give one")
        if bool(self.tls_cert) != bool(self.tls_key):
            raise InvalidArgument("a TLS certificate and its key belong together; give both or neither")

    @property
    def servers(self) -> tuple[str, ...]:
        return tuple(url.strip() for url in self.url.split(",") if url.strip())
