//! Frames survive any cutting of the byte stream, and are found again after anything that is no frame.

use bytes::Bytes;
use nightshift_channel::wire::frame::{
    Body, Decoder, End, Frame, FrameError, HEADER_BYTES, Lane, MAX_GREETING_BYTES, MAX_PAYLOAD_BYTES,
    ResetReason, SessionId, StreamId, padding,
};
use nightshift_channel::wire::greeting::{Hello, Welcome, session_of};
use proptest::prelude::*;

const NONCE: [u8; 16] = *b"a nonce, sixteen";

fn session() -> SessionId {
    session_of(&NONCE)
}

fn encoded(frames: &[Frame]) -> Vec<u8> {
    let mut bytes = Vec::new();
    frames.iter().for_each(|frame| frame.encode(&mut bytes));
    bytes
}

fn frame(body: Body) -> Frame {
    Frame { session: session(), body }
}

fn data(stream: u32, bytes: &'static [u8]) -> Frame {
    frame(Body::Data { stream: StreamId(stream), lane: Lane::Bytes, bytes: Bytes::from_static(bytes) })
}

fn locked(end: End) -> Decoder {
    let mut decoder = Decoder::new(end);
    decoder.lock(session());
    decoder
}

fn all(decoder: &mut Decoder) -> Result<Vec<Frame>, FrameError> {
    let mut frames = Vec::new();
    while let Some(frame) = decoder.next_frame()? {
        frames.push(frame);
    }
    Ok(frames)
}

fn any_body() -> impl Strategy<Value = Body> {
    let stream = any::<u32>().prop_map(StreamId);
    let lane =
        prop::sample::select(vec![Lane::Bytes, Lane::Stdout, Lane::Stderr, Lane::MessagePart, Lane::Message]);
    let reason =
        prop::sample::select(vec![ResetReason::Abandoned, ResetReason::Refused, ResetReason::Failed]);
    let payload = prop::collection::vec(any::<u8>(), 1..200).prop_map(Bytes::from);
    prop_oneof![
        stream.clone().prop_map(|stream| Body::Open { stream }),
        (stream.clone(), lane, payload).prop_map(|(stream, lane, bytes)| Body::Data { stream, lane, bytes }),
        (stream.clone(), any::<u32>()).prop_map(|(stream, bytes)| Body::Credit { stream, bytes }),
        stream.clone().prop_map(|stream| Body::End { stream }),
        (stream, reason).prop_map(|(stream, reason)| Body::Reset { stream, reason }),
    ]
}

/// Bytes that may look like the beginning of a frame.
fn any_garbage() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![Just(0xA7), Just(0x1D), Just(1), Just(2), Just(0), any::<u8>()], 0..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn frames_come_out_as_they_went_in_however_the_bytes_are_cut(
        bodies in prop::collection::vec(any_body(), 0..12),
        cuts in prop::collection::vec(1_usize..60, 1..40),
        garbage in any_garbage(),
    ) {
        let frames: Vec<Frame> = bodies.into_iter().map(frame).collect();
        let mut bytes = garbage;
        // What garbage seems to begin must not swallow the greeting: it is repeated, as a host repeats it.
        for _ in 0..=MAX_GREETING_BYTES / 40 {
            Hello::new(NONCE).frame().encode(&mut bytes);
        }
        bytes.extend(encoded(&frames));
        let mut decoder = Decoder::new(End::Guest);
        let (mut seen, mut rest, mut cuts) = (Vec::new(), bytes.as_slice(), cuts.into_iter().cycle());
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(cuts.next().unwrap_or(1).min(rest.len()));
            decoder.push(piece);
            rest = after;
            while let Some(frame) = decoder.next_frame().unwrap() {
                match frame.body {
                    Body::Hello(payload) if Hello::read(&payload) == Some(Hello::new(NONCE)) => decoder.lock(session()),
                    _ => seen.push(frame),
                }
            }
        }
        prop_assert_eq!(seen, frames);
    }

    #[test]
    fn no_bytes_make_a_decoder_panic_and_hunting_never_fails(
        end in prop::sample::select(vec![End::Host, End::Guest]),
        is_locked in any::<bool>(),
        pieces in prop::collection::vec(any_garbage(), 0..8),
    ) {
        let mut decoder = if is_locked { locked(end) } else { Decoder::new(end) };
        for piece in pieces {
            decoder.push(&piece);
            match all(&mut decoder) {
                Ok(_) => {}
                Err(error) => {
                    prop_assert!(is_locked, "hunting failed with {error}");
                    decoder.hunt();
                }
            }
        }
    }

    #[test]
    fn a_frame_cut_short_is_told_from_a_whole_one(body in any_body(), cut in any::<prop::sample::Index>()) {
        let whole = encoded(&[frame(body)]);
        let cut = cut.index(whole.len() - 1) + 1;
        let mut torn = whole[..cut].to_vec();
        torn.extend(padding());
        let mut decoder = locked(End::Guest);
        decoder.push(&torn);
        match all(&mut decoder) {
            Err(_) => {}
            // A tail of zeroes that was cut off and comes as padding makes the very frame that was sent.
            Ok(frames) => prop_assert_eq!(encoded(&frames), whole),
        }
    }
}

#[test]
fn an_unfinished_frame_of_an_earlier_host_does_not_swallow_the_greeting() {
    let long = frame(Body::Data {
        stream: StreamId(1),
        lane: Lane::Bytes,
        bytes: Bytes::from(vec![7; MAX_PAYLOAD_BYTES]),
    });
    for cut in [1, 5, HEADER_BYTES, HEADER_BYTES + 100, HEADER_BYTES + MAX_PAYLOAD_BYTES - 1] {
        let mut decoder = locked(End::Guest);
        decoder.push(&encoded(std::slice::from_ref(&long))[..cut]);
        decoder.push(&padding());
        let hello = Hello::new(*b"another nonce...").frame();
        decoder.push(&encoded(std::slice::from_ref(&hello)));
        assert!(all(&mut decoder).is_err(), "cut after {cut} bytes");
        decoder.hunt();
        assert_eq!(all(&mut decoder), Ok(vec![hello]), "cut after {cut} bytes");
    }
}

#[test]
fn a_hunting_decoder_passes_over_whatever_is_no_greeting_for_its_end() {
    let mut decoder = Decoder::new(End::Host);
    let hello = Hello::new(NONCE);
    let welcome = Welcome::answering(&hello, "boot").frame();
    decoder.push(&encoded(&[
        data(1, b"old"),
        hello.frame(),
        frame(Body::NoSession),
        welcome.clone(),
        data(2, b"new"),
    ]));
    assert_eq!(all(&mut decoder), Ok(vec![welcome]));
}

#[test]
fn a_locked_decoder_takes_frames_of_its_session_only() {
    let mut decoder = locked(End::Host);
    let other = Frame { session: SessionId(0), body: Body::End { stream: StreamId(1) } };
    decoder.push(&encoded(&[data(1, b"ours"), other]));
    assert_eq!(decoder.next_frame(), Ok(Some(data(1, b"ours"))));
    assert_eq!(decoder.next_frame(), Err(FrameError::OtherSession));
}

#[test]
fn a_guest_takes_a_greeting_of_any_session_at_any_time() {
    let mut decoder = locked(End::Guest);
    let hello = Hello::new(*b"the next nonce..").frame();
    decoder.push(&encoded(&[data(1, b"ours"), hello.clone()]));
    assert_eq!(all(&mut decoder), Ok(vec![data(1, b"ours"), hello]));
}

#[test]
fn a_payload_longer_than_allowed_is_refused_before_it_arrives() {
    let mut header = encoded(&[data(1, b"x")])[..HEADER_BYTES].to_vec();
    header[12..14].copy_from_slice(&u16::try_from(MAX_PAYLOAD_BYTES + 1).unwrap().to_le_bytes());
    let mut decoder = locked(End::Host);
    decoder.push(&header);
    assert_eq!(decoder.next_frame(), Err(FrameError::TooLong { length: 32_769 }));
}

#[test]
fn an_end_does_not_take_the_greeting_it_sends() {
    let mut decoder = locked(End::Host);
    decoder.push(&encoded(&[Hello::new(NONCE).frame()]));
    assert!(matches!(decoder.next_frame(), Err(FrameError::UnknownForm { kind: 1, .. })));
}

#[test]
fn greetings_fit_what_a_hunting_decoder_waits_for() {
    let hello = Hello { nonce: [255; 16], version: u16::MAX };
    let welcome = Welcome::answering(&hello, &"b".repeat(1_000));
    assert!(hello.frame().encoded_length() <= HEADER_BYTES + MAX_GREETING_BYTES);
    assert!(welcome.frame().encoded_length() <= HEADER_BYTES + MAX_GREETING_BYTES);
}
