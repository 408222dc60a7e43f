use super::votes::Peer;
use super::*;

fn sentinels() -> Sentinels {
    let url = SentinelUrl::parse("redis+sentinel://s1,s2,s3/desk").unwrap().unwrap();
    Sentinels::new(&url, &RedisSettings::of(String::new())).unwrap()
}

/// Answers of two of three Sentinels.
fn votes(host: &str, epoch: u64) -> Votes {
    let mut votes = Votes::default();
    for id in ["a", "b"] {
        let peer = |id: &str| Peer { id: id.to_owned(), host: id.to_owned(), port: 1 };
        let testimony = Testimony {
            id: id.to_owned(),
            address: Some((host.to_owned(), 6379)),
            epoch,
            peers: ["a", "b", "c"].into_iter().filter(|other| *other != id).map(peer).collect(),
        };
        votes.add(id, testimony);
    }
    votes
}

#[test]
fn a_failover_ends_the_tenure_and_is_counted_once() {
    let sentinels = sentinels();
    sentinels.note(&votes("old", 1), &[]).unwrap();
    let tenure = sentinels.tenures.present();
    sentinels.note(&votes("old", 1), &[]).unwrap();
    assert!(!tenure.is_over());
    for _ in 0..2 {
        assert_eq!(sentinels.note(&votes("new", 2), &[]).unwrap().host, "new");
    }
    assert!(tenure.is_over() && !sentinels.tenures.present().is_over());
    assert_eq!((sentinels.view().failovers, sentinels.view().agreeing, sentinels.view().known), (1, 2, 3));
}

#[test]
fn a_majority_that_has_forgotten_a_failover_is_not_followed_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sentinel");
    let before = sentinels();
    before.remember(path.clone()).unwrap();
    before.note(&votes("new", 2), &[]).unwrap();
    let (file, highest) = before.to_remember().unwrap();
    file.write(highest).unwrap();
    let after = sentinels();
    after.remember(path).unwrap();
    let fault = after.note(&votes("old", 1), &[]).unwrap_err();
    assert!(matches!(fault, SentinelFault::Replaced { epoch: 1, highest: 2, .. }), "{fault}");
    after.note(&votes("new", 2), &[]).unwrap();
}

#[test]
fn what_no_majority_says_is_explained() {
    let sentinels = sentinels();
    let fault = StoreFault::Unreachable("refused".to_owned());
    let text = sentinels.note(&Votes::default(), &[("s1:26379".to_owned(), fault)]).unwrap_err().to_string();
    assert!(text.starts_with("0 of 3 Sentinels name the same master"), "{text}");
    assert!(text.contains("s1:26379"), "{text}");
    let mut unknown = Votes::default();
    unknown.add("s1", Testimony { id: "a".to_owned(), ..Testimony::default() });
    let fault = sentinels.note(&unknown, &[]).unwrap_err();
    assert_eq!(fault, SentinelFault::UnknownName("desk".to_owned()));
}
