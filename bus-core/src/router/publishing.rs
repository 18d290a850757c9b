//! What publishers do: open a topic, publish, flush.
//!
//! While a subscription of a topic is full and holds it, what is published waits in the
//! topic, in order, charged to its publishers, whose windows bound it.

use std::sync::Arc;

use crate::arena::Id;
use crate::error::{ErrorKind, Failure};
use crate::limits::{FLUSHES_MAX, WINDOW_BYTES_DEFAULT, window_charge};
use crate::message::Message;
use crate::name::Name;

use super::Router;
use super::command::{AdminAction, Channel, RequestId, Ticket, TopicChange, TopicOptions};
use super::effect::{Answer, Output, Source};
use super::objects::change_access;
use super::policy::Deed;
use super::rights::Right;
use super::session::{Handle, Publisher, Session};
use super::topic::{Held, Offered, Topic};

impl Router {
    pub(super) fn open_publisher(
        &mut self,
        session: Id<Session>,
        channel: Channel,
        name: Name,
        options: TopicOptions,
        exclusive: bool,
    ) -> Result<Answer, Failure> {
        let Some(entry) = self.ground.sessions.get(session) else {
            return Err(Failure::new(ErrorKind::Closed, "the session is over"));
        };
        entry.check_free(channel)?;
        self.check_deed(session, Deed::Publish, "topic", &name)?;
        let sender = entry.sender.clone();
        let (id, created) = match self.topic_names.get(&name).copied() {
            Some(_) if exclusive => {
                let text = format!(
                    "topic `{name}` is there already: open it without creating, or take another name"
                );
                return Err(Failure::new(ErrorKind::AlreadyExists, text));
            }
            Some(id) => (id, false),
            None => (self.create_topic(session, name.clone(), options, exclusive)?, true),
        };
        let Some(topic) = self.topics.get_mut(id) else { return Ok(Answer::Done { count: 0 }) };
        let access = topic.access;
        self.check_right(session, &access, Right::Write, "topic", &name)?;
        self.next_source += 1;
        let source = Arc::new(Source { key: self.next_source, sender, topic: name });
        let publisher = Publisher {
            topic: id,
            source,
            accepted: 0,
            reported: 0,
            held: 0,
            flushes: 0,
            may: true,
        };
        if let (Some(entry), Some(topic)) =
            (self.ground.sessions.get_mut(session), self.topics.get_mut(id))
        {
            entry.open(channel, Handle::Publisher(publisher))?;
            topic.publishers += 1;
        }
        Ok(Answer::Opened { id: id.serial(), created })
    }

    fn create_topic(
        &mut self,
        session: Id<Session>,
        name: Name,
        options: TopicOptions,
        exclusive: bool,
    ) -> Result<Id<Topic>, Failure> {
        let pinned = exclusive || options != TopicOptions::default();
        if pinned {
            self.check_deed(session, Deed::Create, "topic", &name)?;
        }
        let access = self.new_access(
            session,
            &name,
            "topic",
            options.mode,
            self.config.topic_mode,
            &[Right::Write],
        )?;
        self.check_count("topics", self.topics.len(), self.config.topics_max)?;
        let Some(entry) = self.ground.sessions.get(session) else {
            return Err(Failure::new(ErrorKind::Closed, "the session is over"));
        };
        let creator = entry.sender.clone();
        let id = self.topics.insert_with(|id| Topic {
            id,
            name: name.clone(),
            access,
            creator,
            options,
            pinned,
            links: Vec::new(),
            publishers: 0,
            kept: Default::default(),
            holding: 0,
            held: Default::default(),
            published: 0,
            delivered: 0,
            dropped: 0,
            too_slow: 0,
            last_publish: None,
        });
        self.topic_names.insert(name, id);
        let subscriptions: Vec<_> = self.subscriptions.iter().map(|(id, _)| id).collect();
        for subscription in subscriptions {
            self.link(id, subscription);
        }
        Ok(id)
    }

    #[inline]
    pub(super) fn publish(
        &mut self,
        session: Id<Session>,
        channel: Channel,
        message: Message,
        ticket: Option<Ticket>,
    ) {
        let publisher =
            self.ground.sessions.get_mut(session).and_then(|entry| entry.publisher(channel));
        let Some((id, source, may)) = publisher.map(|own| (own.topic, own.source.clone(), own.may))
        else {
            return self.refuse_publish(
                session,
                channel,
                ticket,
                ErrorKind::Closed,
                "the publisher is not open",
            );
        };
        let Some(topic) = self.topics.get_mut(id) else {
            return self.refuse_publish(
                session,
                channel,
                ticket,
                ErrorKind::Removed,
                "the topic was removed",
            );
        };
        let identity = self.ground.sessions.get(session).map(|entry| &entry.identity);
        if !may {
            let Err(failure) = self.check_deed(session, Deed::Publish, "topic", &source.topic)
            else {
                return;
            };
            let kind = ErrorKind::PermissionDenied;
            return self.refuse_publish(session, channel, ticket, kind, failure.text());
        }
        if !identity.is_some_and(|identity| topic.access.allows(identity, Right::Write)) {
            let text = format!("topic `{}`: the right to write was taken away", topic.name);
            return self.refuse_publish(
                session,
                channel,
                ticket,
                ErrorKind::PermissionDenied,
                &text,
            );
        }
        if topic.holding > 0 || !topic.held.is_empty() {
            return self.hold(id, session, channel, source, message, ticket);
        }
        self.let_in(id, session, channel, source, message, ticket);
    }

    /// Publishes a message that nothing holds back.
    pub(super) fn let_in(
        &mut self,
        id: Id<Topic>,
        session: Id<Session>,
        channel: Channel,
        source: Arc<Source>,
        message: Message,
        ticket: Option<Ticket>,
    ) {
        let Some(topic) = self.topics.get_mut(id) else { return };
        let length = message.len();
        let mut notes = std::mem::take(&mut self.notes);
        topic.fan_out(&mut self.subscriptions, &mut self.ground, &source, message, &mut notes);
        topic.last_publish = Some((source.sender.clone(), self.ground.now));
        if let Some(ticket) = ticket {
            self.ground.verdict(session, ticket, Ok(()));
        }
        let charge = window_charge(length, WINDOW_BYTES_DEFAULT);
        self.note_accepted(session, channel, &source, charge);
        for (subscription, noted) in notes.drain(..) {
            match noted {
                Offered::Filled => self.set_full(subscription, true),
                _ => self.end_too_slow(subscription, "its backlog is full"),
            }
        }
        self.notes = notes;
    }

    /// So much of a publisher's window is free again; it is told after each quarter.
    pub(super) fn note_accepted(
        &mut self,
        session: Id<Session>,
        channel: Channel,
        source: &Source,
        charge: u64,
    ) {
        let publisher =
            self.ground.sessions.get_mut(session).and_then(|entry| entry.publisher(channel));
        let Some(publisher) = publisher.filter(|own| own.source.key == source.key) else { return };
        publisher.accepted += charge;
        if publisher.accepted - publisher.reported >= WINDOW_BYTES_DEFAULT / 4 {
            publisher.reported = publisher.accepted;
            let bytes = publisher.accepted;
            self.ground.tell(session, Output::Credit { channel, bytes });
        }
    }

    pub(super) fn flush(&mut self, session: Id<Session>, request: RequestId, channel: Channel) {
        let publisher =
            self.ground.sessions.get_mut(session).and_then(|entry| entry.publisher(channel));
        let held = publisher.map(|publisher| {
            publisher.flushes += u32::from(publisher.held > 0);
            (publisher.topic, publisher.held, publisher.flushes)
        });
        match held {
            None => {
                let failure = Failure::new(ErrorKind::Closed, "the publisher is not open");
                self.ground.reply(session, request, Err(failure));
            }
            Some((_, _, flushes)) if flushes > FLUSHES_MAX => {
                let text = format!("{FLUSHES_MAX} flushes of this publisher wait already");
                let failure = Failure::new(ErrorKind::QuotaExceeded, text);
                self.flush_ended(session, channel);
                self.ground.reply(session, request, Err(failure));
            }
            Some((id, held, _)) if held > 0 => {
                if let Some(topic) = self.topics.get_mut(id) {
                    topic.held.push_back(Held::Flush { session, channel, request });
                }
            }
            Some(_) => self.ground.reply(session, request, Ok(Answer::Done { count: 1 })),
        }
    }

    /// A flush has its answer.
    pub(super) fn flush_ended(&mut self, session: Id<Session>, channel: Channel) {
        let publisher =
            self.ground.sessions.get_mut(session).and_then(|entry| entry.publisher(channel));
        if let Some(publisher) = publisher {
            publisher.flushes = publisher.flushes.saturating_sub(1);
        }
    }

    pub(super) fn refuse_publish(
        &mut self,
        session: Id<Session>,
        channel: Channel,
        ticket: Option<Ticket>,
        kind: ErrorKind,
        text: &str,
    ) {
        let failure = Failure::new(kind, text);
        if let Some(ticket) = ticket {
            self.ground.verdict(session, ticket, Err(failure.clone()));
        }
        // Once: when the handle is gone already, its client has been told.
        if let Ok(Handle::Publisher(_)) = self.ground.handle(session, channel) {
            self.close_channel(session, channel);
            self.ground.tell(session, Output::Ended { channel, failure });
        }
    }

    pub(super) fn admin_topic(
        &mut self,
        session: Id<Session>,
        name: &Name,
        action: AdminAction,
    ) -> Result<Answer, Failure> {
        self.check_deed(session, Deed::Administer, "topic", name)?;
        let Some(id) = self.topic_names.get(name).copied() else {
            return Err(self.no_such("topic", name, self.topic_names.keys()));
        };
        let Some(topic) = self.topics.get_mut(id) else { return Ok(Answer::Done { count: 0 }) };
        let access = topic.access;
        self.check_right(session, &access, Right::Administer, "topic", name)?;
        let Some(topic) = self.topics.get_mut(id) else { return Ok(Answer::Done { count: 0 }) };
        let count = match action {
            AdminAction::Purge => {
                let count = topic.kept.len() as u64;
                topic.kept.clear();
                count
            }
            AdminAction::Retire => {
                topic.pinned = false;
                let (messages, holders) = (topic.kept.len() as u64, topic.publishers);
                self.topic_names.remove(name);
                self.drop_idle_topic(id);
                return Ok(Answer::Retired { messages, holders });
            }
            AdminAction::Remove => self.remove_topic(id),
        };
        Ok(Answer::Done { count })
    }

    /// Removes a topic: its publishers are told, what is held fails.
    fn remove_topic(&mut self, id: Id<Topic>) -> u64 {
        let Some(topic) = self.topics.remove(id) else { return 0 };
        if self.topic_names.get(&topic.name) == Some(&id) {
            self.topic_names.remove(&topic.name);
        }
        for link in &topic.links {
            if let Some(subscription) = self.subscriptions.get_mut(link.subscription) {
                subscription.topics.retain(|(other, _)| *other != id);
            }
        }
        let failure =
            Failure::new(ErrorKind::Removed, format!("topic `{}` was removed", topic.name));
        let sessions = self.ground.sessions.iter().map(|(session, _)| session);
        // Mostly the last publisher has just gone, and there is nobody to look for.
        let sessions: Vec<_> = sessions.take_while(|_| topic.publishers > 0).collect();
        for session in sessions {
            let Some(entry) = self.ground.sessions.get(session) else { continue };
            let on_topic = |channel: &Channel| matches!(entry.handle(*channel), Some(Handle::Publisher(publisher)) if publisher.topic == id);
            let channels: Vec<_> = entry.channels().into_iter().filter(on_topic).collect();
            for channel in channels {
                self.ground.end_channel(session, channel, failure.clone());
            }
        }
        let count = topic.held_count();
        for held in topic.held {
            match held {
                Held::Flush { session, request, .. } => {
                    self.ground.reply(session, request, Err(failure.clone()))
                }
                Held::Parcel { session, parcel, .. } => {
                    if let Some(entry) = self.ground.sessions.get_mut(session) {
                        entry.parked_bytes -= parcel.cost();
                    }
                }
                Held::Message { session, message, ticket, .. } => {
                    if let Some(entry) = self.ground.sessions.get_mut(session) {
                        entry.parked_bytes -= message.cost();
                    }
                    if let Some(ticket) = ticket {
                        self.ground.verdict(session, ticket, Err(failure.clone()));
                    }
                }
            }
        }
        count
    }

    pub(super) fn set_topic(
        &mut self,
        session: Id<Session>,
        name: &Name,
        change: TopicChange,
    ) -> Result<Answer, Failure> {
        self.check_deed(session, Deed::Administer, "topic", name)?;
        let Some(id) = self.topic_names.get(name).copied() else {
            return Err(self.no_such("topic", name, self.topic_names.keys()));
        };
        let Some(topic) = self.topics.get(id) else { return Ok(Answer::Done { count: 0 }) };
        let access = topic.access;
        self.check_right(session, &access, Right::Administer, "topic", name)?;
        self.check_chown(session, change.owner.is_some() || change.group.is_some(), name)?;
        if let Some(topic) = self.topics.get_mut(id) {
            topic.options.keep_last = change.keep_last.unwrap_or(topic.options.keep_last);
            topic.options.hold = change.hold.unwrap_or(topic.options.hold);
            if !topic.options.keep_last {
                topic.kept.clear();
            }
            topic.pinned = true;
            topic.access = change_access(access, change.mode, change.owner, change.group);
            if topic.access != access {
                self.link_again(id);
            }
        }
        Ok(Answer::Done { count: 1 })
    }

    /// Forgets a topic that nobody publishes on and that was made by publishing alone.
    pub(super) fn drop_idle_topic(&mut self, id: Id<Topic>) {
        let Some(topic) = self.topics.get(id) else { return };
        if topic.publishers == 0 && !topic.pinned && topic.held.is_empty() {
            self.remove_topic(id);
        }
    }
}
