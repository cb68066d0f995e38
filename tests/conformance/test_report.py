from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROWS = [
    {"id": "http.health.live", "ok": True, "strict": True},
    {"id": "http.bad.json", "ok": True, "strict": False},
    {"id": "grpc.infer.one", "ok": False, "strict": False},
]


def report(tmp_path: Path, *options: str) -> list[str]:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(ROWS))
    program = Path(__file__).parent / "report.py"
    argv = [sys.executable, str(program), str(path), *options]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.splitlines()


def test_counts_are_told_by_area_and_level(tmp_path: Path) -> None:
    assert [line.split() for line in report(tmp_path)] == [
        ["AREA", "TOTAL", "STRICT", "SEMANTIC"],
        ["grpc", "1", "0", "0.0", "%", "0", "0.0", "%"],
        ["http", "2", "1", "50.0", "%", "2", "100.0", "%"],
        ["all", "3", "1", "33.3", "%", "2", "66.7", "%"],
    ]


def test_a_strict_run_tells_the_strict_level_alone(tmp_path: Path) -> None:
    assert report(tmp_path, "--level=strict")[0].split() == ["AREA", "TOTAL", "STRICT"]
