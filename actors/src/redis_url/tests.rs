use super::*;

/// Place, user, password and database.
fn read(text: &str) -> (String, Option<String>, Option<String>, u32) {
    let url = RedisUrl::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let place = match url.place {
        RedisPlace::Tcp(host, port) => format!("{host} {port}"),
        RedisPlace::Tls(host, port) => format!("tls {host} {port}"),
        RedisPlace::Unix(path) => path.display().to_string(),
    };
    (place, url.username, url.password.map(|password| password.reveal().to_owned()), url.database)
}

fn expected(
    place: &str,
    username: Option<&str>,
    password: Option<&str>,
    database: u32,
) -> (String, Option<String>, Option<String>, u32) {
    (place.to_owned(), username.map(str::to_owned), password.map(str::to_owned), database)
}

/// A test of the service compares a list with redis-py itself.
#[test]
fn a_url_means_what_redis_py_takes_it_for() {
    for (text, meaning) in [
        ("redis://", expected("localhost 6379", None, None, 0)),
        ("redis://h", expected("h 6379", None, None, 0)),
        ("redis://h:7/2", expected("h 7", None, None, 2)),
        ("redis://h/?db=3", expected("h 6379", None, None, 3)),
        ("redis://h/0?db=3", expected("h 6379", None, None, 3)),
        ("redis://h/0?db=", expected("h 6379", None, None, 0)),
        ("redis://h?db=3&db=4", expected("h 6379", None, None, 3)),
        ("rediss://u:p%40ss@h:1/2", expected("tls h 1", Some("u"), Some("p@ss"), 2)),
        ("redis://:p@h", expected("h 6379", None, Some("p"), 0)),
        ("redis://u@h", expected("h 6379", Some("u"), None, 0)),
        ("redis://h?username=u&password=a%2525b", expected("h 6379", Some("u"), Some("a%b"), 0)),
        ("redis://h?password=a+b", expected("h 6379", None, Some("a b"), 0)),
        ("redis://u:own@h?username=x&password=y", expected("h 6379", Some("u"), Some("own"), 0)),
        ("redis://[::1]:7/", expected("::1 7", None, None, 0)),
        ("unix:///run/redis.sock?password=p&db=3", expected("/run/redis.sock", None, Some("p"), 3)),
        ("unix://u:p@/run/redis.sock", expected("/run/redis.sock", Some("u"), Some("p"), 0)),
        ("unix:///run/a%20b.sock", expected("/run/a b.sock", None, None, 0)),
        ("redis+unix:///r.sock?pass=p&user=u", expected("/r.sock", Some("u"), Some("p"), 0)),
        (
            "redis://h?decode_responses=True&max_connections=10&socket_timeout=5",
            expected("h 6379", None, None, 0),
        ),
        ("redis://h?health_check_interval=30&protocol=3", expected("h 6379", None, None, 0)),
    ] {
        assert_eq!(read(text), meaning, "{text}");
    }
}

#[test]
fn what_redis_py_does_not_know_is_refused_without_its_value() {
    for (text, error) in [
        ("localhost:6379", RedisUrlError::Scheme(String::new())),
        ("http://h", RedisUrlError::Scheme(String::new())),
        ("redis://h/x", RedisUrlError::Database),
        ("redis://h/1/2", RedisUrlError::Database),
        ("redis://h?db=one", RedisUrlError::Database),
        ("redis://h?db=-1", RedisUrlError::Database),
        ("redis://h#x", RedisUrlError::Fragment),
        ("redis://h?databse=3", RedisUrlError::UnknownKey("databse".into())),
        ("redis://h?pass=secret", RedisUrlError::UnknownKey("pass".into())),
        ("redis://h?secret", RedisUrlError::NoKey),
        ("redis://?host=h", RedisUrlError::Misplaced("host")),
        ("redis://0.0.0.0", RedisUrlError::Unspecified),
        ("unix://", RedisUrlError::Path),
        ("unix://run/redis.sock", RedisUrlError::Path),
        ("redis://:%ff@h", RedisUrlError::NotText),
    ] {
        let found = RedisUrl::parse(text).unwrap_err();
        assert_eq!(found, error, "{text}");
        assert!(!found.to_string().contains("secret"));
    }
    assert!(matches!(RedisUrl::parse(""), Err(RedisUrlError::Scheme(_))));
}

#[test]
fn keys_about_certificates_are_named_since_they_are_not_used() {
    let url = RedisUrl::parse("rediss://h?ssl_cert_reqs=none&ssl_ca_certs=/ca.pem&db=1").unwrap();
    assert_eq!(url.unused_tls_keys, ["ssl_cert_reqs", "ssl_ca_certs"]);
}

#[test]
fn the_client_library_is_given_the_same() {
    let info = RedisUrl::parse("rediss://u@h:1/2?password=p").unwrap().connection_info().unwrap();
    let login = info.redis_settings();
    assert_eq!((login.username(), login.password(), login.db()), (Some("u"), Some("p"), 2));
    assert_eq!(info.addr().to_string(), "h:1");
    let alone = RedisUrl::parse("redis://u@h").unwrap();
    assert_eq!(
        alone.password_to_send(),
        Some(""),
        "like redis-py, which sends the user with an empty password"
    );
}
