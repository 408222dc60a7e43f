//! Random inputs for every parser of what comes from outside: mutations of a corpus, drawn from a seed.
//!
//! `make fuzz MINUTES=10` shares the time among all targets; `make test` tries a fixed number of inputs with a fixed seed. A
//! target fails by a panic (also of an assertion about its result), by an input that takes longer than [`engine::HANG`],
//! and by memory that grows from round to round. The input is kept in a file, and `make fuzz INPUT=…` tries it again.

#![cfg(test)]

mod engine;
mod mutation;
mod targets;

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use engine::{Fuzzing, Until};
use targets::Target;

/// The seed of `make test`.
const SEED: u64 = 1;

/// A setting of `make fuzz`.
fn asked(variable: &str) -> Option<String> {
    std::env::var_os(variable)?.into_string().ok().filter(|text| !text.is_empty())
}

fn number(variable: &str) -> Option<u64> {
    asked(variable).map(|text| text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}

#[test]
fn the_first_inputs_of_a_seed_are_survived() {
    for target in targets::all() {
        let until = Until::Inputs(target.short);
        Fuzzing::new(target, SEED).run(until);
    }
}

#[test]
#[ignore = "as long as it is told to: make fuzz"]
fn long_run() {
    let seed = number("FUZZ_SEED").unwrap_or(SEED);
    let seconds = number("FUZZ_MINUTES").unwrap_or(10) * 60;
    let only = asked("FUZZ_TARGET");
    let mut targets = targets::all();
    targets.retain(|target| only.as_deref().is_none_or(|name| name == target.name));
    assert!(!targets.is_empty(), "there is no target {only:?}");
    println!("seed {seed}");
    let share = Duration::from_secs(seconds) / u32::try_from(targets.len()).unwrap();
    let inputs: u64 =
        targets.into_iter().map(|target| Fuzzing::new(target, seed).run(Until::Elapsed(share))).sum();
    println!("{inputs} inputs in total");
}

#[test]
#[ignore = "needs a file: make fuzz INPUT=…"]
fn one_input() {
    let path = asked("FUZZ_INPUT").expect("FUZZ_INPUT names a file");
    let path = Path::new(&path);
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut targets = targets::all();
    targets.push(targets::broken());
    let target = targets.into_iter().find(|target| name.split('-').next() == Some(target.name));
    let target = target.unwrap_or_else(|| panic!("{name} does not begin with the name of a target"));
    Fuzzing::new(target, SEED).try_one(&std::fs::read(path).unwrap());
    println!("survived");
}

#[test]
#[ignore = "fails on purpose"]
fn of_a_broken_target() {
    Fuzzing::new(targets::broken(), SEED).run(Until::Inputs(1_000_000));
}

/// Runs an ignored test of this program in a process of its own.
fn run_ignored(name: &str, settings: &[(&str, &str)]) -> (Output, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "--nocapture", name]);
    command.envs(settings.iter().copied());
    let output = command.output().unwrap();
    let text = [&output.stdout[..], &output.stderr].concat();
    (output, String::from_utf8_lossy(&text).into_owned())
}

/// The file that a failed run has named.
fn named_input(text: &str) -> &str {
    let after = text.split("make fuzz INPUT=").nth(1).unwrap_or_else(|| panic!("no file is named: {text}"));
    after.lines().next().unwrap()
}

#[test]
fn a_panic_and_a_hang_are_found_and_can_be_repeated() {
    for (fault, reported) in [("panic", "a panic"), ("hang", "no result within"), ("growth", "memory grew")] {
        let folder = tempfile::tempdir().unwrap();
        let settings = [("FUZZ_FAULT", fault), ("FUZZ_FOLDER", folder.path().to_str().unwrap())];
        let (output, text) = run_ignored("of_a_broken_target", &settings);
        assert!(!output.status.success() && text.contains(reported), "{fault}: {text}");
        if fault == "growth" {
            continue;
        }
        let path = named_input(&text);
        let (again, text) = run_ignored("one_input", &[&settings[..], &[("FUZZ_INPUT", path)]].concat());
        assert!(!again.status.success() && text.contains(reported), "{fault}: {text}");
    }
}

#[test]
fn a_seed_draws_the_same_inputs_again() {
    let drawn = |seed| {
        let mut fuzzing = Fuzzing::new(Target::nothing(), seed);
        (0..2_000).map(|_| fuzzing.draw().to_vec()).collect::<Vec<_>>()
    };
    assert_eq!(drawn(3), drawn(3));
    assert_ne!(drawn(3), drawn(4));
}
