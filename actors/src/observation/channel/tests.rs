use super::*;

fn channel() -> ChannelObservation {
    ChannelObservation::new(Channel::parse("price").unwrap())
}

#[test]
fn every_way_of_an_event_keeps_the_books_balanced() {
    let channel = channel();
    for _ in 0..7 {
        channel.receive();
    }
    channel.filter();
    channel.recover(3, 100);
    assert_eq!((channel.pending(), channel.held_in(Place::Memory), channel.held_in(Place::Disk)), (10, 7, 3));
    channel.spool(5);
    channel.end(Place::Memory, Outcome::Duplicate, 1);
    channel.end(Place::Memory, Outcome::Dropped(DropReason::Crash), 1);
    channel.end(Place::Disk, Outcome::Stored, 2);
    channel.end(Place::Disk, Outcome::Quarantined, 1);
    channel.end(Place::Disk, Outcome::Dropped(DropReason::SpoolFull), 1);
    assert_eq!((channel.came(), channel.ended(), channel.pending()), (11, 7, 4));
    assert_eq!((channel.held_in(Place::Memory), channel.held_in(Place::Disk)), (0, 4));
    assert_eq!(channel.audit(), None);
}

#[test]
fn an_event_that_ends_twice_or_never_is_a_violation() {
    let channel = channel();
    channel.receive();
    channel.stored.add(1);
    let twice = Violation { channel: Channel::parse("price").unwrap(), came: 1, accounted: 2 };
    assert_eq!(channel.audit(), Some(twice));
    channel.in_memory.left.add(1);
    assert_eq!(channel.audit(), None);
    channel.receive();
    channel.in_memory.left.add(1);
    assert_eq!(channel.audit().map(|lost| lost.missing()), Some(1));
}

#[test]
fn an_event_that_leaves_a_place_where_it_was_not_is_a_violation() {
    let (ended, spooled) = (channel(), channel());
    ended.receive();
    ended.end(Place::Disk, Outcome::Stored, 1);
    assert_eq!(ended.audit().map(|violation| (violation.came, violation.accounted)), Some((1, 2)));
    spooled.spool(1);
    assert_eq!(spooled.audit().map(|violation| (violation.came, violation.accounted)), Some((0, 1)));
}

#[test]
fn ordinals_rise_over_what_was_recovered() {
    let channel = channel();
    assert_eq!((channel.receive(), channel.receive()), (0, 1));
    channel.recover(2, 40);
    assert_eq!(channel.receive(), 41);
    channel.recover(1, 7);
    assert_eq!(channel.receive(), 42);
}
