use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::event::Route;
use crate::messages::OnDisk;
use crate::observation::Observations;
use crate::samples::{event, observations, outlet, read_at, route};

const SIZE: TransactionSize = TransactionSize { events: 5, weight: 40 };

/// A backlog, and events that carry their numbers.
struct World {
    backlog: Backlog,
    observations: Arc<Observations>,
    route: Arc<Route>,
    disk: Disk,
}

impl World {
    fn new() -> World {
        World {
            backlog: Backlog::new(SIZE),
            observations: observations(&["price"], 1),
            route: route(0, vec![outlet("price:SPY", 0)]),
            disk: Disk::nowhere("shard-0-of-1"),
        }
    }

    fn batch(&self, numbers: impl IntoIterator<Item = u64>) -> EventBatch {
        let events = numbers.into_iter().map(|number| event(&self.route, &number.to_string(), 0));
        crate::samples::batch(&self.observations, events)
    }

    /// A copy of the records from `first` on.
    fn copy(&self, first: u64, numbers: impl IntoIterator<Item = u64>) -> EventBatch {
        let on_disk = OnDisk { disk: self.disk.clone(), first };
        let mut batch = EventBatch::from_disk(on_disk, read_at(), Arc::clone(&self.observations));
        numbers.into_iter().for_each(|number| batch.add_read(event(&self.route, &number.to_string(), 0)));
        batch
    }

    fn range(&self, from: u64, to: u64) -> Range {
        Range { disk: self.disk.clone(), from, to }
    }

    /// What is to be written next: the numbers of each batch, or a range.
    fn take(&self) -> Option<Taken> {
        self.backlog.take().map(Taken::of)
    }
}

#[derive(Debug, PartialEq)]
enum Taken {
    Batches(Vec<Vec<u64>>),
    Range(u64, u64),
}

impl Taken {
    fn of(next: Next) -> Taken {
        match next {
            Next::Batches(batches) => Taken::Batches(batches.iter().map(numbers).collect()),
            Next::Range(range) => Taken::Range(range.from, range.to),
        }
    }
}

fn batches(batches: &[&[u64]]) -> Taken {
    Taken::Batches(batches.iter().map(|numbers| numbers.to_vec()).collect())
}

fn numbers(batch: &EventBatch) -> Vec<u64> {
    batch.events().iter().map(|event| std::str::from_utf8(&event.payload).unwrap().parse().unwrap()).collect()
}

fn bytes_of(numbers: impl IntoIterator<Item = u64>) -> usize {
    numbers.into_iter().map(|number| number.to_string().len() + size_of::<Event>()).sum()
}

#[tokio::test]
async fn what_comes_in_is_joined_up_to_a_transaction() {
    let world = World::new();
    for number in 0..7 {
        world.backlog.push(world.batch([number])).unwrap();
    }
    let came = world.backlog.incoming(usize::MAX).await.unwrap();
    assert_eq!(came.iter().map(numbers).collect::<Vec<_>>(), [vec![0, 1, 2, 3, 4], vec![5, 6]]);
}

#[tokio::test]
async fn what_comes_in_is_taken_within_a_bound_and_at_least_one_batch() {
    let world = World::new();
    (0..4).for_each(|n| world.backlog.push(world.batch(n * 5..n * 5 + 5)).unwrap());
    let take = async |bytes| world.backlog.incoming(bytes).await.map(|came| came.len());
    assert_eq!(take(bytes_of(0..12)).await, Some(2));
    assert_eq!(take(0).await, Some(1));
    world.backlog.close();
    assert_eq!(take(usize::MAX).await, Some(1));
    assert_eq!(take(usize::MAX).await, None);
}

#[test]
fn nothing_comes_in_after_the_end() {
    let world = World::new();
    world.backlog.close();
    let late = world.backlog.push(world.batch([1])).unwrap_err();
    assert_eq!(numbers(&late), [1]);
}

#[test]
fn batches_in_memory_are_joined_and_taken_as_one_transaction() {
    let world = World::new();
    for (from, to) in [(0, 2), (2, 4), (4, 8), (8, 9), (9, 10)] {
        world.backlog.ready(world.batch(from..to));
    }
    assert_eq!(world.backlog.ready_bytes(), bytes_of(0..10));
    assert_eq!(world.take(), Some(batches(&[&[0, 1, 2, 3]])));
    assert_eq!(world.take(), Some(batches(&[&[4, 5, 6, 7, 8]])));
    assert_eq!(world.take(), Some(batches(&[&[9]])));
    assert_eq!((world.take(), world.backlog.ready_bytes()), (None, 0));
}

#[test]
fn an_event_above_the_size_goes_alone() {
    let world = World::new();
    let large = 10_u64.pow(18);
    world.backlog.ready(world.batch([1]));
    world.backlog.ready(world.batch([large, large, large]));
    world.backlog.ready(world.batch([2]));
    assert_eq!(world.take(), Some(batches(&[&[1]])));
    assert_eq!(world.take(), Some(batches(&[&[large, large, large]])));
    assert_eq!(world.take(), Some(batches(&[&[2]])));
}

#[test]
fn copies_are_joined_only_if_one_follows_the_other_on_disk() {
    let world = World::new();
    world.backlog.ready(world.copy(10, [0, 1]));
    world.backlog.ready(world.copy(12, [2]));
    world.backlog.ready(world.copy(20, [3]));
    world.backlog.ready(world.batch([4]));
    assert_eq!(world.take(), Some(batches(&[&[0, 1, 2], &[3]])), "both of one disk");
    assert_eq!(world.take(), Some(batches(&[&[4]])), "in memory alone");
}

#[test]
fn ranges_that_follow_each_other_are_one() {
    let world = World::new();
    world.backlog.ready_on_disk(world.range(0, 3));
    world.backlog.ready_on_disk(world.range(3, 3));
    world.backlog.ready_on_disk(world.range(3, 7));
    world.backlog.ready_on_disk(world.range(9, 10));
    let other = Disk::nowhere("shard-0-of-2");
    world.backlog.ready_on_disk(Range { disk: other, from: 10, to: 11 });
    assert_eq!(world.take(), Some(Taken::Range(0, 7)));
    assert_eq!(world.take(), Some(Taken::Range(9, 10)));
    assert_eq!(world.take(), Some(Taken::Range(10, 11)));
    assert!(world.backlog.is_drained());
}

#[test]
fn what_was_read_of_a_range_and_its_rest_come_first() {
    let world = World::new();
    world.backlog.ready_on_disk(world.range(0, 9));
    world.backlog.ready(world.batch([9]));
    assert_eq!(world.take(), Some(Taken::Range(0, 9)));
    world.backlog.give_back(vec![world.copy(0, 0..4), world.copy(5, [5])], world.range(6, 9));
    assert_eq!(world.backlog.ready_bytes(), bytes_of([0, 1, 2, 3, 5, 9]));
    assert_eq!(world.take(), Some(batches(&[&[0, 1, 2, 3], &[5]])));
    assert_eq!(world.take(), Some(Taken::Range(6, 9)));
    world.backlog.give_back(Vec::new(), world.range(9, 9));
    assert_eq!(world.take(), Some(batches(&[&[9]])));
}

#[test]
fn only_what_is_of_a_disk_is_taken_of_it() {
    let world = World::new();
    let old = Disk::nowhere("shard-0-of-2");
    world.backlog.ready(world.copy(0, [7]));
    world.backlog.give_back(Vec::new(), Range { disk: old.clone(), from: 0, to: 4 });
    let taken = || world.backlog.take_of(&old).map(Taken::of);
    assert_eq!(taken(), Some(Taken::Range(0, 4)));
    assert_eq!(taken(), None);
    assert_eq!(world.backlog.take_of(&world.disk).map(Taken::of), Some(batches(&[&[7]])));
    world.backlog.ready(world.batch([8]));
    assert_eq!((taken(), world.take()), (None, Some(batches(&[&[8]]))));
}

#[test]
fn what_is_in_memory_alone_is_taken_out_in_order_and_the_rest_stays() {
    let world = World::new();
    world.backlog.ready(world.copy(0, [0]));
    world.backlog.ready(world.batch(1..6));
    world.backlog.ready_on_disk(world.range(1, 2));
    world.backlog.ready(world.batch([7]));
    assert!(!world.backlog.is_safe());
    let taken = |bytes| world.backlog.take_unsafe(bytes).iter().map(numbers).collect::<Vec<_>>();
    assert_eq!(taken(0), [[1, 2, 3, 4, 5]]);
    assert_eq!(world.backlog.ready_bytes(), bytes_of([0, 7]));
    assert_eq!(taken(usize::MAX), [[7]]);
    assert!(taken(usize::MAX).is_empty() && world.backlog.is_safe());
    assert_eq!(world.take(), Some(batches(&[&[0]])));
    assert_eq!(world.take(), Some(Taken::Range(1, 2)));
}

#[test]
fn what_is_being_written_is_safe_only_on_the_disk() {
    let world = World::new();
    world.backlog.set_in_flight(Some(Rc::new(vec![world.copy(0, [0])])));
    assert!(world.backlog.is_safe());
    let in_flight = Rc::new(vec![world.batch([1])]);
    world.backlog.set_in_flight(Some(Rc::clone(&in_flight)));
    assert!(!world.backlog.is_safe());
    in_flight[0].spooled(OnDisk { disk: world.disk.clone(), first: 1 });
    assert!(world.backlog.is_safe());
}

#[test]
fn copies_that_are_let_go_of_become_ranges_in_their_place() {
    let world = World::new();
    world.backlog.ready_on_disk(world.range(0, 2));
    world.backlog.ready(world.copy(2, [2, 3]));
    world.backlog.ready(world.batch([4]));
    world.backlog.ready(world.copy(4, [5]));
    world.backlog.ready_on_disk(world.range(5, 6));
    world.backlog.forget_copies();
    assert_eq!(world.backlog.ready_bytes(), bytes_of([4]));
    assert_eq!(world.take(), Some(Taken::Range(0, 4)));
    assert_eq!(world.take(), Some(batches(&[&[4]])));
    assert_eq!(world.take(), Some(Taken::Range(4, 6)));
}

#[test]
fn only_what_is_in_memory_alone_is_changed() {
    let world = World::new();
    world.backlog.ready(world.batch([0]));
    world.backlog.ready(world.copy(0, [1]));
    world.backlog.ready(world.batch([2]));
    let mut changed = Vec::new();
    world.backlog.change(|event| changed.push(event.payload.clone()));
    assert_eq!(changed, ["0", "2"]);
}

#[tokio::test]
async fn it_ends_when_it_is_complete_and_empty() {
    let world = World::new();
    world.backlog.ready(world.batch([1]));
    world.backlog.close();
    assert!(!world.backlog.is_complete());
    world.backlog.complete();
    assert_eq!(world.backlog.next().await.map(Taken::of), Some(batches(&[&[1]])));
    assert!(world.backlog.next().await.is_none());
}

#[tokio::test]
async fn whoever_waits_hears_of_it() {
    let world = World::new();
    let (came, next) = (world.backlog.incoming(1), world.backlog.next());
    let taken = world.backlog.taken();
    let fill = async {
        tokio::task::yield_now().await;
        world.backlog.push(world.batch([1])).unwrap();
        tokio::task::yield_now().await;
        world.backlog.ready(world.batch([2]));
    };
    let (came, next, (), ()) = tokio::join!(came, next, taken, fill);
    assert_eq!(came.unwrap().iter().map(numbers).collect::<Vec<_>>(), [[1]]);
    assert_eq!(next.map(Taken::of), Some(batches(&[&[2]])));
}

/// Where an event of the model is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    Memory,
    Copy(u64),
    Disk(u64),
}

#[derive(Clone, Debug)]
enum Step {
    /// So many events become ready in memory, as copies, or on the disk alone.
    Ready(usize, u8),
    /// The drain takes, and reads so much of a range.
    Take(usize),
    /// What is in memory alone goes to the disk, all or at least one, and to the end.
    Spill(bool),
    Forget,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1_usize..9, 0_u8..3).prop_map(|(events, at)| Step::Ready(events, at)),
        3 => (0_usize..9).prop_map(Step::Take),
        1 => any::<bool>().prop_map(Step::Spill),
        1 => Just(Step::Forget),
    ];
    prop::collection::vec(step, 1..60)
}

/// The backlog as a plain list of events, and every record that was ever on the disk.
struct Model {
    world: World,
    ready: VecDeque<(u64, At)>,
    records: Vec<u64>,
    next: u64,
}

impl Model {
    fn record(&mut self, number: u64) -> u64 {
        self.records.push(number);
        self.records.len() as u64 - 1
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Ready(events, at) => self.make_ready(events as u64, at),
            Step::Take(read) => self.take(read),
            Step::Spill(all) => self.spill(all),
            Step::Forget => {
                self.world.backlog.forget_copies();
                for (_, at) in &mut self.ready {
                    if let At::Copy(seq) = *at {
                        *at = At::Disk(seq);
                    }
                }
            }
        }
    }

    fn make_ready(&mut self, events: u64, at: u8) {
        let numbers = self.next..self.next + events;
        self.next += events;
        let first = self.records.len() as u64;
        for number in numbers.clone() {
            let at = match at {
                0 => At::Memory,
                1 => At::Copy(self.record(number)),
                _ => At::Disk(self.record(number)),
            };
            self.ready.push_back((number, at));
        }
        match at {
            0 => self.world.backlog.ready(self.world.batch(numbers)),
            1 => self.world.backlog.ready(self.world.copy(first, numbers)),
            _ => self.world.backlog.ready_on_disk(self.world.range(first, first + events)),
        }
    }

    fn take(&mut self, read: usize) {
        match self.world.backlog.take() {
            None => assert!(self.ready.is_empty(), "{:?}", self.ready),
            Some(Next::Batches(batches)) => {
                assert!(batches.len() == 1 || SIZE.fits(&batches));
                assert!(batches.windows(2).all(|two| two[0].is_beside(&two[1])));
                for batch in &batches {
                    let first = batch.on_disk().map(|on_disk| on_disk.first);
                    for (number, nth) in numbers(batch).into_iter().zip(0..) {
                        let at = first.map_or(At::Memory, |first| At::Copy(first + nth));
                        assert_eq!(self.ready.pop_front(), Some((number, at)));
                    }
                }
            }
            Some(Next::Range(range)) => self.read(range, read as u64),
        }
    }

    fn read(&mut self, range: Range, read: u64) {
        for (seq, (number, at)) in (range.from..range.to).zip(&mut self.ready) {
            assert_eq!((*number, *at), (self.records[usize::try_from(seq).unwrap()], At::Disk(seq)));
            if seq < range.from + read {
                *at = At::Copy(seq);
            }
        }
        let to = range.to.min(range.from + read);
        let numbers =
            self.records[usize::try_from(range.from).unwrap()..usize::try_from(to).unwrap()].to_vec();
        let copies: Vec<EventBatch> = numbers
            .chunks(SIZE.events)
            .zip(0_u64..)
            .map(|(numbers, nth)| {
                self.world.copy(range.from + nth * SIZE.events as u64, numbers.iter().copied())
            })
            .collect();
        self.world.backlog.give_back(copies, Range { from: to, ..range });
    }

    fn spill(&mut self, all: bool) {
        let taken = self.world.backlog.take_unsafe(if all { usize::MAX } else { 0 });
        let mut moved = VecDeque::new();
        for batch in taken {
            let batch_numbers = numbers(&batch);
            let first = self.records.len() as u64;
            for number in batch_numbers {
                let position = self.ready.iter().position(|(_, at)| *at == At::Memory).unwrap();
                assert_eq!(self.ready.remove(position), Some((number, At::Memory)));
                let seq = self.record(number);
                moved.push_back((number, At::Copy(seq)));
            }
            batch.spooled(OnDisk { disk: self.world.disk.clone(), first });
            self.world.backlog.ready(batch);
        }
        assert!(!all || self.world.backlog.is_safe());
        self.ready.append(&mut moved);
    }

    fn check(&self) {
        let in_memory = self.ready.iter().filter(|(_, at)| !matches!(at, At::Disk(_)));
        assert_eq!(self.world.backlog.ready_bytes(), bytes_of(in_memory.map(|(number, _)| *number)));
        assert_eq!(self.world.backlog.is_drained(), self.ready.is_empty());
        assert_eq!(self.world.backlog.is_safe(), self.ready.iter().all(|(_, at)| *at != At::Memory));
    }
}

proptest! {
    #[test]
    fn the_order_of_all_events_is_kept_and_nothing_is_lost_or_doubled(steps in steps()) {
        let mut model =
            Model { world: World::new(), ready: VecDeque::new(), records: Vec::new(), next: 0 };
        for step in &steps {
            model.step(step);
            model.check();
        }
        while !model.ready.is_empty() {
            model.step(&Step::Take(3));
            model.check();
        }
        prop_assert!(model.world.backlog.take().is_none());
    }
}
