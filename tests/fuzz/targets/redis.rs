//! Replies of Redis.

use uw_websocket_actors::writer::store::resp::{BadReply, Bound, Reply, parse};

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

fn elements(reply: &Reply<'_>) -> usize {
    match reply {
        Reply::Array(Some(replies)) => replies.len() + replies.iter().map(elements).sum::<usize>(),
        _ => 0,
    }
}
