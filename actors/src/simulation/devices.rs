//! The DeviceManager, played around the real lease book.

use engine_devices::{LeaseEffect, LeaseEvent, LeaseId, Ticket};

use super::world::{Edge, Input, Who, Word, World};
use crate::{cv, run};

impl World {
    /// `DeviceManager::enter`, with what it does before.
    pub(super) fn enter(&mut self, event: LeaseEvent) {
        if matches!(event, LeaseEvent::Acquire { .. } | LeaseEvent::Release { .. } | LeaseEvent::LookAgain) {
            let gone: Vec<Ticket> =
                self.abandoned.iter().filter(|ticket| self.tickets.contains_key(ticket)).copied().collect();
            for ticket in gone {
                // One that has not come in yet is withdrawn when it has.
                let on_its_way = self.edges.values().flatten().any(
                    |word| matches!(word, Word::Devices(LeaseEvent::Acquire { ticket: asked, .. }) if *asked == ticket),
                );
                if !on_its_way {
                    self.tickets.remove(&ticket);
                    self.apply(LeaseEvent::Withdraw { ticket });
                }
            }
        }
        self.apply(event);
    }

    fn apply(&mut self, event: LeaseEvent) {
        self.say(|| format!("devices <- {event:?}"));
        for effect in self.book.apply(event) {
            self.perform_lease(effect);
        }
    }

    fn perform_lease(&mut self, effect: LeaseEffect) {
        self.say(|| format!("devices -> {effect:?}"));
        match effect {
            LeaseEffect::Claim { lease, devices, .. } => {
                let busy = self.rng.chance(30);
                let event = match devices.into_iter().next().filter(|_| busy) {
                    Some(device) => LeaseEvent::Busy { lease, device },
                    None => LeaseEvent::Claimed { lease },
                };
                self.count(if busy { "claims of busy devices" } else { "claims" });
                self.send(Edge::Claim(lease), Word::Devices(event));
            }
            LeaseEffect::Unclaim { .. } => self.count("unclaims"),
            LeaseEffect::Grant { ticket, lease, grant, .. } => {
                assert!(self.out.insert(lease, 1).is_none(), "DM-2: a lease is granted twice");
                match self.tickets.remove(&ticket) {
                    Some(who) => {
                        let device = grant.device_names();
                        self.send(Edge::FromDevices(who), Word::Granted(who, ticket, lease, device));
                    }
                    None => self.let_go(lease),
                }
            }
            LeaseEffect::Returned { lease, .. } => {
                assert_eq!(self.out.remove(&lease), Some(0), "DM-2: a lease that somebody holds is back");
                self.count("leases returned");
            }
            LeaseEffect::Refuse { ticket, reason } => {
                let Some(who) = self.tickets.remove(&ticket).filter(|_| !self.abandoned.contains(&ticket))
                else {
                    return;
                };
                let reason = reason.to_string();
                self.count("leases refused");
                let input = match who {
                    Who::Cv(_) => Input::Cv(cv::Input::LeaseRefused { reason }),
                    _ => Input::Run(run::Input::LeaseRefused { reason }),
                };
                self.send(Edge::FromDevices(who), Word::Input(who, input));
            }
            LeaseEffect::Revoke { lease } => {
                self.count("leases revoked");
                self.revoked.insert(lease);
                let holders: Vec<u64> =
                    self.runs.iter().filter(|(_, run)| run.lease == Some(lease)).map(|(id, _)| *id).collect();
                holders.into_iter().for_each(|run| self.give_up_if_revoked(run));
            }
            LeaseEffect::CountLate(event) => {
                assert!(!matches!(event, LeaseEvent::Release { .. }), "DM-2: a lease is released twice");
                self.count("late lease events");
            }
        }
    }

    /// `RunActor::give_up_if_revoked`.
    pub(super) fn give_up_if_revoked(&mut self, id: u64) {
        let is_revoked = self.runs.get(&id).is_some_and(|run| {
            run.worker.is_some() && run.lease.is_some_and(|lease| self.revoked.contains(&lease))
        });
        if is_revoked {
            let reason = "its device is gone".to_owned();
            self.take(Who::Run(id), Input::Run(run::Input::Unreachable { reason }));
        }
    }

    /// A lease reached whoever asked, or nobody who still waits.
    pub(super) fn granted(&mut self, who: Who, ticket: Ticket, lease: LeaseId, device: String) {
        let (request, slot) = match who {
            Who::Cv(index) => match self.cvs.get_mut(&index) {
                Some(cv) => (&mut cv.request, &mut cv.lease),
                None => return self.let_go(lease),
            },
            Who::Run(id) => match self.runs.get_mut(&id) {
                Some(run) => (&mut run.request, &mut run.lease),
                None => return self.let_go(lease),
            },
            Who::Tune => return self.let_go(lease),
        };
        if *request != Some(ticket) && slot.is_some() {
            return self.let_go(lease);
        }
        // Withdrawn meanwhile, it is granted all the same: the state is to give it back.
        let is_late = *request != Some(ticket);
        *request = None;
        *slot = Some(lease);
        if is_late {
            self.count("leases granted too late");
        }
        let input = match who {
            Who::Cv(_) => Input::Cv(cv::Input::LeaseGranted),
            _ => Input::Run(run::Input::LeaseGranted { device }),
        };
        self.take(who, input);
    }

    /// One more holds it: `Arc::clone` of its guard.
    pub(super) fn hold(&mut self, lease: LeaseId) {
        let holders = self.out.get_mut(&lease).expect("DM-2: a lease that is out");
        assert!(*holders > 0, "DM-2: nobody holds a lease that is let go");
        *holders += 1;
    }

    /// One fewer holds it; after the last it goes back.
    pub(super) fn let_go(&mut self, lease: LeaseId) {
        let holders = self.out.get_mut(&lease).expect("DM-2: a lease that is out");
        *holders = holders.checked_sub(1).expect("DM-2: a lease is let go once by each holder");
        if *holders == 0 {
            self.send(Edge::Returned(lease), Word::Devices(LeaseEvent::Release { lease }));
        }
    }
}
