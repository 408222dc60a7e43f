//! A hash in Redis, a fetcher that overwrites it, and the body that keeps it fresh.

use super::*;

pub(super) struct World {
    pub(super) body: RestBody,
    pub(super) hash: Option<Hash>,
}

impl World {
    pub(super) fn new(endpoint: BodyEndpoint) -> World {
        World { body: RestBody::new(endpoint, "SPY", true), hash: None }
    }

    /// The fetcher writes.
    pub(super) fn rest(&mut self, answer: &Hash) {
        self.hash = Some(answer.clone());
        self.look();
    }

    /// The hash is read.
    pub(super) fn look(&mut self) {
        let hash = self.hash.as_ref().map(|hash| (&*hash.payload, &*hash.fetched_at));
        self.body.found("SPY", hash).unwrap();
    }

    /// The service writes until nothing is wanted, which is after one write.
    pub(super) fn settle(&mut self) {
        if let Some(wanted) = self.body.wanted() {
            self.body.written(&wanted);
            self.hash = Some(wanted);
        }
        assert_eq!(self.body.wanted(), None);
    }

    /// The service restarts.
    pub(super) fn restart(&mut self) {
        self.body = RestBody::new(self.body.endpoint, "SPY", true);
        self.look();
    }
}
