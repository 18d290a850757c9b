//! What publishers do: open a topic and publish.
//!
//! While a subscription of a topic is full and holds it, what is published waits in the
//! topic, in order, charged to its publishers, whose windows bound it.

use std::sync::Arc;

use crate::arena::Id;
use crate::error::{ErrorKind, Failure};
use crate::limits::{WINDOW_BYTES_DEFAULT, window_charge};
use crate::message::Message;
use crate::name::Name;

use super::Router;
use super::command::{AdminAction, Channel, Ticket, TopicChange, TopicOptions};
use super::effect::{Answer, Output, Source, Stamp};
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
        self.check_deed(session, Deed::Publish, "topic", &name)?;
        self.open_topic(session, channel, name, options, exclusive)
    }

    /// The same for whom the policy allows it.
    pub(super) fn open_topic(
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
        let sender = entry.sender.clone();
        // Of what the broker says there nobody else can say more, an administrator no more than others.
        self.check_reserved(session, &name, "topic")?;
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
        let (key, provenance) = (self.next_source, None);
        let source = Arc::new(Source { key, sender, topic: name, provenance });
        let publisher = Publisher {
            topic: id,
            source,
            published: 0,
            accepted: 0,
            reported: 0,
            held: 0,
            flushes: 0,
            relayed: None,
            may: true,
        };
        if let (Some(entry), Some(topic)) =
            (self.ground.sessions.get_mut(session), self.topics.get_mut(id))
        {
            entry.open(channel, Handle::Publisher(publisher))?;
            topic.publishers += 1;
        }
        Ok(Answer::Opened { id: id.serial(), created, hosted: false })
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
            kept_bytes: 0,
            holding: 0,
            held: Default::default(),
            published: 0,
            delivered: 0,
            dropped: 0,
            too_slow: 0,
            last_publish: None,
            matching: Default::default(),
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
        let Some((id, stamp, relayed, may)) = publisher.map(|publisher| {
            publisher.published += 1;
            let (source, sequence) = (publisher.source.clone(), publisher.published);
            (publisher.topic, Stamp { source, sequence }, publisher.relayed, publisher.may)
        }) else {
            return self.refuse_publish(
                session,
                channel,
                ticket,
                ErrorKind::Closed,
                "the publisher is not open",
            );
        };
        if let Err(failure) = self.check_way(id, session, may, relayed.is_some(), &stamp) {
            return self.refuse_publish(session, channel, ticket, failure.kind(), failure.text());
        }
        if let Some(relayed) = relayed
            && !self.is_crowded(id, session, &message)
            && let Err(verdict) = self.admit(relayed, (session, channel), id, stamp.sequence)
        {
            return self.pass_over(session, channel, &stamp.source, message.len(), ticket, verdict);
        }
        let Some(topic) = self.topics.get(id) else { return };
        if topic.holding > 0 || !topic.held.is_empty() {
            return self.hold(id, session, channel, stamp, message, ticket);
        }
        self.let_in(id, session, channel, stamp, message, ticket);
    }

    /// Whether a publisher may publish on its topic, if that is still there. A relay may as a
    /// bridge, whatever its session may publish by itself.
    fn check_way(
        &self,
        id: Id<Topic>,
        session: Id<Session>,
        may: bool,
        is_relay: bool,
        stamp: &Stamp,
    ) -> Result<(), Failure> {
        let Some(topic) = self.topics.get(id) else {
            return Err(Failure::new(ErrorKind::Removed, "the topic was removed"));
        };
        match (may, is_relay) {
            (true, _) => {}
            (false, true) => self.check_bridge(session, &stamp.source.topic)?,
            (false, false) => {
                self.check_deed(session, Deed::Publish, "topic", &stamp.source.topic)?
            }
        }
        let identity = self.ground.sessions.get(session).map(|entry| &entry.identity);
        match identity.is_some_and(|identity| topic.access.allows(identity, Right::Write)) {
            true => Ok(()),
            false => {
                let text = format!("topic `{}`: the right to write was taken away", topic.name);
                Err(Failure::new(ErrorKind::PermissionDenied, text))
            }
        }
    }

    /// Publishes a message that nothing holds back.
    pub(super) fn let_in(
        &mut self,
        id: Id<Topic>,
        session: Id<Session>,
        channel: Channel,
        stamp: Stamp,
        message: Message,
        ticket: Option<Ticket>,
    ) {
        let Some(topic) = self.topics.get_mut(id) else { return };
        let length = message.len();
        let mut notes = std::mem::take(&mut self.notes);
        topic.fan_out(&mut self.subscriptions, &mut self.ground, &stamp, message, &mut notes);
        topic.last_publish = Some((stamp.source.sender.clone(), self.ground.now));
        if let Some(ticket) = ticket {
            self.ground.verdict(session, ticket, Ok(()));
        }
        let charge = window_charge(length, WINDOW_BYTES_DEFAULT);
        self.note_accepted(session, channel, &stamp.source, charge);
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
                topic.forget_kept();
                count
            }
            AdminAction::Retire => {
                topic.pinned = false;
                let (messages, holders) = (topic.kept.len() as u64, topic.publishers);
                self.topic_names.remove(name);
                self.resume_everywhere(id);
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
        topic.stop_matching(&mut self.ground);
        if self.topic_names.get(&topic.name) == Some(&id) {
            self.topic_names.remove(&topic.name);
        }
        for link in &topic.links {
            if let Some(subscription) = self.subscriptions.get_mut(link.subscription) {
                subscription.topics.retain(|(other, _)| *other != id);
            }
            self.forget_stop_of_gone(link.subscription, id);
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
                self.leave_relay(session, channel);
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
                topic.forget_kept();
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
