use proptest::prelude::*;

use super::*;

const AT_MS: i64 = 1_796_072_400_000;

/// A frame of the board of `at_ms` with rows of these strikes.
fn frame(at_ms: i64, total: usize, strikes: &[u32]) -> BoardFrame {
    let rows: Vec<String> = strikes
        .iter()
        .map(|strike| format!(r#"{{"strike":"{strike}","expiry":"2026-12-18","gamma": 1.50,"at":{at_ms}}}"#))
        .collect();
    let payload = format!(
        r#"{{"ticker":"SPX","timestamp":{at_ms},"total_rows":{total},"has_more":true,"rows":[{}]}}"#,
        rows.join(",")
    );
    BoardFrame {
        payload: payload.into(),
        received_us: u64::try_from(AT_MS).unwrap() * 1000,
        id: EntryId {
            ms: u64::try_from(at_ms).unwrap(),
            seq: u64::from(strikes.first().copied().unwrap_or(0)),
        },
    }
}

fn add(assembly: &mut Assembly, frame: BoardFrame) -> Option<Board> {
    assembly.add(MapKey::ExpiryAndStrike, frame).unwrap()
}

fn strikes(board: &Board) -> Vec<u32> {
    let mut strikes: Vec<u32> =
        board.rows.keys().map(|field| field.strip_prefix("2026-12-18:").unwrap().parse().unwrap()).collect();
    strikes.sort_unstable();
    strikes
}

#[test]
fn a_board_is_complete_when_its_rows_add_up() {
    let mut assembly = Assembly::default();
    assert_eq!(add(&mut assembly, frame(AT_MS, 3, &[6500, 6505])), None);
    assert!(assembly.bytes() > 0);
    let last = frame(AT_MS, 3, &[6510]);
    let board = add(&mut assembly, last.clone()).unwrap();
    assert_eq!((strikes(&board), &board.last), (vec![6500, 6505, 6510], &last));
    assert_eq!(
        board.rows["2026-12-18:6500"],
        r#"{"strike":"6500","expiry":"2026-12-18","gamma": 1.50,"at":1796072400000}"#,
        "as it came"
    );
    assert_eq!((assembly.bytes(), assembly.take_dropped()), (0, 0));
}

#[test]
fn a_board_of_one_frame_and_an_empty_one_are_complete_at_once() {
    let mut assembly = Assembly::default();
    assert_eq!(strikes(&add(&mut assembly, frame(AT_MS, 1, &[5])).unwrap()), [5]);
    assert_eq!(strikes(&add(&mut assembly, frame(AT_MS + 1, 0, &[])).unwrap()), [0_u32; 0]);
}

#[test]
fn frames_of_two_boards_may_come_between_each_other() {
    let mut assembly = Assembly::default();
    assert_eq!(add(&mut assembly, frame(AT_MS, 2, &[1])), None);
    assert_eq!(add(&mut assembly, frame(AT_MS + 1, 2, &[1])), None);
    assert_eq!(strikes(&add(&mut assembly, frame(AT_MS, 2, &[2])).unwrap()), [1, 2]);
    assert_eq!(strikes(&add(&mut assembly, frame(AT_MS + 1, 2, &[3])).unwrap()), [1, 3]);
    assert_eq!(assembly.take_dropped(), 0);
}

#[test]
fn an_older_board_is_not_shown_after_a_newer_one_and_is_counted() {
    let mut assembly = Assembly::default();
    assert_eq!(add(&mut assembly, frame(AT_MS, 2, &[1])), None);
    assert!(add(&mut assembly, frame(AT_MS + 1, 1, &[1])).is_some());
    assert_eq!(assembly.take_dropped(), 1);
    assert_eq!(add(&mut assembly, frame(AT_MS, 2, &[2])), None);
    assert_eq!(assembly.bytes(), 0);
    // the same board once more, amended
    assert!(add(&mut assembly, frame(AT_MS + 1, 1, &[7])).is_some());
}

#[test]
fn a_frame_that_is_sent_again_does_not_complete_a_board() {
    let mut assembly = Assembly::default();
    assert_eq!(add(&mut assembly, frame(AT_MS, 4, &[1, 2])), None);
    assert_eq!(add(&mut assembly, frame(AT_MS, 4, &[2, 1])), None);
    assert_eq!(strikes(&add(&mut assembly, frame(AT_MS, 4, &[3, 4])).unwrap()), [1, 2, 3, 4]);
    // a row that one frame has twice is counted in its total
    assert_eq!(strikes(&add(&mut assembly, frame(AT_MS + 1, 3, &[1, 1, 2])).unwrap()), [1, 2]);
}

#[test]
fn a_board_with_another_total_begins_anew() {
    let mut assembly = Assembly::default();
    assert_eq!(add(&mut assembly, frame(AT_MS, 3, &[1])), None);
    assert_eq!(add(&mut assembly, frame(AT_MS, 2, &[2])), None);
    assert_eq!(strikes(&add(&mut assembly, frame(AT_MS, 2, &[3])).unwrap()), [2, 3]);
}

#[test]
fn boards_that_never_end_take_no_memory() {
    let mut assembly = Assembly::default();
    for at_ms in AT_MS..AT_MS + 100 {
        assert_eq!(add(&mut assembly, frame(at_ms, 2, &[1])), None);
    }
    assert_eq!((assembly.parts.len(), assembly.take_dropped()), (MAX_ASSEMBLED, 98));
    (0..3).for_each(|_| assembly.drop_one());
    assert_eq!((assembly.bytes(), assembly.take_dropped()), (0, 2));
}

#[test]
fn a_board_of_the_future_gives_way_to_the_next_one() {
    let mut assembly = Assembly::default();
    let of_2099 = 4_070_908_800_000;
    assert_eq!(add(&mut assembly, frame(of_2099, 2, &[1])), None);
    assert_eq!(strikes(&add(&mut assembly, frame(of_2099, 2, &[2])).unwrap()), [1, 2]);
    assert!(add(&mut assembly, frame(AT_MS, 1, &[3])).is_some());
}

#[test]
fn what_is_no_part_of_a_board_is_told() {
    let mut assembly = Assembly::default();
    for payload in [
        "7",
        "{}",
        r#"{"timestamp":1,"total_rows":2}"#,
        r#"{"timestamp":1,"total_rows":2,"rows":[{"strike":"5"}]}"#,
        r#"{"timestamp":1,"total_rows":2,"rows":[{"strike":5,"expiry":"2026-12-18"}]}"#,
        r#"{"timestamp":1,"total_rows":0,"rows":[{"strike":"5","expiry":"2026-12-18"}]}"#,
        r#"{"timestamp":1,"total_rows":9999999,"rows":[]}"#,
        r#"{"timestamp":"1","total_rows":2,"rows":[]}"#,
    ] {
        let frame = BoardFrame { payload: payload.into(), received_us: 1, id: EntryId::default() };
        assert!(assembly.add(MapKey::ExpiryAndStrike, frame).is_err(), "{payload}");
    }
    assert_eq!(assembly.bytes(), 0);
}

proptest! {
    /// Whatever the order of the frames of some boards: what is shown is whole, and never older than before.
    #[test]
    fn only_whole_boards_are_shown_and_never_an_older_one(
        frames in Just((0..4_i64).flat_map(|board| (0..3_u32).map(move |part| (board, part))).collect::<Vec<_>>())
            .prop_shuffle(),
    ) {
        let mut assembly = Assembly::default();
        let mut newest = None;
        for (board, part) in frames {
            if let Some(shown) = add(&mut assembly, frame(AT_MS + board, 6, &[2 * part, 2 * part + 1])) {
                prop_assert_eq!(strikes(&shown), [0, 1, 2, 3, 4, 5]);
                let time = format!(r#""at":{}"#, AT_MS + board);
                prop_assert!(shown.rows.values().all(|row| std::str::from_utf8(row).unwrap().contains(&time)));
                prop_assert!(newest.is_none_or(|before| before <= board));
                newest = Some(board);
            }
        }
    }

    #[test]
    fn no_text_panics(payload in any::<String>()) {
        let frame = BoardFrame { payload: payload.into(), received_us: 1, id: EntryId::default() };
        drop(Assembly::default().add(MapKey::ExpiryAndStrike, frame));
    }
}
