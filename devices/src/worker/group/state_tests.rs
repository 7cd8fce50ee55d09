use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A message that says who said it and what it is.
type Text = &'static str;

/// A group of which nobody is elsewhere, on a clock that is moved by hand.
struct Played {
    group: Group<Text>,
    now: Duration,
}

impl Played {
    fn new(ranks: u32) -> Self {
        let members = (0..ranks).map(|rank| (rank, Seat::Here));
        Self { group: Group::new(members, Patience::LOCAL), now: Duration::ZERO }
    }

    /// One rank here, the others elsewhere.
    fn on_nodes(ranks: u32) -> Self {
        let seat = |rank| if rank == 0 { Seat::Here } else { Seat::Elsewhere };
        let members = (0..ranks).map(|rank| (rank, seat(rank)));
        Self { group: Group::new(members, Patience::NODES), now: Duration::ZERO }
    }

    /// All have said hello and have their orders.
    fn at_work(mut self) -> Self {
        for member in 0..self.group.members.len() {
            assert_eq!(self.hear(Event::Beat { member }), []);
        }
        assert_eq!(self.hear(Event::Ordered), []);
        self
    }

    fn hear(&mut self, event: Event<Text>) -> Vec<Effect<Text>> {
        self.group.apply(self.now, event)
    }

    fn says(&mut self, member: usize, message: Text) -> Vec<Effect<Text>> {
        let heard = match message {
            "own" => Heard::Failure(Whose::Own),
            "peers" => Heard::Failure(Whose::Peers),
            _ => Heard::Pass,
        };
        self.hear(Event::Said { member, heard, message })
    }

    fn exits(&mut self, member: usize, exit: Exit) -> Vec<Effect<Text>> {
        let stderr_tail = vec![format!("tail of {member}")];
        self.hear(Event::Exited { member, report: ExitReport { stderr_tail, ..ExitReport::bare(exit) } })
    }

    /// Lets time pass, tick by tick; those who live beat.
    fn pass(&mut self, time: Duration, alive: &[usize]) -> Vec<Effect<Text>> {
        let until = self.now + time;
        let mut effects = Vec::new();
        while self.now < until {
            self.now += Duration::from_millis(200);
            for member in alive {
                effects.extend(self.hear(Event::Beat { member: *member }));
            }
            effects.extend(self.hear(Event::Tick));
        }
        effects
    }

    /// The last ranks are seen to be gone after a kill: the effects of the last one.
    fn all_killed(&mut self, members: &[usize]) -> Vec<Effect<Text>> {
        members.iter().flat_map(|member| self.exits(*member, Exit::Signal(9))).collect()
    }
}

fn report(exit: Exit, member: usize, rank: Option<u32>) -> Effect<Text> {
    let stderr_tail = vec![format!("tail of {member}")];
    Effect::Report(ExitReport { stderr_tail, rank, ..ExitReport::bare(exit) })
}

const END: [Effect<Text>; 1] = [Effect::KillAll];

#[test]
fn four_ranks_that_end_well_are_one_end() {
    let mut played = Played::new(4).at_work();
    assert_eq!(played.says(0, "loss"), [Effect::Pass("loss")]);
    assert_eq!(played.says(1, "loss"), []);
    for member in [2, 0, 3] {
        assert_eq!(played.exits(member, Exit::Code(0)), []);
    }
    assert_eq!(played.exits(1, Exit::Code(0)), [report(Exit::Code(0), 0, None)]);
    assert_eq!(played.says(1, "loss"), [Effect::CountLate("said")]);
    assert_eq!(played.hear(Event::KillAsked), [Effect::CountLate("kill-asked")]);
}

#[test]
fn host_memory_adds_up_and_device_memory_is_the_largest() {
    let mut played = Played::new(3).at_work();
    let mut last = Vec::new();
    for (member, (host, device)) in
        [(Some(5), Some(7)), (None, Some(9)), (Some(6), None)].into_iter().enumerate()
    {
        let report = ExitReport {
            peak_memory_bytes: host,
            peak_device_memory_bytes: device,
            ..ExitReport::bare(Exit::Code(0))
        };
        last = played.hear(Event::Exited { member, report });
    }
    let [Effect::Report(report)] = last.as_slice() else { panic!("{last:?}") };
    assert_eq!((report.peak_memory_bytes, report.peak_device_memory_bytes), (Some(11), Some(9)));
}

#[test]
fn a_rank_that_dies_ends_the_others_at_once_and_is_named() {
    let mut played = Played::new(4).at_work();
    assert_eq!(played.exits(2, Exit::Signal(11)), END);
    assert_eq!(played.says(0, "peers"), []);
    assert_eq!(played.all_killed(&[0, 1]), []);
    assert_eq!(played.all_killed(&[3]), [report(Exit::Signal(11), 2, Some(2))]);
}

#[test]
fn a_ranks_own_failure_is_told_although_rank_0_lost_its_peers_first() {
    let mut played = Played::new(3).at_work();
    assert_eq!(played.says(0, "peers"), []);
    assert_eq!(played.exits(0, Exit::Code(0)), []);
    assert_eq!(played.says(2, "peers"), []);
    assert_eq!(played.says(1, "own"), []);
    assert_eq!(played.exits(1, Exit::Code(0)), []);
    assert_eq!(played.pass(2 * SECOND, &[2]), END);
    assert_eq!(played.all_killed(&[2]), [Effect::Pass("own"), report(Exit::Code(0), 1, Some(1))]);
}

#[test]
fn a_rank_that_dies_while_it_is_found_out_who_failed_is_to_blame() {
    let mut played = Played::new(3).at_work();
    assert_eq!(played.says(0, "own"), []);
    assert_eq!(played.pass(SECOND, &[0, 1, 2]), []);
    assert_eq!(played.exits(2, Exit::Code(3)), END);
    assert_eq!(played.all_killed(&[0, 1]), [report(Exit::Code(3), 2, Some(2))]);
}

#[test]
fn a_failure_nobody_tops_is_passed_when_its_time_is_over() {
    let mut played = Played::new(2).at_work();
    assert_eq!(played.says(0, "peers"), []);
    assert_eq!(played.pass(2 * SECOND, &[1]), END);
    assert_eq!(played.all_killed(&[0, 1]), [Effect::Pass("peers"), report(Exit::Signal(9), 0, Some(0))]);
}

#[test]
fn of_two_failures_the_first_counts() {
    let mut played = Played::new(3).at_work();
    assert_eq!(played.says(2, "own"), []);
    assert_eq!(played.says(1, "own"), []);
    assert_eq!(played.says(0, "own"), []);
    assert_eq!(played.pass(2 * SECOND, &[0, 1, 2]), END);
    assert_eq!(played.all_killed(&[0, 1, 2]), [Effect::Pass("own"), report(Exit::Signal(9), 2, Some(2))]);
}

#[test]
fn a_rank_that_stops_beating_is_silent_and_named() {
    let mut played = Played::new(3).at_work();
    assert_eq!(played.pass(9 * SECOND, &[0, 2]), []);
    assert_eq!(played.pass(2 * SECOND, &[0, 2]), END);
    assert_eq!(played.all_killed(&[0, 1]), []);
    let silence = Patience::LOCAL.silence;
    assert_eq!(played.all_killed(&[2]), [report(Exit::Silent(silence), 1, Some(1))]);
}

#[test]
fn a_rank_that_falls_silent_ends_the_wait_for_the_one_to_blame_and_is_not_it() {
    let mut played = Played::new(3).at_work();
    assert_eq!(played.pass(9 * SECOND, &[0, 2]), []);
    assert_eq!(played.says(2, "own"), []);
    assert_eq!(played.pass(SECOND, &[0, 2]), END, "rank 1 is silent before the failure is settled");
    assert_eq!(played.all_killed(&[0, 1, 2]), [Effect::Pass("own"), report(Exit::Signal(9), 2, Some(2))]);
}

#[test]
fn ranks_that_wait_for_their_orders_need_not_beat_and_a_start_takes_its_time() {
    let mut played = Played::new(2);
    assert_eq!(played.hear(Event::Beat { member: 0 }), []);
    assert_eq!(played.hear(Event::Beat { member: 1 }), []);
    assert_eq!(played.pass(100 * SECOND, &[]), []);
    assert_eq!(played.hear(Event::Ordered), []);
    assert_eq!(played.pass(9 * SECOND, &[]), []);

    let mut played = Played::new(2);
    assert_eq!(played.hear(Event::Beat { member: 0 }), []);
    assert_eq!(played.pass(Patience::LOCAL.start - SECOND, &[]), []);
    assert_eq!(played.pass(2 * SECOND, &[]), END, "rank 1 never came");
}

#[test]
fn while_the_group_itself_is_kept_from_listening_nobody_is_silent() {
    let mut played = Played::new(2).at_work();
    played.now += 3600 * SECOND;
    assert_eq!(played.hear(Event::Tick), [], "a sleeping machine, a watcher that is behind");
    assert_eq!(played.pass(9 * SECOND, &[]), []);
    assert_eq!(played.pass(SECOND, &[]), END);
}

#[test]
fn a_kill_is_nobodys_fault() {
    let mut played = Played::new(2).at_work();
    assert_eq!(played.hear(Event::KillAsked), END);
    assert_eq!(played.hear(Event::KillAsked), []);
    assert_eq!(played.says(0, "written before"), [Effect::Pass("written before")]);
    assert_eq!(played.says(1, "own"), []);
    assert_eq!(played.all_killed(&[1, 0]), [report(Exit::Signal(9), 0, None)]);
}

#[test]
fn ranks_that_stay_when_rank_0_has_ended_well_are_ended_without_blame() {
    let mut played = Played::new(2).at_work();
    assert_eq!(played.exits(0, Exit::Code(0)), []);
    assert_eq!(played.pass(9 * SECOND, &[1]), []);
    assert_eq!(played.pass(2 * SECOND, &[1]), END);
    assert_eq!(played.all_killed(&[1]), [report(Exit::Code(0), 0, None)]);
}

#[test]
fn a_rank_may_end_well_before_rank_0() {
    let mut played = Played::new(2).at_work();
    assert_eq!(played.exits(1, Exit::Code(0)), []);
    assert_eq!(played.pass(3600 * SECOND, &[0]), []);
    assert_eq!(played.says(0, "tested"), [Effect::Pass("tested")]);
    assert_eq!(played.exits(0, Exit::Code(0)), [report(Exit::Code(0), 0, None)]);
}

#[test]
fn another_machine_that_says_how_its_rank_ended_is_believed() {
    let mut played = Played::on_nodes(3).at_work();
    assert_eq!(played.says(0, "peers"), []);
    assert_eq!(played.exits(2, Exit::Silent(10 * SECOND)), END);
    assert_eq!(played.all_killed(&[1, 0]), [report(Exit::Silent(10 * SECOND), 2, Some(2))]);
}

#[test]
fn another_machine_that_is_gone_is_silent_and_not_waited_for() {
    let mut played = Played::on_nodes(2).at_work();
    let silence = Patience::NODES.node_silence;
    assert_eq!(played.pass(silence - SECOND, &[0]), []);
    assert_eq!(played.pass(SECOND, &[0]), END);
    assert_eq!(played.all_killed(&[0]), []);
    let gone = ExitReport { rank: Some(1), ..ExitReport::bare(Exit::Silent(silence)) };
    assert_eq!(played.pass(Patience::NODES.leave, &[]), [Effect::Report(gone)]);
}

// ---- any order of events ----

fn event(ranks: usize) -> impl Strategy<Value = (Event<Text>, Duration)> {
    let exit = prop_oneof![
        3 => Just(Exit::Code(0)),
        1 => Just(Exit::Code(101)),
        1 => Just(Exit::Signal(9)),
        1 => Just(Exit::Protocol("torn".to_owned())),
    ];
    let said = prop_oneof![
        3 => Just((Heard::Pass, "word")),
        2 => Just((Heard::Drop, "beat")),
        1 => Just((Heard::Failure(Whose::Own), "own")),
        1 => Just((Heard::Failure(Whose::Peers), "peers")),
    ];
    let event = prop_oneof![
        6 => (0..ranks, said).prop_map(|(member, (heard, message))| Event::Said { member, heard, message }),
        2 => (0..ranks).prop_map(|member| Event::Beat { member }),
        3 => (0..ranks, exit).prop_map(|(member, exit)| Event::Exited { member, report: ExitReport::bare(exit) }),
        1 => Just(Event::Ordered),
        1 => Just(Event::KillAsked),
        6 => Just(Event::Tick),
    ];
    (event, (0..2500u64).prop_map(Duration::from_millis))
}

/// What a witness saw: each rank's first trouble while the group was not being ended.
#[derive(Default)]
struct Witness {
    killed_all: usize,
    reports: usize,
    passed: Vec<Text>,
    blamable: Vec<(u32, usize)>,
    gone: Vec<usize>,
    last_words: Vec<usize>,
}

impl Witness {
    fn sees(&mut self, event: &Event<Text>) {
        if self.killed_all > 0 || self.reports > 0 {
            if let Event::Exited { member, .. } = event {
                self.gone.push(*member);
            }
            return;
        }
        let (member, class) = match event {
            Event::Exited { member, .. } if self.gone.contains(member) => return,
            Event::Exited { member, report } => {
                self.gone.push(*member);
                if is_clean(&report.exit) {
                    return;
                }
                (*member, 0)
            }
            Event::Said { member, heard: Heard::Failure(whose), .. } if !self.last_words.contains(member) => {
                self.last_words.push(*member);
                (*member, if *whose == Whose::Own { 1 } else { 3 })
            }
            _ => return,
        };
        if self.blamable.iter().all(|(_, other)| *other != member) {
            self.blamable.push((class, member));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_order_of_events_keeps_the_invariants(
        ranks in 1usize..5,
        events in prop::collection::vec(event(4), 1..60),
    ) {
        let members = (0..ranks).map(|rank| (u32::try_from(rank).unwrap(), Seat::Here));
        let mut group = Group::new(members, Patience::LOCAL);
        let mut witness = Witness::default();
        let mut now = Duration::ZERO;
        // Whatever happened, in the end every process is seen to be gone.
        let gone = (0..4).map(|member| Event::Exited { member, report: ExitReport::bare(Exit::Code(0)) });
        let in_range = |event: &Event<Text>| match event {
            Event::Said { member, .. } | Event::Beat { member } | Event::Exited { member, .. } => *member < ranks,
            _ => true,
        };
        let events = events.into_iter().chain(gone.map(|event| (event, Duration::ZERO)));
        for (event, later) in events.filter(|(event, _)| in_range(event)) {
            now += later;
            let over = witness.reports == 1;
            let killed = group.killed || event == Event::KillAsked;
            if !killed {
                witness.sees(&event);
            } else if let Event::Exited { member, .. } = &event {
                witness.gone.push(*member);
            }
            let effects = group.apply(now, event.clone());
            for (at, effect) in effects.iter().enumerate() {
                match effect {
                    Effect::Pass(message) => {
                        prop_assert_eq!(witness.reports, 0, "G-1: nothing after the end");
                        witness.passed.push(message);
                        if matches!(*message, "own" | "peers") {
                            let last = matches!(effects.get(at + 1), Some(Effect::Report(_)));
                            prop_assert!(last, "G-4: a failure is the last message");
                        } else {
                            let by_rank_0 = matches!(event, Event::Said { member: 0, .. });
                            prop_assert!(by_rank_0, "G-5: only rank 0's words are passed");
                        }
                    }
                    Effect::KillAll => witness.killed_all += 1,
                    Effect::Report(report) => {
                        witness.reports += 1;
                        let mut all: Vec<usize> = witness.gone.clone();
                        all.sort_unstable();
                        all.dedup();
                        prop_assert_eq!(all.len(), ranks, "G-1: the end comes when all are gone");
                        let silent: Vec<(u32, usize)> = group.members.iter().enumerate()
                            .filter(|(_, m)| m.silent.is_some()).map(|(index, _)| (2, index)).collect();
                        let worst = witness.blamable.iter().chain(&silent).map(|(class, _)| *class).min();
                        // The first of the worst kind; silence is noticed by the clock, in no order among themselves.
                        let culprits: Vec<usize> = witness.blamable.iter().chain(&silent)
                            .filter(|(class, _)| Some(*class) == worst).map(|(_, member)| *member).collect();
                        let named = report.rank.map(|rank| rank as usize);
                        match worst {
                            None => prop_assert_eq!(named, None, "G-3: nobody is to blame"),
                            Some(2) => prop_assert!(culprits.contains(&named.unwrap()), "G-3"),
                            Some(_) => prop_assert_eq!(named, Some(culprits[0]), "G-3: the first of the worst"),
                        }
                        let passed_failure = witness.passed.iter().filter(|m| matches!(**m, "own" | "peers")).count();
                        prop_assert!(passed_failure <= 1, "G-4: one failure at the most");
                        if matches!(worst, Some(1 | 3)) {
                            prop_assert_eq!(passed_failure, 1, "G-4: a failure that ends the group is told");
                        }
                    }
                    Effect::CountLate(_) => {}
                }
            }
            prop_assert!(witness.killed_all <= 1, "G-2: the others are ended once");
            if over {
                prop_assert!(matches!(effects.as_slice(), [Effect::CountLate(_)]));
            }
            let trouble = group.members.iter().any(|m| m.trouble.is_some_and(|t| matches!(t.kind, Kind::Died | Kind::Silent)));
            if trouble || group.killed {
                prop_assert!(witness.killed_all == 1 || witness.reports == 1, "G-2: the others are ended at once");
            }
        }
        prop_assert_eq!(witness.reports, 1, "G-1: one end");
    }
}
