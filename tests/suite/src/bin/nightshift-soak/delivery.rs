//! Owners that end in the middle of deliveries, at random: afterwards there is one branch, one pull request and one
//! set of pictures for each run.

use std::time::Duration;

use nightshift_protocol::{Entropy as _, RunId, RunState};
use nightshift_supervisor::{DeliverySettings, PicturePolicy};
use nightshift_testing::github::{Fault, Moment, Token};
use serde_json::{Value, json};
use suite::site::{SiteNight, delivery};
use suite::{SystemEntropy, names};

use super::{fetch, pictures, say, script};

/// Moments that a delivery has at the site, about: two for each request.
const MOMENTS: u64 = 44;

/// Events that a delivery writes, about.
const EVENTS: usize = 14;

/// Pictures of each run: two of evidence and the recording.
const PICTURES: usize = 3;

/// Runs of one site.
const RUNS: usize = 25;

/// Sites at once.
const LANES: usize = 4;

/// Random numbers that come again with the same seed: SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
/// generators").
struct Random(u64);

impl Random {
    fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }
}

/// A seed that was not used before.
pub(super) fn fresh_seed() -> u64 {
    let mut bytes = [0; 8];
    SystemEntropy.fill(&mut bytes);
    // Small enough to be typed.
    u64::from_le_bytes(bytes) % 1_000_000
}

/// What was counted.
#[derive(Default)]
struct Counts {
    crashed: usize,
    branches: usize,
    pull_requests: usize,
    lost: usize,
    breaches: usize,
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.crashed += other.crashed;
        self.branches += other.branches;
        self.pull_requests += other.pull_requests;
        self.lost += other.lost;
        self.breaches += other.breaches;
    }
}

pub(super) async fn soak(points: usize, seed: u64) -> (Value, bool) {
    let nights = points.div_ceil(RUNS);
    // At the beginning, so that it is known also when the trial is ended.
    say(&format!("{points} points, --seed {seed}"));
    let lane = |lane: usize| async move {
        let mut counts = Counts::default();
        for night in (lane..nights).step_by(LANES) {
            let runs = RUNS.min(points - night * RUNS);
            // Attachments and the side branch by turns.
            let kind = if night % 2 == 0 { Token::Personal } else { Token::Installation };
            counts.add(&one_night(runs, kind, Random(seed.wrapping_add(night as u64))).await);
            say(&format!("night {} of {nights}: {} points in this lane", night + 1, counts.crashed));
        }
        counts
    };
    // Most of a night is waiting: for the disk, for git, for an owner to end.
    let lanes: [_; LANES] = tokio::join!(lane(0), lane(1), lane(2), lane(3)).into();
    let mut all = Counts::default();
    lanes.iter().for_each(|counts| all.add(counts));
    let Counts { crashed, branches, pull_requests, lost, breaches } = all;
    let good = crashed == points && branches + pull_requests + lost + breaches == 0;
    let outcome = json!({
        "seed": seed, "crash_points": crashed, "extra_branches": branches, "extra_pull_requests": pull_requests,
        "lost_images": lost, "breaches": breaches,
    });
    (outcome, good)
}

/// One site with a few runs, each of whose owners ends in the middle.
async fn one_night(runs: usize, kind: Token, mut random: Random) -> Counts {
    // What is soaked is the delivery and not the reading, which takes seconds for each picture.
    let settings = DeliverySettings { pictures: PicturePolicy::Unread, ..delivery() };
    let work = "date +%N >> notes.txt && git commit -qam 'Add a note' && cat notes.txt";
    let mut night = SiteNight::begin_with(script(work), kind, settings).await;
    let mut counts = Counts::default();
    for number in 0..runs {
        let run = night.submit("Add a note").await;
        crash(&mut night, &run, number, &mut random).await;
        counts.crashed += 1;
        night.night.until_in_review(&run).await;
    }
    let opened = night.site.pull_requests("ada", "notes");
    counts.pull_requests = opened.len().abs_diff(runs);
    let ours = night.site.branches("ada", "notes").into_iter();
    counts.branches = ours.filter(|branch| branch.starts_with("nightshift/")).count().abs_diff(runs);
    for one in &opened {
        let cited = pictures(&one.body);
        counts.lost += cited.len().abs_diff(PICTURES);
        for url in cited {
            counts.lost += usize::from(fetch(&url).await.is_none());
        }
    }
    counts.breaches = night.site.breaches().len();
    counts
}

/// Ends the owner at a random moment of a run's delivery, and starts another.
async fn crash(night: &mut SiteNight, run: &RunId, number: usize, random: &mut Random) {
    night.night.until(run, "the end of the work", |events| names(events).contains(&"workFinished")).await;
    match number % 3 {
        // While a request is under way: before the site acted, or after.
        0 | 1 => {
            if number % 2 == 1 {
                let operations =
                    ["git/receive-pack", "pulls/create", "issues/add-labels", "attachments/upload"];
                let operation = operations[usize::try_from(random.below(4)).unwrap()];
                night.site.fail_next(operation, Fault::CutAfterActing, 1);
            }
            let Moment(now) = night.site.moment();
            night.site.stop_at(Some(Moment(now + 1 + random.below(MOMENTS))));
            // A delivery that was quicker, or needs fewer requests, ends before that moment.
            let delivered = async {
                loop {
                    // One that paused is told of when its review is waited for in vain.
                    let state = night.night.state(run).await;
                    if matches!(state, RunState::InReview { .. } | RunState::Paused { .. }) {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            tokio::select! {
                () = night.site.stopped() => {}
                () = delivered => {}
            }
            night.site.stop_at(None);
        }
        // Between two events.
        _ => {
            let before = night.night.events(run).await.len();
            let wanted = before + usize::try_from(random.below(EVENTS as u64)).unwrap();
            let enough = |events: &[nightshift_protocol::Event]| {
                events.len() >= wanted || names(events).contains(&"pullRequestRouted")
            };
            night.night.until(run, "some events of the delivery", enough).await;
        }
    }
    night.owner_restarts().await;
}
