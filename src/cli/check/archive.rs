//! Checks the folder of the archive without leaving files in it.

use std::io::Write;
use std::sync::mpsc;

use uw_websocket_actors::settings::ActorSettings;

use super::disk::{LIMIT, exposed_to_others, try_to_write};
use super::plan::mebibytes;
use super::report::{Finding, Report};
use crate::archive_forecast::{ADVICE, Room, nearest};
use crate::exposed;

/// Runs the checks and reports the findings; nothing without an archive.
pub(super) fn look(settings: &ActorSettings, report: &mut Report<impl Write>) {
    let Some(archive) = &settings.archive else { return };
    report.section("Archive", &archive.dir.display().to_string());
    let (done, findings) = mpsc::sync_channel(1);
    let asked = settings.clone();
    // abandoned if the disk hangs; the process ends without waiting
    std::thread::spawn(move || done.send(findings_of(&asked)));
    match findings.recv_timeout(LIMIT) {
        Ok(findings) => findings.iter().for_each(|finding| report.add(finding)),
        Err(_) => report.add(&unusable(format!("the disk does not answer within {LIMIT:?}"))),
    }
}

/// The service runs without its archive, and keeps the events in the disk queue.
fn unusable(text: String) -> Finding {
    Finding::doubt(
        "folder",
        text,
        "ARCHIVE_DIR must name a folder of the service's user (in the image: 65532)",
    )
}

fn findings_of(settings: &ActorSettings) -> Vec<Finding> {
    let Some(archive) = &settings.archive else { return Vec::new() };
    let there = nearest(&archive.dir);
    let is_there = there == archive.dir;
    if let Err(error) = try_to_write(&there) {
        let verb = if is_there { "written to" } else { "created" };
        return vec![unusable(format!("cannot be {verb}: {}: {error}", there.display()))];
    }
    let text = if is_there { "exists and is writable" } else { "does not exist and can be created" };
    let mut findings = vec![Finding::fine("folder", text)];
    findings.extend(Room::of(settings).map(|room| room_of(&room)));
    findings.extend(exposed_to_others(exposed::of_spool(&archive.dir)));
    findings
}

fn room_of(room: &Room) -> Finding {
    let kept = match room.forecast.kept_bytes {
        Some(bytes) => format!("the retention up to {}", mebibytes(bytes)),
        None => "without a limit of age".to_owned(),
    };
    let text = format!(
        "a day takes up to {}, {kept}; {} free, {} used, of ARCHIVE_MAX_BYTES {}",
        mebibytes(room.forecast.day_bytes),
        mebibytes(room.free),
        mebibytes(room.used),
        mebibytes(room.max_bytes)
    );
    if room.is_enough() { Finding::fine("room", text) } else { Finding::doubt("room", text, ADVICE) }
}

#[cfg(test)]
mod tests {
    use uw_websocket_actors::forecast::archive::ArchiveForecast;

    use super::super::report::Mark;
    use super::*;

    #[test]
    fn a_disk_or_a_limit_too_small_for_the_retention_is_doubtful() {
        let room = |free, used, max_bytes, kept_bytes| {
            room_of(&Room { forecast: ArchiveForecast { day_bytes: 10, kept_bytes }, free, used, max_bytes })
                .mark
        };
        assert_eq!(room(50, 10, 100, Some(60)), Mark::Fine);
        assert_eq!(room(49, 10, 100, Some(60)), Mark::Doubt);
        assert_eq!(room(500, 10, 59, Some(60)), Mark::Doubt);
        assert_eq!(room(20, 0, 100, None), Mark::Fine);
        assert_eq!(room(19, 0, 100, None), Mark::Doubt);
    }
}
