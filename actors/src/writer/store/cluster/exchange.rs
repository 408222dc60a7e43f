//! Sends the parts of a query to their nodes, all at once, and follows redirects.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::connection::ClusterConnection;
use super::slots::{Node, Redirect};
use super::units::{Unit, units_of};
use crate::writer::store::fault::{Refusal, StoreFault};
use crate::writer::store::link::Link;
use crate::writer::store::resp::{self, Bound, Commands, Reply};

/// Maximum number of redirects of a command: one while the map is old, one while its slot is moved, and as many again.
const MAX_REDIRECTS: usize = 4;

/// The replies to a unit as they came.
pub(super) type Raw = Vec<u8>;

/// What one node is sent.
#[derive(Debug, Default)]
pub(super) struct Part {
    commands: Commands,
    /// The units, in order, with the number of replies before their own.
    units: Vec<(usize, usize)>,
}

/// What one node has answered.
struct Answered {
    node: Node,
    /// `None` once the connection must not be used any more.
    link: Option<Link>,
    answers: Vec<(usize, Result<Raw, StoreFault>)>,
}

impl Part {
    pub(super) fn push(&mut self, of: &Commands, at: usize, unit: &Unit, is_asking: bool) {
        if is_asking {
            self.commands.command(&[b"ASKING"]);
        }
        self.commands.push(of, unit.bytes.clone(), unit.replies);
        self.units.push((at, usize::from(is_asking)));
    }

    async fn send(self, units: &[Unit], node: Node, mut link: Link) -> Answered {
        let mut answers: Vec<(usize, Raw)> = Vec::with_capacity(self.units.len());
        let (mut asked, mut skipped, mut left, mut is_replaced) = (self.units.iter(), 0, 0, false);
        let sent = link
            .ask_raw(&self.commands, |raw, reply| {
                if left == 0 {
                    let Some((at, before)) = asked.next().copied() else { return Ok(()) };
                    (left, skipped) = (units.get(at).map_or(1, |unit| unit.replies), before);
                    answers.push((at, Raw::new()));
                    if skipped > 0 {
                        skipped -= 1;
                        return Ok(());
                    }
                }
                if let Reply::Error(text) = &reply {
                    let refused = StoreFault::refused(text);
                    if let StoreFault::Refused { refusal, .. } = &refused {
                        match refusal {
                            // it closes the connection
                            Refusal::Unreadable | Refusal::NoRoom => return Err(refused),
                            Refusal::ReadOnly | Refusal::Unavailable => is_replaced = true,
                            _ => {}
                        }
                    }
                }
                left -= 1;
                if let Some((_, answer)) = answers.last_mut() {
                    answer.extend_from_slice(raw);
                }
                Ok(())
            })
            .await;
        if left > 0 {
            answers.pop();
        }
        let complete = answers.len();
        let mut answers: Vec<_> = answers.into_iter().map(|(at, raw)| (at, Ok(raw))).collect();
        let is_usable = sent.is_ok() && !is_replaced;
        if let Err(fault) = sent {
            answers.extend(self.units[complete..].iter().map(|(at, _)| (*at, Err(fault.clone()))));
        }
        Answered { node, link: is_usable.then_some(link), answers }
    }
}

impl ClusterConnection {
    /// Sends each unit of a query to its node; one without a slot to all nodes, of whose replies an error counts, else the
    /// first.
    pub(super) async fn exchange(
        &mut self,
        commands: &Commands,
        units: &[Unit],
    ) -> Vec<Result<Raw, StoreFault>> {
        let mut answers: Vec<Option<Result<Raw, StoreFault>>> = units.iter().map(|_| None).collect();
        let mut to_send: Vec<(usize, Option<Node>)> = (0..units.len()).map(|at| (at, None)).collect();
        for _ in 0..=MAX_REDIRECTS {
            let mut parts: BTreeMap<Node, Part> = BTreeMap::new();
            for (at, asking) in to_send.drain(..) {
                let Some(unit) = units.get(at) else { continue };
                match (unit.slot, asking) {
                    (None, _) => {
                        for node in self.links.keys() {
                            parts.entry(node.clone()).or_default().push(commands, at, unit, false);
                        }
                    }
                    (Some(_), Some(node)) => parts.entry(node).or_default().push(commands, at, unit, true),
                    (Some(slot), None) => match self.linked(slot) {
                        Ok(node) => parts.entry(node).or_default().push(commands, at, unit, false),
                        Err(fault) => answers[at] = Some(Err(fault)),
                    },
                }
            }
            for (node, at, answer) in self.send(parts, units).await {
                match self.next_of(&node, answer, units[at].replies) {
                    Next::Again(asking) => to_send.push((at, asking)),
                    Next::Answer(answer) => {
                        let is_error = answer.as_ref().map_or(true, |raw| raw.first() == Some(&b'-'));
                        if answers[at].is_none() || is_error {
                            answers[at] = Some(answer);
                        }
                    }
                }
            }
            if to_send.is_empty() {
                break;
            }
        }
        let unanswered = || Err(refused(format!("MOVED more than {MAX_REDIRECTS} times")));
        answers.into_iter().map(|answer| answer.unwrap_or_else(unanswered)).collect()
    }

    /// Returns the owner of a slot if it is connected.
    pub(super) fn linked(&self, slot: u16) -> Result<Node, StoreFault> {
        match self.owner(slot) {
            Some(node) if self.links.contains_key(node) => Ok(node.clone()),
            Some(node) => Err(self.fault_of(node)),
            None => Err(StoreFault::Unreachable(format!("no node has slot {slot}"))),
        }
    }

    /// Sends each node its part. A connection is not used again if this is cancelled.
    pub(super) async fn send(
        &mut self,
        parts: BTreeMap<Node, Part>,
        units: &[Unit],
    ) -> Vec<(Node, usize, Result<Raw, StoreFault>)> {
        let mut sent = Vec::with_capacity(parts.len());
        for (node, part) in parts {
            if let Some(link) = self.links.remove(&node) {
                sent.push(part.send(units, node, link));
            }
        }
        let mut all = Vec::with_capacity(units.len());
        for Answered { node, link, answers } in join_all(sent).await {
            if let Some(link) = link {
                self.links.insert(node.clone(), link);
            } else {
                let fault = answers.iter().find_map(|(_, answer)| answer.as_ref().err().cloned());
                let fault = fault.unwrap_or_else(|| self.fault_of(&node));
                self.lose(node.clone(), fault);
            }
            all.extend(answers.into_iter().map(|(at, answer)| (node.clone(), at, answer)));
        }
        all
    }

    /// Decides what an answer of a node means: a command that was sent elsewhere has not been executed.
    fn next_of(&mut self, node: &Node, answer: Result<Raw, StoreFault>, replies: usize) -> Next {
        let raw = match answer {
            Ok(raw) => raw,
            fault => return Next::Answer(fault),
        };
        let Some(text) = cluster_error(&raw, replies) else { return Next::Answer(Ok(raw)) };
        match Redirect::of(text.as_bytes(), &node.host) {
            Some(Redirect { slot, node: target, is_ask }) => {
                if is_ask {
                    self.note_target(&target);
                } else {
                    self.note_moved(slot, &target);
                }
                if self.links.contains_key(&target) {
                    Next::Again(is_ask.then_some(target))
                } else {
                    Next::Answer(Err(refused(text)))
                }
            }
            None => Next::Answer(Err(refused(text))),
        }
    }

    /// Sends commands and passes each reply, in order, to `accept`, up to the first that has none; returns the first
    /// error.
    pub async fn ask(
        &mut self,
        commands: &Commands,
        mut accept: impl FnMut(Reply<'_>) -> Result<(), StoreFault>,
    ) -> Result<(), StoreFault> {
        let mut outcome = Ok(());
        let asked = self
            .ask_raw(commands, |_, reply| {
                let accepted = accept(reply);
                if outcome.is_ok() {
                    outcome = accepted;
                }
            })
            .await;
        outcome.and(asked)
    }

    /// Sends commands and passes on the bytes of each reply, in order, up to the first that has none.
    pub async fn ask_raw(
        &mut self,
        commands: &Commands,
        mut accept: impl FnMut(&[u8], Reply<'_>),
    ) -> Result<(), StoreFault> {
        let units = units_of(commands);
        for answer in self.exchange(commands, &units).await {
            read_all(&answer?, commands.bound(), &mut accept)?;
        }
        Ok(())
    }
}

/// What an answer means.
enum Next {
    /// It is the answer.
    Answer(Result<Raw, StoreFault>),
    /// The unit is sent again: to the owner of its slot, or to this node for once.
    Again(Option<Node>),
}

fn refused(text: String) -> StoreFault {
    StoreFault::Refused { refusal: Refusal::Cluster, text }
}

/// Returns the first error in replies that is about slots.
fn cluster_error(raw: &[u8], replies: usize) -> Option<String> {
    if replies == 1 && raw.first() != Some(&b'-') {
        return None;
    }
    let mut found = None;
    let bound = Bound { bytes: raw.len(), items: raw.len() };
    let read = read_all(raw, bound, |_, reply| {
        if let Reply::Error(text) = reply
            && found.is_none()
        {
            let text = String::from_utf8_lossy(text).into_owned();
            found = (Refusal::of(&text) == Refusal::Cluster).then_some(text);
        }
    });
    read.ok().and(found)
}

/// Passes on all replies in these bytes.
pub(super) fn read_all(
    mut raw: &[u8],
    bound: Bound,
    mut accept: impl FnMut(&[u8], Reply<'_>),
) -> Result<(), StoreFault> {
    while let Some((reply, length)) = resp::parse(raw, bound)? {
        accept(raw.get(..length).unwrap_or_default(), reply);
        raw = raw.get(length..).unwrap_or_default();
    }
    Ok(())
}
