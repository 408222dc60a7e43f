//! The content of a body, by endpoint.

use super::alerts::Alerts;
use super::frame::{self, Frame};
use super::parts::{MAX_BODY, Receipt, TOO_LARGE, UnreadableBody, Untranslatable};
use super::rows::{RowKind, Rows};
use super::state::StockState;
use super::times::Present;
use crate::event::BodyEndpoint;

#[derive(Debug)]
pub(super) enum Content {
    Alerts(Alerts),
    State(StockState),
    Rows(Rows),
    /// The hash does not hold the endpoint's format; it is left untouched.
    Foreign,
}

impl Content {
    pub(super) fn new(endpoint: BodyEndpoint, ticker: &str) -> Content {
        match endpoint {
            BodyEndpoint::FlowAlerts => Content::Alerts(Alerts::new(ticker)),
            BodyEndpoint::StockState => Content::State(StockState::default()),
            BodyEndpoint::SpotExposures => Content::Rows(Rows::new(RowKind::Series, ticker)),
            BodyEndpoint::SpotExposuresStrike => Content::Rows(Rows::new(RowKind::Strikes, ticker)),
        }
    }

    pub(super) fn rebase(&mut self, payload: &str, fetched_us: i64) -> Result<Frame, UnreadableBody> {
        if payload.len() > MAX_BODY {
            return Err(TOO_LARGE);
        }
        let (frame, data) = frame::split(payload)?;
        match self {
            Content::Alerts(alerts) => alerts.rebase(&frame::rows(data)?)?,
            Content::Rows(rows) => rows.rebase(&frame::rows(data)?, fetched_us)?,
            Content::State(state) => state.rebase(data, fetched_us)?,
            Content::Foreign => {}
        }
        Ok(frame)
    }

    pub(super) fn add(&mut self, payload: &str, receipt: Receipt) -> Result<(), Untranslatable> {
        match self {
            Content::Alerts(alerts) => alerts.add(payload, receipt),
            Content::Rows(rows) => rows.add(payload, receipt),
            Content::State(state) => state.add(payload, receipt),
            Content::Foreign => Ok(()),
        }
    }

    /// Returns the content's clock.
    pub(super) fn present(&mut self) -> Option<&mut Present> {
        match self {
            Content::Alerts(alerts) => Some(&mut alerts.present),
            Content::Rows(rows) => Some(&mut rows.present),
            Content::State(state) => Some(&mut state.present),
            Content::Foreign => None,
        }
    }

    pub(super) fn has_news(&self) -> bool {
        match self {
            Content::Alerts(alerts) => alerts.has_news(),
            Content::Rows(rows) => rows.has_news(),
            Content::State(state) => state.has_news(),
            Content::Foreign => false,
        }
    }

    /// Returns the body in this frame.
    pub(super) fn shown(&self, frame: &Frame) -> Option<String> {
        Some(match self {
            Content::Alerts(alerts) => frame.around_rows(alerts.shown()),
            Content::Rows(rows) => frame.around_rows(rows.shown()),
            Content::State(state) => frame.around(&state.shown()?),
            Content::Foreign => return None,
        })
    }

    /// Returns heap memory in bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Content::Alerts(alerts) => alerts.bytes(),
            Content::Rows(rows) => rows.bytes(),
            Content::State(state) => state.bytes(),
            Content::Foreign => 0,
        }
    }
}
