//! The result is independent of order and repetition of answers and events.

use proptest::collection::vec;
use proptest::prelude::*;

use super::samples::of_text;
use super::story::{Story, story};
use super::world::World;
use super::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// The fetcher writes an answer, possibly late.
    Answer(usize),
    Event(usize),
    /// Read the hash.
    Look,
    /// Write the wanted content.
    Write,
    /// Write the wanted content, lose the reply, and read the hash.
    WriteUnheard,
}

/// All answers and events of a story, some of them twice, with reads and writes in between, in any order.
fn steps(story: &Story) -> impl Strategy<Value = Vec<Step>> + use<> {
    let (answers, events) = (story.answers.len(), story.events.len());
    let all: Vec<Step> = (0..answers).map(Step::Answer).chain((0..events).map(Step::Event)).collect();
    let again = vec(
        prop_oneof![
            any::<prop::sample::Index>().prop_map(move |at| {
                if answers == 0 { Step::Look } else { Step::Answer(at.index(answers)) }
            }),
            any::<prop::sample::Index>()
                .prop_map(move |at| { if events == 0 { Step::Look } else { Step::Event(at.index(events)) } }),
            Just(Step::Look),
            Just(Step::Write),
            Just(Step::WriteUnheard),
        ],
        0..16,
    );
    again.prop_flat_map(move |again| {
        let steps: Vec<Step> = all.iter().copied().chain(again).collect();
        Just(steps).prop_shuffle()
    })
}

fn play(story: &Story, steps: &[Step]) -> Option<Hash> {
    let mut world = World::new(story.endpoint);
    for step in steps {
        let before = world.hash.clone();
        match *step {
            Step::Answer(at) => world.rest(&story.answers[at]),
            Step::Event(at) => {
                let (payload, received_us) = &story.events[at];
                world.body.add(payload, of_text(payload, *received_us)).unwrap();
            }
            // nothing written yet: deleted hashes are covered elsewhere
            Step::Look if world.hash.is_none() => {}
            Step::Look => world.look(),
            Step::Write => world.settle(),
            Step::WriteUnheard => {
                if let Some(wanted) = world.body.wanted() {
                    world.hash = Some(wanted);
                    world.look();
                }
            }
        }
        if !matches!(step, Step::Answer(_)) {
            assert_not_backwards(before.as_ref(), world.hash.as_ref());
        }
    }
    world.settle();
    world.hash
}

/// Our writes never lower `fetched_at`.
fn assert_not_backwards(before: Option<&Hash>, after: Option<&Hash>) {
    if let (Some(before), Some(after)) = (before, after) {
        assert!(times::parse(&before.fetched_at) <= times::parse(&after.fetched_at), "{before:?} {after:?}");
    }
}

fn in_order(story: &Story) -> Vec<Step> {
    let answers = (0..story.answers.len()).map(Step::Answer);
    answers.chain((0..story.events.len()).map(Step::Event)).collect()
}

fn told(endpoint: BodyEndpoint) -> impl Strategy<Value = (Story, Vec<Step>)> {
    story(endpoint).prop_flat_map(|story| {
        let steps = steps(&story);
        (Just(story), steps)
    })
}

fn endpoint() -> impl Strategy<Value = BodyEndpoint> {
    prop::sample::select(&BodyEndpoint::ALL[..])
}

proptest! {
    #[test]
    fn any_order_ends_in_the_same_body((story, steps) in endpoint().prop_flat_map(told)) {
        prop_assert_eq!(play(&story, &steps), play(&story, &in_order(&story)));
    }

    #[test]
    fn what_is_shown_is_never_older_than_rest_or_an_event((story, steps) in endpoint().prop_flat_map(told)) {
        let newest_answer = story.answers.iter().map(|answer| samples::us(&answer.fetched_at)).max();
        let is_rests = |hash: &Hash| story.answers.contains(hash);
        if let Some(hash) = play(&story, &steps) {
            let fetched_us = samples::us(&hash.fetched_at);
            prop_assert!(Some(fetched_us) >= newest_answer);
            if !is_rests(&hash) {
                let newest_event = story.events.iter().map(|event| event.1).max().unwrap_or_default();
                prop_assert!(fetched_us >= i64::try_from(newest_event).unwrap());
            }
        }
    }

    #[test]
    fn a_restart_and_a_replay_change_nothing((story, steps) in endpoint().prop_flat_map(told)) {
        let mut world = World::new(story.endpoint);
        world.hash = play(&story, &steps);
        let before = world.hash.clone();
        world.restart();
        world.settle();
        prop_assert_eq!(&world.hash, &before, "what is there is right");
        if story.endpoint == BodyEndpoint::StockState && before.is_none() {
            return Ok(());
        }
        for (payload, received_us) in &story.events {
            world.body.add(payload, of_text(payload, *received_us)).unwrap();
            world.settle();
            prop_assert_eq!(&world.hash, &before, "after {}", payload);
        }
    }
}
