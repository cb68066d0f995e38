from comparison import Spread, compare, summarize
from loader import Figures
from measurement import Run, Work

WORK = Work("http", 16, 8)


def run(server: str, pair: int, per_second: float, p50_ms: float = 1.0, work: Work = WORK) -> Run:
    return Run(server, pair, work, Figures(per_second, p50_ms, 9.0, 0), 1000, 0, {"http": per_second / 100}, "")


def test_ratios_are_taken_pair_by_pair_and_then_their_median() -> None:
    shoal = [run("shoal", 0, 100, 2.0), run("shoal", 1, 300, 2.0), run("shoal", 2, 50, 2.0)]
    triton = [run("triton", 0, 200, 1.0), run("triton", 1, 200, 4.0), run("triton", 2, 200, 2.0)]

    (found,) = compare([*shoal, *triton])

    assert found.throughput_ratio == Spread(0.5, 0.25, 1.5)
    assert found.p50_ratio == Spread(1.0, 0.5, 2.0)


def test_figures_are_medians_of_the_runs() -> None:
    summary = summarize([run("shoal", 0, 100), run("shoal", 1, 300), run("shoal", 2, 200)])

    assert (summary.per_second, summary.cpu_us, summary.runs) == (200, {"http": 2.0}, 3)
    assert summary.is_sound


def test_works_keep_the_order_in_which_they_were_done() -> None:
    second = Work("grpc", 16, 8)

    assert [one.work for one in compare([run("shoal", 0, 1), run("shoal", 0, 1, work=second)])] == [WORK, second]


def test_a_run_without_figures_makes_no_pair_and_marks_the_summary() -> None:
    broken = Run("triton", 0, WORK, None, 0, 0, {}, "perf_analyzer ended with 99")

    (found,) = compare([run("shoal", 0, 100), broken])

    assert found.throughput_ratio is None
    assert found.servers["triton"].troubles == ("perf_analyzer ended with 99",)
    assert not found.servers["triton"].is_sound


def test_failed_requests_mark_the_summary() -> None:
    assert not summarize([run("shoal", 0, 100)._replace(failed=1)]).is_sound
