//! A screen behind a VNC server that says what a test tells it to, true or not. QEMU's own is in `real_qemu.rs`.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

#[path = "support/rfb.rs"]
mod rfb;

use std::time::Duration;

use nightshift_screen::{Button, Clicks, Condition, FrameError, Point, Rect, Screen, Size, VncAttachError};
use rfb::{FromClient, Server, greeting};
use tokio::io::AsyncWriteExt;

const LIMIT: Duration = Duration::from_secs(20);

fn rect(x: u32, y: u32, width: u32, height: u32) -> Rect {
    Rect::new(x, y, width, height).unwrap()
}

#[tokio::test]
async fn the_first_frame_is_the_whole_picture_and_later_rectangles_are_changes() {
    let (mut server, screen) = Server::with_screen(200, 100).await;
    assert_eq!(server.next().await, FromClient::Request { incremental: false });
    server.update(&[(0, 0, 200, 60, 7)]).await;
    assert!(matches!(screen.frame().await, Err(FrameError::Dark)));
    server.update(&[(0, 60, 150, 40, 7), (150, 60, 50, 40, 8)]).await;
    let frame = screen.first_frame(LIMIT).await.unwrap();
    assert_eq!((frame.size(), frame.generation()), (Size::new(200, 100).unwrap(), 1));
    assert_eq!(frame.colour(Point::new(199, 99)), Ok([8, 8, 8]));

    assert_eq!(server.next_request().await, FromClient::Request { incremental: true });
    let mut damage = screen.damage();
    server.update(&[(10, 20, 3, 2, 9)]).await;
    assert_eq!(damage.next().await.unwrap().rect, rect(10, 20, 3, 2));
    assert_eq!(screen.tiles_since(1).unwrap().tiles, [rect(0, 0, 64, 64)]);
}

#[tokio::test]
async fn what_is_painted_as_it_was_is_no_change() {
    let (mut server, screen) = Server::with_screen(64, 64).await;
    server.update(&[(0, 0, 64, 64, 7)]).await;
    screen.first_frame(LIMIT).await.unwrap();
    let mut damage = screen.damage();
    server.update(&[(0, 0, 64, 64, 7)]).await;
    server.update(&[(5, 5, 1, 1, 1)]).await;
    assert_eq!(damage.next().await.unwrap().rect, rect(5, 5, 1, 1));
    assert_eq!(screen.generation(), 2);
}

#[tokio::test]
async fn another_size_is_shown_when_the_server_has_sent_all_of_it() {
    let (mut server, screen) = Server::with_screen(64, 64).await;
    server.update(&[(0, 0, 64, 64, 7)]).await;
    screen.first_frame(LIMIT).await.unwrap();
    assert_eq!(server.next().await, FromClient::Request { incremental: false });
    server.resize(100, 50).await;
    while server.next().await != (FromClient::Request { incremental: false }) {}
    let mut damage = screen.damage();
    server.update(&[(0, 0, 100, 50, 3)]).await;
    assert_eq!(damage.next().await.unwrap().rect, rect(0, 0, 100, 50));
    assert_eq!(screen.size(), Size::new(100, 50));
}

#[tokio::test]
async fn input_arrives_as_rfb_tells_it() {
    let (mut server, screen) = Server::with_screen(64, 64).await;
    server.update(&[(0, 0, 64, 64, 7)]).await;
    screen.first_frame(LIMIT).await.unwrap();
    screen.click(Point::new(5, 6), Button::Right, Clicks::Single).await.unwrap();
    let pointer = |buttons| FromClient::Pointer { x: 5, y: 6, buttons };
    assert_eq!(server.next_inputs(3).await, [pointer(0), pointer(4), pointer(0)]);
    screen.key(&"ctrl+?".parse().unwrap()).await.unwrap();
    let key = |keysym, down| FromClient::Key { keysym, down };
    let expected = [
        key(0xffe3, true),
        key(0xffe1, true),
        key(0x3f, true),
        key(0x3f, false),
        key(0xffe1, false),
        key(0xffe3, false),
    ];
    assert_eq!(server.next_inputs(6).await, expected);
    let refused = screen.press(Button::Back).await.unwrap_err();
    assert!(refused.to_string().contains("step 1 of 1"), "{refused}");
    // The next gesture is played: a refusal ends nothing.
    screen.pointer_move(Point::new(1, 1)).await.unwrap();
    assert_eq!(server.next_inputs(1).await, [FromClient::Pointer { x: 1, y: 1, buttons: 0 }]);
}

#[tokio::test]
async fn a_server_that_lies_ends_the_screen_and_nothing_else() {
    // Beyond the screen; an encoding nobody asked for (CopyRect); too many pixels for any screen.
    let lies: [&[u8]; 3] = [
        &[0, 0, 0, 1, 0, 60, 0, 0, 0, 10, 0, 1, 0, 0, 0, 0],
        &[0, 0, 0, 1, 0, 0, 0, 0, 0, 10, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0],
        &[0, 0, 0, 1, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0],
    ];
    for lie in lies {
        let (mut server, screen) = Server::with_screen(64, 64).await;
        server.update(&[(0, 0, 64, 64, 7)]).await;
        screen.first_frame(LIMIT).await.unwrap();
        server.raw(lie).await;
        tokio::time::timeout(LIMIT, screen.ended()).await.unwrap();
        assert!(matches!(screen.condition(), Condition::Ended(_)), "{lie:?}");
        assert!(matches!(screen.frame().await, Err(FrameError::Ended(_))), "{lie:?}");
    }
}

#[tokio::test]
async fn a_server_that_hangs_up_ends_the_screen_with_a_reason() {
    let (server, screen) = Server::with_screen(64, 64).await;
    drop(server);
    let ended = tokio::time::timeout(LIMIT, screen.ended()).await.unwrap();
    assert!(ended.why.starts_with("the VNC server's connection ended"), "{}", ended.why);
}

#[tokio::test]
async fn what_is_no_vnc_server_is_refused() {
    for greeting in [&b"SSH-2.0-OpenSSH_9.2\r\n"[..], b"", b"RFB 003.008\n\x00\x00\x00\x00\xff\xff\xff\xff"] {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        let said = async {
            theirs.write_all(greeting).await.unwrap();
            theirs.shutdown().await.unwrap();
            theirs
        };
        let (refused, _theirs) = tokio::join!(tokio::time::timeout(LIMIT, Screen::attach_vnc(ours)), said);
        assert!(matches!(refused.unwrap(), Err(VncAttachError::Refused { .. })), "{greeting:?}");
    }
}

#[tokio::test]
async fn a_screen_of_impossible_size_is_refused() {
    for (width, height) in [(0, 10), (65_535, 65_535)] {
        let (ours, theirs) = tokio::io::duplex(4096);
        let (attached, _server) = tokio::join!(Screen::attach_vnc(ours), greeting(theirs, width, height));
        match attached {
            Err(VncAttachError::Refused { .. }) => {}
            Ok(screen) => {
                tokio::time::timeout(LIMIT, screen.ended()).await.unwrap();
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_given_up() {
    let (ours, _theirs) = tokio::io::duplex(4096);
    assert!(matches!(Screen::attach_vnc(ours).await, Err(VncAttachError::TimedOut)));
}
