//! Every bound of the system, in one place.
//!
//! A bound that a peer can reach is answered with a typed failure, never with a silent drop.
//! The relations between the bounds are checked when this file is compiled.

use std::time::Duration;

/// Largest payload of a message, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 64 * MIB;
/// Largest body of a frame: a payload, its headers, and the two bytes that give their length.
pub const FRAME_BODY_BYTES_MAX: usize = MESSAGE_BYTES_MAX + HEADERS_BYTES_MAX + 2;
/// Payloads above this are offered to a queue before they are sent.
pub const INLINE_BYTES_MAX: usize = 64 * KIB;
/// A payload of this size or more travels by reference; a smaller one is copied.
pub const COPY_BYTES_MAX: usize = 16 * KIB;
/// Bytes of small published messages that are handled as one.
pub const PARCEL_BYTES_MAX: usize = 64 * KIB;
/// Encoded user headers of one message, in bytes.
pub const HEADERS_BYTES_MAX: usize = 4 * KIB;
/// User headers of one message.
pub const HEADERS_COUNT_MAX: usize = 32;

/// Bytes of a name or pattern.
pub const NAME_BYTES_MAX: usize = 255;
/// Dot-separated tokens of a name or pattern.
pub const NAME_TOKENS_MAX: usize = 16;
/// Bytes of the reason of a rejection.
pub const REASON_BYTES_MAX: usize = 255;
/// Bytes of a path of a local socket (`sun_path` without its final zero).
pub const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Time in which a connection must have finished its handshake.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);
/// Largest frame body before the handshake is done.
pub const HANDSHAKE_FRAME_BYTES_MAX: usize = 4 * KIB;
/// Memory spent on a peer before the handshake is done.
pub const HANDSHAKE_MEMORY_BYTES_MAX: usize = 16 * KIB;
/// Largest body of a control frame.
pub const CONTROL_BYTES_MAX: usize = MIB;
/// Largest control request that a client may send (deliveries aside).
pub const REQUEST_BYTES_MAX: usize = 64 * KIB;

/// Channels (open handles) of one session. Fits the 16 bits of a short header.
pub const CHANNELS_MAX: u32 = 32 * 1024;
/// Offers of one session that wait for room.
pub const OFFERS_MAX: u32 = 4096;
/// Bytes that a client keeps for its offers; one of any length is always allowed for each queue.
pub const OFFERED_BYTES_MAX: u64 = 16 * MIB as u64;
/// Requests of one session that wait for their reply.
pub const REQUESTS_MAX: usize = 4096;
/// Requests that wait at a service whose servers are all busy.
pub const SERVICE_PENDING_MAX: usize = 4096;
/// Bytes of requests that wait at such a service.
pub const SERVICE_PENDING_BYTES_MAX: usize = 128 * MIB;
/// Credit of a consumer or server.
pub const CREDIT_MAX: u32 = 4096;

/// Bytes that a subscription, a publisher or a queue handle may have under way, by default.
pub const WINDOW_BYTES_DEFAULT: u64 = MIB as u64;
/// The smallest window that a client may ask for.
pub const WINDOW_BYTES_MIN: u64 = 4 * KIB as u64;
/// The largest window that a client may ask for.
pub const WINDOW_BYTES_MAX: u64 = 16 * MIB as u64;
/// What a message costs beside its bytes wherever bytes are counted, so that empty ones count.
pub const MESSAGE_OVERHEAD_BYTES: usize = 64;
/// Bytes that wait at the broker for a slow subscription, by default.
pub const BACKLOG_BYTES_DEFAULT: u64 = MIB as u64;
/// The largest backlog that a subscription may ask for.
pub const BACKLOG_BYTES_MAX: u64 = 64 * MIB as u64;
/// The same of one that a bridge has for those beyond it, who may not be reachable for a while: it stands
/// where the spool of a bridge would that goes the other way.
pub const BRIDGE_BACKLOG_BYTES_MAX: u64 = 1024 * MIB as u64;

/// Members of one group of subscribers: each message is compared with all of them.
pub const GROUP_MEMBERS_MAX: usize = 1024;

/// Bytes of messages in a queue, by default: the longest message fits.
pub const QUEUE_BYTES_DEFAULT: u64 = (64 * MIB + 64 * KIB) as u64;
/// Messages in a queue, by default.
pub const QUEUE_COUNT_DEFAULT: u64 = 65_536;
/// The most bytes that a queue may be created with.
pub const QUEUE_BYTES_MAX: u64 = 64 * 1024 * MIB as u64;
/// Bytes that a queue may hold at the least: one empty message.
pub const QUEUE_BYTES_MIN: u64 = MESSAGE_OVERHEAD_BYTES as u64;
/// The most messages that a queue may be created with.
pub const QUEUE_COUNT_MAX: u64 = 1 << 32;
/// Lease of a delivery, by default.
pub const LEASE_DEFAULT: Duration = Duration::from_secs(30);
/// Unsettled deliveries of one session; beyond it gets none until it settles some.
pub const LEASES_MAX: usize = 65_536;
/// Bytes of them, the last one aside.
pub const LEASED_BYTES_MAX: u64 = 256 * MIB as u64;
/// Bytes of messages handed to a connection that are not written to it; beyond that its session
/// is given none until half of them are.
pub const UNWRITTEN_BYTES_MAX: u64 = 64 * MIB as u64;
/// Bytes kept for a session until its client confirms them; beyond that it ends.
pub const KEPT_BYTES_MAX: usize = 256 * MIB;
/// How long a receive that does not wait waits for what was asked of others for it: a delivery
/// that a consumer has not looked at, or a message that was offered.
pub const NO_WAIT_PATIENCE: Duration = Duration::from_secs(1);
/// Flushes of one publisher that wait for a slow subscriber.
pub const FLUSHES_MAX: u32 = 64;
/// The longest lease, delay or extension.
pub const LEASE_MAX: Duration = Duration::from_secs(24 * 3600);
/// Deliveries of one message before it is dead-lettered, by default.
pub const DELIVERIES_DEFAULT: u32 = 16;
/// Types whose last message a topic keeps for late joiners.
pub const KEPT_TYPES_MAX: usize = 1024;
/// What they may count in bytes: the longest message can be one of them.
pub const KEPT_BYTES_OF_TOPIC_MAX: u64 = QUEUE_BYTES_DEFAULT;
/// How long a topic lets a slow subscriber hold its publishers back, by default.
pub const HOLD_DEFAULT: Duration = Duration::from_secs(1);
/// The longest that a topic may allow.
pub const HOLD_MAX: Duration = Duration::from_secs(60);

/// How often each side of a connection over the network looks whether the other one is there. A look
/// that finds nothing new asks.
pub const HEARTBEAT: Duration = Duration::from_secs(1);
/// How long the other side may give no sign before the connection is taken for dead. A dead link is
/// noticed after five to six seconds; a side that can still hear the other one ask, after eight.
pub const SILENCE_MAX: Duration = Duration::from_secs(5);
/// How long a broker may leave a question unanswered that has come to its host. Whoever sees that it
/// hangs has noticed within nine seconds of its last sign.
pub const BROKER_SILENCE_MAX: Duration = Duration::from_secs(6);
/// The same of a client, which is stopped in a debugger, or works without letting its runtime run: with the
/// grace of its session it may be away from the bus for as long as a lease lasts.
pub const CLIENT_SILENCE_MAX: Duration = Duration::from_secs(20);
/// Time for which a session outlives its connection, by default.
pub const GRACE_DEFAULT: Duration = Duration::from_secs(10);
/// The longest grace that a broker grants.
pub const GRACE_MAX: Duration = Duration::from_secs(300);
/// Bytes of a client's name.
pub const CLIENT_NAME_BYTES_MAX: usize = 64;
/// Bytes of the name of a user.
pub const USER_NAME_BYTES_MAX: usize = 64;
/// Bytes of a token. A shorter one could be guessed; one of 256 random bits has 47 or more.
pub const TOKEN_BYTES_MIN: usize = 32;
/// The same at the most: a Hello has to fit into its frame.
pub const TOKEN_BYTES_MAX: usize = 256;
/// The longest deadline of a request.
pub const REQUEST_TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3600);

/// What is read at once, at the least, if it has arrived.
pub const READ_BYTES: usize = 64 * KIB;
/// A frame of this length, with its header, is read into a buffer of its own.
pub const GATHER_BYTES_MIN: usize = 32 * KIB;
/// Room that is made for a frame ahead of what has arrived of it: 1 MiB of payload, its headers,
/// and what else is read with it; or as much again as has arrived, since a buffer that grows doubles.
pub const ROOM_BYTES_MAX: usize = MIB + 8 * KIB;
/// Bytes of long frames' buffers that are remembered, to be used again.
pub const BUFFERS_BYTES_MAX: usize = 4 * MIB;
/// How many they may be.
pub const BUFFERS_COUNT_MAX: usize = 64;

/// Bytes after which a receiver of frames confirms them without being asked.
pub const CONFIRM_BYTES: usize = 64 * KIB;
/// Frames after which it does so.
pub const CONFIRM_FRAMES: u64 = 2048;
/// Sources that a session remembers by number before it forgets them all.
pub const ORIGINS_MAX: usize = 4096;
/// Registered names of message types.
pub const TYPES_MAX: usize = 65_536;
/// Of one user.
pub const TYPES_PER_USER_MAX: usize = 8192;
/// Rows of one page of a listing. Making one keeps the broker's thread from everything else.
pub const LISTING_ROWS_MAX: usize = 32;

/// Brokers that a message may pass, its origin among them, and that a wish may pass on its way.
pub const HOPS_MAX: usize = 16;
/// Bytes of a broker's name.
pub const BROKER_NAME_BYTES_MAX: usize = 64;
/// Ways to those who serve a name beyond, that one bridge may give.
pub const WAYS_MAX: usize = 64;
/// Calls of one name that a bridge may have under way.
pub const CALLS_CREDIT_DEFAULT: u32 = 256;
/// What these calls may count, the last one aside.
pub const CALLS_BYTES_DEFAULT: u64 = 16 * MIB as u64;
/// Calls that one direction of a bridge may have under way.
pub const CALLS_MAX: usize = 16_384;
/// What calls may count that wait in a bridge for the broker beyond it.
pub const CALLS_HELD_BYTES_MAX: u64 = 64 * MIB as u64;
/// How long a broker beyond may be away before what it was asked has failed.
pub const CALLS_PATIENCE: Duration = GRACE_DEFAULT;
/// When a bridge asks again to serve a name that it was refused.
pub const SERVE_AGAIN: Duration = Duration::from_secs(5);
/// Patterns of services that a bridge may ask about.
pub const SERVICE_PATTERNS_MAX: usize = 128;
/// Patterns times brokers that one bridge may want for others, and that a broker tells a peer.
pub const INTERESTS_MAX: usize = 65_536;
/// What is wanted is told this long after it has changed.
pub const INTEREST_DELAY: Duration = Duration::from_millis(10);
/// Rows of interest in one frame, added and removed ones each.
pub const WANTED_ROWS_MAX: usize = 1024;
/// How long the mark of a relayed source outlives its last upstream: longer than any session
/// outlives its connection, so that whoever comes back late still finds it.
pub const MARK_IDLE: Duration = Duration::from_secs(3600);
/// Marks without an upstream; of more than these the oldest are forgotten (some 350 bytes each).
pub const MARKS_IDLE_MAX: usize = 65_536;
/// Messages after which all upstreams are told the mark, so that they can forget them.
pub const MARK_MESSAGES: u64 = 64;
/// How long they wait at the most to be told.
pub const MARK_DELAY: Duration = Duration::from_millis(500);
/// How often a link looks for what stays in its spools while its relays stand by, and says so.
pub const RELAY_HINT: Duration = Duration::from_secs(2);
/// How long an active upstream may bring nothing while another has what comes next.
pub const RELAY_PATIENCE: Duration = Duration::from_secs(2);
/// How long if the other has only what comes later: as long as the first may yet come back.
pub const RELAY_PATIENCE_GAP: Duration = Duration::from_secs(30);
/// The highest number of a relayed message.
pub const SEQUENCE_MAX: u64 = 1 << 62;
/// Sources that one direction of a bridge keeps a spool for.
pub const LINK_SOURCES_MAX: usize = 16_384;
/// How long a source of it may rest, with nothing in its spool, before its relay is closed.
pub const LINK_SOURCE_IDLE: Duration = Duration::from_secs(60);
/// Messages that a spool may hold for each source at the least: more than two reports of marks.
pub const SPOOL_COUNT_MIN: u64 = 4 * MARK_MESSAGES;

/// Queues that live elsewhere and that one bridge hosts here.
pub const HOSTED_QUEUES_MAX: usize = 128;
/// Receivers of one of them, those among them whose end home has not confirmed.
pub const HOSTED_RECEIVERS_MAX: usize = 4096;
/// Bytes of messages for one of them that are on their way home; one longer message may be, of one
/// queue of each bridge.
pub const HOSTED_WINDOW_BYTES: u64 = MIB as u64;
/// Requests of one session at one of them that home has not answered, those aside that end a lease.
pub const HOSTED_REQUESTS_MAX: usize = 64;
/// Leases that are named in one request to a home.
pub const HOSTED_LEASES_TOLD_MAX: usize = 1024;
/// How long such a queue waits for another host when its own is gone. A broker that is started
/// anew has its bridges back long before.
pub const HOSTED_LINGER: Duration = Duration::from_secs(60);
/// Bytes that are kept of why the home of such a queue cannot be reached, or does not give it.
pub const HOSTED_WORDS_BYTES_MAX: usize = 1024;
/// How long a bridge waits before it asks again for what it was refused once: who makes a queue just
/// then has it soon.
pub const HOSTED_RETRY_FIRST: Duration = Duration::from_millis(100);
/// The same when it was refused again and again.
pub const HOSTED_RETRY: Duration = Duration::from_secs(2);
/// How long a receive that does not wait waits for the home: longer than homes themselves take.
pub const HOSTED_PATIENCE: Duration = Duration::from_secs(5);

/// What a message of this length takes of a window: its length and the overhead, but never
/// more than half, so that a message of any length passes through a window of any size.
pub const fn window_charge(length: usize, window_bytes: u64) -> u64 {
    let cost = (length as u64).saturating_add(MESSAGE_OVERHEAD_BYTES as u64);
    if cost < window_bytes / 2 { cost } else { window_bytes / 2 }
}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

const _: () = {
    assert!(FRAME_BODY_BYTES_MAX < u32::MAX as usize);
    assert!(HANDSHAKE_FRAME_BYTES_MAX <= HANDSHAKE_MEMORY_BYTES_MAX);
    assert!(COPY_BYTES_MAX <= INLINE_BYTES_MAX);
    assert!(INLINE_BYTES_MAX <= MESSAGE_BYTES_MAX);
    assert!(HEADERS_BYTES_MAX <= u16::MAX as usize);
    assert!(HANDSHAKE_FRAME_BYTES_MAX < GATHER_BYTES_MIN && GATHER_BYTES_MIN < READ_BYTES);
    assert!(MIB + HEADERS_BYTES_MAX + 1024 <= ROOM_BYTES_MAX);
    assert!(2 * ROOM_BYTES_MAX < BUFFERS_BYTES_MAX);
    // What is kept without a copy is half of what was read with it at the least.
    assert!(READ_BYTES <= 2 * GATHER_BYTES_MIN);
    assert!(CHANNELS_MAX <= 1 << 16);
    assert!(CREDIT_MAX <= 1 << 16);
    assert!(WINDOW_BYTES_MIN <= WINDOW_BYTES_DEFAULT && WINDOW_BYTES_DEFAULT <= WINDOW_BYTES_MAX);
    assert!(INLINE_BYTES_MAX as u64 + MESSAGE_OVERHEAD_BYTES as u64 <= WINDOW_BYTES_DEFAULT);
    assert!(BACKLOG_BYTES_DEFAULT <= BACKLOG_BYTES_MAX);
    assert!(BACKLOG_BYTES_MAX <= BRIDGE_BACKLOG_BYTES_MAX);
    assert!(QUEUE_BYTES_DEFAULT <= QUEUE_BYTES_MAX);
    assert!(
        (MESSAGE_BYTES_MAX + HEADERS_BYTES_MAX + MESSAGE_OVERHEAD_BYTES) as u64
            <= QUEUE_BYTES_DEFAULT
    );
    // What may be handed over passes the limit by a message, and answers come beside it.
    assert!(UNWRITTEN_BYTES_MAX as usize + 2 * MESSAGE_BYTES_MAX < KEPT_BYTES_MAX);
    assert!(QUEUE_COUNT_DEFAULT <= QUEUE_COUNT_MAX);
    assert!(REQUEST_BYTES_MAX <= CONTROL_BYTES_MAX);
    assert!(NAME_BYTES_MAX + 256 <= HANDSHAKE_FRAME_BYTES_MAX);
    // Whoever is asked has time to answer on a line that loses packets; and the side that notices a dead
    // link last does so before the other one's grace for its session is over. Each side asks at its
    // second look, which is the last that the other one may hear of it.
    assert!(SILENCE_MAX.as_secs() >= 4 * HEARTBEAT.as_secs());
    assert!(SILENCE_MAX.as_secs().is_multiple_of(HEARTBEAT.as_secs()));
    assert!(SILENCE_MAX.as_secs() + 3 * HEARTBEAT.as_secs() < GRACE_DEFAULT.as_secs());
    // A question is asked at the second look after the last sign, and seen to arrive at the next.
    assert!(BROKER_SILENCE_MAX.as_secs() + 3 * HEARTBEAT.as_secs() < GRACE_DEFAULT.as_secs());
    assert!(BROKER_SILENCE_MAX.as_secs() > SILENCE_MAX.as_secs());
    assert!(CLIENT_SILENCE_MAX.as_secs() + GRACE_DEFAULT.as_secs() >= LEASE_DEFAULT.as_secs());
    assert!(MARK_IDLE.as_secs() > 2 * GRACE_MAX.as_secs());
    assert!(RELAY_PATIENCE_GAP.as_secs() > 2 * GRACE_DEFAULT.as_secs());
    assert!(RELAY_HINT.as_millis() > 2 * MARK_DELAY.as_millis());
    assert!(CALLS_CREDIT_DEFAULT <= CREDIT_MAX);
    assert!(LINK_SOURCES_MAX < CHANNELS_MAX as usize);
    assert!(LINK_SOURCE_IDLE.as_millis() > MARK_DELAY.as_millis());
    // A number of 64 bits travels in at most 10 bytes.
    assert!(WAYS_MAX * (10 * HOPS_MAX + 8) + NAME_BYTES_MAX + 64 <= REQUEST_BYTES_MAX);
    assert!(SERVICE_PATTERNS_MAX * (NAME_BYTES_MAX + 8) + 64 <= REQUEST_BYTES_MAX);
    assert!(INLINE_BYTES_MAX + HEADERS_BYTES_MAX + 1024 < HOSTED_WINDOW_BYTES as usize);
    assert!(
        HOSTED_QUEUES_MAX * HOSTED_WINDOW_BYTES as usize + 2 * MESSAGE_BYTES_MAX <= KEPT_BYTES_MAX
    );
    assert!(HOSTED_PATIENCE.as_secs() > 2 * NO_WAIT_PATIENCE.as_secs());
    assert!(2 * WANTED_ROWS_MAX * (NAME_BYTES_MAX + 8 * HOPS_MAX + 16) <= CONTROL_BYTES_MAX);
    assert!(LISTING_ROWS_MAX * (NAME_BYTES_MAX + 512) <= CONTROL_BYTES_MAX);
    // A subscriber: pattern and group, its client and user, and numbers.
    assert!(
        LISTING_ROWS_MAX * (2 * NAME_BYTES_MAX + CLIENT_NAME_BYTES_MAX + USER_NAME_BYTES_MAX + 256)
            <= CONTROL_BYTES_MAX
    );
};
