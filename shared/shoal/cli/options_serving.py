"""tritonserver's options for the server as a whole, its repositories, its endpoints and its log."""

from __future__ import annotations

from shoal.cli.option import (
    BOOL,
    FLAG,
    HEADER_PATTERN,
    INT_MAX,
    INTEGER,
    NATURAL,
    PATH,
    PORT,
    POSITIVE,
    STRING,
    VERBOSITY,
    Section,
    between,
    choice,
    later,
    restriction,
    works,
)

_FORWARD = "names of {}, as regular expression, that become parameters of requests for inference"

GENERAL = Section(
    "Server",
    (
        works("id", STRING, "triton", "name of the server in its metadata"),
        works("exit-timeout-secs", NATURAL, 30, "how long a drain may take before what is left is killed"),
    ),
)

REPOSITORY = Section(
    "Model repository",
    (
        works("model-repository", STRING, None, "directory that holds models; required", repeatable=True),
        works("model-store", STRING, None, "the same as --model-repository", repeatable=True),
        works("exit-on-error", BOOL, True, "exit when a model cannot be loaded at start"),
        works("disable-auto-complete-config", FLAG, False, "require complete model configurations"),
        works("strict-readiness", BOOL, True, "ready only when every model is"),
        later(
            "model-control-mode",
            choice("model-control-mode", "none", "poll", "explicit"),
            "none",
            "who decides what is loaded: the start, the storage, or requests",
            "models are loaded once at start; polling and loading by request come later",
            already="none",
        ),
        later("repository-poll-secs", NATURAL, 15, "seconds between two polls", "repositories are not polled"),
        later(
            "load-model",
            STRING,
            None,
            "model to load at start in explicit mode; * for all",
            "every model of the repositories is loaded",
            repeatable=True,
            already="*",
        ),
        works("model-config-name", STRING, None, "use configs/<name>.pbtxt of a model that has it"),
        works("model-load-thread-count", POSITIVE, 4, "models examined at the same time"),
        later(
            "model-load-retry-count", NATURAL, 0, "further attempts to load a model", "a load is tried once", already=0
        ),
        later(
            "model-namespacing",
            BOOL,
            False,
            "allow the same model name in several repositories",
            "a name in several repositories is still an error",
            already=False,
        ),
        later(
            "enable-peer-access",
            BOOL,
            True,
            "let GPUs read each other's memory",
            "GPUs are not used",
            already=True,
        ),
    ),
)

HTTP = Section(
    "HTTP",
    (
        works("allow-http", BOOL, True, "serve HTTP"),
        works("http-address", STRING, "0.0.0.0", "address to listen at"),
        works("http-port", PORT, 8000, "port to listen at"),
        works("reuse-http-port", BOOL, False, "share the port with other processes (SO_REUSEPORT)"),
        works("http-header-forward-pattern", HEADER_PATTERN, "", _FORWARD.format("headers")),
        later("http-thread-count", POSITIVE, 8, "threads for HTTP", "one event loop serves HTTP"),
        works("http-max-input-size", POSITIVE, 67108864, "largest accepted body in bytes"),
        works("http-restricted-api", restriction("api"), None, "ask for a header on some endpoints", repeatable=True),
    ),
)

GRPC = Section(
    "gRPC",
    (
        works("allow-grpc", BOOL, True, "serve gRPC"),
        works("grpc-address", STRING, "0.0.0.0", "address to listen at"),
        works("grpc-port", PORT, 8001, "port to listen at"),
        works("reuse-grpc-port", BOOL, False, "share the port with other processes (SO_REUSEPORT)"),
        works("grpc-header-forward-pattern", HEADER_PATTERN, "", _FORWARD.format("metadata")),
        later(
            "grpc-infer-thread-count",
            between("grpc-infer-thread-count", 2, 128),
            2,
            "threads for inference",
            "one event loop serves gRPC",
        ),
        later("grpc-infer-allocation-pool-size", INTEGER, 8, "request states to keep", "no pool is needed"),
        later("grpc-max-response-pool-size", POSITIVE, INT_MAX, "responses to keep per stream", "no pool is kept"),
        works("grpc-use-ssl", BOOL, False, "serve gRPC over TLS"),
        works("grpc-use-ssl-mutual", BOOL, False, "serve gRPC over TLS, to clients with a certificate alone"),
        works("grpc-server-cert", PATH, "", "PEM file of the certificate"),
        works("grpc-server-key", PATH, "", "PEM file of the private key"),
        works("grpc-root-cert", PATH, "", "PEM file of the authority whose certificates clients must have"),
        works(
            "grpc-infer-response-compression-level",
            choice("grpc-infer-response-compression-level", "none", "low", "medium", "high"),
            "none",
            "compression of inference responses for clients that can read it",
        ),
        works("grpc-keepalive-time", INTEGER, 7200000, "milliseconds of silence before a connection is pinged"),
        works("grpc-keepalive-timeout", INTEGER, 20000, "milliseconds to wait for a ping's answer"),
        works(
            "grpc-keepalive-permit-without-calls", BOOL, False, "ping idle connections too (grpcio; Envoy always does)"
        ),
        works("grpc-http2-max-pings-without-data", INTEGER, 2, "pings before data must be sent (grpcio)"),
        works(
            "grpc-http2-min-recv-ping-interval-without-data",
            INTEGER,
            300000,
            "milliseconds between two pings of a client (grpcio)",
        ),
        works("grpc-http2-max-ping-strikes", INTEGER, 2, "bad pings before a connection is closed (grpcio)"),
        works("grpc-max-connection-age", INTEGER, None, "milliseconds a connection may live"),
        works(
            "grpc-max-connection-age-grace",
            INTEGER,
            None,
            "milliseconds its calls may go on then (grpcio; Envoy lets them finish)",
        ),
        works(
            "grpc-restricted-protocol",
            restriction("protocol"),
            None,
            "ask for metadata on some calls, with triton-grpc-protocol- before the key",
            repeatable=True,
        ),
    ),
)

LOGGING = Section(
    "Logging",
    (
        works("log-verbose", VERBOSITY, 0, "above 0: log details"),
        works("log-info", BOOL, True, "log information"),
        works("log-warning", BOOL, True, "log warnings"),
        works("log-error", BOOL, True, "log errors"),
        works(
            "log-format",
            choice("log-format", "default", "ISO8601"),
            None,
            "Triton's log lines, with the time in this form; unset: JSON lines, aligned text on a terminal",
        ),
        works("log-file", PATH, "", "append the log to this file instead of standard error"),
    ),
)
