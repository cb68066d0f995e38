"""What nats-py is told when it connects."""

from __future__ import annotations

import ssl
from typing import Any

from shoal.bus.settings import BusSettings
from shoal.core.errors import InvalidArgument

#: Between two attempts to reach a broker that refuses; it is back within a tenth of a second on one machine.
RECONNECT_INTERVAL_S = 0.05
#: One attempt to connect, up to the broker's greeting.
ATTEMPT_TIMEOUT_S = 2
#: A host that vanished without closing its sockets is noticed after two or three of these.
PING_INTERVAL_S = 2


def client_options(settings: BusSettings, name: str) -> dict[str, Any]:  # nats-py types whole seconds, takes fractions
    """Keyword arguments of nats-py's `connect`, without callbacks; `name` is what the broker's monitor shows.

    Raises InvalidArgument when the TLS files cannot be used.
    """
    options: dict[str, Any] = {
        "servers": list(settings.servers),
        "name": name,
        "connect_timeout": ATTEMPT_TIMEOUT_S,
        "reconnect_time_wait": RECONNECT_INTERVAL_S,
        "max_reconnect_attempts": -1,
        "ping_interval": PING_INTERVAL_S,
        "max_outstanding_pings": 2,
        # Without room for pending data nothing is kept for a replay after a reconnect: reconciling repairs.
        "pending_size": 0,
        "token": settings.token or None,
        "user": settings.user or None,
        "password": settings.password or None,
        "user_credentials": settings.creds_file or None,
    }
    if settings.tls_ca or settings.tls_cert:
        options["tls"] = _tls_context(settings)
    return options


def _tls_context(settings: BusSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.tls_ca)
        if settings.tls_cert:
            context.load_cert_chain(settings.tls_cert, settings.tls_key)
    except OSError as error:
        raise InvalidArgument(f"the broker's TLS files cannot be used: {error}") from error
    return context
