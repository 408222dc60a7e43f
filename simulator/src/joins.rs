//! Answers joins and leaves.

use std::rc::Rc;

use serde::Deserialize;
use serde_json::json;

use crate::frames::Opcode;
use crate::hub::Hub;
use crate::misbehaviour::MisbehaviourKind;
use crate::session::Session;

/// Text frame of a client.
#[derive(Debug, Deserialize)]
struct ClientMessage {
    channel: String,
    msg_type: String,
}

/// Handles a text frame of a client; like the vendor, ignores anything but a join or a leave.
pub(super) async fn handle(hub: &Hub, session: &Rc<Session>, text: &[u8]) {
    let Ok(ClientMessage { channel: topic, msg_type }) = serde_json::from_slice(text) else { return };
    if session.is_silent() {
        return;
    }
    match msg_type.as_str() {
        "join" => join(hub, session, &topic).await,
        "leave" => leave(hub, session, &topic),
        _ => {}
    }
}

async fn join(hub: &Hub, session: &Rc<Session>, topic: &str) {
    if hub.ignores_join(session) {
        return;
    }
    if !hub.options.ack_delay.is_zero() {
        tokio::time::sleep(hub.options.ack_delay).await;
    }
    let refused = session.find(|kind| match kind {
        MisbehaviourKind::RefuseTopic { topic: refused, reason } if refused == topic => Some(reason.clone()),
        _ => None,
    });
    if let Some(reason) = refused {
        answer(session, topic, &json!({"response": {"reason": reason}, "status": "error"}));
        return;
    }
    let joined = session.topics().len();
    if joined >= hub.options.join_limit && !session.has_joined(topic) {
        let limit = hub.options.join_limit;
        notice(session, &format!("Channel subscription limit of {limit} reached"));
        return;
    }
    session.join(topic);
    answer(session, topic, &json!({"response": {}, "status": "ok"}));
    hub.count_join();
    let text = session.find(|kind| match kind {
        MisbehaviourKind::Notice(text) if joined == 0 => Some(text.clone()),
        _ => None,
    });
    if let Some(text) = text {
        notice(session, &text);
    }
}

fn leave(hub: &Hub, session: &Rc<Session>, topic: &str) {
    session.leave(topic);
    answer(session, topic, &json!({"response": {}, "status": "ok"}));
    hub.rearrange();
}

fn answer(session: &Session, topic: &str, answer: &serde_json::Value) {
    session.send(Opcode::Text, json!([topic, answer]).to_string().as_bytes());
}

/// Sends a top-level object, which belongs to no channel.
fn notice(session: &Session, text: &str) {
    session.send(Opcode::Text, json!({"error": text}).to_string().as_bytes());
}
