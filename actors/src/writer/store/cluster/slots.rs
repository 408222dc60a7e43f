//! Which node owns which slot: what a node answers to `CLUSTER SLOTS`, and in `MOVED` and `ASK`.

use std::collections::BTreeSet;
use std::fmt;

use thiserror::Error;
use uw_websocket_core::slots::SLOTS;

use super::super::resp::Reply;

/// Maximum number of nodes: the size that Redis recommends at the most.
const MAX_NODES: usize = 1_000;

/// The address of a node: a host name, or an IP address without brackets; and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    /// Host name or IP address.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Node { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// The owners of all slots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotMap {
    masters: Vec<Node>,
    replicas: BTreeSet<Node>,
    /// The index of each slot's master; `None` for a slot that nobody owns.
    owners: Vec<Option<u16>>,
    covered: usize,
}

/// What is wrong with an answer to `CLUSTER SLOTS`.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum BadSlots {
    /// Not a list of ranges with nodes.
    #[error("the answer to CLUSTER SLOTS has another form")]
    Form,
    /// More nodes than there may be.
    #[error("the cluster has more than {MAX_NODES} nodes")]
    TooManyNodes,
}

impl SlotMap {
    /// Reads the answer that the node at `asked` gave: it leaves out its own host if it does not know it.
    pub fn of(reply: &Reply<'_>, asked: &str) -> Result<SlotMap, BadSlots> {
        let Reply::Array(Some(ranges)) = reply else { return Err(BadSlots::Form) };
        let mut map = SlotMap { owners: vec![None; usize::from(SLOTS)], ..SlotMap::default() };
        for range in ranges {
            let Reply::Array(Some(parts)) = range else { return Err(BadSlots::Form) };
            let [Reply::Integer(first), Reply::Integer(last), nodes @ ..] = &parts[..] else {
                return Err(BadSlots::Form);
            };
            let bound = |slot: i64| usize::try_from(slot).ok().filter(|slot| *slot < usize::from(SLOTS));
            let (Some(first), Some(last)) = (bound(*first), bound(*last)) else { return Err(BadSlots::Form) };
            let mut nodes = nodes.iter().map(|node| node_of(node, asked));
            let Some(master) = nodes.next().transpose()?.flatten() else { continue };
            let owner = map.index_of(master)?;
            for slot in map.owners.get_mut(first..=last).unwrap_or_default() {
                *slot = Some(owner);
            }
            for replica in nodes {
                map.replicas.extend(replica?);
            }
            if map.replicas.len() > MAX_NODES {
                return Err(BadSlots::TooManyNodes);
            }
        }
        map.covered = map.owners.iter().flatten().count();
        Ok(map)
    }

    fn index_of(&mut self, master: Node) -> Result<u16, BadSlots> {
        let at = self.masters.iter().position(|known| *known == master).unwrap_or_else(|| {
            self.masters.push(master);
            self.masters.len() - 1
        });
        if at >= MAX_NODES {
            return Err(BadSlots::TooManyNodes);
        }
        u16::try_from(at).map_err(|_| BadSlots::TooManyNodes)
    }

    /// Returns the owner of a slot.
    #[must_use]
    pub fn owner(&self, slot: u16) -> Option<&Node> {
        self.masters.get(usize::from((*self.owners.get(usize::from(slot))?)?))
    }

    /// Returns the nodes that own slots.
    #[must_use]
    pub fn masters(&self) -> &[Node] {
        &self.masters
    }

    /// Returns the nodes that follow them.
    pub fn replicas(&self) -> impl Iterator<Item = &Node> {
        self.replicas.iter()
    }

    /// Returns the number of slots that a node owns.
    #[must_use]
    pub fn slots_of(&self, node: &Node) -> usize {
        (0..SLOTS).filter(|slot| self.owner(*slot) == Some(node)).count()
    }

    /// Returns the number of slots that have an owner.
    #[must_use]
    pub fn covered(&self) -> usize {
        self.covered
    }

    /// Returns the masters that `later` no longer has because another node has taken their place, each with that one: it
    /// owns slots of theirs and was no master. That it was a replica is not asked, as nodes do not name one that was down.
    #[must_use]
    pub fn replaced_in(&self, later: &SlotMap) -> Vec<(Node, Node)> {
        let gone = self.masters.iter().enumerate().filter(|(_, master)| !later.masters.contains(master));
        let successor = |(index, master): (usize, &Node)| {
            let slots = (0..SLOTS).zip(&self.owners).filter(|(_, at)| at.map(usize::from) == Some(index));
            let mut successors = slots.filter_map(|(slot, _)| later.owner(slot));
            let taker = successors.find(|node| !self.masters.contains(node))?;
            Some((master.clone(), taker.clone()))
        };
        gone.filter_map(successor).collect()
    }
}

/// Reads a node; `None` if the cluster does not tell where it is.
fn node_of(reply: &Reply<'_>, asked: &str) -> Result<Option<Node>, BadSlots> {
    let Reply::Array(Some(parts)) = reply else { return Err(BadSlots::Form) };
    let [host, Reply::Integer(port), ..] = &parts[..] else { return Err(BadSlots::Form) };
    let host = match host {
        Reply::Bulk(None | Some(b"")) => asked,
        Reply::Bulk(Some(b"?")) => return Ok(None),
        Reply::Bulk(Some(host)) => std::str::from_utf8(host).map_err(|_| BadSlots::Form)?,
        _ => return Err(BadSlots::Form),
    };
    let port = u16::try_from(*port).map_err(|_| BadSlots::Form)?;
    Ok(Some(Node { host: host.to_owned(), port }))
}

/// Where a node sends a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The slot.
    pub slot: u16,
    /// The node to send it to.
    pub node: Node,
    /// Whether for this time only: the slot is being moved.
    pub is_ask: bool,
}

impl Redirect {
    /// Reads `MOVED 3999 127.0.0.1:6381` or `ASK …` in an error of the node at `asked`, also as the reason of an aborted
    /// transaction; `None` for any other error.
    #[must_use]
    pub fn of(error: &[u8], asked: &str) -> Option<Redirect> {
        let text = std::str::from_utf8(error).ok()?;
        let text = text.split_once("because of: ").map_or(text, |(_, reason)| reason);
        let mut words = text.split(' ');
        let is_ask = match words.next()? {
            "MOVED" => false,
            "ASK" => true,
            _ => return None,
        };
        let slot = words.next()?.parse().ok().filter(|slot| *slot < SLOTS)?;
        let (host, port) = words.next()?.rsplit_once(':')?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let host = if host.is_empty() { asked } else { host };
        Some(Redirect { slot, node: Node { host: host.to_owned(), port: port.parse().ok()? }, is_ask })
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::resp::{Bound, parse};
    use super::*;

    const BOUND: Bound = Bound { bytes: 4096, items: 256 };

    fn map(wire: &str) -> Result<SlotMap, BadSlots> {
        SlotMap::of(&parse(wire.as_bytes(), BOUND).unwrap().unwrap().0, "asked")
    }

    fn node(host: &str, port: u16) -> Node {
        Node { host: host.to_owned(), port }
    }

    /// A range with its nodes, each by host and port, on the wire.
    fn range(first: u16, last: u16, nodes: &[(&str, u16)]) -> String {
        let node = |(host, port): &(&str, u16)| {
            format!("*4\r\n${}\r\n{host}\r\n:{port}\r\n$2\r\nid\r\n*0\r\n", host.len())
        };
        let nodes: Vec<String> = nodes.iter().map(node).collect();
        format!("*{}\r\n:{first}\r\n:{last}\r\n{}", 2 + nodes.len(), nodes.concat())
    }

    #[test]
    fn a_slot_has_the_owner_that_the_answer_names() {
        let wire = [
            "*3\r\n".to_owned(),
            range(0, 100, &[("10.0.0.1", 1), ("10.0.0.2", 2)]),
            range(101, 101, &[("::1", 3)]),
            range(200, 16_383, &[("", 4), ("name.example", 5)]),
        ];
        let map = map(&wire.concat()).unwrap();
        for (slot, owner) in [
            (0, Some(node("10.0.0.1", 1))),
            (100, Some(node("10.0.0.1", 1))),
            (101, Some(node("::1", 3))),
            (102, None),
            (16_383, Some(node("asked", 4))),
            (16_384, None),
        ] {
            assert_eq!(map.owner(slot), owner.as_ref(), "{slot}");
        }
        assert_eq!(map.masters().len(), 3);
        assert_eq!(
            map.replicas().cloned().collect::<Vec<_>>(),
            [node("10.0.0.2", 2), node("name.example", 5)]
        );
        assert_eq!((map.covered(), map.slots_of(&node("::1", 3))), (101 + 1 + 16_184, 1));
        assert_eq!(node("::1", 3).to_string(), "[::1]:3");
    }

    #[test]
    fn a_node_without_a_known_host_and_a_null_host_are_told_apart() {
        let unknown = format!("*1\r\n{}", range(0, 1, &[("?", 1)]));
        assert_eq!(map(&unknown).unwrap().owner(0), None);
        let null = "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$-1\r\n:7\r\n";
        assert_eq!(map(null).unwrap().owner(1), Some(&node("asked", 7)));
    }

    #[test]
    fn what_is_no_map_is_refused() {
        for wire in [
            ":1\r\n",
            "*1\r\n:1\r\n",
            "*1\r\n*2\r\n:0\r\n$1\r\n1\r\n",
            "*1\r\n*3\r\n:0\r\n:16384\r\n*2\r\n$1\r\nh\r\n:1\r\n",
            "*1\r\n*3\r\n:-1\r\n:5\r\n*2\r\n$1\r\nh\r\n:1\r\n",
            "*1\r\n*3\r\n:0\r\n:5\r\n*2\r\n$1\r\nh\r\n:70000\r\n",
            "*1\r\n*3\r\n:0\r\n:5\r\n*1\r\n$1\r\nh\r\n",
        ] {
            assert_eq!(map(wire), Err(BadSlots::Form), "{wire}");
        }
        let backwards = format!("*1\r\n{}", range(5, 3, &[("h", 1)]));
        assert_eq!(map(&backwards).unwrap().covered(), 0);
    }

    #[test]
    fn a_failover_is_told_from_a_slot_that_moved() {
        let before =
            format!("*2\r\n{}{}", range(0, 9, &[("a", 1), ("a", 2)]), range(10, 19, &[("b", 1), ("b", 2)]));
        let failed = format!("*2\r\n{}{}", range(0, 9, &[("a", 2)]), range(10, 19, &[("b", 1)]));
        let moved = format!("*1\r\n{}", range(0, 19, &[("b", 1), ("b", 2)]));
        let before = map(&before).unwrap();
        assert_eq!(before.replaced_in(&map(&failed).unwrap()), [(node("a", 1), node("a", 2))]);
        assert_eq!(before.replaced_in(&map(&moved).unwrap()), []);
        // nodes do not name a replica that counts as down
        let unnamed = format!("*2\r\n{}{}", range(0, 9, &[("a", 1)]), range(10, 19, &[("b", 1), ("b", 2)]));
        assert_eq!(
            map(&unnamed).unwrap().replaced_in(&map(&failed).unwrap()),
            [(node("a", 1), node("a", 2))]
        );
        // the first slot of the replaced one has moved as well
        let both = format!("*2\r\n{}{}", range(1, 9, &[("a", 2)]), range(10, 19, &[("b", 1)]));
        let both = both.replacen("*2\r\n", "*3\r\n", 1) + &range(0, 0, &[("b", 1)]);
        assert_eq!(before.replaced_in(&map(&both).unwrap()), [(node("a", 1), node("a", 2))]);
    }

    #[test]
    fn redirects_name_a_node() {
        for (text, expected) in [
            ("MOVED 3999 127.0.0.1:6381", Some((3999, "127.0.0.1", 6381, false))),
            ("ASK 0 ::1:7000", Some((0, "::1", 7000, true))),
            ("MOVED 1 [::1]:7000", Some((1, "::1", 7000, false))),
            ("MOVED 1 name.example:1", Some((1, "name.example", 1, false))),
            ("MOVED 1 :1", Some((1, "asked", 1, false))),
            ("EXECABORT Transaction discarded because of: ASK 5 h:1", Some((5, "h", 1, true))),
            ("MOVED 16384 h:1", None),
            ("MOVED 1 h", None),
            ("TRYAGAIN Multiple keys request during rehashing of slot", None),
            ("OOM command not allowed", None),
        ] {
            let redirect = Redirect::of(text.as_bytes(), "asked");
            let expected =
                expected.map(|(slot, host, port, is_ask)| Redirect { slot, node: node(host, port), is_ask });
            assert_eq!(redirect, expected, "{text}");
        }
    }
}
