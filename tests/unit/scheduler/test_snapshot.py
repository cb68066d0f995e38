from __future__ import annotations

from scheduler_stage import MS, Stage, dynamic
from shoal.scheduler.events import InstanceDraining
from shoal.scheduler.snapshot import CoreSnapshot, InstanceSnapshot, VersionSnapshot


def test_a_snapshot_tells_what_waits_and_what_every_instance_does() -> None:
    stage = Stage(dynamic(max_batch_size=1), instances=2)
    stage.arrive(1, 2)
    stage.pass_ns(1 * MS)
    stage.arrive(3, 4)
    stage.arrive(5, model="nobody")
    stage.pass_ns(1 * MS)
    stage.done(2)
    stage.handle(InstanceDraining("e", 1))
    stage.pass_ns(1 * MS)
    assert stage.core.snapshot(stage.now_ns) == CoreSnapshot(
        epoch=1,
        is_adopting=False,
        open_batches=2,
        awaited=1,
        ensembles=0,
        versions=(
            VersionSnapshot(
                model="m",
                version=1,
                generation="g",
                queued=1,
                oldest_us=2000,
                retired=None,
                hopeless=None,
                instances=(
                    InstanceSnapshot("m_0_0", "e", 0, is_draining=False, batch_id=1, busy_us=3000),
                    InstanceSnapshot("", "e", 1, is_draining=True, batch_id=3, busy_us=1000),
                ),
            ),
        ),
    )
