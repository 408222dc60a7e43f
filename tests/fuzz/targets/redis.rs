//! Replies of Redis.

use uw_websocket_actors::writer::store::cluster::slots::{BadSlots, Redirect, SlotMap};
use uw_websocket_actors::writer::store::resp::{BadReply, Bound, Reply, parse};
use uw_websocket_core::slots::SLOTS;

use super::{Target, magnitude, outcome, seeds};

/// Replies, complete or not, within the bound of a query.
pub(crate) fn resp() -> Target {
    let seeds = seeds(&[
        "+OK\r\n",
        "-ERR max number of clients reached\r\n",
        "-EXECABORT Transaction discarded because of: OOM command not allowed\r\n",
        ":-12\r\n",
        "$5\r\nhello\r\n",
        "$-1\r\n",
        "*-1\r\n",
        "*3\r\n$3\r\n1-0\r\n*2\r\n$7\r\npayload\r\n$2\r\n{}\r\n:1\r\n",
        "+OK\r\n+QUEUED\r\n*2\r\n$15\r\n1747419592926-0\r\n-WRONGTYPE Operation against a key\r\n",
        "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
    ]);
    let tokens = &["\r\n", "*2\r\n", "$3\r\n", "$-1\r\n", "+", "-", ":", "*", "$", "%1\r\n", "_\r\n"];
    Target { name: "resp", seeds, tokens, short: 20_000, run: Box::new(try_one) }
}

fn try_one(input: &[u8]) -> u64 {
    let bound = Bound { bytes: 16 * 1024, items: 256 };
    match parse(input, bound) {
        Ok(None) => {
            assert!(input.len() <= bound.bytes, "it waits beyond the bound");
            outcome(("short", magnitude(input.len())))
        }
        Ok(Some((reply, length))) => {
            assert!(length <= input.len() && elements(&reply) <= bound.items);
            // the bytes behind a reply do not change it, and it is complete with the last of its own
            let alone = parse(&input[..length], bound);
            assert_eq!(alone.unwrap().map(|(reply, _)| reply), Some(reply));
            assert_eq!(parse(&input[..length - 1], bound).map(|found| found.is_none()), Ok(true));
            outcome((input.first(), magnitude(length)))
        }
        Err(BadReply::TooLarge(_)) => outcome("large"),
        Err(BadReply::NotResp(text)) => outcome(("foreign", magnitude(text.len()))),
    }
}

/// The slots of a cluster as a node tells them, and where it sends a command.
pub(crate) fn slots() -> Target {
    let seeds = seeds(&[
        "*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$9\r\n127.0.0.1\r\n:7000\r\n$2\r\nid\r\n",
        "*2\r\n*4\r\n:0\r\n:9\r\n*2\r\n$-1\r\n:1\r\n*2\r\n$0\r\n\r\n:2\r\n*3\r\n:10\r\n:16383\r\n*2\r\n$1\r\n?\r\n:3\r\n",
        "MOVED 3999 127.0.0.1:6381",
        "ASK 0 ::1:7000",
        "EXECABORT Transaction discarded because of: ASK 5 h:1",
    ]);
    let tokens =
        &["\r\n", ":16383\r\n", ":-1\r\n", "*3\r\n", "$-1\r\n", "MOVED ", "ASK ", "16384", "65536", "["];
    Target { name: "slots", seeds, tokens, short: 2_000, run: Box::new(try_slots) }
}

fn try_slots(input: &[u8]) -> u64 {
    if let Some(Redirect { slot, node, is_ask }) = Redirect::of(input, "asked") {
        assert!(slot < SLOTS && !node.host.is_empty());
        return outcome(("redirect", is_ask, node.host.len().min(9)));
    }
    let Ok(Some((reply, _))) = parse(input, Bound { bytes: 16 * 1024, items: 256 }) else {
        return outcome("no reply");
    };
    match SlotMap::of(&reply, "asked") {
        Ok(map) => {
            let owners = (0..SLOTS).filter_map(|slot| map.owner(slot));
            let mut owned = 0;
            for owner in owners {
                assert!(map.masters().contains(owner));
                owned += 1;
            }
            assert_eq!(owned, map.covered());
            outcome(("map", map.masters().len().min(4), map.replicas().count().min(4), magnitude(owned)))
        }
        Err(BadSlots::Form) => outcome("form"),
        Err(BadSlots::TooManyNodes) => outcome("many"),
    }
}

fn elements(reply: &Reply<'_>) -> usize {
    match reply {
        Reply::Array(Some(replies)) => replies.len() + replies.iter().map(elements).sum::<usize>(),
        _ => 0,
    }
}
