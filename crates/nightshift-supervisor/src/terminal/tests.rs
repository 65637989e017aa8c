use super::*;

fn shell() -> (Arc<Shell>, mpsc::Receiver<Bytes>) {
    Shell::new(TerminalSize::USUAL)
}

fn output(text: &'static str) -> TerminalEvent {
    TerminalEvent::Output(Bytes::from_static(text.as_bytes()))
}

#[tokio::test]
async fn who_comes_later_sees_what_was_printed_and_then_what_comes_each_once() {
    let (shell, _asked) = shell();
    shell.print(Bytes::from_static(b"one\n"));
    let mut terminal = Terminal::at("a".to_owned(), Arc::clone(&shell));
    shell.print(Bytes::from_static(b"two\n"));
    assert_eq!(terminal.next().await, output("one\n"));
    assert_eq!(terminal.next().await, output("two\n"));
    let mut later = Terminal::at("a".to_owned(), shell);
    assert_eq!(later.next().await, output("one\ntwo\n"));
}

#[tokio::test]
async fn an_end_is_told_after_all_output_to_those_who_wait_and_those_who_come() {
    let (shell, _asked) = shell();
    let mut waits = Terminal::at("a".to_owned(), Arc::clone(&shell));
    shell.print(Bytes::from_static(b"bye\n"));
    shell.end(Some(3));
    assert_eq!([waits.next().await, waits.next().await], [output("bye\n"), TerminalEvent::Ended(Some(3))]);
    let mut comes = Terminal::at("a".to_owned(), shell);
    assert_eq!([comes.next().await, comes.next().await], [output("bye\n"), TerminalEvent::Ended(Some(3))]);
}

#[tokio::test]
async fn who_waits_for_output_is_woken_by_the_end() {
    let (shell, _asked) = shell();
    let mut waits = Terminal::at("a".to_owned(), Arc::clone(&shell));
    let (seen, ()) = tokio::join!(waits.next(), async {
        tokio::task::yield_now().await;
        shell.end(None);
    });
    assert_eq!(seen, TerminalEvent::Ended(None));
}

#[tokio::test]
async fn a_viewer_that_is_too_slow_begins_anew_with_what_is_kept() {
    let (shell, _asked) = shell();
    let mut slow = Terminal::at("a".to_owned(), Arc::clone(&shell));
    for _ in 0..=PIECES {
        shell.print(Bytes::from_static(b"x\n"));
    }
    assert_eq!(slow.next().await, TerminalEvent::Missed);
    let TerminalEvent::Output(kept) = slow.next().await else { panic!("no output") };
    assert_eq!(kept.len(), 2 * (PIECES + 1));
}

#[tokio::test]
async fn what_a_guest_does_not_read_waits_in_its_order_and_hides_nothing_that_it_prints() {
    let (shell, mut keys) = shell();
    let mut terminal = Terminal::at("a".to_owned(), Arc::clone(&shell));
    for number in 0..ASKS + 2 {
        terminal.keys(Bytes::from(format!("{number} ")));
    }
    shell.print(Bytes::from_static(b"still here\n"));
    assert_eq!(terminal.next().await, output("still here\n"));
    terminal.keys(Bytes::from(vec![b'x'; MOST_TYPED]));
    assert!(terminal.is_full(), "its person is read no further");
    let mut read = Vec::new();
    while read.len() < MOST_TYPED {
        let reads = async { read.extend_from_slice(&keys.recv().await.unwrap()) };
        tokio::select! {
            event = terminal.next() => panic!("{event:?}"),
            () = reads => {}
        }
    }
    let in_order: String = (0..ASKS + 2).map(|number| format!("{number} ")).collect();
    assert!(read.starts_with(in_order.as_bytes()) && !terminal.is_full());
}

#[test]
fn a_session_that_is_being_opened_keeps_nobody_waiting_but_those_who_want_the_same() {
    let terminals = Terminals::default();
    let key = |session: &str| ("run-0000000001".parse().unwrap(), session.to_owned());
    let opening = terminals.starting(&key("one"));
    let held = opening.try_lock().unwrap();
    assert!(terminals.starting(&key("one")).try_lock().is_err());
    assert!(terminals.starting(&key("two")).try_lock().is_ok());
    drop(held);
    assert!(terminals.starting(&key("one")).try_lock().is_ok());
}

#[test]
fn a_shell_that_is_being_started_counts_until_it_has_started_or_failed() {
    let terminals = Terminals::default();
    let run: RunId = "run-0000000001".parse().unwrap();
    let starting: Vec<_> = (0..MOST).map(|_| terminals.admit(&run).unwrap()).collect();
    assert_eq!(terminals.admit(&run).unwrap_err().code, ErrorCode::Conflict);
    drop(starting);
    assert!(terminals.admit(&run).is_ok());
}

#[test]
fn what_is_kept_is_bounded_and_begins_with_a_line() {
    let mut kept = Scrollback::default();
    for number in 0..40_000 {
        kept.add(format!("line {number}\n").as_bytes());
    }
    let bytes = kept.bytes();
    assert!(bytes.len() <= KEPT && bytes.starts_with(b"line ") && bytes.ends_with(b"line 39999\n"));
    kept.add(&vec![b'x'; KEPT * 2]);
    assert_eq!(kept.bytes().len(), KEPT);
}

#[test]
fn a_session_is_letters_and_digits_and_nothing_that_a_shell_reads() {
    assert_eq!(known_form("a1B2".to_owned()).ok(), Some("a1B2".to_owned()));
    for bad in ["", "a b", "$(reboot)", "../x", &"a".repeat(33)] {
        assert_eq!(known_form(bad.to_owned()).unwrap_err().code, ErrorCode::InvalidRequest, "{bad}");
    }
}
