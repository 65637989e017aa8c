use proptest::prelude::*;

use super::*;

fn run(number: usize) -> Holder {
    Holder::Run(format!("run-000000000{number}").parse().unwrap())
}

fn bounds(sandboxes: u32) -> Bounds {
    Bounds { sandboxes, size: MachineSize { memory_mib: 2_048, processors: 2 }, processors: Some(8) }
}

fn plenty() -> Resources {
    Resources { available_mib: Some(64_000), stalled_percent: Some(0.0), free_disk_mib: Some(100_000) }
}

fn busy(number: usize) -> Running {
    Running { holder: run(number), usage: Use::Busy }
}

fn idle(number: usize) -> Running {
    Running { holder: run(number), usage: Use::Idle }
}

/// The sandbox that is tried first, and why.
fn first_idle(relief: Relief) -> Option<(Holder, SuspendReason)> {
    relief.idle.first().cloned().map(|holder| (holder, relief.why))
}

fn to_suspend(rooms: &Rooms) -> Option<(Holder, SuspendReason)> {
    rooms.relief().and_then(first_idle)
}

#[test]
fn a_small_host_still_runs_one_sandbox_and_a_large_one_several() {
    let size = MachineSize { memory_mib: 2_048, processors: 2 };
    assert_eq!(sandboxes_for(Some(3_000), size), 1);
    assert_eq!(sandboxes_for(Some(24_576), size), 8);
    assert_eq!(sandboxes_for(None, size), 1);
}

#[test]
fn each_thing_that_lacks_is_named() {
    let little = Resources { available_mib: Some(1_000), ..plenty() };
    let full = Resources { free_disk_mib: Some(100), ..plenty() };
    let one = Bounds { processors: Some(1), ..bounds(99) };
    let four = [busy(1), busy(2), busy(3), busy(4)];
    let reason = |bounds: &Bounds, resources: &Resources, running: &[Running]| {
        admit(bounds, resources, running, &[run(9)]).reason
    };
    assert_eq!(
        [
            reason(&bounds(1), &plenty(), &four[..1]),
            reason(&bounds(9), &little, &four[..1]),
            reason(&one, &plenty(), &four),
            reason(&bounds(9), &full, &[]),
            reason(&bounds(9), &plenty(), &four),
        ],
        [
            Some(QueueReason::SandboxLimit { limit: 1 }),
            Some(QueueReason::Memory { needed_mib: 1_792 }),
            Some(QueueReason::Processors),
            Some(QueueReason::Disk { needed_mib: 2_048 }),
            None,
        ]
    );
}

#[test]
fn an_idle_one_is_suspended_for_one_that_waits_and_when_memory_is_scarce_and_not_otherwise() {
    let suspended = |resources: &Resources, running: &[Running], waiting: &[Holder]| {
        admit(&bounds(2), resources, running, waiting).relief.and_then(first_idle)
    };
    let running = [busy(1), idle(2)];
    let two = |reason| Some((run(2), reason));
    assert_eq!(suspended(&plenty(), &running, &[run(3)]), two(SuspendReason::RoomWanted));
    assert_eq!(suspended(&plenty(), &running, &[]), None);
    let scarce = Resources { available_mib: Some(500), ..plenty() };
    assert_eq!(suspended(&scarce, &running, &[]), two(SuspendReason::MemoryScarce { available_mib: 500 }));
    let stalled = Resources { stalled_percent: Some(35.0), ..plenty() };
    assert_eq!(suspended(&stalled, &running, &[]), two(SuspendReason::MemoryStalled { percent: 35 }));
    assert_eq!(suspended(&scarce, &[busy(1)], &[]), None, "one that works is never suspended");
    let full = Resources { free_disk_mib: Some(10), ..plenty() };
    assert_eq!(suspended(&full, &running, &[run(3)]), None, "it would take more of the disk");
}

#[test]
fn all_idle_ones_are_named_in_the_order_in_which_they_came_and_the_spare_goes_first_where_memory_lacks() {
    let relief = |bounds: &Bounds, resources: &Resources, running: &[Running], waiting: &[Holder]| {
        admit(bounds, resources, running, waiting).relief
    };
    let running = [idle(1), busy(2), idle(3)];
    let scarce = Resources { available_mib: Some(500), ..plenty() };
    let why = SuspendReason::MemoryScarce { available_mib: 500 };
    let both = vec![run(1), run(3)];
    let expected = Some(Relief { why, spare_first: true, idle: both.clone() });
    assert_eq!(relief(&bounds(9), &scarce, &running, &[]), expected);
    // One of the spare's kind makes no place where it is places that lack.
    let wanted = |spare_first, idle| Some(Relief { why: SuspendReason::RoomWanted, spare_first, idle });
    assert_eq!(relief(&bounds(3), &plenty(), &running, &[run(9)]), wanted(false, both));
    let little = Resources { available_mib: Some(1_000), ..plenty() };
    assert_eq!(relief(&bounds(9), &little, &[busy(1)], &[run(9)]), wanted(true, Vec::new()));
    assert_eq!(relief(&bounds(9), &little, &[busy(1)], &[]), None, "nobody wants it");
}

#[tokio::test]
async fn a_host_is_short_of_memory_as_long_as_it_says_so() {
    let scarce = Resources { available_mib: Some(700), ..plenty() };
    let short = |resources| Rooms::new(bounds(1), Gauge::Fixed(resources)).is_short_of_memory();
    assert_eq!([short(scarce), short(plenty()), short(Resources::default())], [true, false, false]);
}

#[tokio::test]
async fn those_that_wait_come_in_one_after_the_other_in_the_order_they_came() {
    let rooms = Arc::new(Rooms::new(bounds(1), Gauge::Fixed(plenty())));
    let first = rooms.ask(&run(1)).ok().unwrap();
    assert_eq!(rooms.ask(&run(2)).err(), Some(QueueReason::SandboxLimit { limit: 1 }));
    assert_eq!(rooms.ask(&run(3)).err(), Some(QueueReason::SandboxLimit { limit: 1 }));
    drop(first);
    assert!(rooms.ask(&run(3)).is_err(), "another one came before it");
    let second = rooms.ask(&run(2)).ok().unwrap();
    rooms.leave(&run(3));
    drop(second);
    assert!(rooms.ask(&run(4)).is_ok(), "who left the line holds nobody up");
}

#[tokio::test]
async fn who_leaves_lets_those_that_wait_know() {
    let rooms = Arc::new(Rooms::new(bounds(1), Gauge::Nothing));
    let first = rooms.ask(&run(1)).ok().unwrap();
    let waiting = tokio::spawn({
        let rooms = Arc::clone(&rooms);
        async move {
            loop {
                match rooms.ask(&run(2)) {
                    Ok(room) => return room,
                    Err(_) => rooms.changed().await,
                }
            }
        }
    });
    tokio::task::yield_now().await;
    drop(first);
    let _room = waiting.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn it_is_looked_rarely_while_nobody_has_room_and_at_once_when_somebody_gets_it() {
    let rooms = Arc::new(Rooms::new(bounds(1), Gauge::Nothing));
    let usual = Duration::from_secs(1);
    let rests = async || {
        let began = tokio::time::Instant::now();
        rooms.rest(usual).await;
        began.elapsed().as_secs()
    };
    let rarely = LOOK_RARELY_EVERY.as_secs();
    assert_eq!(rests().await, rarely);
    let (rested, room) = tokio::join!(rests(), async {
        tokio::time::sleep(usual).await;
        rooms.ask(&run(1)).unwrap()
    });
    assert_eq!((rested, rests().await), (1, 1), "somebody has room");
    drop(room);
    assert_eq!(rests().await, rarely);
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_a_while_is_refused_at_once_by_busy_sandboxes_and_leaves_no_trace_in_the_line() {
    let rooms = Arc::new(Rooms::new(bounds(1), Gauge::Nothing));
    let first = rooms.ask(&run(1)).ok().unwrap();
    let began = tokio::time::Instant::now();
    let refused = rooms.ask_for(&run(2), Duration::from_secs(30)).await;
    assert_eq!(refused.err(), Some(QueueReason::SandboxLimit { limit: 1 }));
    assert_eq!(began.elapsed(), Duration::ZERO);
    first.set(Use::Idle);
    assert_eq!(to_suspend(&rooms), None, "nobody waits any more");
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_a_while_gets_the_room_that_an_idle_sandbox_gives_up_in_time() {
    let rooms = Arc::new(Rooms::new(bounds(1), Gauge::Nothing));
    let idle = rooms.ask(&run(1)).ok().unwrap();
    idle.set(Use::Idle);
    let late = rooms.ask_for(&run(2), Duration::from_secs(5)).await;
    assert_eq!(late.err(), Some(QueueReason::SandboxLimit { limit: 1 }), "it was not given up");
    let relief = {
        let rooms = Arc::clone(&rooms);
        async move {
            while to_suspend(&rooms).map(|(holder, _)| holder) != Some(run(1)) {
                tokio::task::yield_now().await;
            }
            drop(idle);
        }
    };
    let third = run(3);
    let asked = rooms.ask_for(&third, Duration::from_secs(30));
    let (room, ()) = tokio::join!(asked, relief);
    assert!(room.is_ok());
    assert_eq!(to_suspend(&rooms), None);
}

#[test]
fn an_idle_sandbox_is_found_by_what_its_run_says_of_it() {
    let rooms = Arc::new(Rooms::new(bounds(1), Gauge::Nothing));
    let room = rooms.take_again(&run(1));
    assert!(rooms.ask(&run(2)).is_err());
    assert_eq!(to_suspend(&rooms), None);
    room.set(Use::Idle);
    assert_eq!(to_suspend(&rooms), Some((run(1), SuspendReason::RoomWanted)));
    room.set(Use::Busy);
    assert_eq!(to_suspend(&rooms), None);
}

fn resources() -> impl Strategy<Value = Resources> {
    (
        proptest::option::of(0..8_000_u64),
        proptest::option::of(0.0..100.0_f32),
        proptest::option::of(0..5_000_u64),
    )
        .prop_map(|(available_mib, stalled_percent, free_disk_mib)| Resources {
            available_mib,
            stalled_percent,
            free_disk_mib,
        })
}

fn running() -> impl Strategy<Value = Vec<Running>> {
    proptest::collection::vec(any::<bool>(), 0..6).prop_map(|list| {
        let one = |(number, works): (usize, bool)| if works { busy(number) } else { idle(number) };
        list.into_iter().enumerate().map(one).collect()
    })
}

proptest! {
    #[test]
    fn no_more_run_than_may_and_only_the_first_in_line_comes_in(
        limit in 1..5_u32, resources in resources(), running in running(), line in 0..3_usize,
    ) {
        let waiting: Vec<Holder> = (7..7 + line).map(run).collect();
        let decision = admit(&bounds(limit), &resources, &running, &waiting);
        prop_assert!(decision.admitted.is_none() || (running.len() as u32) < limit || running.is_empty());
        prop_assert!(decision.admitted.is_none() || decision.admitted == waiting.first().cloned());
        // Who waits is let in or told why not, and never both.
        prop_assert_eq!(decision.admitted.is_some() ^ decision.reason.is_some(), line > 0);
    }

    #[test]
    fn only_an_idle_sandbox_is_ever_suspended(resources in resources(), running in running(), line in 0..2_usize) {
        let waiting: Vec<Holder> = (7..7 + line).map(run).collect();
        if let Some(relief) = admit(&bounds(2), &resources, &running, &waiting).relief {
            let idle = running.iter().filter(|one| one.usage == Use::Idle).map(|one| one.holder.clone());
            prop_assert_eq!(&relief.idle, &idle.collect::<Vec<_>>());
            prop_assert!(relief.spare_first || !relief.idle.is_empty(), "there is something to give back");
        }
    }

    #[test]
    fn the_first_sandbox_is_never_held_back_by_memory_or_processors(resources in resources()) {
        let enough_disk = Resources { free_disk_mib: None, ..resources };
        prop_assert_eq!(admit(&bounds(1), &enough_disk, &[], &[run(1)]).admitted, Some(run(1)));
    }

    #[test]
    fn more_of_anything_keeps_nobody_out(resources in resources(), running in running()) {
        let more = Resources {
            available_mib: resources.available_mib.map(|mib| mib + 4_000),
            stalled_percent: resources.stalled_percent,
            free_disk_mib: resources.free_disk_mib.map(|mib| mib + 4_000),
        };
        let admitted = |resources: &Resources| admit(&bounds(4), resources, &running, &[run(9)]).admitted;
        prop_assert!(admitted(&resources).is_none() || admitted(&more).is_some());
    }
}
