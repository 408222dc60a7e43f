//! Weeks, not minutes: the parts of the demo at the rates of noon, with restarts of Redis and of the service, watched for
//! what grows. See [`trend`] for what is a trend, and [`kind`] for what is looked at.
//!
//! `make soak HOURS=1` makes a long run, of a copy of the binary: a build meanwhile changes nothing.

mod kind;
mod report;
mod run;
mod sample;
mod trend;

use std::path::Path;
use std::time::Duration;

use report::Report;
use run::{Plan, run};

use crate::support::asked;

/// Ten minutes.
const HOURS: f64 = 1.0 / 6.0;
/// Where the samples of long runs are kept, below the folder of the project.
const SAMPLES: &str = "target/soak";

#[test]
fn the_parts_are_sampled_over_restarts_of_both() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("samples.csv");
    let samples = run(&Plan::new(Duration::from_secs(16)), &file);
    let lives: Vec<usize> = samples.iter().map(|sample| sample.life).collect();
    assert!(lives.contains(&0) && lives.contains(&1), "{lives:?}");
    let kept: Vec<u64> = sample::read(&file).iter().map(|sample| sample.stored).collect();
    assert_eq!(kept, samples.iter().map(|sample| sample.stored).collect::<Vec<_>>());
    let last = samples.last().unwrap();
    assert!(
        last.threads > 5 && last.descriptors > 10 && last.keys > 10 && last.resident > 1 << 20,
        "{last:?}"
    );
    println!("{}", Report::new(&samples, Duration::ZERO));
}

#[test]
#[ignore = "as long as it is told to: make soak"]
fn long_run() {
    let hours = asked("SOAK_HOURS").unwrap_or(HOURS);
    let plan = Plan::new(Duration::from_secs_f64(hours * 3600.0));
    if let Some(file) = std::env::var_os("SOAK_SAMPLES").filter(|file| !file.is_empty()) {
        return judge(&sample::read(Path::new(&file)), &plan);
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(SAMPLES);
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join(format!("samples-{}s.csv", plan.length.as_secs()));
    println!("{plan}; samples in {}", file.display());
    judge(&run(&plan, &file), &plan);
}

#[track_caller]
fn judge(samples: &[sample::Sample], plan: &Plan) {
    let report = Report::new(samples, plan.warm_up);
    println!("{report}");
    assert_eq!(report.trends(), [""; 0], "what grows");
}
