//! Whether a stream holds what it must: everything that was read, once, in order, byte for byte.
//!
//! What was read is inferred. A session is read from its first frame on, so of what was sent over it a tail may be
//! missing where it was interrupted, and never anything before. An event that was read in an earlier session and comes
//! again must not be there again. Anything else that is missing needs an excuse, which only the ledger can give.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::traffic::Frame;

/// One entry of a stream against what was sent.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Entries that are where they belong.
    pub(crate) stored: u64,
    /// Repeated frames that are rightly not there again.
    pub(crate) duplicates: u64,
    /// Frames at the end of a session that were not read.
    pub(crate) unread: Vec<Frame>,
    /// Frames that were read and lost, with an excuse.
    pub(crate) excused: Vec<Frame>,
}

/// Judges the entries of one stream. `frames` is what was sent for it, in order; `payload` makes the payload of a frame.
pub(crate) fn judge(
    frames: &[Frame],
    entries: &[Vec<u8>],
    payload: impl Fn(&Frame) -> String,
    is_excused: impl Fn(&Frame) -> bool,
) -> Result<Verdict, String> {
    let mut verdict = Verdict::default();
    let mut there = HashSet::new();
    let mut left = entries;
    for session in frames.chunk_by(|a, b| a.session == b.session) {
        let mut is_read = true;
        for frame in session {
            if there.contains(&frame.n) {
                verdict.duplicates += 1;
                continue;
            }
            match left {
                [entry, rest @ ..] if is_read && *entry == payload(frame).as_bytes() => {
                    left = rest;
                    there.insert(frame.n);
                    verdict.stored += 1;
                }
                _ if is_excused(frame) => verdict.excused.push(*frame),
                _ => {
                    is_read = false;
                    verdict.unread.push(*frame);
                }
            }
        }
    }
    // what came again later was not missed after all
    verdict.unread.retain(|frame| !there.contains(&frame.n));
    verdict.excused.retain(|frame| !there.contains(&frame.n));
    match left.first() {
        None => Ok(verdict),
        Some(entry) => {
            Err(explain(frames, entries.len() - left.len(), entry, &there, &verdict.unread, &payload))
        }
    }
}

/// What is wrong with the first entry that is not where it belongs.
fn explain(
    frames: &[Frame],
    position: usize,
    entry: &[u8],
    there: &HashSet<u64>,
    missing: &[Frame],
    payload: &impl Fn(&Frame) -> String,
) -> String {
    let text = String::from_utf8_lossy(entry);
    let Some(frame) = frames.iter().find(|frame| payload(frame).as_bytes() == entry) else {
        return format!("entry {position} is nothing that was sent: {text}");
    };
    if there.contains(&frame.n) {
        return format!("entry {position} is there a second time: event {} of {}", frame.n, frame.topic);
    }
    let before: Vec<u64> = missing
        .iter()
        .filter(|other| other.session == frame.session && other.place < frame.place)
        .map(|other| other.n)
        .collect();
    let (n, topic, session) = (frame.n, frame.topic, frame.session);
    if before.is_empty() {
        return format!("entry {position} is event {n} of {topic} in session {session}, behind later ones");
    }
    format!(
        "entry {position} is event {n} of {topic} in session {session}, but {} before it in that session are missing: {:?} …",
        before.len(),
        &before[..before.len().min(10)]
    )
}

/// Sessions of a family that ended in order were read to one point over all their topics: whatever came before the last
/// frame that is there must be there, of whichever topic. `rough` are the sessions that a crash ended.
pub(crate) fn judge_family(
    journal: &[Frame],
    unread: &BTreeSet<u64>,
    rough: &BTreeSet<usize>,
) -> Result<(), String> {
    let repeated: HashSet<(&str, u64)> =
        journal.iter().filter(|frame| frame.is_repeated).map(|frame| (frame.topic, frame.n)).collect();
    let mut first_unread: BTreeMap<usize, &Frame> = BTreeMap::new();
    for frame in journal.iter().filter(|frame| !rough.contains(&frame.session)) {
        if unread.contains(&frame.place) {
            first_unread.entry(frame.session).or_insert(frame);
        } else if let Some(unread) = first_unread.get(&frame.session) {
            // what was repeated may have been read in another session
            if !repeated.contains(&(frame.topic, frame.n)) {
                return Err(format!(
                    "session {}: event {} of {} is there, and event {} of {} that was sent before it is not",
                    frame.session, frame.n, frame.topic, unread.n, unread.topic
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames of one topic from `session:first-last` texts; `again` marks repeated ones.
    fn sent(sessions: &[(usize, std::ops::RangeInclusive<u64>)]) -> Vec<Frame> {
        let mut seen = HashSet::new();
        let all = sessions.iter().flat_map(|(session, numbers)| numbers.clone().map(|n| (*session, n)));
        all.enumerate()
            .map(|(place, (session, n))| Frame {
                session,
                place: place as u64,
                topic: "news",
                n,
                at_us: n,
                is_repeated: !seen.insert(n),
            })
            .collect()
    }

    fn entries(numbers: impl IntoIterator<Item = u64>) -> Vec<Vec<u8>> {
        numbers.into_iter().map(|n| n.to_string().into_bytes()).collect()
    }

    fn verdict(frames: &[Frame], stored: &[u64]) -> Result<Verdict, String> {
        judge(frames, &entries(stored.iter().copied()), |frame| frame.n.to_string(), |_| false)
    }

    fn numbers(frames: &[Frame]) -> Vec<u64> {
        frames.iter().map(|frame| frame.n).collect()
    }

    #[test]
    fn everything_in_order_is_right() {
        let verdict = verdict(&sent(&[(0, 1..=5), (1, 6..=7)]), &[1, 2, 3, 4, 5, 6, 7]).unwrap();
        assert_eq!((verdict.stored, verdict.duplicates, verdict.unread.len()), (7, 0, 0));
    }

    #[test]
    fn the_tail_of_a_session_may_be_unread() {
        let found = verdict(&sent(&[(0, 1..=5), (1, 6..=9)]), &[1, 2, 3, 6, 7]).unwrap();
        assert_eq!(numbers(&found.unread), [4, 5, 8, 9]);
        assert_eq!(numbers(&verdict(&sent(&[(0, 1..=3)]), &[]).unwrap().unread), [1, 2, 3]);
    }

    #[test]
    fn nothing_may_be_missing_in_the_middle_of_a_session() {
        let error = verdict(&sent(&[(0, 1..=5), (1, 6..=7)]), &[1, 2, 4, 5, 6, 7]).unwrap_err();
        assert!(error.contains("event 4") && error.contains("[3]"), "{error}");
    }

    #[test]
    fn nothing_may_be_there_twice_or_out_of_order_or_from_nowhere() {
        let frames = sent(&[(0, 1..=3)]);
        assert!(verdict(&frames, &[1, 2, 2, 3]).unwrap_err().contains("a second time"));
        verdict(&frames, &[1, 3, 2]).unwrap_err();
        assert!(verdict(&frames, &[1, 2, 3, 99]).unwrap_err().contains("nothing that was sent"));
        verdict(&sent(&[(0, 1..=3), (1, 4..=5)]), &[1, 4, 2]).unwrap_err();
    }

    #[test]
    fn what_comes_again_is_there_once_wherever_it_was_read() {
        let frames = sent(&[(0, 1..=5), (1, 3..=8)]);
        let read = verdict(&frames, &[1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
        assert_eq!((read.stored, read.duplicates, read.unread.len()), (8, 3, 0));
        let unread = verdict(&frames, &[1, 2, 3, 4, 5, 6]).unwrap();
        assert_eq!((unread.stored, numbers(&unread.unread)), (6, vec![7, 8]));
        assert!(verdict(&frames, &[1, 2, 3, 4, 5, 3, 4, 5, 6, 7, 8]).unwrap_err().contains("a second time"));
        // the tail that was missed in the first session and not repeated in full
        let partly = verdict(&sent(&[(0, 1..=5), (1, 5..=6)]), &[1, 2, 5, 6]).unwrap();
        assert_eq!(numbers(&partly.unread), [3, 4]);
    }

    #[test]
    fn a_hole_needs_an_excuse() {
        let frames = sent(&[(0, 1..=6)]);
        let excused = judge(
            &frames,
            &entries([1, 2, 5, 6]),
            |frame| frame.n.to_string(),
            |frame| (2..=4).contains(&frame.at_us),
        );
        assert_eq!(numbers(&excused.unwrap().excused), [3, 4]);
    }

    #[test]
    fn a_session_that_ended_in_order_was_read_to_one_point_over_all_topics() {
        let mut journal = sent(&[(0, 1..=6)]);
        journal.iter_mut().filter(|frame| frame.n % 2 == 0).for_each(|frame| frame.topic = "gex:SPY");
        let places = |places: &[u64]| places.iter().copied().collect::<BTreeSet<u64>>();
        judge_family(&journal, &places(&[4, 5]), &BTreeSet::new()).unwrap();
        judge_family(&journal, &places(&[3, 5]), &BTreeSet::new()).unwrap_err();
        judge_family(&journal, &places(&[3, 5]), &BTreeSet::from([0])).unwrap();
    }
}
