"""Every option of `shoal serve`: tritonserver's by their names, and Shoal's own.

The rows are data: parsing, help, remarks and tests read them. What an option of later work lacks is said when it is
given, so that nobody relies on something that is not there.
"""

from __future__ import annotations

from shoal.cli import options_resources as resources
from shoal.cli import options_serving as serving
from shoal.cli.option import NATURAL64, POSITIVE, SECONDS, Kind, Option, Section, choice, integer, works
from shoal.cli.options_access import ACCESS
from shoal.runtime.settings import BUS_OPTIONS

TRITON_SECTIONS: tuple[Section, ...] = (
    serving.GENERAL,
    serving.REPOSITORY,
    serving.HTTP,
    serving.GRPC,
    serving.LOGGING,
    resources.METRICS,
    resources.TRACING,
    resources.BACKENDS,
    resources.LIMITS,
    resources.MEMORY,
    resources.PLATFORMS,
    resources.DEPRECATED,
)

SHOAL_SECTION = Section(
    "Shoal's own",
    (
        *(
            works(bus.flag.removeprefix("--"), Kind(bus.metavar, str), None, f"{bus.help} [{bus.environment}]")
            for bus in BUS_OPTIONS
            if bus.flag is not None
        ),
        works(
            "grpc-transport",
            choice("grpc-transport", "auto", "envoy", "grpcio"),
            "auto",
            "what carries gRPC; auto: Envoy where it can run",
        ),
        works(
            "gateway-processes",
            integer(1, 256),
            1,
            "processes that serve each protocol; they share its port (SO_REUSEPORT)",
        ),
        works("worker-wait", SECONDS, 10.0, "seconds that a model waits for a worker with its backend"),
        works(
            "shm-limit",
            NATURAL64,
            None,
            "bytes of shared memory that each process may use for tensors; 0: tensors travel in messages; unset: half "
            "of /dev/shm [SHOAL_SHM_LIMIT]",
        ),
        works("default-deadline", POSITIVE, None, "milliseconds for a request that brings no deadline"),
    ),
)

SECTIONS: tuple[Section, ...] = (*TRITON_SECTIONS, SHOAL_SECTION, ACCESS)

OPTIONS: dict[str, Option] = {option.name: option for section in SECTIONS for option in section.options}
