//! Elections against an API server over real HTTP. Time is scripted; only the API calls' own bound is real, so
//! it is long where an answer comes and short where none does: a busy machine is no fault of the server's.

use std::time::Duration;

use http::Method;
use jiff::SignedDuration;
use serde_json::json;

use super::*;
use crate::operator::clock::Script;
use crate::operator::testing::{ApiServer, Fault};

const PATH: &str = "/apis/coordination.k8s.io/v1/namespaces/ops/leases/matverse";

struct Candidate {
    elector: Elector,
    script: Script,
}

fn timing() -> Timing {
    Timing { call: Duration::from_secs(60), ..Timing::default() }
}

/// A candidate whose wall clock is `skew` off.
fn candidate(server: &ApiServer, who: &str, skew: SignedDuration) -> Candidate {
    let start: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
    let (clock, script) = Clock::scripted(start + skew);
    let elector = Elector::new(server.client(who), "ops", "matverse", who, clock, timing()).unwrap();
    Candidate { elector, script }
}

impl Candidate {
    async fn step(&mut self) -> bool {
        let _ = self.elector.step().await;
        self.leads()
    }

    /// A step whose call gets no answer.
    async fn step_unanswered(&mut self) -> bool {
        self.elector.timing.call = Duration::from_secs(1);
        let leads = self.step().await;
        self.elector.timing.call = timing().call;
        leads
    }

    fn leads(&self) -> bool {
        self.elector.shared.leads()
    }

    fn term(&self) -> Option<u64> {
        self.elector.shared.number()
    }
}

fn pass(seconds: u64, candidates: &[&Candidate]) {
    for c in candidates {
        c.script.advance(Duration::from_secs(seconds));
    }
}

fn holder_of(server: &ApiServer) -> Option<String> {
    server.object(PATH)?.pointer("/spec/holderIdentity")?.as_str().map(str::to_owned)
}

#[tokio::test]
async fn the_first_leads_and_the_second_waits_however_long() {
    let server = ApiServer::start().await;
    let mut a = candidate(&server, "a", SignedDuration::ZERO);
    let mut b = candidate(&server, "b", SignedDuration::ZERO);
    assert!(a.step().await);
    for _ in 0..20 {
        pass(2, &[&a, &b]);
        assert!(a.step().await);
        assert!(!b.step().await);
    }
    assert_eq!(a.term(), Some(1), "one uninterrupted term");
    let spec = server.object(PATH).unwrap()["spec"].clone();
    assert_eq!(spec["holderIdentity"], "a");
    assert_eq!(spec["leaseDurationSeconds"], 15);
    assert_eq!(spec["leaseTransitions"], 0);
    assert_eq!(spec["acquireTime"], "2030-01-01T00:00:00.000000Z");
    assert_eq!(spec["renewTime"], "2030-01-01T00:00:40.000000Z");
}

#[tokio::test]
async fn every_write_after_the_first_carries_a_resource_version() {
    let server = ApiServer::start().await;
    let mut a = candidate(&server, "a", SignedDuration::ZERO);
    for _ in 0..4 {
        a.step().await;
        pass(2, &[&a]);
    }
    let log = server.requests();
    let methods: Vec<_> = log.iter().map(|r| r.method.as_str()).collect();
    assert_eq!(methods, ["GET", "POST", "PUT", "PUT", "PUT"], "a leader renews without reading first");
    assert!(log[2..].iter().all(|r| r.body.pointer("/metadata/resourceVersion").is_some()));
    assert!(log[1..].iter().all(|r| r.query.contains("fieldManager=matverse")));
}

#[tokio::test]
async fn a_dead_leader_is_followed_after_one_lease_and_never_sooner() {
    let server = ApiServer::start().await;
    let mut a = candidate(&server, "a", SignedDuration::ZERO);
    let mut b = candidate(&server, "b", SignedDuration::ZERO);
    assert!(a.step().await);
    assert!(!b.step().await);
    for second in 1..15 {
        pass(1, &[&a, &b]);
        assert!(!b.step().await, "took over after {second} s");
    }
    assert!(!a.leads());
    pass(1, &[&a, &b]);
    assert!(b.step().await);
    assert_eq!(server.object(PATH).unwrap()["spec"]["leaseTransitions"], 1);
    assert!(!a.step().await, "the former leader finds the successor");
}

#[tokio::test]
async fn a_paused_process_is_not_leader_when_it_wakes() {
    let server = ApiServer::start().await;
    let mut a = candidate(&server, "a", SignedDuration::ZERO);
    assert!(a.step().await);
    a.script.advance(Duration::from_millis(9_999));
    assert!(a.leads());
    a.script.advance(Duration::from_millis(1));
    assert!(!a.leads(), "without a step, an answer or a timer");
    assert!(a.step().await, "nobody took it, so it may go on");
    assert_eq!(a.term(), Some(2), "but as a new term");
}

#[tokio::test]
async fn a_suspended_machine_is_not_leader_though_its_monotonic_clock_stood_still() {
    let server = ApiServer::start().await;
    let mut a = candidate(&server, "a", SignedDuration::ZERO);
    assert!(a.step().await);
    a.script.step_wall(SignedDuration::from_secs(3600));
    assert!(!a.leads());
    assert!(a.step().await);
    a.script.step_wall(SignedDuration::from_hours(-48));
    assert!(a.leads(), "a wall clock stepped back takes nothing away");
    a.script.advance(Duration::from_secs(10));
    assert!(!a.leads(), "and adds nothing");
}

#[tokio::test]
async fn skewed_wall_clocks_do_not_matter() {
    let server = ApiServer::start().await;
    let mut past = candidate(&server, "past", SignedDuration::from_hours(-1000));
    let mut future = candidate(&server, "future", SignedDuration::from_hours(1000));
    assert!(past.step().await);
    for _ in 0..10 {
        pass(2, &[&past, &future]);
        assert!(!future.step().await, "a renew time of weeks ago is not an expired lease");
        assert!(past.step().await);
    }
    future.step().await;
    pass(15, &[&past, &future]);
    assert!(future.step().await);
    assert!(!past.step().await);
    pass(15, &[&past, &future]);
    assert!(past.step().await, "a renew time of weeks ahead is no lease for weeks");
}

#[tokio::test]
async fn a_lost_answer_to_a_renewal_costs_nothing() {
    let server = ApiServer::start().await;
    let mut a = candidate(&server, "a", SignedDuration::ZERO);
    assert!(a.step().await);
    pass(2, &[&a]);
    server.fault(None, Some(Method::PUT), Fault::CommitThenHang, 1);
    assert!(a.step_unanswered().await, "the old term still runs");
    pass(2, &[&a]);
    assert!(a.step().await);
    pass(9, &[&a]);
    assert!(a.leads(), "and has been renewed since");
    assert_eq!(a.term(), Some(1));
}

#[tokio::test]
async fn a_lost_answer_to_an_acquisition_is_found_again() {
    let server = ApiServer::start().await;
    let mut a = candidate(&server, "a", SignedDuration::ZERO);
    server.fault(None, Some(Method::POST), Fault::CommitThenHang, 1);
    assert!(!a.step_unanswered().await, "not leader before it is known");
    assert_eq!(holder_of(&server).as_deref(), Some("a"));
    pass(2, &[&a]);
    assert!(a.step().await, "its own write, not somebody else's");
}

#[tokio::test]
async fn a_term_counts_from_before_the_write_was_sent() {
    let server = ApiServer::start().await;
    let mut a = candidate(&server, "a", SignedDuration::ZERO);
    server.fault(None, Some(Method::POST), Fault::CommitThenDelay(Duration::from_millis(100)), 1);
    let script = a.script.clone();
    let underway = async {
        while server.object(PATH).is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        script.advance(Duration::from_secs(9));
    };
    tokio::join!(a.step(), underway);
    assert!(a.leads());
    pass(1, &[&a]);
    assert!(!a.leads(), "ten seconds after it was sent, one after it was answered");
    // An answer that takes longer than a term gives none.
    server.fault(None, Some(Method::PUT), Fault::CommitThenDelay(Duration::from_millis(100)), 1);
    let before = server.object(PATH);
    let underway = async {
        while server.object(PATH) == before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        script.advance(Duration::from_secs(10));
    };
    let (leads, ()) = tokio::join!(a.step(), underway);
    assert!(!leads);
}

#[tokio::test]
async fn a_write_that_never_landed_is_tried_again() {
    let server = ApiServer::start().await;
    let mut a = candidate(&server, "a", SignedDuration::ZERO);
    assert!(a.step().await);
    server.fault(None, Some(Method::PUT), Fault::Hang, 2);
    for _ in 0..2 {
        pass(2, &[&a]);
        assert!(a.step_unanswered().await);
    }
    pass(2, &[&a]);
    assert!(a.step().await);
    pass(9, &[&a]);
    assert!(a.leads());
}

#[tokio::test]
async fn a_leader_cut_off_is_none_before_its_successor_can_be_one() {
    let server = ApiServer::start().await;
    let mut a = candidate(&server, "a", SignedDuration::ZERO);
    let mut b = candidate(&server, "b", SignedDuration::ZERO);
    assert!(a.step().await);
    server.fault(Some("a"), None, Fault::Reject(503), usize::MAX);
    let mut successor_at = None;
    let mut ended_at = None;
    for second in 1..=20 {
        pass(1, &[&a, &b]);
        a.step().await;
        b.step().await;
        assert!(!(a.leads() && b.leads()), "two leaders at {second} s");
        if !a.leads() {
            ended_at.get_or_insert(second);
        }
        if b.leads() {
            successor_at.get_or_insert(second);
        }
    }
    // b first saw the lease at 1 s.
    assert_eq!((ended_at, successor_at), (Some(10), Some(16)));
}

#[tokio::test]
async fn of_two_takers_one_gets_a_conflict_and_waits() {
    let server = ApiServer::start().await;
    let mut a = candidate(&server, "a", SignedDuration::ZERO);
    let mut b = candidate(&server, "b", SignedDuration::ZERO);
    let mut c = candidate(&server, "c", SignedDuration::ZERO);
    c.step().await;
    a.step().await;
    b.step().await;
    pass(16, &[&a, &b, &c]);
    let (a_leads, b_leads) = tokio::join!(a.step(), b.step());
    assert!(a_leads ^ b_leads);
}

#[tokio::test]
async fn an_edit_of_metadata_by_a_person_takes_nothing_away() {
    let server = ApiServer::start().await;
    let mut a = candidate(&server, "a", SignedDuration::ZERO);
    assert!(a.step().await);
    let mut lease = server.object(PATH).unwrap();
    lease["metadata"]["labels"] = json!({"seen": "yes"});
    server.put(PATH, lease);
    pass(2, &[&a]);
    assert!(a.step().await, "409, one fresh look, renewed");
    assert_eq!(a.term(), Some(1));
    assert_eq!(server.object(PATH).unwrap()["metadata"]["labels"]["seen"], "yes", "and the label stays");
}

#[tokio::test]
async fn a_lease_taken_by_force_ends_the_term_at_once() {
    let server = ApiServer::start().await;
    let mut a = candidate(&server, "a", SignedDuration::ZERO);
    assert!(a.step().await);
    let mut lease = server.object(PATH).unwrap();
    lease["spec"]["holderIdentity"] = json!("z");
    lease["spec"]["renewTime"] = json!("2030-01-01T00:00:01.000000Z");
    server.put(PATH, lease);
    assert!(!a.step().await);
}

#[tokio::test]
async fn a_deleted_lease_ends_the_term_and_still_protects_its_holder() {
    let server = ApiServer::start().await;
    let mut a = candidate(&server, "a", SignedDuration::ZERO);
    let mut b = candidate(&server, "b", SignedDuration::ZERO);
    assert!(a.step().await);
    assert!(!b.step().await);
    server.delete(PATH);
    assert!(!b.step().await, "b has seen a hold it");
    assert!(!a.step().await, "a finds it gone and steps down");
    pass(15, &[&a, &b]);
    assert!(b.step().await);
    assert!(!a.step().await);
}

#[tokio::test]
async fn a_namesake_does_not_inherit() {
    let server = ApiServer::start().await;
    let mut first = candidate(&server, "pod-0", SignedDuration::ZERO);
    assert!(first.step().await);
    let mut second = candidate(&server, "pod-0", SignedDuration::from_secs(1));
    assert!(!second.step().await, "same name, another process");
    pass(15, &[&first, &second]);
    assert!(second.step().await);
    assert!(!first.step().await);
}

#[tokio::test]
async fn a_record_that_claims_to_last_for_ever_does_not() {
    let server = ApiServer::start().await;
    server.put(
        PATH,
        json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "matverse", "namespace": "ops"},
        "spec": {"holderIdentity": "gone", "leaseDurationSeconds": 2_000_000_000}}),
    );
    let mut a = candidate(&server, "a", SignedDuration::ZERO);
    assert!(!a.step().await);
    pass(59, &[&a]);
    assert!(!a.step().await);
    pass(1, &[&a]);
    assert!(a.step().await);
}

#[tokio::test]
async fn never_two_leaders_under_a_storm_of_faults() {
    let server = ApiServer::start().await;
    let mut all: Vec<Candidate> = ["a", "b", "c"]
        .iter()
        .enumerate()
        .map(|(i, who)| candidate(&server, who, SignedDuration::from_hours(100 * i64::try_from(i).unwrap())))
        .collect();
    for c in &mut all {
        c.elector.timing.call = Duration::from_millis(20);
    }
    let names = [Some("a"), Some("b"), Some("c"), None];
    // A small generator with a fixed seed: the same storm every time.
    let mut seed = 7_u64;
    let mut draw = move |n: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % n
    };
    let mut reigns = std::collections::BTreeSet::new();
    for round in 0..600 {
        let seconds = draw(4);
        for c in &all {
            c.script.advance(Duration::from_secs(seconds));
            let leaders = all.iter().filter(|c| c.leads()).count();
            assert!(leaders <= 1, "two leaders in round {round}");
        }
        if draw(4) == 0 {
            let fault = [Fault::Hang, Fault::CommitThenHang, Fault::Reject(503), Fault::Reject(409)]
                [usize::try_from(draw(4)).unwrap()];
            let who = names[usize::try_from(draw(4)).unwrap()];
            server.fault(who, None, fault, usize::try_from(1 + draw(4)).unwrap());
        }
        if draw(20) == 0 {
            server.heal();
        }
        let next = usize::try_from(draw(3)).unwrap();
        let leads = all[next].step().await;
        if leads {
            reigns.insert((next, all[next].term()));
        }
        assert!(all.iter().filter(|c| c.leads()).count() <= 1, "two leaders in round {round}");
    }
    assert!(reigns.len() > 5, "the storm must move leadership around to prove anything: {reigns:?}");
}

#[tokio::test]
async fn a_process_that_is_alone_leads_until_it_steps_down() {
    let (clock, script) = Clock::scripted("2030-01-01T00:00:00Z".parse().unwrap());
    let mut alone = Leadership::unelected(clock);
    script.advance(Duration::from_hours(10_000));
    assert!(alone.is_leader());
    assert_eq!(alone.term(), Some(1));
    alone.release().await;
    assert!(!alone.changed().await);
}

fn quick() -> Timing {
    Timing {
        lease: Duration::from_secs(2),
        renew_deadline: Duration::from_millis(1200),
        retry: Duration::from_millis(50),
        call: Duration::from_millis(500),
    }
}

/// Long enough that nothing lapses while a test runs.
fn unhurried() -> Timing {
    Timing { retry: quick().retry, call: Duration::from_secs(2), ..Timing::default() }
}

fn running(server: &ApiServer, who: &str, timing: Timing) -> Leadership {
    let elector = Elector::new(server.client(who), "ops", "matverse", who, Clock::system(), timing).unwrap();
    elector.spawn()
}

async fn won(leadership: &mut Leadership) {
    let wait = async { while !leadership.changed().await {} };
    tokio::time::timeout(Duration::from_secs(10), wait).await.expect("leadership in time");
}

#[tokio::test]
async fn a_graceful_release_lets_a_successor_lead_at_once() {
    let server = ApiServer::start().await;
    let mut a = running(&server, "a", unhurried());
    won(&mut a).await;
    let mut b = running(&server, "b", unhurried());
    tokio::time::sleep(Duration::from_millis(120)).await;
    assert!(a.is_leader() && !b.is_leader());
    a.release().await;
    assert!(!a.is_leader());
    assert_eq!(a.term(), None);
    // Within the 10 s that this waits: no need to sit out the lease of 15.
    won(&mut b).await;
    b.release().await;
    let spec = server.object(PATH).unwrap()["spec"].clone();
    assert!(spec.get("holderIdentity").is_none(), "{spec}");
}

#[tokio::test]
async fn leadership_is_gone_in_memory_before_the_lease_is_released() {
    let server = ApiServer::start().await;
    let mut a = running(&server, "a", unhurried());
    won(&mut a).await;
    server.fault(None, Some(Method::PUT), Fault::Hang, usize::MAX);
    let releasing = a.clone();
    let task = tokio::spawn(async move { releasing.release().await });
    let told = async { while a.changed().await {} };
    // Sooner than the write, which hangs, is given up.
    tokio::time::timeout(Duration::from_millis(1_900), told).await.unwrap();
    assert_eq!(holder_of(&server).as_deref(), Some("a"), "still on the lease");
    task.await.unwrap();
    assert!(!a.is_leader());
}

#[tokio::test]
async fn a_frozen_api_server_makes_the_leader_tell_that_it_lapsed() {
    let server = ApiServer::start().await;
    let mut a = running(&server, "a", quick());
    won(&mut a).await;
    server.fault(None, None, Fault::Hang, usize::MAX);
    let lost = async { while a.changed().await {} };
    tokio::time::timeout(Duration::from_secs(10), lost).await.expect("a change is announced");
    server.heal();
    won(&mut a).await;
    assert!(a.term() > Some(1));
    a.release().await;
}

#[tokio::test]
async fn the_elector_ends_when_nobody_asks_any_more() {
    let server = ApiServer::start().await;
    let mut a = running(&server, "a", quick());
    won(&mut a).await;
    drop(a);
    for _ in 0..500 {
        if holder_of(&server).is_none() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the lease was not released");
}

#[tokio::test]
async fn a_timing_that_allows_two_leaders_is_refused() {
    let server = ApiServer::start().await;
    let new = |who: &str, timing| {
        Elector::new(server.client("x"), "ops", "matverse", who, Clock::system(), timing).map(|_| ())
    };
    let equal = Timing { renew_deadline: Duration::from_secs(15), ..Timing::default() };
    assert_eq!(new("a", equal).unwrap_err().kind(), "timing");
    let zero = Timing { retry: Duration::ZERO, ..Timing::default() };
    assert_eq!(new("a", zero).unwrap_err().kind(), "timing");
    assert_eq!(new("", Timing::default()).unwrap_err().kind(), "identity");
    assert!(new("a", Timing::default()).is_ok());
}
