//! The screen against a peer that lies, breaks off and refuses: what a QEMU taken over by its guest could say.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

#[path = "support/peer.rs"]
mod support;

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nightshift_screen::{
    AttachError, Button, Clicks, Condition, Damage, FrameError, InputError, Point, Rect, Screen,
    SettleLimits, SettleReason, Size,
};
use support::{LISTENER, MAP, Peer, XRGB, memory, write_at};
use tokio::time::Instant;
use zbus::Variant;

fn rect(x: u32, y: u32, width: u32, height: u32) -> Rect {
    Rect::new(x, y, width, height).unwrap()
}

#[tokio::test]
async fn a_picture_in_shared_memory_is_read_and_its_changes_are_told() {
    let peer = Peer::attach(&[]).await;
    let memory = memory(4096 + 200 * 400, 7);
    let mut damage = peer.screen.damage();
    assert_eq!(peer.screen.condition(), Condition::Dark);
    assert!(matches!(peer.screen.frame().await, Err(FrameError::Dark)));

    peer.scanout_map(&memory, [4096, 100, 200, 400, XRGB]).await.unwrap();
    assert_eq!(damage.next().await, Ok(Damage { generation: 1, rect: rect(0, 0, 100, 200) }));
    let frame = peer.screen.first_frame(Duration::from_secs(5)).await.unwrap();
    assert_eq!((frame.size(), frame.generation()), (Size::new(100, 200).unwrap(), 1));
    assert_eq!(frame.colour(Point::new(99, 199)), Ok([7, 7, 7]));

    write_at(&memory, 4096 + 400 * 150 + 4 * 70, &[1, 2, 3, 0]);
    peer.say(MAP, "UpdateMap", &(70, 150, 1, 1)).await.unwrap();
    assert_eq!(damage.next().await, Ok(Damage { generation: 2, rect: rect(70, 150, 1, 1) }));
    assert_eq!(peer.screen.region(rect(70, 150, 1, 1)).await.unwrap().pixels(), [1, 2, 3, 255]);
    assert_eq!(peer.screen.tiles_since(1).unwrap().tiles, [rect(64, 128, 36, 64)]);
}

#[tokio::test]
async fn pictures_that_cannot_be_are_refused_and_a_true_one_after_them_is_shown() {
    let peer = Peer::attach(&[]).await;
    let memory = memory(100 * 400, 7);
    let lies = [
        [0, 100, 101, 400, XRGB],
        [1, 100, 100, 400, XRGB],
        [u32::MAX, 100, 100, 400, XRGB],
        [0, 0, 100, 400, XRGB],
        [0, 100, 0, 400, XRGB],
        [0, 8193, 1, 40_000, XRGB],
        [0, u32::MAX, u32::MAX, u32::MAX, XRGB],
        [0, 100, 100, 399, XRGB],
        [0, 1, 1, u32::MAX, XRGB],
        [0, 100, 100, 400, 0x1234_5678],
    ];
    for lie in lies {
        assert!(peer.scanout_map(&memory, lie).await.is_err(), "{lie:?}");
    }
    let (pipe, _other) = UnixStream::pair().unwrap();
    assert!(peer.scanout_map(&pipe.into(), [0, 1, 1, 4, XRGB]).await.is_err());
    let file: OwnedFd = std::fs::File::open("/proc/self/exe").unwrap().into();
    assert!(peer.scanout_map(&file, [0, 1, 1, 4, XRGB]).await.is_err());
    assert_eq!(peer.screen.condition(), Condition::Dark);

    peer.scanout_map(&memory, [0, 100, 100, 400, XRGB]).await.unwrap();
    let frame = peer.screen.first_frame(Duration::from_secs(5)).await.unwrap();
    assert_eq!(frame.colour(Point::new(99, 99)), Ok([7, 7, 7]));
}

#[tokio::test]
async fn memory_that_shrinks_costs_a_frame_and_nothing_else() {
    let peer = Peer::attach(&[]).await;
    let shrinking = memory(400 * 400, 1);
    peer.scanout_map(&shrinking, [0, 100, 400, 400, XRGB]).await.unwrap();
    peer.screen.first_frame(Duration::from_secs(5)).await.unwrap();
    rustix::fs::ftruncate(&shrinking, 5000).unwrap();
    peer.say(MAP, "UpdateMap", &(0, 0, 100, 400)).await.unwrap();
    while peer.screen.condition() != Condition::Dark {
        tokio::task::yield_now().await;
    }
    assert!(matches!(peer.screen.frame().await, Err(FrameError::Dark)));

    let mut damage = peer.screen.damage();
    peer.scanout_map(&memory(400 * 400, 2), [0, 100, 400, 400, XRGB]).await.unwrap();
    damage.next().await.unwrap();
    assert_eq!(peer.screen.frame().await.unwrap().colour(Point::new(0, 399)), Ok([2, 2, 2]));
}

#[tokio::test]
async fn a_picture_sent_as_bytes_is_shown_and_parts_of_it_are_replaced_where_they_fit() {
    let peer = Peer::attach(&[]).await;
    let mut damage = peer.screen.damage();
    let blank: &[u8] = &[0; 40 * 40 * 4];
    peer.say(LISTENER, "Scanout", &(40u32, 40u32, 160u32, XRGB, blank)).await.unwrap();
    assert_eq!(damage.next().await.map(|damage| damage.rect), Ok(rect(0, 0, 40, 40)));

    let part: &[u8] = &[9; 10 * 10 * 4];
    let misplaced = [(35, 0), (0, 35), (i32::MAX, 0), (-1, 0)];
    for (x, y) in misplaced {
        // Whether it is refused at once or found not to fit the picture later: nothing changes.
        let _either = peer.say(LISTENER, "Update", &(x, y, 10, 10, 40u32, XRGB, part)).await;
    }
    let short = peer.say(LISTENER, "Update", &(0, 0, 10, 11, 40u32, XRGB, part)).await;
    assert!(short.is_err());
    peer.say(LISTENER, "Update", &(5, 6, 10, 10, 40u32, XRGB, part)).await.unwrap();
    assert_eq!(damage.next().await, Ok(Damage { generation: 2, rect: rect(5, 6, 10, 10) }));
    let frame = peer.screen.frame().await.unwrap();
    let nines = frame.pixels().chunks_exact(4).filter(|pixel| **pixel == [9, 9, 9, 255]).count();
    assert_eq!((nines, frame.colour(Point::new(5, 6))), (100, Ok([9, 9, 9])));

    peer.say(LISTENER, "Disable", &()).await.unwrap();
    peer.say(LISTENER, "Scanout", &(20u32, 30u32, 80u32, XRGB, blank)).await.unwrap();
    assert_eq!(damage.next().await.map(|damage| damage.rect), Ok(rect(0, 0, 20, 30)));
}

#[tokio::test]
async fn what_is_said_wrongly_or_to_nobody_is_refused_and_the_screen_goes_on() {
    let peer = Peer::attach(&[]).await;
    assert!(peer.say(MAP, "ScanoutMap", &("not", "numbers")).await.is_err());
    assert!(peer.say(LISTENER, "Scanout", &(1u32,)).await.is_err());
    assert!(peer.say(LISTENER, "ScanoutDMABUF", &()).await.is_err());
    assert!(peer.say("org.example.Unheard", "Of", &()).await.is_err());
    assert!(peer.say("org.freedesktop.DBus.Properties", "Get", &(LISTENER, "Secret")).await.is_err());
    peer.say(LISTENER, "MouseSet", &(1, 2, 1)).await.unwrap();
    peer.say("org.freedesktop.DBus.Peer", "Ping", &()).await.unwrap();

    let answer = peer.say("org.freedesktop.DBus.Properties", "Get", &(LISTENER, "Interfaces")).await.unwrap();
    let body = answer.body();
    assert_eq!(body.deserialize::<Variant<'_>>().unwrap(), Variant::from(vec![MAP]));
    peer.scanout_map(&memory(4, 5), [0, 1, 1, 4, XRGB]).await.unwrap();
    let frame = peer.screen.first_frame(Duration::from_secs(5)).await.unwrap();
    assert_eq!(frame.pixels(), [5, 5, 5, 255]);
}

#[tokio::test]
async fn a_flood_of_changes_is_one_change_to_who_looks_late() {
    let peer = Peer::attach(&[]).await;
    let memory = memory(400 * 400, 1);
    let mut late = peer.screen.damage();
    peer.scanout_map(&memory, [0, 100, 400, 400, XRGB]).await.unwrap();
    late.next().await.unwrap();
    let mut seen = late.clone();
    for y in 0..300 {
        write_at(&memory, y * 400 + 4 * (y % 100), &[9, 9, 9, 0]);
        // Both ends of what can be said: some of it is on the screen, none of it.
        peer.say(MAP, "UpdateMap", &(-5, i32::try_from(y).unwrap(), i32::MAX, 1)).await.unwrap();
        peer.say(MAP, "UpdateMap", &(i32::MIN, i32::MIN, i32::MAX, i32::MAX)).await.unwrap();
    }
    let last = rect(99, 299, 1, 1);
    while !seen.next().await.unwrap().rect.contains(last) {}
    let union = late.next().await.unwrap();
    assert_eq!(union.rect, rect(0, 0, 100, 300));
    assert_eq!(union.generation, peer.screen.generation());
}

#[tokio::test]
async fn what_is_only_painted_again_is_no_change() {
    let peer = Peer::attach(&[]).await;
    let memory = memory(400 * 400, 1);
    let mut damage = peer.screen.damage();
    peer.scanout_map(&memory, [0, 100, 400, 400, XRGB]).await.unwrap();
    damage.next().await.unwrap();
    peer.say(MAP, "UpdateMap", &(0, 0, 100, 400)).await.unwrap();
    // A frame is taken after all that was said before has been looked at.
    assert_eq!(peer.screen.frame().await.unwrap().generation(), 1);
    write_at(&memory, 400 * 100, &[9]);
    peer.say(MAP, "UpdateMap", &(0, 0, 100, 400)).await.unwrap();
    assert_eq!(damage.next().await, Ok(Damage { generation: 2, rect: rect(0, 100, 1, 1) }));
}

#[tokio::test]
async fn a_change_before_the_wait_counts_and_the_screen_settles() {
    let peer = Peer::attach(&[]).await;
    let mut watch = peer.screen.damage();
    let memory = memory(400, 1);
    peer.scanout_map(&memory, [0, 10, 10, 40, XRGB]).await.unwrap();
    watch.next().await.unwrap();
    write_at(&memory, 88, &[9]);
    peer.say(MAP, "UpdateMap", &(0, 0, 10, 10)).await.unwrap();
    let limits = SettleLimits { quiet: Duration::from_millis(20), ..SettleLimits::default() };
    let settled = watch.settle(limits).await.unwrap();
    assert_eq!((settled.changed, settled.reason), (Some(rect(2, 2, 1, 1)), SettleReason::Quiet));
    assert!(settled.waited >= limits.quiet && settled.waited < limits.grace);
}

#[tokio::test]
async fn a_chord_that_breaks_off_is_released_in_the_right_order() {
    let mut peer = Peer::attach(&[("Press", 0x14)]).await;
    let failed = peer.screen.key(&"ctrl+shift+t".parse().unwrap()).await.unwrap_err();
    assert!(matches!(failed, InputError::NotTaken { step: 3, of: 6, .. }), "{failed:?}");
    let expected = [
        ("Press", 0x1d),
        ("Press", 0x2a),
        ("Press", 0x14),
        ("Release", 0x14),
        ("Release", 0x2a),
        ("Release", 0x1d),
    ];
    for (method, number) in expected {
        assert_eq!(peer.input.recv().await, Some((method.to_owned(), number)));
    }
}

#[tokio::test]
async fn a_key_that_is_held_is_let_go_when_nobody_waits_for_it_any_more() {
    let mut peer = Peer::attach(&[]).await;
    let (screen, shift) = (peer.screen.clone(), "shift".parse().unwrap());
    let began = Instant::now();
    let holding = tokio::spawn(async move { screen.hold_key(&shift, Duration::from_secs(90)).await });
    assert_eq!(peer.input.recv().await, Some(("Press".to_owned(), 0x2a)));
    holding.abort();
    assert_eq!(peer.input.recv().await, Some(("Release".to_owned(), 0x2a)));
    assert!(began.elapsed() < Duration::from_secs(60), "it was not held to its end");
}

#[tokio::test]
async fn gestures_of_two_hands_do_not_mix() {
    let mut peer = Peer::attach(&[]).await;
    let (one, other) = (peer.screen.clone(), peer.screen.clone());
    let (copy, paste) = ("ctrl+c".parse().unwrap(), "shift+v".parse().unwrap());
    let (first, second) = tokio::join!(one.key(&copy), other.key(&paste));
    first.and(second).unwrap();
    let mut heard = Vec::new();
    for _ in 0..8 {
        heard.push(peer.input.recv().await.unwrap().1);
    }
    let (copy, paste) = ([0x1d, 0x2e, 0x2e, 0x1d], [0x2a, 0x2f, 0x2f, 0x2a]);
    assert!(heard == [copy, paste].concat() || heard == [paste, copy].concat(), "{heard:x?}");
}

#[tokio::test]
async fn text_goes_on_as_soon_as_the_screen_shows_some_of_it() {
    let mut peer = Peer::attach(&[]).await;
    let mut damage = peer.screen.damage();
    let memory = memory(400, 1);
    peer.scanout_map(&memory, [0, 10, 10, 40, XRGB]).await.unwrap();
    damage.next().await.unwrap();
    let began = Instant::now();
    let screen = peer.screen.clone();
    let typing = tokio::spawn(async move { screen.type_text("abcde").await });
    for _ in 0..8 {
        peer.input.recv().await.unwrap();
    }
    assert!(peer.input.is_empty(), "a burst has eight events");
    // One of these comes after the player has begun to wait.
    for colour in (0..=u8::MAX).cycle() {
        if typing.is_finished() {
            break;
        }
        write_at(&memory, 0, &[colour]);
        peer.say(MAP, "UpdateMap", &(0, 0, 1, 1)).await.unwrap();
    }
    typing.await.unwrap().unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "the screen's change was not heeded");
    assert_eq!(peer.input.recv().await, Some(("Press".to_owned(), 0x12)));
}

#[tokio::test(start_paused = true)]
async fn text_that_is_never_shown_is_typed_all_the_same() {
    let peer = Peer::attach(&[]).await;
    let began = Instant::now();
    peer.screen.type_text("abcde").await.unwrap();
    let waited = began.elapsed();
    assert!((Duration::from_secs(1)..Duration::from_secs(2)).contains(&waited), "{waited:?}");
    assert_eq!(peer.input.len(), 10);
}

#[tokio::test]
async fn nothing_is_pointed_at_on_a_screen_that_shows_nothing() {
    let peer = Peer::attach(&[]).await;
    let refused = peer.screen.click(Point::new(0, 0), Button::Left, Clicks::Single).await.unwrap_err();
    assert!(matches!(refused, InputError::Dark), "{refused:?}");
    assert_eq!(peer.screen.pointer(), None);
}

#[tokio::test]
async fn a_peer_that_hangs_up_ends_the_screen_for_everyone_who_waits() {
    let peer = Peer::attach(&[]).await;
    let mut damage = peer.screen.damage();
    let late = peer.screen.first_frame(Duration::from_millis(1)).await.unwrap_err();
    assert!(matches!(late, FrameError::TooLate { .. }), "{late:?}");
    let (changed, framed, ended, ()) = tokio::join!(
        damage.next(),
        peer.screen.first_frame(Duration::from_secs(20)),
        peer.screen.ended(),
        peer.hang_up()
    );
    assert_eq!(changed, Err(ended.clone()));
    assert!(matches!(framed, Err(FrameError::Ended(why)) if why == ended));
    assert_eq!(peer.screen.settle(SettleLimits::default()).await, Err(ended));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_speaks_is_given_up() {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let given_up = Screen::attach(ours.into()).await;
    assert!(matches!(given_up, Err(AttachError::TimedOut)));
}

#[tokio::test]
async fn a_peer_that_speaks_no_dbus_is_an_error() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    std::io::Write::write_all(&mut &theirs, b"RFB 003.008\n").unwrap();
    let refused = Screen::attach(ours.into()).await;
    assert!(matches!(refused, Err(AttachError::Connect(_))), "{refused:?}");
}
