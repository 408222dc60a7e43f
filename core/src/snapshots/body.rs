//! A body of REST, and how its hash in Redis stands to it.

use super::content::Content;
use super::frame::Frame;
use super::parts::{MAX_BODY, Receipt, TOO_LARGE, Unreadable, Untranslatable};
use super::times::{self, Present};
use crate::event::Endpoint;

/// What a `rest:` hash holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hash {
    /// The body.
    pub payload: String,
    /// When it was fetched, or when the newest event in it was received.
    pub fetched_at: String,
}

/// A body that is kept fresh.
#[derive(Debug)]
pub struct Body {
    pub(super) endpoint: Endpoint,
    content: Content,
    base: Option<Base>,
    /// When the newest event that was taken in was received; 0 without one.
    newest_event_us: i64,
    /// `fetched_at` of the hash, as it was last seen there or written; empty without a hash.
    seen: String,
    standing: Standing,
    /// Fingerprint of what the hash holds.
    held: Option<u64>,
    /// Fingerprint of what was last wanted.
    offered: Option<u64>,
    /// Whether a body may be made where REST has none.
    may_create: bool,
    /// Times of answers of REST that claimed to be of the future.
    ahead: u64,
}

/// Of the newest answer of REST, what is not in the content.
#[derive(Debug)]
struct Base {
    frame: Frame,
    fetched_at: String,
    fetched_us: i64,
}

/// How the hash stands to what is to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It holds that.
    Current,
    /// Events have come since.
    Changed,
    /// It may hold something else.
    Doubtful,
    /// What was wanted is being written, and nothing has come since.
    Offered,
}

impl Body {
    /// Of an endpoint and ticker, before it is known what Redis has. Without `may_create` nothing is shown until REST has
    /// answered.
    #[must_use]
    pub fn new(endpoint: Endpoint, ticker: &str, may_create: bool) -> Body {
        Body {
            endpoint,
            content: Content::new(endpoint, ticker),
            base: None,
            newest_event_us: 0,
            seen: String::new(),
            standing: Standing::Current,
            held: None,
            offered: None,
            may_create,
            ahead: 0,
        }
    }

    /// `fetched_at` as it was last seen in the hash, or written there; empty without a hash.
    #[must_use]
    pub fn seen(&self) -> &str {
        &self.seen
    }

    /// Takes in what the hash holds at `now_us`, unless that is older than what is known: then it is to be written again. A hash that
    /// is gone takes with it what was known.
    ///
    /// # Errors
    /// The body is not the endpoint's. It is left alone until there is another one.
    pub fn found_at(
        &mut self,
        now_us: i64,
        ticker: &str,
        hash: Option<(&str, &str)>,
    ) -> Result<(), Unreadable> {
        let Some((payload, fetched_at)) = hash else {
            self.found_none(ticker);
            return Ok(());
        };
        fetched_at.clone_into(&mut self.seen);
        self.held = Some(fingerprint(payload, fetched_at));
        if self.held == self.offered {
            // our own write, also when its reply was lost; REST has not answered anew
            self.standing = Standing::Doubtful;
            return Ok(());
        }
        self.rebase(ticker, payload, fetched_at, now_us).inspect_err(|_| self.leave_alone())
    }

    /// Takes in that the hash holds more than can be read. It is left alone until there is another body.
    pub fn found_too_large(&mut self, fetched_at: &str) -> Unreadable {
        fetched_at.clone_into(&mut self.seen);
        self.held = None;
        self.leave_alone();
        TOO_LARGE
    }

    fn leave_alone(&mut self) {
        (self.content, self.base, self.standing) = (Content::Foreign, None, Standing::Current);
        self.offered = None;
    }

    fn found_none(&mut self, ticker: &str) {
        if !self.seen.is_empty() || self.is_foreign() {
            self.forget_events(ticker);
        }
        self.base = None;
        self.standing = Standing::Changed;
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
    ) -> Result<(), Unreadable> {
        let stated_us = times::parse(fetched_at).ok_or(Unreadable("its `fetched_at` is no time"))?;
        let mut present = Present::at(now_us, now_us);
        let fetched_us = present.hold_back(stated_us);
        self.ahead += present.ahead;
        let fetched_at = if fetched_us == stated_us { fetched_at } else { &times::isoformat(fetched_us) };
        if self.base.as_ref().is_some_and(|base| fetched_us < base.fetched_us) {
            // what cannot be read is left alone however old it is
            Content::new(self.endpoint, ticker).rebase(payload, fetched_us)?;
            self.standing = Standing::Doubtful;
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
        self.standing = Standing::Changed;
        Ok(())
    }

    /// How many times that were taken in since the last call claimed to be of the future.
    pub fn take_ahead(&mut self) -> u64 {
        let of_content = self.content.present().map_or(0, |present| std::mem::take(&mut present.ahead));
        std::mem::take(&mut self.ahead) + of_content
    }

    /// Takes an event in. A body that is left alone takes none.
    ///
    /// # Errors
    /// The event lacks what a row must have.
    pub fn add(&mut self, payload: &str, receipt: Receipt) -> Result<(), Untranslatable> {
        self.content.add(payload, receipt)?;
        self.newest_event_us = self.newest_event_us.max(receipt.received_us);
        self.standing = match self.standing {
            Standing::Current | Standing::Changed => Standing::Changed,
            Standing::Offered | Standing::Doubtful => Standing::Doubtful,
        };
        Ok(())
    }

    /// Whether what is there is not the endpoint's.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        matches!(self.content, Content::Foreign)
    }

    /// Whether nothing has changed since the hash was written or read: then nothing is wanted.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.standing == Standing::Current
    }

    /// What the hash is to hold, if it does not hold that already.
    #[must_use]
    pub fn wanted(&mut self) -> Option<Hash> {
        if self.standing == Standing::Current {
            return None;
        }
        let Some(hash) = self.shown() else {
            self.standing = Standing::Current;
            return None;
        };
        let offered = Some(fingerprint(&hash.payload, &hash.fetched_at));
        if offered == self.held {
            self.standing = Standing::Current;
            return None;
        }
        (self.offered, self.standing) = (offered, Standing::Offered);
        Some(hash)
    }

    /// `None` when the hash is best left as it is.
    fn shown(&self) -> Option<Hash> {
        let has_news = self.content.has_news();
        let frame = match &self.base {
            // REST's own answer is written again where an older one may have come over it
            Some(base) if has_news || self.standing != Standing::Changed => &base.frame,
            None if has_news && self.may_create => &Frame::default(),
            _ => return None,
        };
        let payload = self.content.shown(frame)?;
        let newest_us = if has_news { self.newest_event_us } else { 0 };
        let fetched_at = match &self.base {
            Some(base) if base.fetched_us >= newest_us => base.fetched_at.clone(),
            _ => times::isoformat(newest_us),
        };
        // what could not be read again would be left alone
        (payload.len() <= MAX_BODY).then_some(Hash { payload, fetched_at })
    }

    /// The hash holds this, which was wanted.
    pub fn written(&mut self, hash: &Hash) {
        self.held = Some(fingerprint(&hash.payload, &hash.fetched_at));
        self.seen.clone_from(&hash.fetched_at);
        self.standing =
            if self.standing == Standing::Offered { Standing::Current } else { Standing::Doubtful };
    }

    /// Memory that it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Body>() + self.content.bytes() + self.base.as_ref().map_or(0, |base| base.frame.bytes())
    }
}

fn fingerprint(payload: &str, fetched_at: &str) -> u64 {
    let seed = xxhash_rust::xxh3::xxh3_64(fetched_at.as_bytes());
    xxhash_rust::xxh3::xxh3_64_with_seed(payload.as_bytes(), seed)
}
