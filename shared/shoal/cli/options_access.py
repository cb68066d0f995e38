"""Shoal's own options for who may call, over what, and how much at once."""

from __future__ import annotations

from shoal.cli.option import BOOL, PATH, POSITIVE, Section, integer, works

ACCESS = Section(
    "Access and limits (Shoal's own; limits hold for each gateway process)",
    (
        works(
            "api-keys",
            PATH,
            None,
            "TOML file of the API keys without which nobody is served; read again when it changes (see shoal keys)",
        ),
        works("http-server-cert", PATH, "", "PEM file of the certificate: HTTP is served over TLS"),
        works("http-server-key", PATH, "", "PEM file of the private key"),
        works("http-root-cert", PATH, "", "PEM file of the authority whose certificates HTTP clients must have"),
        works("http-max-connections", POSITIVE, 4096, "connections of HTTP clients; more are refused"),
        works("max-inflight-requests", POSITIVE, 16384, "requests for inference at the same time; more are refused"),
        works(
            "max-inflight-bytes",
            integer(low=1, high=2**63 - 1),
            268435456,
            "bytes of their bodies at the same time; also the most that one may have",
        ),
        works(
            "overload-control",
            BOOL,
            True,
            "refuse requests for a model that falls behind more and more, so that those it takes are answered in time",
        ),
    ),
)
