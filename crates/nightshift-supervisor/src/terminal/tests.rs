use super::*;

fn shell() -> (Arc<Shell>, mpsc::Receiver<Ask>) {
    let (asks, asked) = mpsc::channel(ASKS);
    let live = broadcast::channel(PIECES).0;
    (
        Arc::new(Shell {
            asks,
            printed: Mutex::new(Printed { kept: Scrollback::default(), ended: None, live }),
        }),
        asked,
    )
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
