//! Checkpoints of a working sandbox: how long the guest stands still, what is written, how soon a fork shows its
//! desktop beside a clone of the template, and whether going back again and again leads to the same memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use nightshift_channel::GuestUser;
use nightshift_protocol::{CheckpointId, SandboxId};
use nightshift_sandbox::{
    AfterSave, CheckpointFacts, Checkpoints, DisplayEndpoint, Generation, Machine, RestoreRequest,
    SaveRequest,
};
use nightshift_screen::Screen;
use nightshift_supervisor::{Desk, shell};

use crate::bench::{Bar, Bench, BenchError, Measure, Samples};
use crate::ground::{Ground, end, say};

const PAUSE: &str = "pause_ms";
const CHANGED: &str = "changed_mib";
const WRITTEN_RATIO: &str = "written_ratio";
const FORK: &str = "fork_first_frame_ms";
const FORK_RATIO: &str = "fork_ratio";
const IDENTICAL: &str = "identical_rewinds";

/// How often the machine goes back in a row.
const REWINDS: u32 = 10;

const MEASURES: &[Measure] = &[
    Measure { name: PAUSE, about: "the guest stands still", unit: "ms", bar: Some(Bar::AtMost(500.0)) },
    Measure { name: CHANGED, about: "memory changed before the checkpoint", unit: "MiB", bar: None },
    Measure {
        name: WRITTEN_RATIO,
        about: "bytes written / bytes of changed pages",
        unit: "times",
        bar: Some(Bar::AtMost(1.3)),
    },
    Measure { name: FORK, about: "fork: request to first frame", unit: "ms", bar: None },
    Measure {
        name: FORK_RATIO,
        about: "fork / clone, to first frame",
        unit: "times",
        bar: Some(Bar::AtMost(2.0)),
    },
    Measure {
        name: IDENTICAL,
        about: "rewinds of 10 that lead to the same memory",
        unit: "",
        bar: Some(Bar::AtLeast(REWINDS as f64)),
    },
];

const WITHIN: Duration = Duration::from_secs(120);
/// What a step of some size does: it writes files and keeps memory that cannot be shared.
const WORK: &str = "head -c 48M /dev/urandom > /dev/shm/work && head -c 16M /dev/urandom > ~/work && sync";

/// See the module.
pub(crate) struct Checkpoint;

#[async_trait]
impl Bench for Checkpoint {
    fn name(&self) -> &'static str {
        "checkpoint"
    }

    fn about(&self) -> &'static str {
        "checkpoints of a working sandbox: pause, bytes written, forks, rewinds"
    }

    fn measures(&self) -> &'static [Measure] {
        MEASURES
    }

    async fn run(&self, ground: &Ground) -> Result<Samples, BenchError> {
        let template = ground.template().await?;
        let mut samples = Samples::default();
        for round in 1..=ground.samples() {
            say(&format!("round {round} of {}: clone, work, checkpoint, fork", ground.samples()));
            let (desk, facts) = ground.clone_of(&template).await?;
            work(&desk, "work").await?;
            let first = save(ground, &desk.machine).await?;
            // The one before had what the whole start of a clone changed; this one has a step's worth.
            work(&desk, "more-work").await?;
            let saved = save(ground, &desk.machine).await?;
            for saved in [&first, &saved] {
                samples.add_time(PAUSE, saved.paused);
                samples.add(CHANGED, saved.changed_bytes as f64 / f64::from(1 << 20));
                samples.add(WRITTEN_RATIO, saved.written_bytes as f64 / saved.changed_bytes as f64);
            }
            let began = Instant::now();
            let fork = ground
                .driver()
                .restore(RestoreRequest {
                    sandbox: SandboxId::new(ground.entropy()),
                    checkpoint: saved.checkpoint.clone(),
                    generation: Generation::Fresh,
                })
                .await
                .map_err(BenchError::during("forking"))?;
            let display = fork.display().await.map_err(BenchError::io("looking at a fork"))?;
            let DisplayEndpoint::Dbus(socket) = display else {
                return Err(BenchError::io("looking at a fork")(std::io::Error::other(
                    "QEMU is seen by D-Bus",
                )));
            };
            let screen = Screen::attach(socket).await.map_err(BenchError::during("looking at a fork"))?;
            screen.first_frame(WITHIN).await.map_err(BenchError::during("waiting for a fork's frame"))?;
            let shown = began.elapsed();
            samples.add_time(FORK, shown);
            samples.add(FORK_RATIO, shown.as_secs_f64() * 1000.0 / facts.first_frame_ms.max(1) as f64);
            fork.stop().await.map_err(BenchError::io("ending a fork"))?;
            if round == 1 {
                say(&format!("going back {REWINDS} times"));
                samples.add(IDENTICAL, f64::from(rewind(ground, desk).await?));
            } else {
                end(desk).await?;
            }
            for checkpoint in [first.checkpoint, saved.checkpoint] {
                remove(ground, &checkpoint).await?;
            }
        }
        Ok(samples)
    }
}

async fn work(desk: &Desk, job: &str) -> Result<(), BenchError> {
    shell(&desk.channel, job, WORK, GuestUser::Agent, WITHIN).await?;
    Ok(())
}

async fn save(ground: &Ground, machine: &Arc<dyn Machine>) -> Result<CheckpointFacts, BenchError> {
    let request = SaveRequest {
        checkpoint: CheckpointId::new(ground.entropy()),
        machine: Arc::clone(machine),
        then: AfterSave::GoOn,
    };
    ground.driver().save(request).await.map_err(BenchError::during("saving a checkpoint"))
}

async fn remove(ground: &Ground, checkpoint: &CheckpointId) -> Result<(), BenchError> {
    ground.driver().remove_checkpoint(checkpoint).await.map_err(BenchError::io("removing a checkpoint"))
}

/// Goes back to one checkpoint again and again, and returns how often the memory was what it had been. In between the
/// machine runs, so that there is something to go back from.
async fn rewind(ground: &Ground, desk: Desk) -> Result<u32, BenchError> {
    let driver = ground.driver();
    let mut machine = desk.machine;
    let hash = async |machine: &Arc<dyn Machine>| {
        driver.memory_hash(machine).await.map_err(BenchError::io("hashing a machine's memory"))
    };
    driver.stand_still(&machine).await.map_err(BenchError::io("stopping a guest"))?;
    let before = hash(&machine).await?;
    let saved = save(ground, &machine).await?;
    let mut identical = 0;
    for _ in 0..REWINDS {
        driver.go_on(&machine).await.map_err(BenchError::io("letting a guest go on"))?;
        let sandbox = machine.sandbox().clone();
        machine.stop().await.map_err(BenchError::io("ending a machine"))?;
        let request =
            RestoreRequest { sandbox, checkpoint: saved.checkpoint.clone(), generation: Generation::Kept };
        machine = driver.restore_standing(request).await.map_err(BenchError::during("going back"))?;
        identical += u32::from(hash(&machine).await? == before);
    }
    machine.stop().await.map_err(BenchError::io("ending a machine"))?;
    remove(ground, &saved.checkpoint).await?;
    Ok(identical)
}
