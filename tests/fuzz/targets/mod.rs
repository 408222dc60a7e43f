//! What is fuzzed: a corpus, and a function that panics if something is wrong.

mod disk;
mod feed;
mod redis;
mod rest;
mod text;

use std::hash::{DefaultHasher, Hash, Hasher as _};

/// Tries an input; returns a number that differs between kinds of outcomes.
type Run = Box<dyn FnMut(&[u8]) -> u64>;

/// A parser and its corpus.
pub(crate) struct Target {
    /// The first part of the name of a kept input.
    pub(crate) name: &'static str,
    /// Inputs to mutate.
    pub(crate) seeds: Vec<Vec<u8>>,
    /// Texts to insert.
    pub(crate) tokens: &'static [&'static str],
    /// Inputs of the run that belongs to `make test`.
    pub(crate) short: u64,
    /// What is fuzzed.
    pub(crate) run: Run,
}

/// All targets.
pub(crate) fn all() -> Vec<Target> {
    vec![
        feed::socket(),
        feed::text(),
        redis::resp(),
        redis::slots(),
        disk::spool(),
        disk::ledger(),
        rest::body(),
        text::settings(),
        text::lines(),
    ]
}

impl Target {
    /// Survives everything.
    pub(crate) fn nothing() -> Target {
        let run = Box::new(|input: &[u8]| input.len() as u64);
        Target { name: "nothing", seeds: seeds(&["some 12 text"]), tokens: &["token"], short: 0, run }
    }
}

/// Fails as `FUZZ_FAULT` says, to test the tester.
pub(crate) fn broken() -> Target {
    let fault = std::env::var_os("FUZZ_FAULT").unwrap_or_default();
    let mut held = Vec::new();
    let run = Box::new(move |input: &[u8]| {
        match (fault.to_str().unwrap_or_default(), input.windows(4).any(|part| part == b"4096")) {
            ("panic", true) => panic!("on purpose"),
            #[expect(clippy::disallowed_methods, reason = "a hang")]
            ("hang", true) => std::thread::sleep(std::time::Duration::from_secs(3600)),
            ("growth", _) => held.push(vec![1_u8; 4096]),
            _ => {}
        }
        0
    });
    Target { name: "broken", seeds: seeds(&["some text"]), tokens: &["4096"], short: 0, run }
}

fn seeds(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// A number for an outcome.
fn outcome(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// The order of magnitude of a size, for outcomes.
fn magnitude(size: usize) -> u32 {
    size.checked_ilog2().map_or(0, |log| log + 1)
}
