"""tritonserver's options for metrics, traces, backends, caches, limits and devices, and those of other platforms."""

from __future__ import annotations

from shoal.cli.option import (
    BOOL,
    FLOAT,
    NATURAL,
    PATH,
    PORT,
    POSITIVE,
    STRING,
    Kind,
    Option,
    Section,
    Value,
    choice,
    integer,
    later,
    never,
    pattern,
    works,
)

_NO_METRICS = "metrics are not served"
_NO_TRACES = "requests are not traced; settings can be read and changed"
_NO_CACHE = "responses are not cached"
_NO_RATE_LIMIT = "instances are not rate-limited"
_NO_GPU = "GPUs are not used"
_OWN_BACKENDS = "backends are Python packages, found by their entry points"
_NO_SAGEMAKER = "SageMaker's endpoint is not planned"
_NO_VERTEX = "Vertex AI's endpoint is not planned"

_SETTING = r"[^=]+=.*"
_NAMED_SETTING = r"[^,]+,[^=]+=.*"

METRICS = Section(
    "Metrics",
    (
        later("allow-metrics", BOOL, True, "serve metrics", _NO_METRICS, already=False),
        later("allow-gpu-metrics", BOOL, True, "with figures of the GPUs", _NO_METRICS, already=False),
        later("allow-cpu-metrics", BOOL, True, "with figures of the CPU", _NO_METRICS, already=False),
        later("metrics-address", STRING, None, "address to listen at; default --http-address", _NO_METRICS),
        later("metrics-port", PORT, 8002, "port to listen at", _NO_METRICS),
        later("metrics-interval-ms", FLOAT, 2000.0, "milliseconds between two readings of gauges", _NO_METRICS),
        later(
            "metrics-config",
            pattern("metrics-config", "<setting>=<value>", _SETTING),
            None,
            "which kinds of metrics to give",
            _NO_METRICS,
            repeatable=True,
        ),
    ),
)

TRACING = Section(
    "Tracing",
    (
        later(
            "trace-config",
            pattern("trace-config", "<mode>,<setting>=<value>", _SETTING),
            None,
            "what to trace and where to; also <setting>=<value> for every mode",
            _NO_TRACES,
            repeatable=True,
        ),
        later("trace-file", PATH, "", "deprecated: use --trace-config", _NO_TRACES),
        later("trace-level", STRING, None, "deprecated: use --trace-config", _NO_TRACES, repeatable=True),
        later("trace-rate", NATURAL, 1000, "deprecated: use --trace-config", _NO_TRACES),
        later("trace-count", integer(low=-1), -1, "deprecated: use --trace-config", _NO_TRACES),
        later("trace-log-frequency", NATURAL, 0, "deprecated: use --trace-config", _NO_TRACES),
    ),
)

BACKENDS = Section(
    "Backends, repository agents, cache",
    (
        never("backend-directory", PATH, "/opt/tritonserver/backends", "where backends are", _OWN_BACKENDS),
        works(
            "backend-config",
            pattern("backend-config", "<backend name>,<setting>=<value>", _SETTING),
            None,
            "a backend's setting; <setting>=<value> for every backend",
            repeatable=True,
        ),
        never(
            "repoagent-directory",
            PATH,
            "/opt/tritonserver/repoagents",
            "where repository agents are",
            "repository agents are shared libraries for Triton",
        ),
        later(
            "cache-config",
            pattern("cache-config", "<cache name>,<setting>=<value>", _NAMED_SETTING),
            None,
            "a response cache and its settings",
            _NO_CACHE,
            repeatable=True,
        ),
        never("cache-directory", PATH, "/opt/tritonserver/caches", "where caches are", "caches are part of Shoal"),
    ),
)

LIMITS = Section(
    "Rate limiter",
    (
        later(
            "rate-limit",
            choice("rate-limit", "execution_count", "off"),
            "off",
            "limit executions by resources",
            _NO_RATE_LIMIT,
            already="off",
        ),
        later(
            "rate-limit-resource",
            pattern("rate-limit-resource", "<resource_name>:<count>:<device>", r"[^:]+:[0-9]+(:[^:]+)?"),
            None,
            "how much of a resource there is; also <resource_name>:<count>",
            _NO_RATE_LIMIT,
            repeatable=True,
        ),
    ),
)


def _by_device(name: str, unit: str, default: Value | None, text: str) -> Option:
    kind: Kind = pattern(name, f"<gpu>:<{unit}>", r"[0-9]+:[0-9.]+")
    return later(name, kind, default, text, _NO_GPU, repeatable=True)


MEMORY = Section(
    "Memory and devices",
    (
        later("pinned-memory-pool-byte-size", NATURAL, 268435456, "pinned memory in bytes", _NO_GPU),
        _by_device("cuda-memory-pool-byte-size", "bytes", 67108864, "memory to set aside on a GPU"),
        _by_device("cuda-virtual-address-size", "bytes", 1073741824, "address space to set aside on a GPU"),
        later("min-supported-compute-capability", FLOAT, 0.0, "oldest GPU to use", _NO_GPU),
        later(
            "buffer-manager-thread-count",
            NATURAL,
            0,
            "threads that gather inputs",
            "one thread gathers inputs",
            already=0,
        ),
        later(
            "host-policy",
            pattern("host-policy", "<policy name>,<setting>=<value>", _NAMED_SETTING),
            None,
            "cores and memory nodes of instances",
            "instances run on every core",
            repeatable=True,
        ),
        _by_device("model-load-gpu-limit", "fraction", None, "fraction of a GPU's memory that models may fill"),
        works("allow-client-shm", BOOL, False, "let clients register shared memory"),
    ),
)

PLATFORMS = Section(
    "SageMaker and Vertex AI",
    (
        never("allow-sagemaker", BOOL, False, "serve SageMaker's protocol", _NO_SAGEMAKER, already=False),
        never("sagemaker-port", PORT, 8080, "port to listen at", _NO_SAGEMAKER),
        never(
            "sagemaker-safe-port-range",
            pattern("sagemaker-safe-port-range", "<integer>-<integer>", r"[0-9]+-[0-9]+"),
            None,
            "ports that may be used",
            _NO_SAGEMAKER,
        ),
        never("sagemaker-thread-count", POSITIVE, 8, "threads", _NO_SAGEMAKER),
        never("allow-vertex-ai", BOOL, False, "serve Vertex AI's protocol", _NO_VERTEX, already=False),
        never("vertex-ai-port", PORT, 8080, "port to listen at", _NO_VERTEX),
        never("vertex-ai-thread-count", POSITIVE, 8, "threads", _NO_VERTEX),
        never("vertex-ai-default-model", STRING, "", "model to serve", _NO_VERTEX),
    ),
)

DEPRECATED = Section(
    "Deprecated",
    (
        works("strict-model-config", BOOL, False, "use --disable-auto-complete-config"),
        later("response-cache-byte-size", NATURAL, None, "use --cache-config local,size=<bytes>", _NO_CACHE),
    ),
)
