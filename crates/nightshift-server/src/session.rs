//! Sessions of browsers: a signed cookie, opened by a ticket that serves once.
//!
//! ```text
//!   token (0600 file) ─▶ ticket, for a minute ─▶ http://…/#ticket=… ─▶ POST /session ─▶ HttpOnly cookie, for 30 days
//! ```
//!
//! The token itself never is in an address, in a page or in a browser's storage. Cookie and ticket are signed with
//! it, so that a session outlives the owner that opened it, and all end when the token is made anew.

use std::collections::VecDeque;

use hmac::{Hmac, KeyInit, Mac};
use nightshift_protocol::OffsetDateTime;
use sha2::Sha256;
use time::Duration;

/// How long a session lasts.
const SESSION: Duration = Duration::days(30);

/// How long a ticket can be used.
const TICKET: Duration = Duration::minutes(2);

/// Used tickets that are remembered; they expire long before so many are made.
const REMEMBERED: usize = 1_000;

/// Signs what a browser carries, and knows it again.
#[derive(Clone)]
pub(crate) struct Seal(Vec<u8>);

/// Something that is valid until then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) text: String,
    pub(crate) expires_at: OffsetDateTime,
}

impl Seal {
    pub(crate) fn new(token: &str) -> Self {
        Self(token.as_bytes().to_vec())
    }

    pub(crate) fn session(&self, now: OffsetDateTime) -> Sealed {
        self.make("session", now + SESSION, "")
    }

    /// When the session of that cookie expires, if it is one of ours and has not.
    pub(crate) fn read_session(&self, text: &str, now: OffsetDateTime) -> Option<OffsetDateTime> {
        self.read("session", text, now)
    }

    /// A ticket, which is known by the owner that made it and the number it has there.
    fn ticket(&self, now: OffsetDateTime, owner: i128, number: u64) -> Sealed {
        self.make("ticket", now + TICKET, &format!("{owner}-{number}"))
    }

    fn make(&self, kind: &str, expires_at: OffsetDateTime, unique: &str) -> Sealed {
        let seconds = expires_at.unix_timestamp();
        let signature = self.sign(kind, seconds, unique).finalize().into_bytes();
        let signature: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
        Sealed { text: format!("{seconds}.{unique}.{signature}"), expires_at }
    }

    fn read(&self, kind: &str, text: &str, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let mut parts = text.splitn(3, '.');
        let (seconds, unique, signature) = (parts.next()?, parts.next()?, parts.next()?);
        let bytes: Option<Vec<u8>> = (signature.len() == 64)
            .then(|| {
                (0..64).step_by(2).map(|at| u8::from_str_radix(signature.get(at..at + 2)?, 16).ok()).collect()
            })
            .flatten();
        let seconds: i64 = seconds.parse().ok()?;
        // Compared in a time that does not tell how much is right.
        self.sign(kind, seconds, unique).verify_slice(&bytes?).ok()?;
        let expires_at = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
        (now < expires_at).then_some(expires_at)
    }

    fn sign(&self, kind: &str, seconds: i64, unique: &str) -> Hmac<Sha256> {
        // Keys of every length serve (RFC 2104).
        let mut mac =
            <Hmac<Sha256> as KeyInit>::new_from_slice(&self.0).unwrap_or_else(|_| Hmac::new(&[0; 64].into()));
        mac.update(format!("{kind} {seconds} {unique}").as_bytes());
        mac
    }
}

/// The tickets of an owner. Those of an owner before it are not known: it cannot say which of them were used.
#[derive(Debug)]
pub(crate) struct Tickets {
    /// When the owner began, in nanoseconds since 1970.
    owner: i128,
    made: u64,
    /// The numbers of those that were used.
    used: VecDeque<u64>,
}

impl Tickets {
    pub(crate) fn new(now: OffsetDateTime) -> Self {
        Self { owner: now.unix_timestamp_nanos(), made: 0, used: VecDeque::new() }
    }

    pub(crate) fn make(&mut self, seal: &Seal, now: OffsetDateTime) -> Sealed {
        self.made += 1;
        seal.ticket(now, self.owner, self.made)
    }

    /// Uses a ticket up. Returns whether it opens a session.
    pub(crate) fn take(&mut self, seal: &Seal, ticket: &str, now: OffsetDateTime) -> bool {
        // What it is known by is signed, so one ticket cannot be written as another one: as to its text it can.
        let number =
            ticket.split('.').nth(1).and_then(|unique| unique.strip_prefix(&format!("{}-", self.owner)));
        let Some(number) = number.and_then(|number| number.parse().ok()) else { return false };
        if seal.read("ticket", ticket, now).is_none() || self.used.contains(&number) {
            return false;
        }
        if self.used.len() == REMEMBERED {
            self.used.pop_front();
        }
        self.used.push_back(number);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    #[test]
    fn a_session_is_known_until_it_expires_and_by_the_own_token_only() {
        let seal = Seal::new("secret");
        let session = seal.session(NOW);
        assert_eq!(seal.read_session(&session.text, NOW), Some(NOW + SESSION));
        assert_eq!(seal.read_session(&session.text, NOW + SESSION), None);
        assert_eq!(Seal::new("other").read_session(&session.text, NOW), None);
    }

    #[test]
    fn a_changed_or_made_up_session_is_refused() {
        let seal = Seal::new("secret");
        let session = seal.session(NOW).text;
        let later = session.replacen(|digit: char| digit.is_ascii_digit(), "9", 1);
        let cut = &session[..session.len() - 1];
        for text in ["", "1", "9999999999..", "9999999999..zz", &later, cut, &"é".repeat(40)] {
            assert_eq!(seal.read_session(text, NOW), None, "{text}");
        }
        let ticket = Tickets::new(NOW).make(&seal, NOW);
        assert_eq!(seal.read_session(&ticket.text, NOW), None);
    }

    #[test]
    fn a_ticket_serves_once_and_not_for_long() {
        let (seal, mut tickets) = (Seal::new("secret"), Tickets::new(NOW));
        let (first, second) = (tickets.make(&seal, NOW), tickets.make(&seal, NOW));
        assert!(tickets.take(&seal, &first.text, NOW));
        assert!(!tickets.take(&seal, &first.text, NOW));
        assert!(!tickets.take(&seal, &second.text, NOW + TICKET));
        assert!(tickets.take(&seal, &second.text, NOW));
        assert!(!tickets.take(&seal, &seal.session(NOW).text, NOW));
    }

    #[test]
    fn a_used_ticket_serves_in_no_other_spelling_and_with_no_later_owner() {
        let (seal, mut tickets) = (Seal::new("secret"), Tickets::new(NOW));
        let ticket = tickets.make(&seal, NOW).text;
        assert!(tickets.take(&seal, &ticket, NOW));
        for spelled in [format!("+{ticket}"), format!("0{ticket}"), ticket.to_uppercase()] {
            assert!(!tickets.take(&seal, &spelled, NOW), "{spelled}");
        }
        let mut later = Tickets::new(NOW + Duration::SECOND);
        for text in [ticket, tickets.make(&seal, NOW).text] {
            assert!(!later.take(&seal, &text, NOW + Duration::SECOND));
        }
    }

    #[test]
    fn tickets_made_in_the_same_moment_differ() {
        let (seal, mut tickets) = (Seal::new("secret"), Tickets::new(NOW));
        let made: std::collections::BTreeSet<String> =
            (0..100).map(|_| tickets.make(&seal, NOW).text).collect();
        assert_eq!(made.len(), 100);
    }

    #[test]
    fn only_so_many_used_tickets_are_remembered() {
        let (seal, mut tickets) = (Seal::new("secret"), Tickets::new(NOW));
        for _ in 0..REMEMBERED + 10 {
            let ticket = tickets.make(&seal, NOW);
            assert!(tickets.take(&seal, &ticket.text, NOW));
            assert!(!tickets.take(&seal, &ticket.text, NOW));
        }
        assert_eq!(tickets.used.len(), REMEMBERED);
    }

    #[test]
    fn a_seal_of_any_length_serves() {
        for token in ["", "x", &"x".repeat(1_000)] {
            let seal = Seal::new(token);
            let session = seal.session(NOW).text;
            assert_eq!(seal.read_session(&session, NOW), Some(NOW + SESSION));
            assert_eq!(Seal::new("another").read_session(&session, NOW), None);
        }
    }

    #[test]
    fn a_changed_character_anywhere_breaks_the_seal() {
        let seal = Seal::new("secret");
        let session = seal.session(NOW).text;
        for at in 0..session.len() {
            let mut changed = session.clone().into_bytes();
            changed[at] = if changed[at] == b'1' { b'2' } else { b'1' };
            assert_eq!(seal.read_session(std::str::from_utf8(&changed).unwrap(), NOW), None, "{at}");
        }
    }
}
