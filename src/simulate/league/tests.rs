//! Leagues from beginning to end: what is promoted, what is ended, and that a crash after any step changes nothing.

use jiff::Timestamp;
use serde_json::json;

use super::*;

fn start() -> Timestamp {
    "2026-01-15T03:10:00Z".parse().unwrap()
}

fn spec(by_route: bool) -> League {
    let mut spec = json!({
        "champion": {"deployment": "web", "service": "web", "port": 80},
        "challenger": {"deployment": "next", "service": "next", "port": 80},
        "canarySeconds": 900,
    });
    if by_route {
        spec["routeRef"] = json!({"name": "web"});
    }
    serde_json::from_value(spec).unwrap()
}

fn story(by_route: bool) -> Story {
    Story {
        spec: spec(by_route),
        interval_seconds: 15,
        requests: 750.0,
        sight: Sight::default(),
        champion: Behaviour::FINE,
        challenger: Behaviour::FINE,
        promoted: Behaviour::FINE,
    }
}

/// 60 ms ± 4 % on both hosts.
fn noise(turns: usize, seed: u64) -> Vec<(f64, f64)> {
    let mut chance = Chance::new(seed, 1);
    let mut draw = move || 60.0 * libm::exp(0.04 * chance.normal());
    (0..turns).map(|_| (draw(), draw())).collect()
}

fn play(story: &Story, by_route: bool) -> Outcome {
    run(story, by_route, &noise(240, 5), start(), &mut Chance::new(5, 2))
}

#[test]
fn a_good_challenger_is_promoted_with_and_without_a_route() {
    for by_route in [true, false] {
        let seen = play(&story(by_route), by_route);
        assert_eq!(seen.end, End::Promoted, "{by_route}");
    }
}

#[test]
fn a_slow_one_is_ended_in_shadow_and_reaches_nobody() {
    let slow = Behaviour { factor: 1.5, ..Behaviour::FINE };
    let seen = play(&Story { challenger: slow, promoted: slow, ..story(true) }, true);
    assert_eq!((seen.end, seen.reached), (End::RolledBack(Reason::LatencyWorse), 0.0));
    assert!(seen.seconds < 300.0, "before the stage's time is over: {}", seen.seconds);
    let seen = play(&Story { challenger: slow, promoted: slow, ..story(false) }, false);
    assert_eq!(seen.end, End::RolledBack(Reason::LatencyWorse));
    assert!(seen.reached < 0.01, "{}", seen.reached);
}

#[test]
fn rare_errors_are_ended_before_the_canary_stage_is_over() {
    let failing = Behaviour { errors: 0.02, ..Behaviour::FINE };
    let mut story = Story { challenger: failing, promoted: failing, ..story(true) };
    story.spec.shadow_seconds = 0;
    story.spec.min_samples_shadow = 1;
    let seen = play(&story, true);
    assert_eq!(seen.end, End::RolledBack(Reason::ErrorsWorse));
    assert!(seen.seconds < 600.0 && seen.reached < 0.01, "{seen:?}");
}

#[test]
fn what_turns_bad_after_promotion_is_brought_back() {
    for bad in [Behaviour { factor: 1.5, ..Behaviour::FINE }, Behaviour { errors: 0.02, ..Behaviour::FINE }] {
        let seen = play(&Story { promoted: bad, ..story(true) }, true);
        assert_eq!(seen.end, End::Reverted, "{bad:?}");
    }
}

/// When a crash comes, at this turn.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Crash {
    /// Nothing was written, nothing is remembered.
    Before(usize),
    /// The plan was carried out, and what it leaves is forgotten.
    After(usize),
}

/// What a league comes to.
#[derive(Debug, Default, PartialEq)]
struct Course {
    path: Vec<Stage>,
    champion: String,
    split: Option<(u32, u32, bool)>,
    replicas: i32,
    failed: Vec<String>,
    borrowed: bool,
}

/// Plays with a crash; the turns are read from the history again. Also the turns at which something was written or
/// remembered.
fn course(story: &Story, by_route: bool, crash: Option<Crash>) -> (Course, Vec<usize>) {
    let mut player = Player::new(Town::new(start(), 4, by_route), story.spec.clone(), 15);
    let mut chance = Chance::new(5, 2);
    let mut course = Course::default();
    let mut history: Vec<Turn> = Vec::new();
    let mut steps = Vec::new();
    for (turn, (old, new)) in noise(150, 5).into_iter().enumerate() {
        player.town.pass(15);
        let promoted = player.town.champion.as_ref().is_some_and(|c| c.template == "new");
        let serving = if promoted { &story.promoted } else { &story.champion };
        let share = player.town.share();
        let copied = if player.town.mirrored() { 750.0 } else { 0.0 };
        let champion = side(((1.0 - share) * 750.0).round(), serving, old, &mut chance);
        let challenger = side((share * 750.0).round() + copied, &story.challenger, new, &mut chance);
        history.push(Turn { at: player.town.now, champion, challenger });
        player.turns.clone_from(&history);
        let decision = decide(&player.situation());
        if crash == Some(Crash::Before(turn)) {
            continue;
        }
        if decision.next != player.memory || decision.plan != Plan::Nothing {
            steps.push(turn);
        }
        player.town.apply(&decision.plan);
        if let Some(route) = &player.town.route {
            assert_eq!(route.champion + route.challenger, 100);
        }
        if crash == Some(Crash::After(turn)) {
            continue;
        }
        if course.path.last() != Some(&decision.stage) {
            course.path.push(decision.stage);
        }
        player.memory = decision.next.clone();
        if crash.is_none() && steps.last() == Some(&turn) {
            settles(player.clone());
        }
    }
    let route = player.town.route.as_ref();
    course.split = route.map(|route| (route.champion, route.challenger, route.mirror));
    course.champion = player.town.champion.map(|c| c.template).unwrap_or_default();
    course.replicas = player.town.challenger.map_or(0, |c| c.desired);
    course.failed = player.memory.failed;
    course.borrowed = player.memory.expected_replicas.is_some_and(|n| n > 0);
    (course, steps)
}

/// Deciding on what a decision left gives nothing new, at once or after the route's return.
fn settles(mut player: Player) {
    for _ in 0..2 {
        let again = decide(&player.situation());
        if again.plan == Plan::Nothing && again.next == player.memory {
            return;
        }
        assert_eq!(again.reason, Reason::Returned, "{again:#?}");
        player.town.apply(&again.plan);
        player.memory = again.next;
    }
    panic!("no fixed point: {:#?}", player.memory);
}

#[test]
fn a_crash_before_or_after_any_step_converges_to_the_same_end() {
    let bad = Behaviour { factor: 1.5, ..Behaviour::FINE };
    let failing = Behaviour { errors: 0.3, ..Behaviour::FINE };
    let stories = [
        (story(true), vec![Stage::Shadow, Stage::Canary, Stage::Promote, Stage::Watch, Stage::Promoted], 7),
        (Story { challenger: bad, promoted: bad, ..story(true) }, vec![Stage::Shadow, Stage::RolledBack], 2),
        (
            Story { promoted: failing, ..story(true) },
            vec![Stage::Shadow, Stage::Canary, Stage::Promote, Stage::RolledBack],
            5,
        ),
        (story(false), vec![Stage::Canary, Stage::Promote, Stage::Watch, Stage::Promoted], 5),
        (
            Story { promoted: failing, ..story(false) },
            vec![Stage::Canary, Stage::Promote, Stage::RolledBack],
            4,
        ),
    ];
    for (which, (story, path, least)) in stories.into_iter().enumerate() {
        let by_route = story.spec.route_ref.is_some();
        let (whole, steps) = course(&story, by_route, None);
        assert_eq!(whole.path, path, "{which}");
        assert!(steps.len() + 1 >= least, "{which}: {steps:?}");
        for turn in steps {
            for crash in [Crash::Before(turn), Crash::After(turn)] {
                let (other, _) = course(&story, by_route, Some(crash));
                assert_eq!(other, whole, "story {which}, {crash:?}");
            }
        }
    }
}

#[test]
fn a_rollout_that_crashes_is_brought_back_without_metrics() {
    let mut player = Player::new(Town::new(start(), 4, true), spec(true), 15);
    let mut chance = Chance::new(5, 2);
    let mut end = Vec::new();
    for (old, new) in noise(240, 5) {
        player.town.pass(15);
        let promoted = player.town.champion.as_ref().is_some_and(|c| c.template == "new");
        if promoted {
            player.town.crashing = vec!["new".into()];
        }
        let turn = |champion, challenger| Turn { at: player.town.now, champion, challenger };
        let turn = if promoted {
            turn(Side::default(), Side::default())
        } else {
            let fine = Behaviour::FINE;
            turn(side(700.0, &fine, old, &mut chance), side(50.0, &fine, new, &mut chance))
        };
        let decision = player.play(turn);
        if decision.plan != Plan::Nothing {
            end.push(decision);
        }
    }
    let kinds: Vec<Reason> = end.iter().map(|decision| decision.reason).collect();
    let want = [
        Reason::LeagueStarted,
        Reason::ShadowPassed,
        Reason::Promoted,
        Reason::Returned,
        Reason::WatchFailed,
    ];
    assert_eq!(kinds, want);
    assert_eq!(player.town.champion.map(|c| c.template), Some("old".into()));
    assert_eq!(player.memory.failed, ["new"]);
}

#[test]
fn a_scraper_sees_few_requests_less_sharply_and_counts_the_slow_ones() {
    let sight = Sight { scatter: true, slow_ms: Some(100.0) };
    let see = |requests: f64| {
        let (mut scraper, mut chance) = (Scraper::default(), Chance::new(3, 1));
        let seen: Vec<Side> = (0..2000)
            .map(|_| scraper.side((requests, &Behaviour::FINE, 60.0), &sight, &mut chance))
            .collect();
        let logs: Vec<f64> = seen.iter().map(|side| libm::log(side.latency.unwrap() / 60.0)).collect();
        let spread = (logs.iter().map(|v| v * v).sum::<f64>() / 2000.0).sqrt();
        (spread, seen.iter().filter_map(|side| side.slow).sum::<f64>() / 2000.0)
    };
    // Of an exponential: (.95/.05/n)½ / ln 20, n the requests of four turns.
    for requests in [40.0, 700.0] {
        let (spread, slow) = see(requests);
        let law = (19.0 / (4.0 * requests)).sqrt() / libm::log(20.0);
        assert!((spread / law - 1.0).abs() < 0.25, "{requests}: {spread} {law}");
        assert!((slow / libm::pow(0.05, 100.0 / 60.0) - 1.0).abs() < 0.15, "{slow}");
    }
}
