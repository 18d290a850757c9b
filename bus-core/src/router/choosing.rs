//! Which server gets a call.
//!
//! Who serves here goes before bridges: a call travels only while nobody who serves here is
//! connected. Among bridges the shortest way goes first, then who has waited longest. Invariant: no
//! call is handed to a bridge whose every way leads over a broker that the call has passed.

use crate::arena::Id;
use crate::limits::HOPS_MAX;

use super::fault::Fault;
use super::ground::Ground;
use super::provenance::Epoch;
use super::service::{Server, Service};

impl Service {
    /// The server for a call that has passed these brokers; `None` while it has to wait.
    pub(super) fn choose(&self, ground: &Ground, hops: &[Epoch]) -> Option<Id<Server>> {
        let is_free = |id: &Id<Server>| {
            self.servers.get(*id).is_some_and(|server| {
                ground.is_connected(server.session) && ground.is_flowing(server.session)
            })
        };
        let mut free = self.ready.iter().copied().filter(is_free);
        if self.beyond == 0 {
            return free.next();
        }
        let stays = self.is_served_here(ground) && !ground.planted(Fault::CallsTravel);
        let distances = free.filter_map(|id| {
            let distance = self.servers.get(id)?.distance(ground, hops)?;
            (!stays || distance == 0).then_some((id, distance))
        });
        // Of several that are as near the first one is taken, which has waited longest.
        distances.min_by_key(|(_, distance)| *distance).map(|(id, _)| id)
    }

    /// Whether somebody who serves here is connected, busy or not.
    fn is_served_here(&self, ground: &Ground) -> bool {
        let mut here = self.servers.iter().filter(|(_, server)| server.ways.is_none());
        here.any(|(_, server)| ground.is_connected(server.session))
    }

    /// Whether there is a server at all for a call that has passed these.
    pub(super) fn leads_on(&self, ground: &Ground, hops: &[Epoch]) -> bool {
        self.beyond < self.servers.len()
            || self.servers.iter().any(|(_, server)| server.distance(ground, hops).is_some())
    }
}

impl Server {
    /// How far away it is for a call that has passed these brokers: 0 if it serves here; `None` if
    /// the call would come where it has been, or too far.
    fn distance(&self, ground: &Ground, hops: &[Epoch]) -> Option<usize> {
        let Some(ways) = &self.ways else { return Some(0) };
        // The call will have passed this broker too.
        if hops.len() >= HOPS_MAX {
            return None;
        }
        let ignored = ground.planted(Fault::HopsIgnored);
        let avoids = |way: &&Vec<Epoch>| ignored || !way.iter().any(|hop| hops.contains(hop));
        ways.iter().filter(avoids).map(Vec::len).min()
    }
}
