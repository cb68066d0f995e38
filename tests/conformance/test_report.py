from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROWS = [
    {"id": "http.health.live", "ok": True, "strict": True},
    {"id": "http.bad.json", "ok": True, "strict": False},
    {"id": "grpc.infer.one", "ok": False, "strict": False},
    {"id": "life.load", "ok": False, "strict": False},
]


README = """
| case | level | reason |
|---|---|---|
| `grpc.infer.*` | semantic | the peer's fault |
| `http.health.*` | strict | a probe |
| `tc.*` | strict | was not run |
"""


def report(tmp_path: Path, *options: str) -> list[str]:
    rows, readme = tmp_path / "report.json", tmp_path / "README.md"
    rows.write_text(json.dumps(ROWS))
    readme.write_text(README)
    program = Path(__file__).parent / "report.py"
    argv = [sys.executable, str(program), str(rows), f"--readme={readme}", *options]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.splitlines()


def test_counts_are_told_by_area_and_level(tmp_path: Path) -> None:
    assert [line.split() for line in report(tmp_path)][:5] == [
        ["AREA", "TOTAL", "STRICT", "SEMANTIC"],
        ["grpc", "1", "0", "0.0", "%", "0", "0.0", "%"],
        ["http", "2", "1", "50.0", "%", "2", "100.0", "%"],
        ["life", "1", "0", "0.0", "%", "0", "0.0", "%"],
        ["all", "4", "1", "25.0", "%", "2", "50.0", "%"],
    ]


def test_cases_that_do_not_pass_are_listed_with_their_reasons(tmp_path: Path) -> None:
    assert [" ".join(line.split()) for line in report(tmp_path)[5:]] == [
        "strict http.bad.json NO REASON IS KNOWN: mend it, or list it in README.md",
        "failed grpc.infer.one the peer's fault",
        "passed http.health.* IS LISTED IN README.md: remove it",
    ]


def test_reasons_in_the_readme_are_read(tmp_path: Path) -> None:
    lines = report(tmp_path, f"--readme={Path(__file__).with_name('README.md')}")
    assert "grpc.infer.one" in lines[6]
    assert lines[6].endswith("NO REASON IS KNOWN: mend it, or list it in README.md")
    assert len(lines) == 7


def test_a_strict_run_tells_the_strict_level_alone(tmp_path: Path) -> None:
    assert report(tmp_path, "--level=strict")[0].split() == ["AREA", "TOTAL", "STRICT"]
