//! A trial join: tests the feed's answer without a session.

use std::time::Duration;

use actix_http::ws;
use futures_util::{SinkExt as _, StreamExt as _};
use thiserror::Error;
use tokio::time::{Instant, timeout};
use uw_websocket_core::feed::envelope::{self, Envelope};
use uw_websocket_core::feed::routing_fields::RoutingFields;

use super::session::join_frame;
use super::transport::{Assembler, FeedSocket, Incoming};

/// Timeout of the answer to the join. Answers take some 50 ms.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout of closing the socket.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);

/// A failed trial join. The feed's text is complete and not redacted: it may contain the token.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum TrialError {
    /// The feed refused the join.
    #[error("the feed refuses it: {0}")]
    Refused(String),
    /// The feed did not answer.
    #[error("no answer within {ANSWER_TIMEOUT:?}")]
    Unanswered,
    /// The socket was closed.
    #[error("the socket ended: {0}")]
    Ended(String),
}

/// Joins a topic and returns the time to its acknowledgement. [`leave`] the socket soon afterwards, as events
/// follow.
pub async fn join(socket: &mut FeedSocket, topic: &str) -> Result<Duration, TrialError> {
    let asked = Instant::now();
    let answer = async {
        let sent = socket.send(ws::Message::Text(join_frame(topic).into())).await;
        sent.map_err(|error| TrialError::Ended(error.to_string()))?;
        let mut assembler = Assembler::default();
        while let Some(frame) = socket.next().await {
            let message = frame.and_then(|frame| assembler.accept(frame));
            match message.map_err(|error| TrialError::Ended(error.to_string()))? {
                Some(Incoming::Text(text)) => {
                    if let Some(answer) = answer(&text, topic) {
                        return answer;
                    }
                }
                Some(Incoming::Close(reason)) => {
                    return Err(TrialError::Ended(format!("closed: {reason:?}")));
                }
                Some(Incoming::Ping(_) | Incoming::Pong | Incoming::Binary(_)) | None => {}
            }
        }
        Err(TrialError::Ended("without a close frame".to_owned()))
    };
    timeout(ANSWER_TIMEOUT, answer).await.unwrap_or(Err(TrialError::Unanswered))?;
    Ok(asked.elapsed())
}

/// Closes the socket, which ends its joins.
pub async fn leave(mut socket: FeedSocket) {
    let farewell = async {
        let sent = socket.send(ws::Message::Close(Some(ws::CloseCode::Normal.into()))).await;
        sent.and(socket.close().await)
    };
    // an unresponsive feed sees the connection end instead
    timeout(FAREWELL_TIMEOUT, farewell).await.ok();
}

/// Interprets a frame as the answer to the join of a topic; a server notice names no topic but counts as an answer.
fn answer(frame: &[u8], topic: &str) -> Option<Result<(), TrialError>> {
    match envelope::split(frame).ok()? {
        Envelope::Message { topic: of, payload } if of == topic => {
            let facts = RoutingFields::read(payload).ok()?;
            Some(match facts.join_status()? {
                "ok" => Ok(()),
                _ => Err(TrialError::Refused(String::from_utf8_lossy(payload).into_owned())),
            })
        }
        Envelope::Message { .. } => None,
        Envelope::Notice(text) => Some(Err(TrialError::Refused(text.to_owned()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_told_from_events_and_other_answers() {
        let answer = |frame: &str| answer(frame.as_bytes(), "news");
        assert_eq!(answer(r#"["news",{"response":{},"status":"ok"}]"#), Some(Ok(())));
        assert_eq!(answer(r#"["price:SPY",{"response":{},"status":"ok"}]"#), None);
        assert_eq!(answer(r#"["news",{"headline":"status"}]"#), None);
        assert_eq!(answer("rubbish"), None);
        let refused = r#"{"response":{"reason":"plan"},"status":"error"}"#;
        let frame = format!(r#"["news",{refused}]"#);
        assert_eq!(answer(&frame), Some(Err(TrialError::Refused(refused.to_owned()))));
        let notice = r#"{"error":"limit"}"#;
        assert_eq!(answer(notice), Some(Err(TrialError::Refused(notice.to_owned()))));
    }
}
