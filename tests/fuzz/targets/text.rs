//! Texts of the operator: settings, and recordings.

use std::fs;

use uw_websocket::escape;
use uw_websocket::event_lines::{EventLine, LinePayload};
use uw_websocket::settings::{Settings, Sources};

use super::{Target, magnitude, outcome, seeds};

const TOKEN: &str = "0123abcd-token-4567";

/// A `.env` file: it is accepted or refused, and the token is in none of the texts.
pub(crate) fn settings() -> Target {
    // of memory, where there is such a folder: a disk takes a hundred times as long as the parser
    let in_memory = tempfile::tempdir_in("/dev/shm");
    let folder = in_memory.or_else(|_| tempfile::tempdir()).unwrap();
    let path = folder.path().join(".env");
    let seeds = seeds(&[
        "ENABLE_WEBSOCKET=true\nTARGET_SYMBOLS=SPY,QQQ\nCHANNELS=price,news,option_trades:SPXW\n",
        "REDIS_URL=rediss://user:p%40ss@redis.example:6380/3?db=3\nTLS_CA_FILE=\nSTREAM_RETENTION=6h\n",
        "REDIS_URL='unix:///run/redis.sock?db=1&password=x'\nREDIS_STREAM_MAXLEN_BY_CHANNEL=option_trades=200000,news=0\n",
        "\u{feff}export SPOOL_MAX_BYTES=\"4GiB\" # comment\r\nSPOOL_FSYNC=1s\r\nHTTP_ADDR=[::1]:9464\r\n",
        "TARGET_SYMBOLS=*\nWHEN_JOINS_EXCEED=global\nWEBSOCKET_RECONNECT_SECONDS=2.5\nSNAPSHOT_INTERVAL_MS=250ms\n",
        "HTTP_ALLOWED_HOSTS=status.example\nLOG_LEVEL=debug\nLOG_FORMAT=json\nWRITER_SHARDS=4\nSPOOL_KEEP=10s\n",
    ]);
    let tokens = &[
        "\n", "=", "'", "\"", "$", "${TOKEN}", "#", "export ", "redis://", "unix://", "?db=", "@", ":", ",",
        "*", "KiB", "ms", "d", "_FILE=",
    ];
    let run = move |input: &[u8]| {
        let _folder = &folder;
        fs::write(&path, input).unwrap();
        let sources = Sources {
            environment: vec![("UNUSUAL_WHALES_API_TOKEN".into(), TOKEN.into())],
            dotenv: Some(path.clone()),
            ..Sources::default()
        };
        match Settings::load(&sources) {
            Ok(settings) => {
                assert!(!format!("{settings:?}").contains(TOKEN));
                outcome(("accepted", settings.warnings.len()))
            }
            Err(errors) => {
                let text = errors.to_string();
                assert!(!text.contains(TOKEN), "{text}");
                outcome(("refused", magnitude(text.len())))
            }
        }
    };
    Target { name: "settings", seeds, tokens, short: 500, run: Box::new(run) }
}

/// Lines of recordings: an event that is read can be written on one line and is then read as the same.
pub(crate) fn lines() -> Target {
    let seeds = seeds(&[
        r#"["gex:SPY",{"price":"1.20", "b":[]}]"#,
        r#"["gex:SPY",{"response":{},"status":"ok"}]"#,
        r#"{"stream":"uw:ws:price:SPY","id":"17-4","channel":"price","symbol":"SPY","payload":{"close" : "2"}}"#,
        r#"{"stream":"uw:ws:gaps","id":"18-1","channel":"gaps","symbol":null,"payload":{"family":"gex"}}"#,
        r#"{"shard":0,"of":2,"seq":1,"received_at":"1970-01-01T00:00:01.500007+00:00","channel":"flow-alerts","streams":[{"stream":"flow-alerts","id":"1-1"},{"stream":"flow-alerts:QQQ","id":"1-1"}],"payload":"{\n}"}"#,
    ]);
    let tokens = &[
        "\"payload\":",
        "\"{\\n}\"",
        "\"channel\":\"price\"",
        "\"symbol\":\"SPY\"",
        "\"id\":\"1-1\"",
        "\"streams\":[",
    ];
    Target { name: "lines", seeds, tokens, short: 5_000, run: Box::new(try_line) }
}

fn try_line(input: &[u8]) -> u64 {
    let Ok(line) = std::str::from_utf8(input) else { return outcome("not text") };
    let (name, frame) = match EventLine::read(line) {
        Ok(EventLine::Event(name, frame)) => (name, frame),
        Ok(EventLine::NoEvent) => return outcome("no event"),
        Err(error) => return outcome(error.to_string()),
    };
    let payload = serde_json::to_value(name.channel()).unwrap();
    let symbol = serde_json::to_value(name.symbol()).unwrap();
    let written = escape::json(&LinePayload::of(&frame.payload)).unwrap();
    let line = format!(r#"{{"channel":{payload},"symbol":{symbol},"payload":{written}}}"#);
    assert!(!line.contains(escape::controls), "one line");
    let Ok(EventLine::Event(again, same)) = EventLine::read(&line) else { panic!("{line} cannot be read") };
    assert_eq!((again, same.payload), (name, frame.payload));
    outcome(("event", magnitude(line.len())))
}
