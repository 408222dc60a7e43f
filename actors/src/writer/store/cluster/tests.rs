use super::*;

fn node(port: u16) -> Node {
    Node { host: "127.0.0.1".to_owned(), port }
}

fn cluster() -> Cluster {
    let url = ClusterUrl::parse("redis+cluster://127.0.0.1:1").unwrap().unwrap();
    Cluster::new(&url, &RedisSettings::of(String::new())).unwrap()
}

/// What a node says of a cluster of one shard.
fn says(epoch: u64, master: u16, replica: u16) -> Testimony {
    let node = |port: u16| format!("*2\r\n$9\r\n127.0.0.1\r\n:{port}\r\n");
    let wire = format!("*1\r\n*4\r\n:0\r\n:16383\r\n{}{}", node(master), node(replica));
    let bound = Bound { bytes: 4096, items: 64 };
    let map =
        SlotMap::of(&super::super::resp::parse(wire.as_bytes(), bound).unwrap().unwrap().0, "h").unwrap();
    Testimony { map, epoch, is_ok: true }
}

fn owner(map: &Result<Arc<SlotMap>, StoreFault>) -> Option<u16> {
    map.as_ref().ok().and_then(|map| map.owner(0)).map(|node| node.port)
}

#[test]
fn the_map_of_the_highest_epoch_counts_and_none_of_a_lower_one_than_was_seen() {
    let cluster = cluster();
    assert_eq!(owner(&cluster.note(vec![says(3, 1, 2), says(4, 2, 1)], Vec::new())), Some(2));
    let zombie = cluster.note(vec![says(3, 1, 2)], Vec::new());
    assert!(
        zombie.as_ref().is_err_and(|fault| fault.to_string().contains("has been replaced")),
        "{zombie:?}"
    );
    assert!(
        cluster.view().fault.is_some() && owner(&cluster.view().map.ok_or(zombie.unwrap_err())) == Some(2)
    );
    assert_eq!(owner(&cluster.note(vec![says(5, 1, 2)], Vec::new())), Some(1));
}

#[test]
fn a_failover_ends_the_tenure_of_the_master_that_was_replaced_and_counts_once() {
    let cluster = cluster();
    cluster.note(vec![says(1, 1, 2)], Vec::new()).unwrap();
    let (old, other, changes) = (cluster.tenure_of(&node(1)), cluster.tenure_of(&node(9)), cluster.changes());
    cluster.note(vec![says(1, 1, 2)], Vec::new()).unwrap();
    assert!(!old.is_over() && !changes.is_over());
    for _ in 0..2 {
        cluster.note(vec![says(2, 2, 1)], Vec::new()).unwrap();
    }
    assert!(old.is_over() && changes.is_over() && other.is_over());
    assert!(!cluster.tenure_of(&node(2)).is_over() && !cluster.tenure_of(&node(1)).is_over());
    assert_eq!(cluster.view().failovers, 1);
}

#[test]
fn the_highest_epoch_is_known_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cluster");
    let before = cluster();
    before.remember(path.clone()).unwrap();
    before.note(vec![says(7, 1, 2)], Vec::new()).unwrap();
    let (file, epoch) = before.to_remember().unwrap();
    file.write(epoch).unwrap();
    let after = cluster();
    after.remember(path.clone()).unwrap();
    let zombie = after.note(vec![says(6, 2, 1)], Vec::new()).unwrap_err().to_string();
    assert!(zombie.contains(&path.display().to_string()), "{zombie}");
}

#[test]
fn a_node_tells_epoch_and_state() {
    let text = b"cluster_state:ok\r\ncluster_slots_assigned:16384\r\ncluster_current_epoch:6\r\ncluster_my_epoch:2\r\n";
    assert_eq!(ClusterInfo::of(&Reply::Bulk(Some(text))), ClusterInfo { epoch: 6, is_ok: true });
    assert_eq!(ClusterInfo::of(&Reply::Bulk(Some(b"cluster_state:fail"))), ClusterInfo::default());
}
