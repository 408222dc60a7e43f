//! A REST body, and the state of its hash in Redis.

use super::content::Content;
use super::frame::Frame;
use super::parts::{MAX_BODY, Receipt, TOO_LARGE, UnreadableBody, Untranslatable};
use super::times::{self, Present};
use crate::event::BodyEndpoint;

/// The content of a `rest:` hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hash {
    /// The body's JSON text.
    pub payload: String,
    /// Time of the fetch, or of the receipt of the newest event merged in.
    pub fetched_at: String,
}

/// A REST body kept fresh by events.
#[derive(Debug)]
pub struct RestBody {
    pub(super) endpoint: BodyEndpoint,
    content: Content,
    base: Option<Base>,
    /// Receive time of the newest event; 0 without one.
    newest_event_us: i64,
    /// The hash's `fetched_at` when last read or written; empty without a hash.
    seen: String,
    standing: HashState,
    /// Fingerprint of the hash's content.
    held: Option<u64>,
    /// Fingerprint of the last content returned by [`RestBody::wanted`].
    offered: Option<u64>,
    /// Whether to create a body if REST has not written one.
    may_create: bool,
    /// Number of REST times that claimed to be in the future.
    ahead: u64,
}

/// The newest REST answer, without the part in the content.
#[derive(Debug)]
struct Base {
    frame: Frame,
    fetched_at: String,
    fetched_us: i64,
}

/// The state of the hash relative to the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HashState {
    /// Equal to the body.
    Current,
    /// Behind: events have been added since.
    Changed,
    /// Unknown; it may differ.
    Doubtful,
    /// Being written, and nothing has been added since.
    Offered,
}

impl RestBody {
    /// Creates a body before the hash is read. Without `may_create` it stays empty until REST has answered.
    #[must_use]
    pub fn new(endpoint: BodyEndpoint, ticker: &str, may_create: bool) -> RestBody {
        RestBody {
            endpoint,
            content: Content::new(endpoint, ticker),
            base: None,
            newest_event_us: 0,
            seen: String::new(),
            standing: HashState::Current,
            held: None,
            offered: None,
            may_create,
            ahead: 0,
        }
    }

    /// Returns the hash's `fetched_at` when last read or written; empty without a hash.
    #[must_use]
    pub fn seen(&self) -> &str {
        &self.seen
    }

    /// Adopts the hash's content as of `now_us`, unless it is older than the known one, which is then written
    /// again. If the hash is gone, the known content is dropped.
    ///
    /// # Errors
    /// The hash does not hold the endpoint's format. It is left untouched until its content changes.
    pub fn found_at(
        &mut self,
        now_us: i64,
        ticker: &str,
        hash: Option<(&str, &str)>,
    ) -> Result<(), UnreadableBody> {
        let Some((payload, fetched_at)) = hash else {
            self.found_none(ticker);
            return Ok(());
        };
        fetched_at.clone_into(&mut self.seen);
        self.held = Some(fingerprint(payload, fetched_at));
        if self.held == self.offered {
            // our own write, even if its reply was lost; not a new answer of REST
            self.standing = HashState::Doubtful;
            return Ok(());
        }
        self.rebase(ticker, payload, fetched_at, now_us).inspect_err(|_| self.leave_alone())
    }

    /// Records that the hash holds more than can be read. It is left untouched until its content changes.
    pub fn found_too_large(&mut self, fetched_at: &str) -> UnreadableBody {
        fetched_at.clone_into(&mut self.seen);
        self.held = None;
        self.leave_alone();
        TOO_LARGE
    }

    fn leave_alone(&mut self) {
        (self.content, self.base, self.standing) = (Content::Foreign, None, HashState::Current);
        self.offered = None;
    }

    fn found_none(&mut self, ticker: &str) {
        if !self.seen.is_empty() || self.is_foreign() {
            self.forget_events(ticker);
        }
        self.base = None;
        self.standing = HashState::Changed;
        (self.held, self.offered) = (None, None);
        self.seen.clear();
    }

    fn forget_events(&mut self, ticker: &str) {
        self.content = Content::new(self.endpoint, ticker);
        self.newest_event_us = 0;
    }

    fn rebase(
        &mut self,
        ticker: &str,
        payload: &str,
        fetched_at: &str,
        now_us: i64,
    ) -> Result<(), UnreadableBody> {
        let stated_us = times::parse(fetched_at).ok_or(UnreadableBody("its `fetched_at` is not a time"))?;
        let mut present = Present::at(now_us, now_us);
        let fetched_us = present.hold_back(stated_us);
        self.ahead += present.ahead;
        let fetched_at = if fetched_us == stated_us { fetched_at } else { &times::isoformat(fetched_us) };
        if self.base.as_ref().is_some_and(|base| fetched_us < base.fetched_us) {
            // an unreadable hash is left untouched, however old
            Content::new(self.endpoint, ticker).rebase(payload, fetched_us)?;
            self.standing = HashState::Doubtful;
            return Ok(());
        }
        if self.is_foreign() {
            self.forget_events(ticker);
        }
        if let Some(present) = self.content.present() {
            (present.now_us, present.as_of_us) = (now_us, fetched_us);
        }
        let frame = self.content.rebase(payload, fetched_us)?;
        self.base = Some(Base { frame, fetched_at: fetched_at.to_owned(), fetched_us });
        self.standing = HashState::Changed;
        Ok(())
    }

    /// Returns the number of times read since the last call that claimed to be in the future.
    pub fn take_ahead(&mut self) -> u64 {
        let of_content = self.content.present().map_or(0, |present| std::mem::take(&mut present.ahead));
        std::mem::take(&mut self.ahead) + of_content
    }

    /// Adds an event; no effect on a foreign body.
    ///
    /// # Errors
    /// The event lacks a required field.
    pub fn add(&mut self, payload: &str, receipt: Receipt) -> Result<(), Untranslatable> {
        self.content.add(payload, receipt)?;
        self.newest_event_us = self.newest_event_us.max(receipt.received_us);
        self.standing = match self.standing {
            HashState::Current | HashState::Changed => HashState::Changed,
            HashState::Offered | HashState::Doubtful => HashState::Doubtful,
        };
        Ok(())
    }

    /// Whether the hash does not hold the endpoint's format.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        matches!(self.content, Content::Foreign)
    }

    /// Whether nothing has changed since the hash was read or written, so that [`RestBody::wanted`] has nothing to
    /// return.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.standing == HashState::Current
    }

    /// Returns the content to write; `None` if the hash already holds it.
    #[must_use]
    pub fn wanted(&mut self) -> Option<Hash> {
        if self.standing == HashState::Current {
            return None;
        }
        let Some(hash) = self.shown() else {
            self.standing = HashState::Current;
            return None;
        };
        let offered = Some(fingerprint(&hash.payload, &hash.fetched_at));
        if offered == self.held {
            self.standing = HashState::Current;
            return None;
        }
        (self.offered, self.standing) = (offered, HashState::Offered);
        Some(hash)
    }

    /// Returns `None` if the hash should be left as it is.
    fn shown(&self) -> Option<Hash> {
        let has_news = self.content.has_news();
        let frame = match &self.base {
            // REST's answer is written again where an older one may have overwritten it
            Some(base) if has_news || self.standing != HashState::Changed => &base.frame,
            None if has_news && self.may_create => &Frame::default(),
            _ => return None,
        };
        let payload = self.content.shown(frame)?;
        let newest_us = if has_news { self.newest_event_us } else { 0 };
        let fetched_at = match &self.base {
            Some(base) if base.fetched_us >= newest_us => base.fetched_at.clone(),
            _ => times::isoformat(newest_us),
        };
        // a larger body could not be read back and would be left untouched
        (payload.len() <= MAX_BODY).then_some(Hash { payload, fetched_at })
    }

    /// Records that the content returned by [`RestBody::wanted`] was written.
    pub fn written(&mut self, hash: &Hash) {
        self.held = Some(fingerprint(&hash.payload, &hash.fetched_at));
        self.seen.clone_from(&hash.fetched_at);
        self.standing =
            if self.standing == HashState::Offered { HashState::Current } else { HashState::Doubtful };
    }

    /// Returns heap memory in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<RestBody>() + self.content.bytes() + self.base.as_ref().map_or(0, |base| base.frame.bytes())
    }
}

fn fingerprint(payload: &str, fetched_at: &str) -> u64 {
    let seed = xxhash_rust::xxh3::xxh3_64(fetched_at.as_bytes());
    xxhash_rust::xxh3::xxh3_64_with_seed(payload.as_bytes(), seed)
}
