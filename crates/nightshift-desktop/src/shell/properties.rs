//! Rules that hold for whatever happens, in any order.

use nightshift_protocol::ErrorCode;
use proptest::prelude::*;

use super::*;
use crate::news::tests::{run_in, states};

fn event() -> impl Strategy<Value = Event> {
    let owner = (1_u16..3, "[ab]").prop_map(|(port, token)| {
        let url = format!("http://127.0.0.1:{port}");
        Event::Attached(OwnerAddress { pid: 1, url, token, version: "0".to_owned() })
    });
    let summary = (0_usize..4, 0_usize..13, 0_u64..40).prop_map(|(run, state, seq)| RunSummary {
        last_seq: seq,
        ..run_in(&format!("run-{run:010}"), states()[state].0.clone())
    });
    let changed =
        summary.clone().prop_map(|run| Event::Changed(Box::new(RunChanged { position: run.last_seq, run })));
    let refused = Just(Event::Refused(UserError::new(ErrorCode::ToolMissing, "no git", "")));
    let place = prop_oneof![Just(None), Just(Some(Place::Doctor)), Just(Some(Place::Home))];
    let address = prop_oneof![
        Just("shell:quit"),
        Just("shell:try-again"),
        Just("shell:sign-in"),
        Just("nightshift://doctor"),
        Just("https://example.org/"),
        Just("http://127.0.0.1:1/"),
    ];
    prop_oneof![
        3 => owner,
        1 => refused,
        1 => Just(Event::NotOpened(UserError::new(ErrorCode::NotAuthorized, "no ticket", ""))),
        2 => prop_oneof![Just(Loss::Crashed), Just(Loss::Stopped)].prop_map(Event::Lost),
        1 => proptest::collection::vec(summary, 0..4).prop_map(Event::Listed),
        6 => changed,
        1 => (0_u64..9).prop_map(|waits| Event::Counted(Overview { waits_for_you: waits, ..Overview::default() })),
        2 => place.prop_map(Event::Asked),
        1 => (0_usize..4).prop_map(|run| Event::Clicked(format!("run-{run:010}").parse().unwrap())),
        2 => address.prop_map(|address| Event::Navigated(address.to_owned())),
        1 => Just(Event::StartAsked),
        1 => Just(Event::CloseAsked),
        2 => any::<bool>().prop_map(Event::Focused),
        1 => any::<bool>().prop_map(Event::TrayShown),
        1 => Just(Event::NotificationsToggled),
    ]
}

proptest! {
    #[test]
    fn a_notification_is_only_for_a_change_that_nobody_looks_at_and_is_never_repeated(
        events in proptest::collection::vec(event(), 1..60)
    ) {
        let (mut shell, _) = Shell::begin(Preferences::default(), None);
        let mut last: BTreeMap<RunId, News> = BTreeMap::new();
        for event in events {
            let looked_at = shell.focused;
            let is_change = matches!(event, Event::Changed(_));
            for effect in shell.handle(event) {
                match effect {
                    Effect::Notify(news) => {
                        prop_assert!(is_change && !looked_at && shell.tray.notifications);
                        prop_assert_ne!(last.get(&news.run), Some(&news));
                        last.insert(news.run.clone(), news);
                    }
                    Effect::Withdraw(run) => {
                        prop_assert!(last.remove(&run).is_some(), "nothing of {run:?} was shown");
                    }
                    _ => {}
                }
            }
            // Wanted something, then nothing while nothing was shown: the same wish may come again.
            last.retain(|run, _| shell.runs.get(run).is_some_and(|known| known.notified));
        }
    }

    #[test]
    fn the_tray_drawn_last_is_the_tray_as_it_is(events in proptest::collection::vec(event(), 1..60)) {
        let (mut shell, effects) = Shell::begin(Preferences::default(), None);
        let mut drawn = None;
        let mut draw = |effects: Vec<Effect>| {
            for effect in effects {
                if let Effect::Draw(tray) = effect {
                    drawn = Some(tray);
                }
            }
            drawn.clone()
        };
        draw(effects);
        for event in events {
            let effects = shell.handle(event);
            prop_assert_eq!(draw(effects), Some(shell.tray.clone()));
        }
    }

    #[test]
    fn a_page_of_the_owner_is_never_gone_to_while_the_window_shows_its_own(
        events in proptest::collection::vec(event(), 1..60)
    ) {
        let (mut shell, _) = Shell::begin(Preferences::default(), None);
        let mut own_page = true;
        for event in events {
            for effect in shell.handle(event) {
                match effect {
                    Effect::Show(_) => own_page = true,
                    Effect::Open(_) => own_page = false,
                    Effect::Go(_) => prop_assert!(!own_page),
                    _ => {}
                }
            }
            prop_assert_eq!(shell.owner.is_none(), own_page);
        }
    }

    #[test]
    fn whatever_happened_a_window_is_shown_when_it_is_asked_for_and_quitting_ends_the_app(
        events in proptest::collection::vec(event(), 0..60)
    ) {
        let (mut shell, _) = Shell::begin(Preferences::default(), None);
        for event in events {
            shell.handle(event);
        }
        prop_assert!(shell.clone().handle(Event::Asked(None)).contains(&Effect::Raise));
        prop_assert_eq!(shell.handle(Event::QuitAsked), [Effect::Exit]);
    }
}
