use nightshift_protocol::{ErrorCode, PullRequestId, RunState};

use super::*;
use crate::news::tests::{run_in, waiting};

const RUN: &str = "run-0000000001";

fn owner(port: u16, token: &str) -> OwnerAddress {
    OwnerAddress {
        pid: 1,
        url: format!("http://127.0.0.1:{port}"),
        token: token.to_owned(),
        version: "0".to_owned(),
    }
}

fn trouble() -> UserError {
    UserError::new(ErrorCode::ToolMissing, "git was not found", "Install git.")
}

/// An app that is attached and shows Home.
fn attached() -> Shell {
    let (mut shell, _) = Shell::begin(Preferences::default(), None);
    let effects = said(&mut shell, Event::Attached(owner(1, "a")));
    assert_eq!(effects, [Effect::Open(Some(Place::Home))]);
    shell
}

/// What is done, leaving the tray out.
fn said(shell: &mut Shell, event: Event) -> Vec<Effect> {
    let mut effects = shell.handle(event);
    effects.retain(|effect| !matches!(effect, Effect::Draw(_)));
    effects
}

fn changed(seq: u64, state: RunState) -> Event {
    let run = RunSummary { last_seq: seq, ..run_in(RUN, state) };
    Event::Changed(Box::new(RunChanged { position: seq, run }))
}

fn id() -> RunId {
    RUN.parse().unwrap()
}

fn run_place() -> Place {
    Place::Run { run: id(), at: None }
}

fn notified(effects: &[Effect]) -> Vec<&str> {
    let mut titles = Vec::new();
    for effect in effects {
        if let Effect::Notify(news) = effect {
            titles.push(news.title.as_str());
        }
    }
    titles
}

#[test]
fn it_begins_by_looking_for_the_owner() {
    let (shell, effects) = Shell::begin(Preferences::default(), None);
    assert_eq!(effects, [Effect::Show(ShellPage::Starting), Effect::Draw(Tray::new(true)), Effect::Attach]);
    assert_eq!(shell.owner_url(), None);
}

#[test]
fn a_link_that_it_was_started_with_is_where_it_begins() {
    let (mut shell, _) = Shell::begin(Preferences::default(), Some(Place::Doctor));
    assert_eq!(said(&mut shell, Event::Attached(owner(1, "a"))), [Effect::Open(Some(Place::Doctor))]);
}

#[test]
fn an_owner_that_cannot_start_is_told_with_what_to_do_and_tried_again_when_asked() {
    let (mut shell, _) = Shell::begin(Preferences::default(), None);
    let effects = said(&mut shell, Event::Refused(trouble()));
    assert_eq!(effects, [Effect::Show(ShellPage::Trouble(trouble()))]);
    let again = [Effect::Show(ShellPage::Starting), Effect::Attach];
    assert_eq!(said(&mut shell, Event::Navigated("shell:try-again".to_owned())), again);
    assert_eq!(said(&mut shell, Event::Navigated("shell:try-again".to_owned())), [], "it is tried already");
}

#[test]
fn a_page_that_cannot_be_opened_is_told_too_and_tried_again_when_asked() {
    let mut shell = attached();
    let shown = [Effect::Show(ShellPage::Trouble(trouble()))];
    assert_eq!(said(&mut shell, Event::NotOpened(trouble())), shown);
    let again = [Effect::Show(ShellPage::Starting), Effect::Attach];
    assert_eq!(said(&mut shell, Event::Navigated("shell:try-again".to_owned())), again);
    assert_eq!(said(&mut shell, Event::Attached(owner(1, "a"))), [Effect::Open(Some(Place::Home))]);
}

#[test]
fn starting_the_app_again_tries_again_and_keeps_where_it_was_to_lead() {
    let (mut shell, _) = Shell::begin(Preferences::default(), None);
    said(&mut shell, Event::Refused(trouble()));
    let effects = said(&mut shell, Event::Asked(Some(Place::Doctor)));
    assert_eq!(effects, [Effect::Show(ShellPage::Starting), Effect::Attach, Effect::Raise]);
    said(&mut shell, Event::Asked(None));
    assert_eq!(said(&mut shell, Event::Attached(owner(1, "a"))), [Effect::Open(Some(Place::Doctor))]);
}

#[test]
fn an_owner_that_crashed_is_started_again_and_the_page_stays() {
    let mut shell = attached();
    assert_eq!(said(&mut shell, Event::Lost(Loss::Crashed)), [Effect::Attach]);
    assert_eq!(shell.owner_url(), Some("http://127.0.0.1:1"));
    assert_eq!(said(&mut shell, Event::Attached(owner(1, "a"))), []);
}

#[test]
fn an_owner_with_another_port_or_token_is_opened_anew_where_the_page_was() {
    for next in [owner(2, "a"), owner(1, "b")] {
        let mut shell = attached();
        said(&mut shell, Event::Lost(Loss::Crashed));
        assert_eq!(said(&mut shell, Event::Attached(next)), [Effect::Open(None)]);
    }
}

#[test]
fn an_owner_that_was_told_to_end_stays_so_until_somebody_wants_it_back() {
    let mut shell = attached();
    assert_eq!(said(&mut shell, Event::Lost(Loss::Stopped)), [Effect::Show(ShellPage::Stopped)]);
    assert_eq!(said(&mut shell, Event::Asked(Some(Place::NewTask))), [Effect::Raise]);
    let started = [Effect::Show(ShellPage::Starting), Effect::Attach, Effect::Raise];
    assert_eq!(said(&mut shell, Event::StartAsked), started);
    assert_eq!(said(&mut shell, Event::Attached(owner(1, "a"))), [Effect::Open(Some(Place::NewTask))]);
}

#[test]
fn an_owner_that_somebody_else_started_again_is_attached_to() {
    let mut shell = attached();
    said(&mut shell, Event::Lost(Loss::Stopped));
    assert_eq!(said(&mut shell, Event::Attached(owner(3, "a"))), [Effect::Open(Some(Place::Home))]);
}

#[test]
fn what_waits_already_is_no_news_and_is_in_the_tray() {
    let mut shell = attached();
    let effects = shell.handle(Event::Listed(vec![run_in(RUN, waiting("Which port?"))]));
    let [Effect::Draw(tray)] = effects.as_slice() else { panic!("{effects:?}") };
    let expected =
        TrayRun { run: id(), label: "Asks you: Translate the error pages".to_owned(), place: run_place() };
    assert_eq!(tray.runs, [expected]);
    assert_eq!(said(&mut shell, changed(2, waiting("Which port?"))), []);
}

#[test]
fn a_question_is_told_once_and_withdrawn_when_it_is_answered() {
    let mut shell = attached();
    shell.handle(Event::Listed(vec![run_in(RUN, RunState::Working)]));
    let effects = said(&mut shell, changed(2, waiting("Which port?")));
    assert_eq!(notified(&effects), ["Asks you: Translate the error pages"]);
    assert_eq!(said(&mut shell, changed(3, waiting("Which port?"))), []);
    assert_eq!(said(&mut shell, changed(4, RunState::Working)), [Effect::Withdraw(id())]);
    assert_eq!(said(&mut shell, changed(5, RunState::Working)), []);
}

#[test]
fn another_question_takes_the_place_of_the_first() {
    let mut shell = attached();
    said(&mut shell, changed(2, waiting("Which port?")));
    let effects = said(&mut shell, changed(3, waiting("Which host?")));
    assert_eq!(notified(&effects).len(), 1);
    assert!(!effects.contains(&Effect::Withdraw(id())));
}

#[test]
fn what_was_told_and_is_over_by_the_list_of_a_new_owner_is_withdrawn() {
    let mut shell = attached();
    said(&mut shell, changed(2, waiting("Which port?")));
    let listed = |seq, state| Event::Listed(vec![RunSummary { last_seq: seq, ..run_in(RUN, state) }]);
    assert_eq!(said(&mut shell, listed(3, waiting("Which port?"))), []);
    assert_eq!(said(&mut shell, listed(4, RunState::Working)), [Effect::Withdraw(id())]);
    assert_eq!(notified(&said(&mut shell, changed(5, waiting("Which port?")))).len(), 1);
}

#[test]
fn who_looks_at_the_window_is_not_told_what_is_in_it() {
    let mut shell = attached();
    said(&mut shell, Event::Focused(true));
    assert_eq!(said(&mut shell, changed(2, waiting("Which port?"))), []);
    said(&mut shell, Event::Focused(false));
    assert_eq!(notified(&said(&mut shell, changed(3, waiting("Which host?")))).len(), 1);
}

#[test]
fn a_list_that_is_older_than_a_change_changes_nothing() {
    let mut shell = attached();
    said(&mut shell, changed(9, waiting("Which port?")));
    shell.handle(Event::Listed(vec![run_in(RUN, RunState::Working)]));
    assert_eq!(said(&mut shell, changed(10, waiting("Which port?"))), []);
    assert_eq!(said(&mut shell, changed(3, RunState::Working)), []);
}

#[test]
fn what_is_as_old_as_what_is_known_says_nothing_new() {
    let mut shell = attached();
    said(&mut shell, changed(9, waiting("Which port?")));
    shell.handle(Event::Listed(vec![RunSummary { last_seq: 9, ..run_in(RUN, RunState::Working) }]));
    assert_eq!(said(&mut shell, changed(9, waiting("Which port?"))), []);
    assert_eq!(said(&mut shell, changed(10, RunState::Working)), [Effect::Withdraw(id())]);
}

#[test]
fn a_click_leads_to_what_the_run_wants() {
    let mut shell = attached();
    said(&mut shell, changed(2, RunState::InReview { pull_request: PullRequestId(4) }));
    let review = Place::Review { run: id() };
    assert_eq!(said(&mut shell, Event::Clicked(id())), [Effect::Go(review), Effect::Raise]);
    said(&mut shell, changed(3, RunState::Merged { pull_request: PullRequestId(4) }));
    assert_eq!(said(&mut shell, Event::Clicked(id())), [Effect::Go(run_place()), Effect::Raise]);
}

#[test]
fn closing_hides_where_there_is_a_tray_and_quits_where_there_is_none() {
    let mut shell = attached();
    assert_eq!(said(&mut shell, Event::CloseAsked), [Effect::Exit]);
    said(&mut shell, Event::TrayShown(true));
    assert_eq!(said(&mut shell, Event::CloseAsked), [Effect::Hide]);
    assert_eq!(said(&mut shell, Event::Asked(None)), [Effect::Raise]);
    assert_eq!(said(&mut shell, Event::QuitAsked), [Effect::Exit]);
}

#[test]
fn a_hidden_window_comes_back_when_the_tray_goes() {
    let mut shell = attached();
    said(&mut shell, Event::TrayShown(true));
    said(&mut shell, Event::CloseAsked);
    assert_eq!(said(&mut shell, Event::TrayShown(false)), [Effect::Raise]);
    assert_eq!(said(&mut shell, Event::TrayShown(false)), []);
}

#[test]
fn notifications_that_are_turned_off_are_kept_so_and_taken_away() {
    let mut shell = attached();
    said(&mut shell, changed(2, waiting("Which port?")));
    let off = [Effect::Keep(Preferences { notifications: false }), Effect::Withdraw(id())];
    assert_eq!(said(&mut shell, Event::NotificationsToggled), off);
    assert_eq!(said(&mut shell, changed(3, waiting("Which host?"))), []);
    let on = [Effect::Keep(Preferences { notifications: true })];
    assert_eq!(said(&mut shell, Event::NotificationsToggled), on);
}

#[test]
fn counts_are_drawn_when_they_change_and_not_otherwise() {
    let mut shell = attached();
    let overview = Overview { position: 3, waits_for_you: 2, ..Overview::default() };
    let effects = shell.handle(Event::Counted(overview.clone()));
    let [Effect::Draw(tray)] = effects.as_slice() else { panic!("{effects:?}") };
    assert_eq!(tray.badge(), 2);
    assert_eq!(shell.handle(Event::Counted(Overview { position: 4, ..overview })), []);
}

#[test]
fn a_page_of_the_owner_can_ask_to_be_let_in_and_for_nothing_else() {
    let mut shell = attached();
    let mut go = |address: &str| said(&mut shell, Event::Navigated(address.to_owned()));
    assert_eq!(go("shell:sign-in"), [Effect::Open(None)]);
    assert_eq!(go("shell:quit"), []);
    assert_eq!(go("shell:try-again"), []);
    assert_eq!(go("http://127.0.0.1:1/runs"), []);
    assert_eq!(go("https://example.org/"), [Effect::OpenOutside("https://example.org/".to_owned())]);
    assert_eq!(go("nightshift://doctor"), [Effect::Go(Place::Doctor), Effect::Raise]);
    assert_eq!(go("nightshift://merge"), []);
}

#[test]
fn what_waits_longest_comes_first_in_the_tray() {
    let mut shell = attached();
    let changed = |run: &str, seq, state| {
        let run = RunSummary { last_seq: seq, ..run_in(run, state) };
        Event::Changed(Box::new(RunChanged { position: seq, run }))
    };
    shell.handle(changed("run-0000000009", 10, waiting("A?")));
    shell.handle(changed("run-0000000001", 20, waiting("B?")));
    let effects = shell.handle(changed("run-0000000009", 30, waiting("C?")));
    let [_, Effect::Draw(tray)] = effects.as_slice() else { panic!("{effects:?}") };
    let order: Vec<&str> = tray.runs.iter().map(|run| run.run.as_str()).collect();
    assert_eq!(order, ["run-0000000001", "run-0000000009"]);
}

#[test]
fn runs_that_are_over_are_not_remembered_for_ever() {
    let mut shell = attached();
    for number in 0..REMEMBERED as u64 + 50 {
        let run = run_in(&format!("run-{number:010}"), RunState::Cancelled);
        shell.handle(Event::Changed(Box::new(RunChanged { position: number, run })));
    }
    assert_eq!((shell.runs.len(), shell.ended.len()), (REMEMBERED, REMEMBERED));
}
