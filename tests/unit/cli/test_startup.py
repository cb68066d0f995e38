from __future__ import annotations

from shoal.cli.startup import NO_VERSION, ModelRow, progress
from shoal.core.desired import ModelEntry, RepositoryStatus, VersionEntry
from shoal.core.messages import LOADING, READY, UNAVAILABLE, InstanceStatus

ENTRY = ModelEntry(1, "ocr", "gen", "/models/ocr", "python", {3: VersionEntry({}, {})}, (), "", {})
FAILED = ModelEntry(1, "asr", "gen", "/models/asr", "python", {}, (1, 2), "Internal: broken", {})
UNREADABLE = ModelEntry(1, "bad", "", "/models/bad", "", {}, (), "Invalid argument: line 3", {})


def settled(*models: str) -> RepositoryStatus:
    return RepositoryStatus(1, True, models, "")


def instance(state: str, reason: str = "") -> InstanceStatus:
    return InstanceStatus("ocr", 3, "gen", "ocr_0", "executor-1", 0, state, reason)


def test_a_start_without_models_is_done_once_the_repository_settled() -> None:
    assert not progress([], None, {}, {}).is_done
    assert not progress([], RepositoryStatus(1, False, (), ""), {}, {}).is_done
    assert progress([], settled(), {}, {}).is_done


def test_a_start_waits_for_its_services() -> None:
    seen = progress(["scheduler"], settled(), {}, {})
    assert not seen.is_done
    assert seen.awaited() == "services scheduler"


def test_a_start_waits_for_a_model_whose_entry_was_not_seen_yet() -> None:
    seen = progress([], settled("ocr"), {}, {})
    assert seen.rows == (ModelRow("ocr", NO_VERSION, LOADING, ""),)
    assert not seen.is_done


def test_a_start_waits_for_instances() -> None:
    seen = progress([], settled("ocr"), {"ocr": ENTRY}, {"agent-1": [instance(LOADING)]})
    assert (seen.is_done, seen.awaited()) == (False, "models ocr 3")
    seen = progress([], settled("ocr"), {"ocr": ENTRY}, {"agent-1": [instance(READY)]})
    assert (seen.is_done, seen.failed) == (True, ())


def test_failed_models_are_told_with_their_reasons() -> None:
    entries = {"ocr": ENTRY, "asr": FAILED, "bad": UNREADABLE}
    agents = {"agent-1": [instance(UNAVAILABLE, "Internal: no memory")]}
    seen = progress([], settled("ocr", "bad", "asr"), entries, agents)
    assert seen.is_done
    assert seen.failed == (
        ModelRow("asr", "1", UNAVAILABLE, "Internal: broken"),
        ModelRow("asr", "2", UNAVAILABLE, "Internal: broken"),
        ModelRow("bad", NO_VERSION, UNAVAILABLE, "Invalid argument: line 3"),
        ModelRow("ocr", "3", UNAVAILABLE, "Internal: no memory"),
    )


def test_models_that_the_repositories_do_not_hold_any_more_are_left_out() -> None:
    assert progress([], settled(), {"ocr": ENTRY}, {}).rows == ()
