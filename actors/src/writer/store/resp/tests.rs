use super::*;
use uw_websocket_core::event::EntryId;

const BOUND: Bound = Bound { bytes: 64, items: 16 };

#[test]
fn commands_are_arrays_of_strings() {
    let mut commands = Commands::default();
    commands.command(&[b"XADD", b"k", b"1-0"]).command(&[b"PING"]);
    assert_eq!(commands.bytes(), b"*3\r\n$4\r\nXADD\r\n$1\r\nk\r\n$3\r\n1-0\r\n*1\r\n$4\r\nPING\r\n");
    assert_eq!(commands.count(), 2);
}

#[test]
fn ids_are_formatted_at_any_length() {
    for id in [
        EntryId::default(),
        EntryId { ms: u64::MAX, seq: u64::MAX },
        EntryId { ms: 1_747_419_592_926, seq: 3 },
    ] {
        assert_eq!(id_text(id).as_ref(), id.to_string().as_bytes());
    }
}

#[test]
fn reads_every_kind_of_reply() {
    let wire = b"*6\r\n+QUEUED\r\n-OOM no\r\n:-7\r\n$3\r\na\r\n\r\n$-1\r\n*-1\r\n+next\r\n";
    let (reply, length) = parse(wire, BOUND).unwrap().unwrap();
    assert_eq!(
        reply,
        Reply::Array(Some(vec![
            Reply::Status(b"QUEUED"),
            Reply::Error(b"OOM no"),
            Reply::Integer(-7),
            Reply::Bulk(Some(b"a\r\n")),
            Reply::Bulk(None),
            Reply::Array(None),
        ]))
    );
    assert_eq!(&wire[length..], b"+next\r\n");
}

#[test]
fn waits_for_the_rest_of_a_reply() {
    let wire = b"*2\r\n$5\r\nhello\r\n:1\r\n";
    for end in 0..wire.len() {
        assert_eq!(parse(&wire[..end], BOUND), Ok(None), "{end}");
    }
    assert!(parse(wire, BOUND).unwrap().is_some());
}

#[test]
fn a_reply_beyond_its_bound_is_refused_as_soon_as_it_says_so() {
    let many = "*4\r\n".repeat(5);
    let long = format!("*1\r\n${}\r\n", BOUND.bytes + 1);
    let endless = format!("+{}", "x".repeat(BOUND.bytes));
    let nested = "*2\r\n:1\r\n".repeat(6);
    for large in ["$65\r\n", "$9223372036854775807\r\n", "*17\r\n", "*9223372036854775807\r\n"] {
        assert_eq!(parse(large.as_bytes(), BOUND), Err(BadReply::TooLarge(BOUND)), "{large}");
    }
    for large in [&many, &long, &endless] {
        assert_eq!(parse(large.as_bytes(), BOUND), Err(BadReply::TooLarge(BOUND)), "{large}");
    }
    assert_eq!(parse(nested.as_bytes(), BOUND), Ok(None), "{nested}");
    // also when it is complete at once
    let complete = format!("+{}\r\n", "x".repeat(BOUND.bytes));
    let parts = format!("*2\r\n{0}{0}", format!("$40\r\n{}\r\n", "x".repeat(40)));
    for large in [&complete, &parts] {
        assert_eq!(parse(large.as_bytes(), BOUND), Err(BadReply::TooLarge(BOUND)), "{large}");
    }
    assert!(parse(b"$64\r\n", BOUND).is_ok_and(|reply| reply.is_none()));
}

#[test]
fn the_bound_grows_with_the_question() {
    let mut commands = Commands::default();
    let small = commands.bound();
    commands.command(&[b"PING"]).expect(Bound { bytes: 1, items: 2 });
    assert_eq!(commands.bound().items, small.items + 3);
    assert_eq!(commands.bound().bytes, small.bytes + BYTES_PER_COMMAND + 1);
}

#[test]
fn names_what_is_no_reply() {
    for wrong in [
        "HTTP/1.1 400 Bad Request\r\n",
        "$x\r\n",
        "$-2\r\n",
        "*-2\r\n",
        "$-9223372036854775808\r\n",
        "*-9223372036854775808\r\n",
        "\r\n",
        "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
    ] {
        assert!(parse(wrong.as_bytes(), BOUND).is_err(), "{wrong}");
    }
}
