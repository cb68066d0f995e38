"""`python -m shoal.repository`: the repository service."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from shoal.bus import Bus
from shoal.repository.service import RepositoryService, missing_repositories
from shoal.repository.settings import add_options, from_arguments
from shoal.runtime.log_following import following_log_settings
from shoal.runtime.service import EnvironmentTrouble, Lifecycle, run_service


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m shoal.repository", description="Reads model repositories and says what should be loaded."
    )
    add_options(parser)
    return run_service("repository", parser, _serve, ("agent", "repository"), argv)


async def _serve(arguments: argparse.Namespace, bus: Bus, lifecycle: Lifecycle) -> None:
    settings = from_arguments(arguments)
    if not settings.repositories:
        raise EnvironmentTrouble("--model-repository must be specified")
    if missing := missing_repositories(settings):
        raise EnvironmentTrouble(f"repository path is not a valid directory: {', '.join(missing)}")
    async with following_log_settings(bus):
        await RepositoryService(bus, settings).run(lifecycle.stopping)


if __name__ == "__main__":
    sys.exit(main())
