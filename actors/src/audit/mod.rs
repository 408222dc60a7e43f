//! The audit of the feed: once per hour, on the owner only, whether the feed has delivered what the REST API knows.
//!
//! The decoders hand events to the [`tap`]; `core::audit` decides what to ask and what follows; this actor asks. A finding is a
//! gap of the ledger. (The auditor of the counts is another: [`crate::auditor`].)

pub mod tap;

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use slog::{Logger, debug, error, info, warn};
use uw_websocket_core::audit::blind::Blind;
use uw_websocket_core::audit::evidence::{self, NoEvidence, Pages};
use uw_websocket_core::audit::hours::Hours;
use uw_websocket_core::audit::question::{
    AuditAnswer, AuditQuestion, EvidenceWanted, Notice, ReceivedEvents, Unseen,
};
use uw_websocket_core::audit::{AuditSubject, HOUR_US, series};
use uw_websocket_core::event::Channel;
use uw_websocket_core::request_budget::{Purpose, TokenUsage};
use uw_websocket_core::rest_query::RestQuery;
use uw_websocket_core::time::iso_utc;

use crate::ledger::gap::{Gap, GapReason};
use crate::ledger::tracker::GapTracker;
use crate::observation::Observations;
use crate::rest::{RestClient, RestError, RestFault};
use crate::settings::RestSettings;
use tap::AuditTap;

/// Interval at which gaps are heard of and due questions asked.
const ROUND_EVERY: Duration = Duration::from_secs(5);

/// Collaborators of the audit.
pub struct AuditParts {
    /// The REST API.
    pub rest: RestSettings,
    /// The events that have arrived.
    pub tap: AuditTap,
    /// Gaps, and where findings go.
    pub gaps: GapTracker,
    /// Whether a fill waits or is under way: it needs the requests more.
    pub is_filling: Box<dyn Fn() -> bool>,
    /// The present in Unix microseconds.
    pub clock: Box<dyn Fn() -> u64>,
    /// Chance from 0 to below 1.
    pub chance: Box<dyn FnMut() -> f64>,
    /// Counters.
    pub observations: Arc<Observations>,
    /// Logger.
    pub log: Logger,
}

/// The actor; it ends with its thread.
pub struct FeedAudit {
    parts: Option<AuditParts>,
}

impl FeedAudit {
    /// Creates an audit that has not started.
    #[must_use]
    pub fn new(parts: AuditParts) -> FeedAudit {
        FeedAudit { parts: Some(parts) }
    }
}

impl Actor for FeedAudit {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        let Some(parts) = self.parts.take() else { return context.stop() };
        let log = parts.log.clone();
        match RestClient::new(&parts.rest, Arc::clone(&parts.observations.rest), log.clone()) {
            Ok(client) => {
                context.spawn(Course::new(parts, client).run().into_actor(self));
            }
            Err(error) => error!(log, "audit without rest"; "error" => %error),
        }
    }
}

/// The course of the audit.
pub struct Course {
    parts: AuditParts,
    client: RestClient,
    hours: Hours,
    blind: Vec<Blind>,
}

impl Course {
    /// Begins with the present hour, of which nothing is known until now.
    #[must_use]
    pub fn new(parts: AuditParts, client: RestClient) -> Course {
        let now_us = (parts.clock)();
        let (hours, subjects) = {
            let kept = parts.tap.kept();
            (Hours::new(&kept, now_us), kept.subjects().count())
        };
        let mut blind = vec![Blind::default(); subjects];
        // nothing is known of what came before
        for blind in &mut blind {
            blind.note(now_us - now_us % HOUR_US, now_us);
        }
        info!(parts.log, "audit started";
            "subjects" => subjects, "screens" => "off until five clean hours agree");
        let mut course = Course { parts, client, hours, blind };
        course.hear();
        course
    }

    async fn run(mut self) {
        let mut rounds = tokio::time::interval(ROUND_EVERY);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            rounds.tick().await;
            self.round().await;
        }
    }

    /// Asks what is due, one question at a time.
    pub async fn round(&mut self) {
        self.hear();
        let now_us = (self.parts.clock)();
        let notices = {
            let Course { parts, hours, blind, .. } = self;
            let mut kept = parts.tap.kept();
            kept.forget(now_us);
            hours.open(ReceivedEvents { kept: &kept, blind, now_us }, &mut parts.chance)
        };
        self.act(notices);
        // a query that is due again immediately would be repeated forever
        for _ in 0..self.hours.waiting() {
            let Some(question) = self.hours.next((self.parts.clock)()) else { break };
            let answer = self.ask(&question).await;
            self.hear();
            let now_us = (self.parts.clock)();
            let notices = {
                let Course { parts, hours, blind, .. } = self;
                let kept = parts.tap.kept();
                hours.answered(
                    question,
                    answer,
                    ReceivedEvents { kept: &kept, blind, now_us },
                    &mut parts.chance,
                )
            };
            self.act(notices);
        }
    }

    /// Notes what the ledger knows to be missing.
    fn hear(&mut self) {
        let now_us = (self.parts.clock)();
        let heard = self.parts.gaps.heard();
        let kept = self.parts.tap.kept();
        for (subject, blind) in kept.subjects().zip(&mut self.blind) {
            let (topic, channel) = (subject.topic(), subject.channel());
            for (topics, (from_us, to_us)) in &heard.closed {
                if topics.iter().any(|named| *named == topic || named == channel) {
                    blind.note(*from_us, *to_us);
                }
            }
            for (_, since_us) in heard.open.iter().filter(|(named, _)| *named == topic) {
                blind.note(*since_us, now_us);
            }
            blind.forget(now_us);
        }
    }

    async fn ask(&self, question: &AuditQuestion) -> AuditAnswer {
        if (self.parts.is_filling)() {
            return AuditAnswer::Later;
        }
        let Some(subject) = self.hours.subject(question.position) else {
            return AuditAnswer::Nothing(NoEvidence::NoRows);
        };
        let answer = match &question.asked {
            EvidenceWanted::Sums => {
                let query = subject.ticker().map(evidence::sums_query);
                self.read(query, |body| evidence::sums(body).map(AuditAnswer::Sums)).await
            }
            EvidenceWanted::Rows { from_us, to_us } => self.rows(Pages::new(subject, *from_us, *to_us)).await,
            EvidenceWanted::Minutes { hour_us } => {
                let query = series::day_query(subject, *hour_us);
                self.read(query, |body| series::day(subject, *hour_us, body).map(AuditAnswer::Minutes)).await
            }
            EvidenceWanted::Newest => {
                let query = series::newest_query(subject);
                self.read(query, |body| series::newest(subject, body).map(AuditAnswer::Newest)).await
            }
        };
        let answer = answer.unwrap_or_else(|nothing| nothing);
        if let AuditAnswer::Nothing(why) = &answer {
            debug!(self.parts.log, "no evidence"; "topic" => subject.topic(), "why" => %why);
        }
        answer
    }

    /// Asks for one answer and reads it.
    async fn read(
        &self,
        query: Option<RestQuery>,
        read: impl Fn(&[u8]) -> Result<AuditAnswer, NoEvidence>,
    ) -> Result<AuditAnswer, AuditAnswer> {
        let Some(query) = query else { return Err(AuditAnswer::Nothing(NoEvidence::NoRows)) };
        read(&self.get(&query).await?).map_err(AuditAnswer::Nothing)
    }

    async fn rows(&self, mut pages: Pages) -> Result<AuditAnswer, AuditAnswer> {
        loop {
            let body = self.get(&pages.query()).await?;
            if let Some(rows) = pages.take(&body).map_err(AuditAnswer::Nothing)? {
                return Ok(AuditAnswer::Rows(rows));
            }
        }
    }

    async fn get(&self, query: &RestQuery) -> Result<bytes::Bytes, AuditAnswer> {
        let answer = self.client.get(Purpose::Audit, query).await;
        let answer = answer.map_err(|error| self.without_answer(query, &error))?;
        if answer.usage == TokenUsage::default() {
            return Err(AuditAnswer::Nothing(NoEvidence::NoUsage));
        }
        Ok(answer.body)
    }

    fn without_answer(&self, query: &RestQuery, error: &RestError) -> AuditAnswer {
        debug!(self.parts.log, "audit without an answer"; "path" => &query.path, "error" => %error);
        match error.fault() {
            RestFault::NotNow | RestFault::Limited | RestFault::Retryable | RestFault::Unauthorised => {
                AuditAnswer::Later
            }
            _ => AuditAnswer::Nothing(NoEvidence::Refused),
        }
    }

    fn act(&self, notices: Vec<Notice>) {
        let log = &self.parts.log;
        let topic = |position| self.hours.subject(position).map(AuditSubject::topic).unwrap_or_default();
        for notice in notices {
            match notice {
                Notice::Unseen(unseen) => self.record(&unseen),
                Notice::Calibrated(position, screen) => {
                    info!(log, "audit screen on"; "topic" => topic(position), "screen" => screen.label());
                }
                Notice::NotComparable(position, screen) => {
                    warn!(log, "audit not comparable"; "topic" => topic(position), "screen" => screen.label());
                }
                Notice::Report(position, report) => {
                    if let Some(channel) = self.channel(position) {
                        channel.audit_checked.add(report.checked);
                        channel.audit_missing.add(report.missing);
                    }
                    info!(log, "hour audited";
                        "topic" => topic(position), "hour" => iso_utc(report.hour_us), "checked" => report.checked,
                        "agreed" => report.agreed, "missing" => report.missing, "extra" => report.extra,
                        "differing" => report.differing, "skipped" => report.skipped, "unproven" => report.unproven);
                }
            }
        }
    }

    /// Records a finding as a gap.
    fn record(&self, unseen: &Unseen) {
        let Some(subject) = self.hours.subject(unseen.position) else { return };
        let Ok(channel) = Channel::parse(subject.channel()) else { return };
        let (from_us, to_us) = unseen.between;
        error!(self.parts.log, "events unseen";
            "topic" => subject.topic(), "events" => unseen.events, "from" => iso_utc(from_us), "to" => iso_utc(to_us));
        let gap = Gap::new(channel.family(), vec![subject.topic()], unseen.between, GapReason::Unseen);
        let detail = "the REST API has events that the feed has not delivered";
        self.parts.gaps.note(gap.with_events(unseen.events).with_detail(detail));
    }

    fn channel(&self, position: usize) -> Option<&crate::observation::ChannelObservation> {
        let name = self.hours.subject(position)?.channel();
        self.parts.observations.channels.iter().find(|channel| channel.channel.name() == name)
    }
}
