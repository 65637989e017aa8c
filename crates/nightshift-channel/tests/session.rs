//! Two ends of a session, and bytes that travel between them in any order of events.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use nightshift_channel::wire::frame::{
    Body, End, HEADER_BYTES, Lane, MAX_PAYLOAD_BYTES, ResetReason, SessionId, StreamId,
};
use nightshift_channel::wire::session::{
    Event, MAX_STREAMS, Received, Sent, Session, TooManyStreams, Violation, WINDOW_BYTES,
};
use proptest::prelude::*;

const ID: SessionId = SessionId(7);

fn bytes(length: usize) -> Bytes {
    Bytes::from(vec![1; length])
}

/// Two sessions and what is on its way between them.
struct Pair {
    ends: [Session; 2],
    under_way: [VecDeque<Body>; 2],
    opened: [Vec<StreamId>; 2],
}

impl Pair {
    fn new() -> Self {
        Self {
            ends: [Session::new(End::Host, ID), Session::new(End::Guest, ID)],
            under_way: [VecDeque::new(), VecDeque::new()],
            opened: [Vec::new(), Vec::new()],
        }
    }

    /// Takes the next frame that `from` has to send on its way.
    fn send_frame(&mut self, from: usize) -> bool {
        let frame = self.ends[from].next_frame();
        frame.map(|frame| self.under_way[from].push_back(frame.body)).is_some()
    }

    /// Lets a frame that `from` sent arrive.
    fn deliver(&mut self, from: usize) -> bool {
        let Some(body) = self.under_way[from].pop_front() else { return false };
        if let Event::Opened(stream) = self.ends[1 - from].handle(body).unwrap() {
            self.opened[1 - from].push(stream);
        }
        true
    }

    /// Lets everything arrive that is sent without anybody reading.
    fn settle(&mut self) {
        while (0..2).any(|end| self.send_frame(end) | self.deliver(end)) {}
    }

    fn open(&mut self) -> StreamId {
        let stream = self.ends[0].open().unwrap();
        self.settle();
        stream
    }
}

/// Takes all pieces there are.
fn read_all(session: &mut Session, stream: StreamId) -> usize {
    let mut length = 0;
    while let Received::Piece(_, piece) = session.receive(stream) {
        length += piece.len();
    }
    length
}

#[derive(Debug, Clone)]
enum Step {
    Open { end: usize },
    Send { end: usize, which: usize, length: usize },
    End { end: usize, which: usize },
    Reset { end: usize, which: usize },
    Release { end: usize, which: usize },
    Read { end: usize, which: usize },
    Frame { end: usize },
    Deliver { end: usize },
}

fn any_step() -> impl Strategy<Value = Step> {
    let end = 0_usize..2;
    let which = 0_usize..6;
    let length = prop_oneof![1_usize..40, Just(MAX_PAYLOAD_BYTES)];
    prop_oneof![
        2 => end.clone().prop_map(|end| Step::Open { end }),
        8 => (end.clone(), which.clone(), length).prop_map(|(end, which, length)| Step::Send { end, which, length }),
        2 => (end.clone(), which.clone()).prop_map(|(end, which)| Step::End { end, which }),
        1 => (end.clone(), which.clone()).prop_map(|(end, which)| Step::Reset { end, which }),
        1 => (end.clone(), which.clone()).prop_map(|(end, which)| Step::Release { end, which }),
        5 => (end.clone(), which).prop_map(|(end, which)| Step::Read { end, which }),
        10 => end.clone().prop_map(|end| Step::Frame { end }),
        10 => end.prop_map(|end| Step::Deliver { end }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn two_ends_that_keep_the_rules_never_see_a_violation_and_lose_nothing(
        steps in prop::collection::vec(any_step(), 0..400),
    ) {
        let mut pair = Pair::new();
        // What was sent and taken, by the end it came from.
        let mut sent: [BTreeMap<StreamId, usize>; 2] = [BTreeMap::new(), BTreeMap::new()];
        let mut taken = sent.clone();
        let mut cut = std::collections::BTreeSet::new();
        for step in steps {
            let pick = |pair: &Pair, end: usize, which: usize| pair.opened[end].get(which).copied();
            match step {
                Step::Open { end } => {
                    let stream = pair.ends[end].open().unwrap();
                    pair.opened[end].push(stream);
                }
                Step::Send { end, which, length } => if let Some(stream) = pick(&pair, end, which)
                    && pair.ends[end].send(stream, Lane::Bytes, bytes(length)) == Sent::Queued {
                    *sent[end].entry(stream).or_default() += length;
                },
                Step::End { end, which } => if let Some(stream) = pick(&pair, end, which) {
                    pair.ends[end].end(stream);
                },
                Step::Reset { end, which } => if let Some(stream) = pick(&pair, end, which) {
                    pair.ends[end].reset(stream, ResetReason::Failed);
                    cut.insert(stream);
                },
                Step::Release { end, which } => if let Some(stream) = pick(&pair, end, which) {
                    pair.ends[end].release(stream);
                    cut.insert(stream);
                },
                Step::Read { end, which } => if let Some(stream) = pick(&pair, end, which) {
                    *taken[1 - end].entry(stream).or_default() += read_all(&mut pair.ends[end], stream);
                },
                Step::Frame { end } => { pair.send_frame(end); }
                Step::Deliver { end } => { pair.deliver(end); }
            }
        }
        loop {
            pair.settle();
            let mut moved = false;
            for end in 0..2 {
                for stream in pair.opened[end].clone() {
                    let length = read_all(&mut pair.ends[end], stream);
                    *taken[1 - end].entry(stream).or_default() += length;
                    moved |= length > 0;
                }
            }
            if !moved {
                break;
            }
        }
        for end in 0..2 {
            for (stream, length) in &sent[end] {
                let arrived = taken[end].get(stream).copied().unwrap_or(0);
                if cut.contains(stream) {
                    prop_assert!(arrived <= *length);
                } else {
                    prop_assert_eq!(arrived, *length, "{:?}", stream);
                }
            }
        }
    }

    #[test]
    fn no_frames_make_an_end_panic_or_keep_more_than_a_window(bodies in prop::collection::vec(any_hostile(), 0..300)) {
        let mut host = Session::new(End::Host, ID);
        for _ in 0..3 {
            host.open().unwrap();
        }
        let mut kept = 0;
        for body in bodies {
            let length = match &body {
                Body::Data { bytes, .. } => bytes.len(),
                _ => 0,
            };
            match host.handle(body) {
                Ok(Event::Opened(stream)) => { host.reset(stream, ResetReason::Refused); host.release(stream); }
                Ok(Event::Changed(_)) => kept += length,
                Ok(Event::Cut(_) | Event::Nothing) => {}
                Err(_) => break,
            }
            prop_assert!(kept <= 3 * WINDOW_BYTES as usize);
        }
    }
}

fn any_hostile() -> impl Strategy<Value = Body> {
    let stream = (0_u32..8).prop_map(StreamId);
    let length = prop_oneof![1_usize..3, Just(MAX_PAYLOAD_BYTES)];
    prop_oneof![
        2 => (2_u32..60).prop_map(|stream| Body::Open { stream: StreamId(stream * 2) }),
        20 => (stream.clone(), length)
            .prop_map(|(stream, length)| Body::Data { stream, lane: Lane::Stdout, bytes: bytes(length) }),
        1 => (stream.clone(), 0_u32..3).prop_map(|(stream, bytes)| Body::Credit { stream, bytes }),
        1 => stream.clone().prop_map(|stream| Body::End { stream }),
        1 => stream.prop_map(|stream| Body::Reset { stream, reason: ResetReason::Failed }),
    ]
}

#[test]
fn who_sends_without_being_read_stops_at_the_window_and_goes_on_when_read() {
    let mut pair = Pair::new();
    let stream = pair.open();
    let mut sent = 0;
    for _ in 0..1_000 {
        if pair.ends[0].send(stream, Lane::Bytes, bytes(1_000)) == Sent::Queued {
            sent += 1_000;
        }
        pair.settle();
    }
    let arrived = read_all(&mut pair.ends[1], stream);
    let most = WINDOW_BYTES as usize / (1_000 + HEADER_BYTES) * 1_000;
    assert_eq!(arrived, most);
    pair.settle();
    assert_eq!(
        arrived + read_all(&mut pair.ends[1], stream),
        sent,
        "what waited at the sender arrived after reading"
    );
}

#[test]
fn a_stream_that_nobody_reads_holds_up_no_other() {
    let mut pair = Pair::new();
    let (unread, read) = (pair.open(), pair.open());
    let mut arrived = 0;
    for _ in 0..100 {
        let _full = pair.ends[0].send(unread, Lane::Bytes, bytes(MAX_PAYLOAD_BYTES));
        assert_eq!(pair.ends[0].send(read, Lane::Bytes, bytes(MAX_PAYLOAD_BYTES)), Sent::Queued);
        pair.settle();
        arrived += read_all(&mut pair.ends[1], read);
        pair.settle();
    }
    assert_eq!(arrived, 100 * MAX_PAYLOAD_BYTES);
}

#[test]
fn streams_take_turns_frame_by_frame() {
    let mut pair = Pair::new();
    let streams = [pair.open(), pair.open(), pair.open()];
    for stream in streams {
        for _ in 0..3 {
            assert_eq!(pair.ends[0].send(stream, Lane::Bytes, bytes(10)), Sent::Queued);
        }
    }
    let order: Vec<_> = std::iter::from_fn(|| pair.ends[0].next_frame())
        .map(|frame| match frame.body {
            Body::Data { stream, .. } => stream,
            other => panic!("{other:?} has no place here"),
        })
        .collect();
    assert_eq!(order, [streams, streams, streams].concat());
}

#[test]
fn what_was_sent_before_the_end_is_read_before_the_end() {
    let mut pair = Pair::new();
    let stream = pair.open();
    assert_eq!(pair.ends[0].send(stream, Lane::Message, bytes(5)), Sent::Queued);
    pair.ends[0].end(stream);
    assert_eq!(
        pair.ends[0].send(stream, Lane::Message, bytes(5)),
        Sent::Gone,
        "nothing is sent after the end"
    );
    pair.settle();
    assert_eq!(pair.ends[1].receive(stream), Received::Piece(Lane::Message, bytes(5)));
    assert_eq!(pair.ends[1].receive(stream), Received::Ended);
}

#[test]
fn one_direction_may_end_while_the_other_goes_on() {
    let mut pair = Pair::new();
    let stream = pair.open();
    pair.ends[0].end(stream);
    pair.settle();
    assert_eq!(pair.ends[1].receive(stream), Received::Ended);
    assert_eq!(pair.ends[1].send(stream, Lane::Bytes, bytes(3)), Sent::Queued);
    pair.settle();
    assert_eq!(pair.ends[0].receive(stream), Received::Piece(Lane::Bytes, bytes(3)));
}

#[test]
fn an_answer_arrives_though_the_one_who_gave_it_is_gone() {
    let mut pair = Pair::new();
    let stream = pair.open();
    assert_eq!(pair.ends[1].send(stream, Lane::Message, bytes(9)), Sent::Queued);
    pair.ends[1].end(stream);
    while pair.send_frame(1) {}
    assert!(pair.ends[1].is_passed_on(stream));
    pair.ends[1].release(stream);
    pair.settle();
    assert_eq!(pair.ends[0].receive(stream), Received::Piece(Lane::Message, bytes(9)));
    assert_eq!(pair.ends[0].receive(stream), Received::Ended);
    assert_eq!(pair.ends[0].send(stream, Lane::Bytes, bytes(1)), Sent::Gone);
}

#[test]
fn who_cuts_a_stream_tells_the_other_end_why() {
    let mut pair = Pair::new();
    let stream = pair.open();
    pair.ends[1].reset(stream, ResetReason::Refused);
    pair.settle();
    assert_eq!(pair.ends[0].receive(stream), Received::Cut(ResetReason::Refused));
    assert!(!pair.ends[0].is_wanted(stream));
}

#[test]
fn the_limit_of_streams_holds_at_both_ends_and_ended_streams_do_not_count() {
    let mut pair = Pair::new();
    let streams: Vec<_> = (0..MAX_STREAMS).map(|_| pair.open()).collect();
    assert_eq!(pair.ends[0].open(), Err(TooManyStreams));
    let next = StreamId(MAX_STREAMS as u32 * 2 + 1);
    assert_eq!(pair.ends[1].handle(Body::Open { stream: next }), Err(Violation::TooManyStreams));
    pair.ends[0].release(streams[0]);
    pair.settle();
    assert_eq!(pair.ends[0].open(), Ok(next));
    pair.settle();
    assert_eq!(pair.opened[1].last(), Some(&next));
}

#[test]
fn both_ends_may_open_streams_at_once() {
    let mut pair = Pair::new();
    let streams = [pair.ends[0].open().unwrap(), pair.ends[1].open().unwrap()];
    pair.settle();
    assert_eq!(streams, [StreamId(1), StreamId(2)]);
    assert_eq!([&pair.opened[0], &pair.opened[1]], [&vec![StreamId(2)], &vec![StreamId(1)]]);
}

#[test]
fn each_breach_of_the_rules_has_its_name() {
    let data =
        |stream, length| Body::Data { stream: StreamId(stream), lane: Lane::Bytes, bytes: bytes(length) };
    let end = |stream| Body::End { stream: StreamId(stream) };
    let open = |stream| Body::Open { stream: StreamId(stream) };
    let credit = |stream, bytes| Body::Credit { stream: StreamId(stream), bytes };
    let too_much = vec![data(1, MAX_PAYLOAD_BYTES); 8];
    let breaches = [
        (vec![data(3, 1)], Violation::UnknownStream(3)),
        (vec![end(3)], Violation::UnknownStream(3)),
        (vec![credit(3, 1)], Violation::UnknownStream(3)),
        (vec![data(2, 1)], Violation::UnknownStream(2)),
        (vec![open(0)], Violation::WrongStreamNumber(0)),
        (vec![open(3)], Violation::WrongStreamNumber(3)),
        (vec![open(4), open(2)], Violation::WrongStreamNumber(2)),
        (vec![end(1), data(1, 1)], Violation::AfterEnd(1)),
        (vec![end(1), end(1)], Violation::AfterEnd(1)),
        (vec![credit(1, 1)], Violation::CreditOverflow(1)),
        (too_much, Violation::CreditOverrun(1)),
        (vec![Body::NoSession], Violation::Greeting),
    ];
    for (frames, violation) in breaches {
        let mut host = Session::new(End::Host, ID);
        host.open().unwrap();
        let first = frames.into_iter().find_map(|frame| host.handle(frame).err());
        assert_eq!(first, Some(violation));
    }
}
