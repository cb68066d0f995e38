from broker_trips import Trips
from comparison import compare
from copies import Copied
from loader import Figures
from measurement import Run, Work
from report import Results, tables

WORK = Work("http", 150_000, 8)
RUN = Run("shoal", 0, WORK, Figures(1234.5, 1.25, 3.5, 0), 100, 0, {"http": 40.0, "executor": 60.0}, "")


def results(runs: list[Run]) -> Results:
    copies = [Copied("shoal", WORK, {"http": 3.0, "executor": 2.0}, runs[0])]
    return Results("perf_analyzer", {}, compare(runs), {"shoal": {"http": 0.5}}, copies, [Trips(1, 2900, 0.33, {})], [])


def test_everything_that_was_measured_has_a_table() -> None:
    titles = [table.title for table in tables(results([RUN]))]

    assert titles == [
        *("Shoal beside Triton", "CPU time per request", "CPU time at rest"),
        *("Copies", "Bare broker round trips"),
    ]


def test_every_row_fits_its_header() -> None:
    for table in tables(results([RUN, RUN._replace(server="triton"), RUN._replace(server="echo")])):
        assert {len(row) for row in table.rows} == {len(table.header)}


def test_what_was_not_measured_is_a_dash() -> None:
    row = tables(results([RUN]))[0].rows[0]

    assert row[:7] == ["HTTP 600 KB", "8", "1,234", "-", "-", "-", "-"]


def test_figures_with_failures_are_marked() -> None:
    row = tables(results([RUN._replace(failed=2)]))[0].rows[0]

    assert (row[2], row[-1]) == ("1,234 !", "2")


def test_copies_are_summed_over_the_processes() -> None:
    row = tables(results([RUN]))[3].rows[0]

    assert row == ["HTTP 600 KB", "3.00", "0.00", "0.00", "2.00", "5.00", "-", "-", "-", "-"]
