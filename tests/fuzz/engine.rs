//! The loop over the inputs of a target.

use std::collections::HashSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::mutation::mutate;
use crate::targets::Target;

/// Time after which an input counts as a hang: four orders of magnitude above the slowest one, for a busy machine.
pub(crate) const HANG: Duration = Duration::from_secs(20);
/// Inputs between two looks at the memory.
const ROUND: u64 = 2_048;
/// Rounds until the memory counts: caches fill, the corpus grows.
const WARM_UP: u64 = 64;
/// Memory that may come on top of that, in bytes: the allocator keeps what the largest inputs needed.
const GROWTH: u64 = 96 * 1024 * 1024;
/// Inputs kept because their outcome was new.
const MAX_CORPUS: usize = 1_024;

/// When a run ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// After this many inputs.
    Inputs(u64),
    /// After this time, with the round that has begun.
    Elapsed(Duration),
}

/// A target under way.
pub(crate) struct Fuzzing {
    target: Target,
    rng: Rng,
    outcomes: HashSet<u64>,
    input: Vec<u8>,
    kept: Arc<KeptInput>,
    watch: Arc<Watch>,
}

impl Fuzzing {
    pub(crate) fn new(target: Target, seed: u64) -> Fuzzing {
        // another sequence for each target
        let mix =
            target.name.bytes().fold(seed, |mix, byte| mix.wrapping_mul(0x100_0000_01b3) ^ u64::from(byte));
        let kept = Arc::new(KeptInput::of(target.name));
        let watch = Watch::begin(Arc::clone(&kept));
        Fuzzing { target, rng: Rng::with_seed(mix), outcomes: HashSet::new(), input: Vec::new(), kept, watch }
    }

    /// Runs to the end; returns the number of inputs.
    pub(crate) fn run(mut self, until: Until) -> u64 {
        let started = Instant::now();
        let (mut inputs, mut rounds, mut allowed) = (0, 0, u64::MAX);
        for seed in self.target.seeds.clone() {
            self.try_one(&seed);
        }
        loop {
            for _ in 0..ROUND {
                if matches!(until, Until::Inputs(most) if inputs >= most) {
                    return self.end(inputs, started);
                }
                self.draw();
                let input = std::mem::take(&mut self.input);
                self.try_one(&input);
                self.input = input;
                inputs += 1;
            }
            rounds += 1;
            let resident = resident_bytes();
            if rounds == WARM_UP {
                allowed = resident + GROWTH;
            }
            assert!(resident <= allowed, "{}: memory grew to {resident} bytes", self.target.name);
            if matches!(until, Until::Elapsed(limit) if started.elapsed() >= limit) {
                return self.end(inputs, started);
            }
        }
    }

    fn end(self, inputs: u64, started: Instant) -> u64 {
        let per_second = inputs as f64 / started.elapsed().as_secs_f64();
        println!(
            "{:<10} {inputs:>12} inputs  {per_second:>9.0}/s  {} outcomes",
            self.target.name,
            self.outcomes.len()
        );
        inputs
    }

    /// Draws the next input.
    pub(crate) fn draw(&mut self) -> &[u8] {
        let seeds = &self.target.seeds;
        self.input.clear();
        if !seeds.is_empty() {
            self.input.extend_from_slice(&seeds[self.rng.usize(0..seeds.len())]);
        }
        mutate(&mut self.rng, &mut self.input, seeds, self.target.tokens);
        &self.input
    }

    /// Tries an input, and keeps it for mutation if its outcome is new.
    pub(crate) fn try_one(&mut self, input: &[u8]) {
        self.kept.note(input);
        self.watch.inputs.fetch_add(1, Relaxed);
        let outcome = catch_unwind(AssertUnwindSafe(|| (self.target.run)(input)));
        let outcome = outcome.unwrap_or_else(|_| panic!("{}", self.kept.failed("a panic")));
        if self.outcomes.insert(outcome) && self.target.seeds.len() < MAX_CORPUS {
            self.target.seeds.push(input.to_vec());
        }
    }
}

impl Drop for Fuzzing {
    fn drop(&mut self) {
        self.watch.is_over.store(true, Relaxed);
    }
}

/// The input that is being tried. With `FUZZ_KEEP` it is in its file before it is tried, and so outlives whatever it does to
/// the process.
struct KeptInput {
    path: PathBuf,
    input: Mutex<Vec<u8>>,
    is_written_first: bool,
}

impl KeptInput {
    fn of(target: &str) -> KeptInput {
        let folder = std::env::var_os("FUZZ_FOLDER")
            .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("fuzz"), PathBuf::from);
        fs::create_dir_all(&folder).unwrap();
        let is_written_first = std::env::var_os("FUZZ_KEEP").is_some_and(|keep| !keep.is_empty());
        let path = folder.join(format!("{target}-{}", std::process::id()));
        KeptInput { path, input: Mutex::default(), is_written_first }
    }

    fn note(&self, input: &[u8]) {
        let mut kept = self.input.lock().unwrap();
        kept.clear();
        kept.extend_from_slice(input);
        if self.is_written_first {
            fs::write(&self.path, input).unwrap();
        }
    }

    /// Writes the input, and says how to repeat it.
    fn failed(&self, what: &str) -> String {
        fs::write(&self.path, &*self.input.lock().unwrap()).unwrap();
        format!("{what}; to repeat it:\n  make fuzz INPUT={}\n", self.path.display())
    }
}

/// Ends the process when an input takes longer than [`HANG`].
struct Watch {
    inputs: AtomicU64,
    is_over: AtomicBool,
}

impl Watch {
    fn begin(kept: Arc<KeptInput>) -> Arc<Watch> {
        let watch = Arc::new(Watch { inputs: AtomicU64::new(0), is_over: AtomicBool::new(false) });
        let watched = Arc::clone(&watch);
        // a test shortens it
        let limit = std::env::var("FUZZ_FAULT").map_or(HANG, |_| Duration::from_secs(2));
        thread::spawn(move || watched.watch(&kept, limit));
        watch
    }

    #[expect(clippy::disallowed_methods, reason = "a thread that hangs cannot be ended otherwise")]
    fn watch(&self, kept: &KeptInput, limit: Duration) {
        let (mut seen, mut since) = (0, Instant::now());
        while !self.is_over.load(Relaxed) {
            thread::sleep(Duration::from_millis(100));
            let inputs = self.inputs.load(Relaxed);
            if inputs != seen {
                (seen, since) = (inputs, Instant::now());
            } else if inputs > 0 && since.elapsed() > limit && !self.is_over.load(Relaxed) {
                eprintln!("{}", kept.failed(&format!("no result within {limit:?}")));
                std::process::exit(1);
            }
        }
    }
}

fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
