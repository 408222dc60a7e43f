use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::task::yield_now;

use super::*;

#[test]
fn a_fault_strikes_after_its_steps_in_each_life_and_so_often_in_all() {
    let plan = FaultPlan::parse("trades:panic:after=2:times=2").unwrap();
    let life = || {
        let faults = plan.for_child("trades");
        (0..4).map(|_| faults.step()).collect::<Vec<_>>()
    };
    assert_eq!(life(), [None, None, Some(FaultKind::Panic), Some(FaultKind::Panic)]);
    assert_eq!(life(), [None; 4], "used up in the first life");
}

#[test]
fn each_life_counts_its_own_passes() {
    let plan = FaultPlan::parse("writer-0:panic:at=peeked:after=1:times=2").unwrap();
    for _ in 0..2 {
        let life = plan.for_child("writer-0");
        assert_eq!(life.at(FaultPoint::Peeked), None);
        assert_eq!(life.at(FaultPoint::Peeked), Some(FaultKind::Panic));
    }
}

#[test]
fn a_plan_reaches_only_its_children() {
    let plan = FaultPlan::parse("trades:end; writer-0:freeze:after=1").unwrap();
    assert_eq!(plan.for_child("prices").step(), None);
    assert_eq!(plan.for_child("trades").step(), Some(FaultKind::End));
    let writer = plan.for_child("writer-0");
    assert_eq!([writer.step(), writer.step(), writer.step()], [None, Some(FaultKind::Freeze), None]);
}

#[test]
fn every_point_is_struck_by_its_name_and_passes_of_others_do_not_count() {
    for point in FaultPoint::ALL.iter().copied() {
        let plan = FaultPlan::parse(&format!("writer-0:panic:at={point}:after=1")).unwrap();
        let faults = plan.for_child("writer-0");
        for other in FaultPoint::ALL.iter().copied().filter(|other| *other != point) {
            assert_eq!((faults.at(other), faults.at(other)), (None, None), "{other} for {point}");
        }
        assert_eq!((faults.at(point), faults.at(point)), (None, Some(FaultKind::Panic)), "{point}");
    }
}

#[test]
fn clones_count_together() {
    let one = FaultPlan::parse("writer-0:panic:at=answered:after=2").unwrap().for_child("writer-0");
    let clone = one.clone();
    assert_eq!((one.at(FaultPoint::Answered), clone.at(FaultPoint::Answered)), (None, None));
    let struck = std::thread::spawn(move || clone.at(FaultPoint::Answered)).join().unwrap();
    assert_eq!(struck, Some(FaultKind::Panic));
    assert_eq!(one.at(FaultPoint::Answered), None, "it has struck as often as it was asked to");
}

#[test]
fn a_panic_strikes_between_awaits() {
    let faults = FaultPlan::parse("writer-0:panic:at=accepted:after=1").unwrap().for_child("writer-0");
    let pass = || catch_unwind(AssertUnwindSafe(|| faults.strike_at(FaultPoint::Accepted)));
    assert!(pass().is_ok());
    assert!(pass().is_err());
    assert!(pass().is_ok(), "it has struck as often as it was asked to");
}

#[tokio::test]
async fn a_point_that_is_reached_panics_or_stands_still() {
    let panics = FaultPlan::parse("writer-0:panic:at=delivery").unwrap().for_child("writer-0");
    assert!(tokio::spawn(async move { panics.reach(FaultPoint::Delivery).await }).await.is_err());

    let freezes = FaultPlan::parse("writer-0:freeze:at=delivery").unwrap().for_child("writer-0");
    tokio::select! {
        biased;
        () = freezes.reach(FaultPoint::Delivery) => panic!("it goes on"),
        () = yield_now() => {}
    }
    freezes.reach(FaultPoint::Delivery).await;
}

#[test]
fn what_is_not_a_fault_is_refused() {
    for text in [
        "trades",
        "trades:burn",
        ":panic",
        "trades:panic:after",
        "trades:panic:after=x",
        "trades:end:at=1",
        "trades:panic:at=nowhere",
        "trades:end:at=delivered",
        "trades:freeze:on=text",
        "trades:panic:on=text:at=delivered",
        "trades:panic:on=text:after=1",
    ] {
        assert_eq!(FaultPlan::parse(text).unwrap_err(), InvalidFault::Syntax(text.to_owned()));
    }
    for text in
        ["", "trades:end:at=step", "trades:block:at=delivered:after=1:times=2", "trades:panic:on=text"]
    {
        assert!(FaultPlan::parse(text).is_ok(), "{text}");
    }
}
