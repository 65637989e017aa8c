use proptest::prelude::*;

use super::*;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

fn id(letter: char) -> SandboxId {
    format!("sandbox-{}", letter.to_string().repeat(10)).parse().unwrap()
}

fn wrote(letter: char, mib: u64) -> Written {
    Written { sandbox: id(letter), bytes: mib * MIB, held: None, let_go: None }
}

/// A disk of 100 GiB, whose reserve is 2 GiB.
fn disk(free_mib: u64, sandboxes: Vec<Written>) -> DiskUse {
    DiskUse { folder: "/sandboxes".into(), free_bytes: free_mib * MIB, total_bytes: 100 * GIB, sandboxes }
}

/// A host's disk at successive seconds.
#[derive(Default)]
struct Host {
    growth: Growth,
    seconds: u64,
    settings: DiskSettings,
}

impl Host {
    fn look(&mut self, seen: &DiskUse) -> Vec<Order> {
        self.seconds += 1;
        self.growth.look(&self.settings, Duration::from_secs(self.seconds), seen)
    }

    /// Looks for some seconds, in which each sandbox writes so many MiB a second, and returns what was ordered last.
    fn write(&mut self, mut free_mib: u64, seconds: u64, paces: &[(char, u64)]) -> Vec<Order> {
        let mut last = Vec::new();
        for second in 0..=seconds {
            let sandboxes = paces.iter().map(|(letter, pace)| wrote(*letter, pace * second)).collect();
            last = self.look(&disk(free_mib, sandboxes));
            free_mib = free_mib.saturating_sub(paces.iter().map(|(_, pace)| pace).sum::<u64>());
        }
        last
    }
}

fn reserve(written_mib: u64, free_mib: u64) -> Hold {
    Hold::Reserve { written_bytes: written_mib * MIB, free_bytes: free_mib * MIB, enough_bytes: 2_560 * MIB }
}

fn held(one: Written, hold: Hold) -> Written {
    Written { held: Some(hold), ..one }
}

#[test]
fn below_the_reserve_the_fastest_stands_still_and_the_others_go_on() {
    let mut host = Host::default();
    // What it wrote long ago does not make a sandbox the fastest.
    let at = |second: u64| {
        disk(2_100 - 60 * second, vec![wrote('a', 900), wrote('b', 50 * second), wrote('c', 10 * second)])
    };
    assert_eq!(host.look(&at(0)), []);
    assert_eq!(host.look(&at(1)), [Order::Hold(id('b'), reserve(50, 2_040))]);
}

#[test]
fn above_the_reserve_everybody_writes_as_fast_as_they_can() {
    assert_eq!(Host::default().write(90_000, 12, &[('a', 900), ('b', 500)]), []);
}

#[test]
fn below_the_reserve_a_sandbox_that_writes_a_little_is_no_danger() {
    assert_eq!(Host::default().write(1_900, 30, &[('a', 3), ('b', 2)]), []);
    // The same is one when less is left.
    let orders = Host::default().write(400, 5, &[('a', 3), ('b', 2)]);
    assert_eq!(orders, [Order::Hold(id('a'), reserve(15, 375))]);
}

#[test]
fn a_disk_that_others_than_sandboxes_fill_is_no_sandbox_s_fault() {
    let mut host = Host::default();
    for free in [2_000, 900, 100, 0] {
        assert_eq!(host.look(&disk(free, vec![wrote('a', 500), wrote('b', 0)])), [], "{free}");
    }
}

#[test]
fn a_burst_is_no_pace_until_it_was_looked_at_for_a_second() {
    let orders = |written: fn(u64) -> u64| {
        let mut growth = Growth::default();
        (0..=5)
            .map(|number| {
                let at = Duration::from_millis(200 * number);
                growth.look(&DiskSettings::default(), at, &disk(2_000, vec![wrote('a', written(number))]))
            })
            .collect::<Vec<_>>()
    };
    let nothing = vec![Vec::new(); 6];
    assert_eq!(orders(|number| if number == 0 { 0 } else { 5 }), nothing);
    let mut at_last = nothing;
    at_last[5] = vec![Order::Hold(id('a'), reserve(25, 2_000))];
    assert_eq!(orders(|number| 5 * number), at_last);
}

#[test]
fn a_sandbox_that_is_being_made_is_not_looked_at_until_it_is_there() {
    let made = BeingMade::default();
    let seen = || {
        let mut seen = disk(2_000, vec![wrote('a', 5), wrote('b', 6)]);
        made.leave_out(&mut seen);
        seen.sandboxes
    };
    let making = made.begin(&id('b'));
    assert_eq!(seen(), [wrote('a', 5)]);
    drop(making);
    assert_eq!(seen(), [wrote('a', 5), wrote('b', 6)]);
}

#[test]
fn as_few_as_are_enough_are_held_the_fastest_first() {
    let mut host = Host::default();
    let orders = host.write(2_000, 1, &[('a', 40), ('b', 50), ('c', 4)]);
    let expected = [Order::Hold(id('b'), reserve(50, 1_906)), Order::Hold(id('a'), reserve(40, 1_906))];
    assert_eq!(orders, expected);
    let stand = [held(wrote('a', 40), reserve(40, 1_906)), held(wrote('b', 50), reserve(50, 1_906))];
    let seen = |c| disk(1_900, stand.iter().cloned().chain([wrote('c', c)]).collect());
    assert_eq!((host.look(&seen(8)), host.look(&seen(12))), (vec![], vec![]));
}

#[test]
fn of_two_that_are_equally_fast_the_one_that_wrote_more_stands_still() {
    let mut host = Host::default();
    let seen = |more: u64| disk(1_000, vec![wrote('a', more), wrote('b', 700 + more), wrote('c', more)]);
    host.look(&seen(0));
    let orders = host.look(&seen(4));
    assert_eq!(orders, [Order::Hold(id('b'), reserve(704, 1_000))]);
}

#[test]
fn a_held_sandbox_goes_on_when_there_is_clearly_room_again_and_not_before() {
    let mut host = Host::default();
    let at = |free| disk(free, vec![held(wrote('a', 500), reserve(500, 1_900))]);
    for free in [1_900, 2_048, 2_559] {
        assert_eq!(host.look(&at(free)), [], "{free}");
    }
    assert_eq!(host.look(&at(2_560)), [Order::GoOn(id('a'))]);
}

#[test]
fn a_person_who_lets_it_go_on_lets_it_use_half_of_what_is_left_and_no_neighbour_stands_still_for_that() {
    let mut host = Host::default();
    host.look(&disk(1_000, vec![held(wrote('a', 500), reserve(500, 1_000)), wrote('b', 0)]));
    let at = |written: u64, free| disk(free, vec![wrote('a', written), wrote('b', written / 100)]);
    assert_eq!(host.look(&at(500, 1_000)), []);
    for (written, free) in [(700, 800), (900, 600), (1_000, 500)] {
        assert_eq!(host.look(&at(written, free)), [], "{free}");
    }
    let orders = host.look(&at(1_001, 499));
    assert_eq!(orders, [Order::Hold(id('a'), reserve(1_001, 499))]);
}

#[test]
fn what_a_person_allowed_is_over_when_there_is_room() {
    let mut host = Host::default();
    host.look(&disk(1_000, vec![held(wrote('a', 500), reserve(500, 1_000))]));
    host.look(&disk(1_000, vec![wrote('a', 500)]));
    host.look(&disk(50_000, vec![wrote('a', 500)]));
    let orders = host.look(&disk(1_500, vec![wrote('a', 900)]));
    assert_eq!(orders, [Order::Hold(id('a'), reserve(900, 1_500))]);
}

#[test]
fn a_sandbox_that_wrote_its_quota_stands_still_however_much_room_there_is_and_no_other_does() {
    let quota = |written: u64| Hold::Quota { written_bytes: written * MIB, quota_bytes: 12 * GIB };
    let mut host = Host::default();
    let seen = |mib| disk(80_000, vec![wrote('a', mib), wrote('b', 12 * 1_024 - 1)]);
    assert_eq!(host.look(&seen(12 * 1_024 - 1)), []);
    assert_eq!(host.look(&seen(12 * 1_024)), [Order::Hold(id('a'), quota(12 * 1_024))]);
    let stands = disk(80_000, vec![held(wrote('a', 12 * 1_024), quota(12 * 1_024))]);
    assert_eq!(host.look(&stands), [], "no room lets it go on");
    // A person does, and it may write as much again.
    for mib in [12 * 1_024, 24 * 1_024 - 1] {
        assert_eq!(host.look(&disk(80_000, vec![wrote('a', mib)])), [], "{mib}");
    }
    let orders = host.look(&disk(80_000, vec![wrote('a', 24 * 1_024)]));
    assert_eq!(orders, [Order::Hold(id('a'), quota(24 * 1_024))]);
}

fn let_go(one: Written, hold: Hold) -> Written {
    Written { let_go: Some(hold), ..one }
}

#[test]
fn an_owner_that_comes_after_keeps_to_the_larger_quota_that_a_person_allowed() {
    let overruled = Hold::Quota { written_bytes: 12 * GIB, quota_bytes: 12 * GIB };
    let seen = |mib| disk(80_000, vec![let_go(wrote('a', mib), overruled)]);
    let mut host = Host::default();
    assert_eq!((host.look(&seen(13 * 1_024)), host.look(&seen(24 * 1_024 - 1))), (vec![], vec![]));
    let again = Hold::Quota { written_bytes: 24 * GIB, quota_bytes: 12 * GIB };
    assert_eq!(host.look(&seen(24 * 1_024)), [Order::Hold(id('a'), again)]);
}

#[test]
fn an_owner_that_comes_after_lets_it_use_the_half_that_a_person_allowed_unless_there_was_room_since() {
    let overruled = reserve(500, 1_000);
    let at = |written: u64, free| disk(free, vec![let_go(wrote('a', written), overruled)]);
    let mut host = Host::default();
    for (written, free) in [(600, 900), (800, 700), (1_000, 500)] {
        assert_eq!(host.look(&at(written, free)), [], "{free}");
    }
    assert_eq!(host.look(&at(1_001, 499)), [Order::Hold(id('a'), reserve(1_001, 499))]);
    let mut host = Host::default();
    assert_eq!(host.look(&at(600, 5_000)), []);
    assert_eq!(host.look(&at(700, 900)), [Order::Hold(id('a'), reserve(700, 900))]);
}

#[test]
fn where_nothing_is_limited_nobody_is_held() {
    let settings = DiskSettings { reserve_mib: Some(0), sandbox_mib: 0 };
    let mut host = Host { settings, ..Host::default() };
    assert_eq!(host.write(3_000, 10, &[('a', 300)]), []);
}

#[test]
fn a_guest_that_something_else_let_go_on_is_held_again_for_the_same_reason() {
    let mut host = Host::default();
    let why = reserve(500, 1_000);
    let at = |written| disk(1_000, vec![held(wrote('a', written), why)]);
    assert_eq!((host.look(&at(500)), host.look(&at(500))), (vec![], vec![]));
    assert_eq!(host.look(&at(501)), [Order::Hold(id('a'), why)]);
}

#[test]
fn an_owner_that_was_started_anew_knows_who_is_held_and_lets_them_go_on() {
    let stands = held(wrote('a', 500), reserve(500, 1_000));
    assert_eq!(Host::default().look(&disk(9_000, vec![stands])), [Order::GoOn(id('a'))]);
}

#[test]
fn the_reserve_is_two_gibibytes_or_a_twentieth_of_a_small_disk_or_what_is_said() {
    let usual = DiskSettings::default();
    let said = DiskSettings { reserve_mib: Some(7), ..usual };
    assert_eq!(
        [10 * GIB, 40 * GIB, 4_000 * GIB].map(|total| usual.reserve(total)),
        [GIB / 2, 2 * GIB, 2 * GIB]
    );
    assert_eq!(said.reserve(10 * GIB), 7 * MIB);
}

#[test]
fn a_disk_near_its_reserve_is_looked_at_closely_while_there_is_a_sandbox() {
    let settings = DiskSettings::default();
    let one = vec![wrote('a', 1)];
    let next = |seen: Option<&DiskUse>| settings.next_look(seen);
    assert_eq!(next(None), LOOK_EVERY);
    assert_eq!(next(Some(&disk(4_096, one.clone()))), LOOK_EVERY);
    assert_eq!(next(Some(&disk(4_095, one))), LOOK_CLOSELY_EVERY);
    assert_eq!(next(Some(&disk(10, Vec::new()))), LOOK_EVERY);
}

#[test]
fn what_is_gone_is_forgotten() {
    let mut host = Host::default();
    host.look(&disk(9_000, vec![wrote('a', 1), wrote('b', 1)]));
    host.look(&disk(9_000, vec![wrote('b', 1)]));
    assert_eq!(host.growth.0.keys().collect::<Vec<_>>(), [&id('b')]);
}

/// What four sandboxes write in a second, in MiB.
fn paces() -> impl Strategy<Value = Vec<[u64; 4]>> {
    prop::collection::vec(prop::array::uniform4(prop_oneof![3 => Just(0_u64), 1 => 0..300_u64]), 1..60)
}

/// Sandboxes that write as they like on a small disk, and stand still when they are told to.
fn play(paces: &[[u64; 4]], free: u64, settings: DiskSettings) -> (Vec<Vec<Order>>, Vec<u64>) {
    let letters = ['a', 'b', 'c', 'd'];
    let mut host = Host { settings, ..Host::default() };
    let mut all: Vec<Written> = letters.iter().map(|letter| wrote(*letter, 0)).collect();
    let (mut left, mut orders, mut frees) = (free, Vec::new(), Vec::new());
    for second in paces {
        for (one, pace) in all.iter_mut().zip(second).filter(|(one, _)| one.held.is_none()) {
            let taken = (*pace).min(left);
            one.bytes += taken * MIB;
            left -= taken;
        }
        let given = host.look(&disk(left, all.clone()));
        for order in &given {
            let (Order::Hold(of, _) | Order::GoOn(of)) = order;
            let one = all.iter_mut().find(|one| one.sandbox == *of).unwrap();
            one.held = match order {
                Order::Hold(_, why) => Some(*why),
                Order::GoOn(_) => None,
            };
        }
        orders.push(given);
        frees.push(left);
    }
    (orders, frees)
}

proptest! {
    #[test]
    fn a_disk_that_starts_with_room_is_never_full(paces in paces()) {
        // Four that write 300 MiB in a second each take less than this before all of them are seen.
        let (_, free) = play(&paces, 9_000, DiskSettings { reserve_mib: Some(5_000), sandbox_mib: 0 });
        prop_assert!(free.iter().all(|free| *free > 0), "{free:?}");
    }

    #[test]
    fn nobody_is_held_twice_or_without_having_written(paces in paces()) {
        let (orders, _) = play(&paces, 3_000, DiskSettings { reserve_mib: Some(2_500), sandbox_mib: 0 });
        // Nothing is removed from this disk, so nobody goes on.
        let mut stand = Vec::new();
        for order in orders.into_iter().flatten() {
            let Order::Hold(sandbox, Hold::Reserve { written_bytes, .. }) = order.clone() else {
                return Err(TestCaseError::fail(format!("{order:?}")));
            };
            prop_assert!(written_bytes > 0 && !stand.contains(&sandbox), "{:?}", order);
            stand.push(sandbox);
        }
    }

    #[test]
    fn nobody_writes_more_than_a_quota_and_what_fits_into_a_second(paces in paces()) {
        let (orders, _) = play(&paces, 90_000, DiskSettings { reserve_mib: None, sandbox_mib: 1_000 });
        for order in orders.into_iter().flatten() {
            let fits = match order {
                Order::Hold(_, Hold::Quota { written_bytes, .. }) => written_bytes < 1_300 * MIB,
                Order::Hold(..) | Order::GoOn(_) => false,
            };
            prop_assert!(fits, "{:?}", order);
        }
    }
}
