//! What every transport must do, as one list of properties over the trait.
//!
//! A new transport gets a factory in `pairs` and a line here, and passes the same list. Where
//! brokers listen on a machine has rules of its own, in `paths`.

#[path = "../certificates/mod.rs"]
mod certificates;
mod ends;
mod flow;
#[cfg_attr(not(target_os = "linux"), allow(unused, reason = "lanes are on Linux alone"))]
mod pairs;
#[cfg(target_os = "linux")]
mod paths;
mod waking;

use std::pin::Pin;
use std::time::Duration;

use bus_core::transport::Transport;
use tokio::time::timeout;

use pairs::{Listening, Pair};

/// How long a property may take.
const PROPERTY_MAX: Duration = Duration::from_secs(20);

type Checking = Pin<Box<dyn Future<Output = ()>>>;
/// A property: its name, and what checks it on a fresh pair.
type Property = (&'static str, fn(Pair) -> Checking);

macro_rules! properties {
    ($($module:ident::$name:ident,)*) => {
        &[$((stringify!($name), |pair| Box::pin($module::$name(pair))),)*]
    };
}

const PROPERTIES: &[Property] = properties![
    flow::bytes_arrive_in_order_in_any_chunking,
    flow::many_slices_go_out_in_order,
    flow::empty_slices_stand_in_nobodys_way,
    flow::a_read_appends_within_the_room_there_is,
    flow::a_full_link_would_block_and_goes_on_when_it_is_read,
    flow::both_directions_are_independent,
    flow::sixty_four_mebibytes_go_through,
    flow::what_the_other_system_has_taken_is_told_over_a_network,
    ends::what_was_written_before_the_end_can_be_read,
    ends::writing_to_an_ended_peer_fails,
    ends::an_end_wakes_who_waits_to_read,
    ends::an_end_wakes_who_waits_to_write,
    waking::an_idle_link_is_not_readable_and_is_writable,
    waking::data_wakes_who_waits_to_read,
    waking::room_wakes_who_waits_to_write,
    waking::the_last_waker_counts,
];

async fn check(transport: Transport) {
    check_at(Listening::start(transport).await).await;
}

async fn check_at(listening: Listening) {
    let transport = listening.transport;
    for (name, property) in PROPERTIES {
        eprintln!("{transport}: {name}");
        let checking = property(listening.pair().await);
        let done = timeout(PROPERTY_MAX, checking).await;
        assert!(done.is_ok(), "{transport}: {name} is not done within {PROPERTY_MAX:?}");
    }
    ends::both_ends_know_what_they_are(&listening).await;
    ends::a_cancelled_accept_loses_no_connection(&listening).await;
}

#[tokio::test]
async fn links_inside_a_process_conform() {
    check(Transport::Mem).await;
}

#[tokio::test]
async fn local_sockets_conform() {
    check(Transport::Local).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn lanes_conform() {
    check(Transport::SharedMemory).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn lanes_with_bells_conform() {
    for bells in [[true, true], [true, false], [false, true]] {
        check_at(Listening::start(Transport::SharedMemory).await.with_bells(bells)).await;
    }
}

#[tokio::test]
async fn tcp_conforms() {
    check(Transport::Tcp).await;
}

#[tokio::test]
async fn tls_conforms() {
    check(Transport::Tls).await;
}
