from pathlib import Path

import pytest

from loader import Figures
from measurement import LoadFailed, Work
from perf_analyzer import PerfAnalyzer, figures

HEADER = "Concurrency,Inferences/Second,Client Send,Network+Server Send/Recv,p50 latency,p90 latency,p99 latency"


def test_figures_are_read_from_the_report_in_milliseconds() -> None:
    assert figures(f"{HEADER}\n8,9214.04,44,307,812,1177,1643\n") == Figures(9214.04, 0.812, 1.643, 0)


@pytest.mark.parametrize("report", ["", HEADER, f"{HEADER}\n8,fast,44,307,812,1177,1643\n"])
def test_a_report_without_figures_is_a_failed_load(report: str) -> None:
    with pytest.raises(LoadFailed, match="not understood"):
        figures(report)


def test_every_load_ends_after_three_windows() -> None:
    arguments = PerfAnalyzer(Path("peer"), 500).arguments("host:1", Work("grpc", 16, 64), Path("report"))

    given = dict(zip(arguments[::2], arguments[1::2], strict=True))
    assert (given["-p"], given["-r"], given["--concurrency-range"]) == ("500", "3", "64")
    assert (given["-i"], given["-u"], given["--shape"]) == ("grpc", "host:1", "INPUT0:16")


def test_a_peer_that_is_not_there_does_not_work() -> None:
    assert not PerfAnalyzer(Path("/nowhere/peer"), 500).works()
