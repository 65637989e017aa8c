//! The screen of a real QEMU that runs nothing but a boot sector.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failed step is a failed test")]

#[path = "support/qemu.rs"]
mod support;

use std::time::Duration;

use nightshift_screen::{
    Button, Clicks, Condition, Gesture, InputError, NotOnKeyboard, OutOfScreen, Point, Rect, Repeats, Screen,
    SettleLimits, SettleReason, Size, TypeError, compare,
};
use support::Qemu;

const LIMIT: Duration = Duration::from_secs(20);

/// Patient enough for an emulated processor on a busy host, and quicker than the text cursor blinks (266 ms).
const LIMITS: SettleLimits = SettleLimits {
    quiet: Duration::from_millis(150),
    grace: Duration::from_secs(3),
    ceiling: Duration::from_secs(10),
    repeats: Repeats::Count,
    at_rest: None,
};

/// The VGA text mode of QEMU's adapters: 80x25 letters of 9x16.
fn text_mode() -> Size {
    Size::new(720, 400).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_seen_typed_at_and_changes_its_size() {
    let mut qemu = Qemu::boot("virtio-vga").await;
    let screen = Screen::attach(qemu.display()).await.unwrap();
    let mut watch = screen.damage();
    let mut frame = screen.first_frame(LIMIT).await.unwrap();
    // Until QEMU looks at the adapter for the first time it shows a notice of its own.
    while frame.size() != text_mode() {
        watch.next().await.unwrap();
        frame = screen.frame().await.unwrap();
    }
    let settled = watch.settle(LIMITS).await.unwrap();
    assert_eq!(settled.reason, SettleReason::Quiet, "a cursor that is only redrawn is not waited for");

    // A letter appears where the cursor was; its upper part is never the cursor's.
    let cell = Rect::new(0, 4, 9, 8).unwrap();
    let before = screen.region(cell).await.unwrap();
    screen.key(&"a".parse().unwrap()).await.unwrap();
    assert_eq!(qemu.keys(1).await, [(b'a', 0x1e)]);
    let mut after = screen.region(cell).await.unwrap();
    while compare(&before, &after).unwrap().changed.is_none() {
        watch.next().await.unwrap();
        after = screen.region(cell).await.unwrap();
    }
    assert!(after.generation() > before.generation());

    // Another mode is another size, and its pixels have the colour that was painted.
    screen.key(&"F1".parse().unwrap()).await.unwrap();
    assert_eq!(qemu.keys(1).await, [(0, 0x3b)]);
    while screen.size() != Size::new(800, 600) {
        watch.next().await.unwrap();
    }
    let mut frame = screen.frame().await.unwrap();
    while frame.colour(Point::new(799, 19)).unwrap() != [0xff, 0x84, 0] {
        watch.next().await.unwrap();
        frame = screen.frame().await.unwrap();
    }
    assert_eq!(frame.colour(Point::new(383, 20)), Ok([0xff, 0x84, 0]));
    assert_eq!(frame.colour(Point::new(384, 20)), Ok([0, 0, 0]));
    let strip = Rect::new(0, 0, 800, 20).unwrap();
    assert_eq!(screen.region(strip).await.unwrap().pixels(), frame.region(strip).unwrap().pixels());
    assert_eq!(screen.tiles_since(0).unwrap().tiles.len(), 13 * 10);

    // The pointer's places are checked against the present size.
    screen.click(Point::new(799, 599), Button::Left, Clicks::Double).await.unwrap();
    assert_eq!(screen.pointer(), Some(Point::new(799, 599)));
    let outside = screen.click(Point::new(800, 0), Button::Left, Clicks::Single).await.unwrap_err();
    let expected = OutOfScreen { point: Point::new(800, 0), width: 800, height: 600 };
    assert!(matches!(outside, InputError::OutOfScreen(refusal) if refusal == expected), "{outside:?}");
    assert_eq!(screen.pointer(), Some(Point::new(799, 599)));

    // The machine's end is the screen's.
    qemu.kill().await;
    tokio::time::timeout(LIMIT, screen.ended()).await.unwrap();
    assert!(matches!(screen.condition(), Condition::Ended(_)));
    assert!(watch.next().await.is_err());
    let unheard = screen.key(&"a".parse().unwrap()).await.unwrap_err();
    assert!(matches!(unheard, InputError::Ended(_)), "{unheard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_characters_arrive_complete_and_in_order() {
    let mut qemu = Qemu::boot("VGA").await;
    let screen = Screen::attach(qemu.display()).await.unwrap();
    let text: String = ('!'..='~').cycle().take(500).collect();
    let (typed, keys) = tokio::join!(screen.type_text(&text), qemu.keys(500));
    typed.unwrap();
    let arrived: String = keys.into_iter().map(|(character, _)| char::from(character)).collect();
    assert_eq!(arrived, text);
}

#[tokio::test(flavor = "multi_thread")]
async fn chords_and_named_keys_reach_the_machine() {
    let mut qemu = Qemu::boot("VGA").await;
    let screen = Screen::attach(qemu.display()).await.unwrap();
    // What the BIOS makes of each: character and scan code.
    let cases = [
        ("ctrl+c", (0x03, 0x2e)),
        ("shift+t", (b'T', 0x14)),
        ("Return", (0x0d, 0x1c)),
        ("F5", (0x00, 0x3f)),
        ("Page_Down", (0xe0, 0x51)),
        ("Delete", (0xe0, 0x53)),
        ("KP_Enter", (0x0d, 0xe0)),
        ("alt+x", (0x00, 0x2d)),
    ];
    for (chord, expected) in cases {
        screen.key(&chord.parse().unwrap()).await.unwrap();
        assert_eq!(qemu.keys(1).await, [expected], "{chord}");
    }
    let refused = screen.type_text("naïve").await.unwrap_err();
    let expected = NotOnKeyboard { characters: vec!['ï'] };
    assert!(matches!(&refused, TypeError::NotOnKeyboard(refusal) if *refusal == expected), "{refused:?}");
    // Nothing of the refused text was typed: the next key is the next the machine sees.
    screen.perform(Gesture::text("!").unwrap()).await.unwrap();
    assert_eq!(qemu.keys(1).await, [(b'!', 0x02)]);
}

#[cfg(feature = "vnc")]
#[tokio::test(flavor = "multi_thread")]
async fn a_real_machine_is_seen_typed_to_and_followed_through_a_change_of_size() {
    let mut qemu = Qemu::boot("VGA").await;
    let screen = Screen::attach_vnc(qemu.vnc().await).await.unwrap();
    let first = screen.first_frame(LIMIT).await.unwrap();
    assert_eq!(first.size(), text_mode());

    screen.type_text("Vnc: {ok}?").await.unwrap();
    let typed: String = qemu.keys(10).await.into_iter().map(|(key, _)| char::from(key)).collect();
    assert_eq!(typed, "Vnc: {ok}?");

    let mut damage = screen.damage();
    screen.key(&"F1".parse().unwrap()).await.unwrap();
    let orange = [0xff, 0x84, 0x00];
    let painted = async {
        loop {
            damage.next().await.unwrap();
            if screen.size() == Size::new(800, 600) {
                let frame = screen.frame().await.unwrap();
                // 16384 pixels: twenty rows and 384 more.
                if frame.colour(Point::new(799, 19)) == Ok(orange)
                    && frame.colour(Point::new(383, 20)) == Ok(orange)
                {
                    return frame.colour(Point::new(384, 20)).unwrap();
                }
            }
        }
    };
    let beside = tokio::time::timeout(LIMIT, painted).await.unwrap();
    assert_eq!(beside, [0, 0, 0]);

    qemu.kill().await;
    tokio::time::timeout(LIMIT, screen.ended()).await.unwrap();
}
