//! The settings as a whole, from sources in memory.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use slog::Level;
use uw_websocket_actors::settings::{Fsync, SpoolMode, SpoolSettings, WhenFull};
use uw_websocket_core::event::Channel;
use uw_websocket_core::request_budget::RequestLimits;
use uw_websocket_core::settings::{Retention, Targets};

use super::*;

const TOKEN: (&str, &str) = ("UNUSUAL_WHALES_API_TOKEN", "t0ken-of-tests");
const ENABLED: (&str, &str) = ("ENABLE_WEBSOCKET", "true");

fn sources(pairs: &[(&str, &str)]) -> Sources {
    let environment =
        pairs.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect();
    Sources { environment, ..Sources::default() }
}

/// The settings of an enabled service with these variables.
#[track_caller]
fn load(pairs: &[(&str, &str)]) -> Settings {
    Settings::load(&sources(&[&[TOKEN, ENABLED], pairs].concat())).unwrap()
}

/// The mistakes of an enabled service with these variables, one a line.
#[track_caller]
fn mistakes(pairs: &[(&str, &str)]) -> String {
    Settings::load(&sources(&[&[TOKEN, ENABLED], pairs].concat())).unwrap_err().to_string()
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let settings = load(&[]);
    let ActorSettings {
        plan,
        feed,
        rest,
        redis,
        keys,
        retention,
        writers,
        spool,
        archive,
        peer_dirs,
        restarts,
    } = &settings.actors;
    assert_eq!((archive, peer_dirs), (&None, &Vec::<PathBuf>::new()));
    assert!(settings.enabled && settings.warnings.is_empty());
    assert_eq!(settings.environment, "development");
    assert_eq!(settings.shutdown_timeout, Duration::from_secs(8));
    assert_eq!(settings.http.addr, Some(SocketAddr::from(([127, 0, 0, 1], 9464))));
    assert_eq!(settings.log, LogSettings { format: LogFormat::Auto, level: Level::Info, dir: None });
    assert_eq!(plan.channels.len(), 7);
    assert!(matches!(&plan.targets, Targets::Symbols(symbols) if symbols.len() == 3));
    assert_eq!((plan.max_connections, plan.max_joins_per_connection), (5, 50));
    assert_eq!(feed.url.as_str(), "wss://api.unusualwhales.com/socket");
    assert_eq!(feed.token.reveal(), TOKEN.1);
    assert_eq!((feed.reconnect_first, feed.reconnect_max), (Duration::from_secs(5), Duration::from_secs(60)));
    assert_eq!(feed.ping_interval, Duration::from_secs(20));
    assert_eq!(rest.url.as_str(), "https://api.unusualwhales.com/");
    let limits = RequestLimits { per_minute: 100, rest_per_minute: 45, fills_per_day: 6_000 };
    assert_eq!(
        (rest.limits, rest.backfill, rest.audit, rest.token.reveal(), rest.fill_requests_per_gap),
        (limits, false, false, TOKEN.1, 2_000)
    );
    assert_eq!(redis.url.reveal(), "redis://localhost:6379/0");
    assert_eq!((keys.prefix.as_str(), keys.snapshots, keys.streams, keys.maxlen), ("uw", true, true, None));
    assert_eq!(keys.maxlen_of(&Channel::parse("news").unwrap()), 20_000);
    assert_eq!(*retention, Retention::Sessions(1));
    assert_eq!((writers.shards, writers.mailbox_capacity, writers.batch_max_events), (2, 64, 512));
    let defaults = SpoolSettings {
        dir: PathBuf::from("data/spool"),
        mode: SpoolMode::Always,
        keep: Duration::from_secs(10),
        max_bytes: 4 << 30,
        when_full: WhenFull::DropOldest,
        fsync: Fsync::Every(Duration::from_secs(1)),
    };
    assert_eq!(*spool, defaults);
    assert_eq!((restarts.intensity, restarts.period), (5, Duration::from_secs(60)));
}

#[test]
fn rest_draws_from_the_limit_of_all_requests() {
    let limits = |pairs: &[_]| load(pairs).actors.rest.limits;
    assert_eq!(limits(&[("RATE_LIMIT_REQUESTS_PER_MINUTE", "120")]).rest_per_minute, 65);
    assert_eq!(limits(&[("REST_REQUESTS_PER_MINUTE", "100")]).rest_per_minute, 100);
    assert_eq!(limits(&[("BACKFILL_MAX_REQUESTS_PER_DAY", "0")]).fills_per_day, 0);
    assert_eq!(
        mistakes(&[("REST_REQUESTS_PER_MINUTE", "101")]),
        "REST_REQUESTS_PER_MINUTE: must be at most RATE_LIMIT_REQUESTS_PER_MINUTE (100), but is 101"
    );
}

#[test]
fn the_rest_side_is_a_web_address_that_is_warned_of_where_the_token_would_be_read() {
    const URL: &str = "UNUSUAL_WHALES_REST_URL";
    let on = ("ENABLE_BACKFILL", "true");
    assert!(load(&[on, (URL, "http://127.0.0.1:1/base")]).warnings.is_empty());
    assert!(load(&[(URL, "http://vendor.example")]).warnings.is_empty(), "it is not asked");
    for on in [on, ("ENABLE_AUDIT", "on")] {
        assert_eq!(load(&[on, (URL, "http://vendor.example")]).warnings[0].variable, URL);
    }
    for url in ["wss://a", "https://u:p@a", "https://a/?token=x", "https://a/?x", "https://a/#b", "a"] {
        assert!(mistakes(&[(URL, url)]).starts_with(URL), "{url}");
    }
}

#[test]
fn the_caps_reach_the_streams() {
    let keys =
        load(&[("REDIS_STREAM_MAXLEN", "0"), ("REDIS_STREAM_MAXLEN_BY_CHANNEL", "news=7")]).actors.keys;
    assert_eq!(
        (keys.maxlen_of(&Channel::parse("news").unwrap()), keys.maxlen_of(&Channel::parse("price").unwrap())),
        (7, 0)
    );
}

#[test]
fn the_disk_queue_is_as_it_is_set() {
    let spool = load(&[
        ("SPOOL_DIR", "/var/spool"),
        ("SPOOL_MODE", "off"),
        ("SPOOL_KEEP", "0"),
        ("SPOOL_MAX_BYTES", "512MiB"),
        ("SPOOL_WHEN_FULL", "block"),
        ("SPOOL_FSYNC", "never"),
    ])
    .actors
    .spool;
    assert_eq!((spool.dir.to_str(), spool.mode), (Some("/var/spool"), SpoolMode::Off));
    assert_eq!((spool.keep, spool.max_bytes), (Duration::ZERO, 512 << 20));
    assert_eq!((spool.when_full, spool.fsync), (WhenFull::Block, Fsync::Never));
    assert_eq!(spool.max_bytes_of_shard(2), 256 << 20);
}

#[test]
fn every_writer_has_a_usable_share_of_the_disk_queue() {
    let share = |shards, bytes| [("WRITER_SHARDS", shards), ("SPOOL_MAX_BYTES", bytes)];
    assert_eq!(load(&share("4", "64MiB")).actors.spool.max_bytes, 64 << 20);
    let text = mistakes(&share("4", "63MiB"));
    let reason = "must be at least 64MiB: it is split over WRITER_SHARDS, and each needs 16MiB";
    assert_eq!(text, format!("SPOOL_MAX_BYTES=63MiB: {reason}"));
    // one mistake, not two, when the number of writers is wrong as well
    assert_eq!(mistakes(&share("0", "16MiB")).lines().count(), 1);
}

#[test]
fn quotes_that_docker_keeps_are_removed_and_what_is_doubtful_is_refused_without_the_secret() {
    let token_of = |text: &str| {
        let name = "UNUSUAL_WHALES_API_TOKEN";
        Settings::load(&sources(&[(name, text)]))
            .map(|settings| settings.actors.feed.token.reveal().to_owned())
    };
    for text in ["\"abc-1\"", "'abc-1'", "abc-1\r", "\u{feff}abc-1"] {
        assert_eq!(token_of(text).unwrap(), "abc-1", "{text:?}");
    }
    assert_eq!(token_of("a\"b'c").unwrap(), "a\"b'c", "within the value a quote is a character");
    for (text, said) in [
        ("\"abc-1", "has a `\"` at one end only"),
        ("abc-1'", "has a `'` at one end only"),
        ("abc\u{200b}-1", "has U+200B, which is not visible"),
        ("abc\u{a0}-1", "has U+00A0, which is not visible"),
    ] {
        let told = token_of(text).unwrap_err().to_string();
        assert!(told.contains(said) && !told.contains("abc"), "{told}");
    }
}

#[test]
fn a_doubtful_character_in_the_dotenv_file_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".env");
    for (value, said) in [
        ("abc\u{200b}-1", "has U+200B, which is not visible: remove it"),
        ("abc-1\"", "has a `\"` at one end only: remove it"),
    ] {
        std::fs::write(&path, format!("# ours\r\n\r\nUNUSUAL_WHALES_API_TOKEN={value}\r\n")).unwrap();
        let sources = Sources { dotenv: Some(path.clone()), ..Sources::default() };
        let told = Settings::load(&sources).unwrap_err().to_string();
        let expected = format!("{} line 3 (UNUSUAL_WHALES_API_TOKEN): {said}", path.display());
        assert!(told.lines().any(|line| line == expected), "{told}");
        assert!(!told.contains("abc"), "{told}");
    }
}

#[test]
fn every_mistake_is_reported_in_one_go_with_its_variable() {
    let bad = [
        ("ENABLE_WEBSOCKET", "maybe"),
        ("UNUSUAL_WHALES_WEBSOCKET_URL", "https://feed.example"),
        ("ENABLE_BACKFILL", "perhaps"),
        ("ENABLE_AUDIT", "perhaps"),
        ("UNUSUAL_WHALES_REST_URL", "wss://rest.example"),
        ("REST_REQUESTS_PER_MINUTE", "0"),
        ("BACKFILL_MAX_REQUESTS_PER_GAP", "many"),
        ("BACKFILL_MAX_REQUESTS_PER_DAY", "-1"),
        ("TARGET_SYMBOLS", "S:Y"),
        ("CHANNELS", "flow_alerts"),
        ("HTTPS_PROXY", "http://h:1/path"),
        ("REDIS_URL", "http://redis.example"),
        ("REDIS_ADDRESS_MAP", "a:1"),
        ("TLS_CA_FILE", "/nonexistent.pem"),
        ("STORE_TO_REDIS", "2"),
        ("ENABLE_HISTORY_STREAMS", "nein"),
        ("REDIS_STREAM_MAXLEN", "-1"),
        ("REDIS_STREAM_MAXLEN_BY_CHANNEL", "news"),
        ("STREAM_RETENTION", "0d"),
        ("RATE_LIMIT_REQUESTS_PER_MINUTE", "0"),
        ("WEBSOCKET_RECONNECT_SECONDS", "0"),
        ("WEBSOCKET_RECONNECT_MAX_SECONDS", "soon"),
        ("WEBSOCKET_PING_SECONDS", "-20"),
        ("WEBSOCKET_MAX_CONNECTIONS", "11"),
        ("WEBSOCKET_MAX_CHANNELS_PER_CONNECTION", "0"),
        ("WHEN_JOINS_EXCEED", "drop"),
        ("WRITER_SHARDS", "0"),
        ("WRITER_MAILBOX_CAPACITY", "0"),
        ("WRITER_BATCH_MAX_EVENTS", "0"),
        ("SNAPSHOT_INTERVAL_MS", "61000"),
        ("SPOOL_MODE", "on"),
        ("SPOOL_KEEP", "2h"),
        ("SPOOL_MAX_BYTES", "4GB"),
        ("SPOOL_WHEN_FULL", "drop"),
        ("SPOOL_FSYNC", "often"),
        ("ARCHIVE_RETENTION", "0d"),
        ("ARCHIVE_MAX_BYTES", "4GB"),
        ("SPOOL_PEER_DIRS", "/a,,/b"),
        ("RESTART_INTENSITY", "-1"),
        ("RESTART_PERIOD_SECONDS", "0"),
        ("SHUTDOWN_TIMEOUT_SECONDS", "0"),
        ("HTTP_ADDR", "localhost"),
        ("PROBE_ADDR", "localhost:80"),
        ("HTTP_ALLOWED_HOSTS", "*"),
        ("LOG_FORMAT", "xml"),
        ("LOG_LEVEL", "loud"),
        ("KEY_PREFIX", "a:b"),
        ("ENVIRONMENT", "a\nb"),
    ];
    let text = Settings::load(&sources(&[&[TOKEN], &bad[..]].concat())).unwrap_err().to_string();
    assert_eq!(text.lines().count(), bad.len(), "{text}");
    for (name, value) in bad {
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("{name}=")))
            .unwrap_or_else(|| panic!("{name}\n{text}"));
        let value = value.replace('\n', "\\n");
        assert!(line.starts_with(&format!("{name}={value}")), "{line}");
        assert!(line.split_once(": ").is_some_and(|(_, reason)| reason.len() > 10), "{line}");
    }
    // everything in the table can be wrong, except the token, the exceptions and the folders, which any text can name
    let not_tried =
        VARIABLES.iter().map(|v| v.name).filter(|name| !bad.iter().any(|(tried, _)| tried == name));
    assert_eq!(
        not_tried.collect::<Vec<_>>(),
        ["UNUSUAL_WHALES_API_TOKEN", "NO_PROXY", "SPOOL_DIR", "ARCHIVE_DIR", "LOG_DIR"]
    );
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let settings = load(&[("TARGET_SYMBOLS", ""), ("REDIS_STREAM_MAXLEN", " "), ("TLS_CA_FILE", "")]);
    assert!(matches!(&settings.actors.plan.targets, Targets::Symbols(symbols) if symbols.len() == 3));
    assert_eq!(settings.actors.keys.maxlen, None);
}

#[test]
fn an_enabled_service_needs_a_token_and_a_disabled_one_does_not() {
    let text = Settings::load(&sources(&[ENABLED])).unwrap_err().to_string();
    assert!(text.starts_with("UNUSUAL_WHALES_API_TOKEN: is required"), "{text}");
    assert_eq!(text.lines().count(), 1);
    assert!(!Settings::load(&sources(&[])).unwrap().enabled);
}

#[test]
fn a_secret_can_be_read_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (token, redis) = (write("token", "from-file\n"), write("redis", "redis://:pw-in-file@h/1\n"));
    let pairs = [ENABLED, ("UNUSUAL_WHALES_API_TOKEN_FILE", &token), ("REDIS_URL_FILE", &redis)];
    let settings = Settings::load(&sources(&pairs)).unwrap();
    assert_eq!(settings.actors.feed.token.reveal(), "from-file");
    assert_eq!(settings.actors.redis.url.reveal(), "redis://:pw-in-file@h/1");
    assert_eq!(settings.effective[0].to_string(), "UNUSUAL_WHALES_API_TOKEN=*** # file");
}

#[test]
fn a_secret_and_its_file_together_are_one_mistake() {
    let text = mistakes(&[("UNUSUAL_WHALES_API_TOKEN_FILE", "/run/token")]);
    assert_eq!(
        text,
        "UNUSUAL_WHALES_API_TOKEN: is set together with UNUSUAL_WHALES_API_TOKEN_FILE; remove one of them"
    );
}

#[test]
fn an_unreadable_secret_file_is_one_mistake_with_its_path() {
    let pairs = [ENABLED, ("UNUSUAL_WHALES_API_TOKEN_FILE", "/dev/nonexistent")];
    let text = Settings::load(&sources(&pairs)).unwrap_err().to_string();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(
        text.starts_with("UNUSUAL_WHALES_API_TOKEN_FILE=/dev/nonexistent: the file cannot be read"),
        "{text}"
    );
}

#[test]
fn the_environment_wins_over_the_file_and_the_command_line_over_both() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".env");
    std::fs::write(
        &path,
        "KEY_PREFIX=file\nENVIRONMENT=file\nLOG_LEVEL=debug\nHTTP_ADDR=off\nHTTP_ADDR=[::]:1\n",
    )
    .unwrap();
    let mut sources = sources(&[("KEY_PREFIX", "env"), ("ENVIRONMENT", ""), ("LOG_LEVEL", "error")]);
    sources.dotenv = Some(path);
    sources.log_level = Some("trace".to_owned());
    let settings = Settings::load(&sources).unwrap();
    let origin = |name: &str| settings.effective.iter().find(|value| value.name == name).unwrap().to_string();
    assert_eq!(origin("KEY_PREFIX"), "KEY_PREFIX=env # environment");
    assert_eq!(origin("ENVIRONMENT"), "ENVIRONMENT=file # .env");
    assert_eq!(origin("LOG_LEVEL"), "LOG_LEVEL=trace # command line");
    assert_eq!(origin("HTTP_ADDR"), "HTTP_ADDR=[::]:1 # .env");
    assert_eq!(origin("LOG_FORMAT"), "LOG_FORMAT=auto # default");
    assert_eq!(origin("LOG_DIR"), "LOG_DIR= # default: empty");
}

#[test]
fn names_are_taken_in_any_case_and_upper_case_wins() {
    assert_eq!(load(&[("key_prefix", "lower")]).actors.keys.prefix, "lower");
    assert_eq!(load(&[("KEY_PREFIX", "upper"), ("Key_Prefix", "mixed")]).actors.keys.prefix, "upper");
}

#[test]
fn a_prefix_may_have_one_tag_that_keeps_its_keys_in_one_slot() {
    for prefix in ["uw", "{uw}", "desk.{uw}-1"] {
        assert_eq!(load(&[("KEY_PREFIX", prefix)]).actors.keys.prefix, prefix);
    }
    for prefix in ["{uw", "uw}", "{}", "}uw{", "{a}{b}", "{{uw}}", "{a:b}"] {
        assert!(Settings::load(&sources(&[TOKEN, ("KEY_PREFIX", prefix)])).is_err(), "{prefix}");
    }
}

#[test]
fn text_that_is_not_utf8_is_a_mistake_only_where_it_is_ours() {
    let mut sources = sources(&[TOKEN, ENABLED]);
    let garbage = || OsString::from_vec(vec![b'a', 0xff]);
    sources.environment.push((OsString::from("FOREIGN"), garbage()));
    sources.environment.push((garbage(), OsString::from("x")));
    assert!(Settings::load(&sources).is_ok());
    sources.environment.push((OsString::from("KEY_PREFIX"), garbage()));
    assert_eq!(Settings::load(&sources).unwrap_err().to_string(), "KEY_PREFIX: must be UTF-8 text");
}

#[test]
fn nothing_to_write_is_a_mistake() {
    let text = mistakes(&[("STORE_TO_REDIS", "no"), ("ENABLE_HISTORY_STREAMS", "off")]);
    assert!(text.contains("nothing would be kept"), "{text}");
}

#[test]
fn a_channel_is_not_joined_for_all_symbols_and_for_one_of_them() {
    let text = mistakes(&[("TARGET_SYMBOLS", "*"), ("CHANNELS", "option_trades,option_trades:SPXW")]);
    assert!(text.starts_with("CHANNELS: ") && text.contains("leave option_trades:SPXW out"), "{text}");
}

#[test]
fn the_longest_delay_is_at_least_the_first() {
    let text = mistakes(&[("WEBSOCKET_RECONNECT_SECONDS", "2m")]);
    assert!(text.contains("must be at least WEBSOCKET_RECONNECT_SECONDS (120s), but is 60s"), "{text}");
}

#[test]
fn no_mistake_shows_a_secret() {
    let text = mistakes(&[
        ("UNUSUAL_WHALES_WEBSOCKET_URL", "wss://h/?token=hidden-1"),
        ("REDIS_URL", "redis://user:hidden-2@h/x"),
        ("TARGET_SYMBOLS", &format!("SPY,{},:{}:", "X".repeat(190), TOKEN.1)),
        ("CHANNELS", &format!("+{}", TOKEN.1)),
    ]);
    assert_eq!(text.lines().count(), 4, "{text}");
    assert!(!text.contains("hidden") && !text.to_lowercase().contains("t0k"), "{text}");
    let text = mistakes(&[("REDIS_URL", "user:hidden-3@h:6379")]);
    assert!(!text.contains("hidden"), "{text}");
    let blank = Settings::load(&sources(&[ENABLED, ("UNUSUAL_WHALES_API_TOKEN", "hid den")])).unwrap_err();
    assert!(!blank.to_string().contains("den:"), "{blank}");
}

#[test]
fn debug_shows_no_secret() {
    let text = format!("{:?}", load(&[("REDIS_URL", "redis://:hidden-pw@h")]));
    assert!(!text.contains("hidden-pw") && !text.contains(TOKEN.1), "{text}");
}

#[test]
fn doubtful_settings_are_warnings() {
    let settings = load(&[
        ("UNUSUAL_WHALES_WEBSOCKET_URL", "ws://feed.example/"),
        ("CHANNELS", "option_trade"),
        ("REDIS_STREAM_MAXLEN_BY_CHANNEL", "news=1"),
        ("WEBSOCKET_PING_SECOND", "5"),
    ]);
    let variables: Vec<&str> = settings.warnings.iter().map(|warning| warning.variable.as_str()).collect();
    assert_eq!(
        variables,
        [
            "WEBSOCKET_PING_SECOND",
            "UNUSUAL_WHALES_WEBSOCKET_URL",
            "CHANNELS",
            "REDIS_STREAM_MAXLEN_BY_CHANNEL"
        ]
    );
    assert!(load(&[("UNUSUAL_WHALES_WEBSOCKET_URL", "ws://127.0.0.1:1/")]).warnings.is_empty());
}

#[test]
fn announced_addresses_are_mapped_where_several_servers_announce_some() {
    const NAME: &str = "REDIS_ADDRESS_MAP";
    let cluster = ("REDIS_URL", "redis+cluster://h");
    let map = load(&[cluster, (NAME, "10.0.0.1:6379=gate:7001")]).actors.redis.address_map;
    assert_eq!(map.reach("10.0.0.1", 6379), Some(("gate", 7001)));
    assert!(load(&[cluster]).actors.redis.address_map.is_empty());
    let mistake = mistakes(&[cluster, (NAME, "10.0.0.1:6379=gate")]);
    assert!(mistake.starts_with(NAME) && mistake.contains("HOST:PORT=HOST:PORT"), "{mistake}");
    for (url, warnings) in [("redis+cluster://h", 0), ("redis+sentinel://h/desk", 0), ("redis://h", 1)] {
        let loaded = load(&[("REDIS_URL", url), (NAME, "a=b")]);
        let about = loaded.warnings.iter().filter(|warning| warning.variable == NAME);
        assert_eq!(about.count(), warnings, "{url}");
    }
}

#[test]
fn the_root_certificate_is_read() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let pem = rcgen::generate_simple_self_signed(["h".to_owned()]).unwrap().cert.pem();
    std::fs::write(file.path(), &pem).unwrap();
    let settings = load(&[("TLS_CA_FILE", file.path().to_str().unwrap())]);
    assert_eq!(settings.actors.feed.extra_root_pem.as_deref(), Some(pem.as_bytes()));
    assert_eq!(settings.actors.redis.extra_root_pem.as_deref(), Some(pem.as_bytes()));
}

#[test]
fn a_misspelt_name_is_told_beside_the_mistake_that_it_causes() {
    let text = mistakes(&[("SPOOL_MODE", "foo"), ("TARGET_SYMBOL", "SPY")]);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("SPOOL_MODE=foo: "), "{text}");
    assert!(lines[1].starts_with("TARGET_SYMBOL: ") && lines[1].contains("TARGET_SYMBOLS"), "{text}");
}

#[test]
fn tickers_that_a_channel_does_not_exist_for_are_warned_of_and_none_left_is_a_mistake() {
    let settings = load(&[("CHANNELS", "periscope,price"), ("TARGET_SYMBOLS", "SPY,SPX,QQQ")]);
    let warnings: Vec<String> = settings.warnings.iter().map(|warning| warning.advice.clone()).collect();
    let advice = "periscope exists for SPX, VIX, XSP and NANOS only: it is not joined for SPY and QQQ";
    assert_eq!(warnings, [advice]);
    for (channels, targets, says) in [
        ("periscope,price", "SPY", "of which TARGET_SYMBOLS names none"),
        ("futures", "SPY", "futures:ESZ6"),
        ("lit_trades:SPY", "SPY", "for all symbols only"),
        ("net_flow", "*", "net_flow:SPY"),
    ] {
        let errors = mistakes(&[("CHANNELS", channels), ("TARGET_SYMBOLS", targets)]);
        assert!(errors.contains(says), "{channels} {targets}: {errors}");
    }
}
