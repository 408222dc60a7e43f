//! What a server says of itself in `INFO server` and `INFO replication`.

/// The identity of a server: another process, or the same one with the data of another master, is another server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    run_id: String,
    master_replid: String,
}

/// The positions of a master and its replicas in the stream of writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replication {
    /// Position of the master.
    pub offset: u64,
    /// Number of replicas that receive its writes.
    pub replicas: usize,
    /// The highest position that any of them has confirmed.
    pub confirmed: Option<u64>,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerInfo {
    /// The identity.
    pub identity: Identity,
    /// The replicas.
    pub replication: Replication,
    /// Host and port of its master, if it is a replica.
    pub follows: Option<String>,
}

impl ServerInfo {
    /// Reads the lines of a section.
    pub fn read(&mut self, info: &str) {
        for (name, value) in info.lines().filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            match name {
                "run_id" => value.clone_into(&mut self.identity.run_id),
                "master_replid" => value.clone_into(&mut self.identity.master_replid),
                "master_host" => self.follows = Some(value.to_owned()),
                "master_port" => {
                    if let Some(host) = &mut self.follows {
                        host.push(':');
                        host.push_str(value);
                    }
                }
                "master_repl_offset" => self.replication.offset = value.parse().unwrap_or_default(),
                name if is_replica(name) => self.read_replica(value),
                _ => {}
            }
        }
    }

    /// Reads `ip=127.0.0.1,port=6380,state=online,offset=1234,lag=0`.
    fn read_replica(&mut self, value: &str) {
        let field = |name: &str| {
            value
                .split(',')
                .filter_map(|pair| pair.split_once('='))
                .find(|pair| pair.0 == name)
                .map(|pair| pair.1)
        };
        if field("state") == Some("online") {
            self.replication.replicas += 1;
            let offset = field("offset").and_then(|offset| offset.parse().ok());
            self.replication.confirmed = self.replication.confirmed.max(offset);
        }
    }
}

/// Whether a field is `slave0`, `slave1` and so on.
fn is_replica(name: &str) -> bool {
    let number = name.strip_prefix("slave");
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_tells_of_its_replicas() {
        let mut info = ServerInfo::default();
        info.read("# Server\r\nrun_id:r\r\n# Replication\r\nrole:master\r\nconnected_slaves:3\r\n\
                   slave0:ip=::1,port=1,state=online,offset=90,lag=1\r\nslave1:ip=h,port=2,state=online,offset=95,lag=0\r\n\
                   slave2:ip=h,port=3,state=wait_bgsave,offset=0,lag=0\r\nmaster_replid:m\r\nmaster_repl_offset:100\r\n");
        let identity = Identity { run_id: "r".to_owned(), master_replid: "m".to_owned() };
        let replication = Replication { offset: 100, replicas: 2, confirmed: Some(95) };
        assert_eq!(info, ServerInfo { identity, replication, follows: None });
    }

    #[test]
    fn a_replica_tells_of_its_master() {
        let mut info = ServerInfo::default();
        info.read("role:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:6379\r\nslave_read_only:1\r\n");
        assert_eq!(info.follows.as_deref(), Some("10.0.0.1:6379"));
    }
}
