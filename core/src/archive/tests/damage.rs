//! Damage at any byte of a file.

use std::path::PathBuf;

use tempfile::TempDir;

use super::super::reading::Bad;
use super::*;

/// A file of four frames with three events each, and where each frame begins.
fn file() -> (TempDir, PathBuf, Vec<usize>) {
    let root = tempfile::tempdir().unwrap();
    let (mut store, _) = ArchiveStore::open(root.path(), false).unwrap();
    let (mut begins, mut path) = (Vec::new(), PathBuf::new());
    for frame in 0..4_u64 {
        let mut frames = Frames::default();
        for n in frame * 3..frame * 3 + 3 {
            push(&mut frames, 32 + n * 4);
        }
        begins.push(fs::metadata(&path).map_or(0, |metadata| usize::try_from(metadata.len()).unwrap()));
        store.commit(&frames, &position(frame)).unwrap();
        let days = Days::read(root.path()).unwrap();
        path = days.place(&days.files[0]);
        assert_eq!(days.files.len(), 1);
    }
    (root, path, begins)
}

fn read(path: &Path) -> (Vec<u64>, Vec<Bad>) {
    let mut reading = Reading::open(path, None).unwrap();
    let mut numbers = Vec::new();
    while let Some(text) = reading.next_lines().unwrap() {
        numbers.extend(lines(text).map(|line| ArchiveLine::parse(line).unwrap().id.seq));
    }
    (numbers, reading.take_bad())
}

#[test]
fn a_file_that_is_cut_at_any_byte_is_read_up_to_there() {
    let (_root, path, begins) = file();
    let whole = fs::read(&path).unwrap();
    let all = read(&path).0;
    assert_eq!(all.len(), 12);
    for cut in 0..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let (numbers, bad) = read(&path);
        let frames = begins.iter().filter(|begin| **begin <= cut).count() - 1;
        assert!(numbers.len() >= frames * 3 && all.starts_with(&numbers), "{cut}: {numbers:?}");
        let expected = (!begins.contains(&cut)).then(|| Bad {
            offset: begins[frames] as u64,
            bytes: (cut - begins[frames]) as u64,
            is_cut: true,
        });
        assert_eq!(bad, Vec::from_iter(expected), "{cut}");
    }
}

#[test]
fn a_file_with_any_byte_changed_loses_the_frame_that_it_is_in_and_says_where() {
    let (_root, path, begins) = file();
    let whole = fs::read(&path).unwrap();
    let all = read(&path).0;
    for at in 0..whole.len() {
        for mask in [0x01, 0x80, 0xFF] {
            let mut damaged = whole.clone();
            damaged[at] ^= mask;
            fs::write(&path, &damaged).unwrap();
            let (numbers, bad) = read(&path);
            let frame = begins.iter().filter(|begin| **begin <= at).count() - 1;
            let rest: Vec<u64> = all
                .chunks(3)
                .enumerate()
                .filter(|(n, _)| *n != frame)
                .flat_map(|(_, n)| n.to_vec())
                .collect();
            // a bit of a frame's header that changes nothing of its lines leaves them readable
            assert!(numbers == rest || numbers == all, "{at} ^ {mask}: {numbers:?}");
            let end = begins.get(frame + 1).copied().unwrap_or(whole.len()) as u64;
            let is_said = |bad: &Bad| bad.offset >= begins[frame] as u64 && bad.offset + bad.bytes == end;
            assert!(matches!(&bad[..], [bad] if is_said(bad)) || numbers == all, "{at} ^ {mask}: {bad:?}");
        }
    }
}

#[test]
fn bytes_of_others_in_a_file_are_passed_over() {
    let (_root, path, begins) = file();
    let whole = fs::read(&path).unwrap();
    let mut mixed = b"rubbish".to_vec();
    mixed.extend(&whole[..begins[1]]);
    mixed.extend([0x28; 5]);
    mixed.extend(&whole[begins[1]..]);
    fs::write(&path, &mixed).unwrap();
    let (numbers, bad) = read(&path);
    assert_eq!(numbers.len(), 12);
    let places: Vec<(u64, u64)> = bad.iter().map(|bad| (bad.offset, bad.bytes)).collect();
    assert_eq!(places, [(0, 7), (begins[1] as u64 + 7, 5)]);
}
