//! The quarantine file across crashes, full disks and external changes.

use std::fs;

use super::*;

const ID: EntryId = EntryId { ms: 1_000, seq: 0 };

fn poison<'e>(entries: &'e [(&'e str, EntryId)], payload: &'e [u8]) -> QuarantinedEvent<'e> {
    QuarantinedEvent {
        at_us: 2_000_000,
        reason: "WRONGTYPE",
        channel: "price",
        entries,
        received_us: 1_000_000,
        payload,
    }
}

/// Quarantines an event with this ID in `stream`.
fn put(quarantine: &mut Quarantine, ms: u64) -> Result<(), QuarantineError> {
    quarantine.put(&poison(&[("stream", EntryId { ms, seq: 0 })], b"{\"n\":1}"))
}

/// Returns the IDs in the file, in order, and the number of unreadable lines.
fn ids(folder: &Path) -> (Vec<String>, usize) {
    let listing = list(folder).unwrap();
    (listing.events.into_iter().map(|event| event.streams[0].id.clone()).collect(), listing.unreadable)
}

#[test]
fn an_event_is_one_line_that_says_everything() {
    let folder = tempfile::tempdir().unwrap();
    let entries = [("uw:ws:price", ID), ("uw:ws:price:SPY", EntryId { ms: 1_001, seq: 7 })];
    Quarantine::new(folder.path()).put(&poison(&entries, br#"{"close": "1.10"}"#)).unwrap();
    let text = fs::read_to_string(folder.path().join(FILE)).unwrap();
    let expected = concat!(
        r#"{"at":"1970-01-01T00:00:02.000000+00:00","reason":"WRONGTYPE","channel":"price","streams":["#,
        r#"{"stream":"uw:ws:price","id":"1000-0"},{"stream":"uw:ws:price:SPY","id":"1001-7"}],"#,
        r#""received_at":"1970-01-01T00:00:01.000000+00:00","payload":{"close": "1.10"}}"#,
        "\n"
    );
    assert_eq!(text, expected);
}

#[test]
fn a_payload_is_a_value_on_one_line_or_a_text() {
    for (bytes, expected) in [
        (&b"{\"a\" : [1, 2]}"[..], "{\"a\" : [1, 2]}"),
        (b"{\"a\":\r\n [1]}", r#""{\"a\":\r\n [1]}""#),
        (b" {}", "\" {}\""),
        (b"1e999", "1e999"),
        (b"{\"a\":", "\"{\\\"a\\\":\""),
        (b"a\nb", "\"a\\nb\""),
        (b"\xff", "\"\u{fffd}\""),
        (b"", "\"\""),
    ] {
        assert_eq!(payload(bytes).unwrap().get(), expected);
    }
}

#[test]
fn nothing_is_made_before_the_first_event() {
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().join("a/b");
    let mut quarantine = Quarantine::new(&spool);
    assert!(!spool.exists() && list(&spool).unwrap().events.is_empty());
    put(&mut quarantine, 1).unwrap();
    assert_eq!(ids(&spool), (vec!["1-0".to_owned()], 0));
}

#[test]
fn an_event_is_written_once_in_one_life_and_over_several() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let mut quarantine = Quarantine::new(folder.path());
        for ms in [1, 2, 1, 2] {
            put(&mut quarantine, ms).unwrap();
        }
    }
    assert_eq!(ids(folder.path()), (vec!["1-0".to_owned(), "2-0".to_owned()], 0));
    // one of several entries identifies an event; IDs of another stream are unrelated
    let mut quarantine = Quarantine::new(folder.path());
    quarantine.put(&poison(&[("other", ID), ("stream", EntryId { ms: 2, seq: 0 })], b"1")).unwrap();
    assert_eq!(ids(folder.path()).0.len(), 2);
    quarantine.put(&poison(&[("other", EntryId { ms: 2, seq: 0 })], b"1")).unwrap();
    assert_eq!(ids(folder.path()).0.len(), 3);
}

#[test]
fn a_line_torn_anywhere_costs_nothing_once_its_event_comes_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    let mut quarantine = Quarantine::new(folder.path());
    put(&mut quarantine, 1).unwrap();
    let whole = fs::metadata(&path).unwrap().len();
    put(&mut quarantine, 2).unwrap();
    let text = fs::read(&path).unwrap();
    for length in usize::try_from(whole).unwrap()..=text.len() {
        fs::write(&path, &text[..length]).unwrap();
        let mut quarantine = Quarantine::new(folder.path());
        for ms in [2, 3] {
            put(&mut quarantine, ms).unwrap();
        }
        let (ids, unreadable) = ids(folder.path());
        assert_eq!(ids, ["1-0", "2-0", "3-0"], "cut at {length}");
        assert!(unreadable <= 1, "cut at {length}");
    }
}

#[test]
fn lines_that_are_not_ours_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(FILE), b"\xff\n\n[]\n{\"streams\":7}\n").unwrap();
    put(&mut Quarantine::new(folder.path()), 1).unwrap();
    assert_eq!(ids(folder.path()), (vec!["1-0".to_owned()], 3));
}

#[test]
fn a_full_file_takes_no_more_until_it_is_moved_away() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    let mut quarantine = Quarantine::new(folder.path());
    put(&mut quarantine, 1).unwrap();
    quarantine.max_bytes = 2 * fs::metadata(&path).unwrap().len();
    put(&mut quarantine, 2).unwrap();
    let refused = put(&mut quarantine, 3).unwrap_err();
    assert!(matches!(refused, QuarantineError::Full(_)), "{refused}");
    assert!(put(&mut quarantine, 2).is_ok(), "what is there is there");
    fs::rename(&path, folder.path().join("seen")).unwrap();
    put(&mut quarantine, 3).unwrap();
    assert_eq!(ids(folder.path()), (vec!["3-0".to_owned()], 0));
}

#[test]
fn a_disk_without_room_is_an_error_and_the_event_is_not_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    let mut quarantine = Quarantine::new(folder.path());
    let full = File::options().read(true).append(true).open("/dev/full").unwrap();
    let entries = [("stream", EntryId { ms: 1, seq: 0 })];
    let error = quarantine.put_into(&full, 0, &poison(&entries, b"{}")).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot write the quarantine file {}", path.display()));
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("No space left"));
    put(&mut quarantine, 1).unwrap();
    assert_eq!(ids(folder.path()), (vec!["1-0".to_owned()], 0));
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut quarantine = Quarantine::new(file.path());
    let error = put(&mut quarantine, 1).unwrap_err();
    assert!(error.to_string().starts_with("cannot open the quarantine file "), "{error}");
    assert!(list(file.path()).is_err());
}
