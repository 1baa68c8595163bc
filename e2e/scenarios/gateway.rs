//! The data plane alone, without a league: what a route says is what arrives at the pods. The league's scenarios
//! stand on this.

use serde_json::{Value, json};

use crate::cluster::{run, until};
use crate::league::route::Route;
use crate::league::{Arena, CHALLENGER, CHAMPION, reachable};

/// Sends a little until the champion answers: the route has reached the gateway.
pub fn answering(arena: &Arena) {
    until(60, "the route answers", || {
        let sent = arena.traffic("GET:1", "0s:20,1s:20").wait();
        (sent.errors() == 0 && sent.answers(CHAMPION) > 0).then_some(())
    });
}

#[test]
fn a_route_divides_requests_by_weight() {
    if !reachable() {
        return;
    }
    let arena = Arena::with_equals("e2e-weight");
    let watched = arena.watch_route();
    answering(&arena);
    assert_eq!(arena.counts(CHALLENGER).served(""), 0, "weight 0 is no request at all");
    arena.weigh(90, 10);
    until(30, "the weights are in force", || {
        (arena.traffic("GET:1", "0s:50,1s:50").wait().answers(CHALLENGER) > 0).then_some(())
    });
    let before = (arena.counts(CHAMPION).served(""), arena.counts(CHALLENGER).served(""));
    let sent = arena.traffic("GET:3,POST:1", "0s:100,10s:100").wait();
    let champion = arena.counts(CHAMPION).served("") - before.0;
    let challenger = arena.counts(CHALLENGER).served("") - before.1;
    eprintln!("90/10: {champion}/{challenger} of {}", sent.total());
    assert_eq!(sent.errors(), 0);
    assert_eq!(
        (champion, challenger),
        (sent.answers(CHAMPION), sent.answers(CHALLENGER)),
        "pods and answers agree"
    );
    assert_eq!(champion + challenger, sent.total());
    // 100 of 1,000 with a standard deviation of 9.5: four of them.
    assert!((60..=140).contains(&challenger), "{challenger} of {}", sent.total());
    assert!(watched.states().iter().all(Route::whole), "{:?}", watched.states());
    assert_eq!(arena.route().weight(CHALLENGER), 10);
}

#[test]
fn an_appended_rule_mirrors_reads_and_nothing_else() {
    if !reachable() {
        return;
    }
    let arena = Arena::with_equals("e2e-mirror");
    answering(&arena);
    let any = json!({"type": "PathPrefix", "value": "/"});
    let rule = json!({
        "matches": [{"path": any, "method": "GET"}, {"path": any, "method": "HEAD"}],
        "backendRefs": [
            {"name": CHAMPION, "port": 80, "weight": 100},
            {"name": CHALLENGER, "port": 80, "weight": 0},
        ],
        "filters": [{"type": "RequestMirror", "requestMirror": {"backendRef": {"name": CHALLENGER, "port": 80}}}],
    });
    arena.patch_route(&json!([{"op": "add", "path": "/spec/rules/-", "value": rule}]));
    assert!(arena.route().mirrors() && arena.route().whole());
    until(30, "the mirror is in force", || {
        arena.traffic("GET:1", "0s:20,1s:20").wait();
        (arena.counts(CHALLENGER).mirrored("GET") > 0).then_some(())
    });
    std::thread::sleep(std::time::Duration::from_secs(1)); // the last copies arrive
    let (one, other) = (arena.counts(CHAMPION), arena.counts(CHALLENGER));
    let sent = arena.traffic("GET:2,HEAD:1,POST:1", "0s:100,8s:100").wait();
    assert_eq!(sent.errors(), 0);
    assert_eq!(sent.answers(CHALLENGER), 0, "a copy's answer reaches nobody");
    assert_eq!(sent.answers(CHAMPION), sent.total());
    for method in ["GET", "HEAD", "POST"] {
        let expected = sent.by(CHAMPION, method);
        assert!(expected >= 100, "{expected} {method}");
        assert_eq!(arena.counts(CHAMPION).served(method) - one.served(method), expected);
        let copies = || arena.counts(CHALLENGER).mirrored(method) - other.mirrored(method);
        if method == "POST" {
            assert_eq!(copies(), 0, "a write is not repeated");
            assert_eq!(arena.counts(CHALLENGER).served(method), 0);
        } else {
            // A copy is sent without anybody waiting for it.
            until(10, "every read arrived as a copy", || (copies() == expected).then_some(()));
        }
        eprintln!("mirror: {} of {expected} {method}", copies());
    }
}

/// The value of an instant query with one series.
fn asked(query: &str) -> Option<f64> {
    let url = std::env::var("PROMETHEUS_URL").unwrap();
    let text = run("promtool", &["query", "instant", "-o", "json", &url, query], None).ok()?;
    let answer: Value = serde_json::from_str(&text).ok()?;
    answer[0]["value"][1].as_str()?.parse().ok()
}

#[test]
fn a_fault_set_live_shows_on_its_side_alone_and_each_side_is_measured_apart() {
    if !reachable() {
        return;
    }
    let arena = Arena::with_equals("e2e-sides");
    assert_eq!(arena.template(CHAMPION), arena.template(CHALLENGER));
    answering(&arena);
    arena.weigh(50, 50);
    arena.ail(CHALLENGER, 60, 0.5);
    let before = (arena.counts(CHAMPION), arena.counts(CHALLENGER));
    let sent = arena.traffic("GET:1", "0s:40,20s:40").wait();
    let (champion, challenger) = (arena.counts(CHAMPION), arena.counts(CHALLENGER));
    assert_eq!(champion.failed() - before.0.failed(), 0);
    let failed = challenger.failed() - before.1.failed();
    assert_eq!(failed, sent.errors(), "users see what the pods count");
    // About 400 requests of which half fail; five standard deviations.
    let served = challenger.served("") - before.1.served("");
    assert!((served / 2).abs_diff(failed) <= 50, "{failed} of {served}");
    // The names are told apart although one begins with the other.
    let mine =
        |side: &str| format!("namespace=\"{}\",pod=~\"{side}-[a-z0-9]+-[a-z0-9]{{5}}\"", arena.space.name);
    for (side, counts) in [(CHAMPION, &champion), (CHALLENGER, &challenger)] {
        let query = format!("sum(http_server_request_duration_seconds_count{{{}}})", mine(side));
        #[allow(clippy::cast_precision_loss)]
        let expected = counts.served("") as f64;
        until(20, "Prometheus has counted the same", || {
            asked(&query).filter(|v| (v - expected).abs() < 0.5).map(|_| ())
        });
    }
    let mean = |side: &str| {
        let rate = |what: &str| {
            format!("sum(rate(http_server_request_duration_seconds_{what}{{{}}}[20s]))", mine(side))
        };
        asked(&format!("{} / {}", rate("sum"), rate("count"))).unwrap()
    };
    let (fast, slow) = (mean(CHAMPION), mean(CHALLENGER));
    assert!(slow - fast > 0.04, "60 ms were added to {fast} s: {slow} s");
    arena.ail(CHALLENGER, 0, 0.0);
    let sent = arena.traffic("GET:1", "0s:40,2s:40").wait();
    assert_eq!(sent.errors(), 0, "well again");
}
