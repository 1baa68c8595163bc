//! Incidents: are real injected faults of a microservice shop acted on, soon and rightly, and is normal operation left
//! alone?
//!
//! ```text
//!  200 points of normal operation ─► points of the incident ─► Pilot: orient, decide ─► action within two points?
//!                        rollout at the incident ┘ (a flood has none)
//!  every service, normal operation, no rollout ─► any action is false
//!  the same, with a rollout that changes nothing every six points ─► any action is false
//! ```
//!
//! `cargo bench --bench incidents -- --data DIR [-o json]`; DIR holds `petshop/` or is such a folder.

mod data;
mod rivals;
mod shop;

use std::path::PathBuf;

use anyhow::{Result, bail};
use matverse::decide::situation::Action;
use serde_json::{Value, json};

use data::{Incident, Kind, Point, Shop};
use shop::{Service, acts, spec};

/// Points of normal operation before anything happens.
const LEAD: usize = 200;
/// Points within which an incident is to be acted on.
const WITHIN: usize = 2;
/// Normal points between rollouts that change nothing.
const CALM: usize = 6;
/// Share of normal points that may be acted on.
const ALLOWED: f64 = 0.01;

/// What is measured of a service: whose, and which statistic is its latency.
#[derive(Clone, Copy)]
struct Sight {
    name: &'static str,
    at_fault: bool,
    statistic: &'static str,
}

const SIGHTS: [Sight; 4] = [
    Sight { name: "shown at, mean", at_fault: false, statistic: "Average" },
    Sight { name: "shown at, p95", at_fault: false, statistic: "p95" },
    Sight { name: "at fault, mean", at_fault: true, statistic: "Average" },
    Sight { name: "at fault, p95", at_fault: true, statistic: "p95" },
];

impl Sight {
    fn service(self, incident: &Incident) -> &str {
        if self.at_fault { &incident.caused_by } else { &incident.shown_at }
    }
}

/// What an owner may have asked for: targets as multiples of the usual latency.
#[derive(Clone, Copy)]
struct Owner {
    name: &'static str,
    target: Option<f64>,
    errors_above: Option<f64>,
}

const OWNERS: [Owner; 4] = [
    Owner { name: "no targets (defaults)", target: None, errors_above: None },
    Owner { name: "latency 3 × usual", target: Some(3.0), errors_above: None },
    Owner { name: "latency 1.5 × usual, errors 2 %", target: Some(1.5), errors_above: Some(0.02) },
    Owner { name: "latency 1.2 × usual, errors 1 %", target: Some(1.2), errors_above: Some(0.01) },
];

impl Owner {
    fn spec(self, period: f64, before: &[Point]) -> Value {
        let mut usual: Vec<f64> = before.iter().filter_map(|p| p.latency).collect();
        usual.sort_by(f64::total_cmp);
        let usual = usual.get(usual.len() / 2);
        let targets = match self.target.zip(usual) {
            Some((times, usual)) => json!({"latencyTarget": times * usual}),
            None => json!({}),
        };
        let rollback = self.errors_above.map_or(json!({}), |bound| json!({"errorsAbove": bound}));
        spec(period, &targets, &rollback)
    }
}

/// What was done at the points of one incident.
struct Seen {
    acted: Option<Action>,
    early: bool,
}

#[derive(Clone, Copy, Default)]
struct Count {
    points: usize,
    acted: usize,
    rollouts: usize,
    accused: usize,
}

impl Count {
    fn share(self) -> f64 {
        self.acted as f64 / self.points.max(1) as f64
    }

    fn json(self) -> Value {
        json!({"points": self.points, "acted": self.acted, "share": self.share(), "rollouts": self.rollouts,
            "accused": self.accused})
    }
}

/// Points of normal operation, moved in time so that they end where the incident's points begin.
fn lead(shop: &Shop, incident: &Incident, sight: Sight) -> Vec<Point> {
    let service = sight.service(incident);
    let mut before = shop.before(incident).points(service, sight.statistic);
    before.drain(..before.len().saturating_sub(LEAD));
    let points = incident.table.points(service, sight.statistic);
    if let (Some(last), Some(next)) = (before.last().map(|p| p.at), points.first().map(|p| p.at)) {
        let shift = next - incident.period() - last;
        for point in &mut before {
            point.at += shift;
        }
    }
    before
}

fn right(kind: Kind, action: Action) -> bool {
    match kind {
        Kind::Deployed => action == Action::Rollback,
        Kind::Parameter => matches!(action, Action::Rollback | Action::Retune),
        Kind::Flood => matches!(action, Action::ScaleUp | Action::Retune),
    }
}

/// One incident through the decision code.
fn incident(shop: &Shop, incident: &Incident, sight: Sight, owner: Owner) -> Result<Seen> {
    let before = lead(shop, incident, sight);
    let mut service = Service::new(owner.spec(incident.period(), &before))?;
    for point in &before {
        service.turn(point)?;
    }
    let mut seen = Seen { acted: None, early: false };
    let Some(first) = incident.first() else { return Ok(seen) };
    for (i, point) in incident.table.points(sight.service(incident), sight.statistic).iter().enumerate() {
        let begun = point.at > incident.began;
        if begun && incident.kind != Kind::Flood {
            service.roll_out(incident.began);
        }
        let action = acts(&service.turn(point)?);
        if !begun {
            seen.early |= action.is_some();
        } else if i < first + WITHIN {
            seen.acted = seen.acted.or(action);
        }
    }
    Ok(seen)
}

/// Normal operation of every service without a rollout.
fn quiet(shop: &Shop, owner: Owner, statistic: &str) -> Result<Count> {
    let mut count = Count::default();
    for (_, table) in &shop.normal {
        for name in table.services() {
            let points = table.points(&name, statistic);
            let mut service = Service::new(owner.spec(300.0, &points[..LEAD.min(points.len())]))?;
            for point in &points {
                let measured = point.latency.is_some() || point.errors.is_some();
                let acted = acts(&service.turn(point)?).is_some();
                count.points += usize::from(measured);
                count.acted += usize::from(acted);
            }
        }
    }
    Ok(count)
}

/// Normal operation of the services of the incidents, with rollouts that change nothing.
fn calm(shop: &Shop, owner: Owner, sight: Sight) -> Result<Count> {
    let mut services: Vec<&str> = shop.incidents.iter().map(|i| sight.service(i)).collect();
    services.sort_unstable();
    services.dedup();
    let mut count = Count::default();
    for (_, table) in &shop.normal {
        for name in &services {
            let points = table.points(name, sight.statistic);
            for start in (60..points.len().saturating_sub(CALM)).step_by(CALM) {
                let before = &points[start.saturating_sub(LEAD)..start];
                let mut service = Service::new(owner.spec(300.0, before))?;
                for point in before {
                    service.turn(point)?;
                }
                service.roll_out(points[start - 1].at + 1.0);
                let mut acted = 0;
                for point in &points[start..start + CALM] {
                    acted += usize::from(acts(&service.turn(point)?).is_some());
                }
                count.points += CALM;
                count.acted += acted;
                count.rollouts += 1;
                count.accused += usize::from(acted > 0);
            }
        }
    }
    Ok(count)
}

/// Floods made up of normal points, for the data has none: throughput and latency times so much, for two points.
/// Gives how many there were and how many were met by more replicas.
fn floods(shop: &Shop, owner: Owner, more: f64, slower: f64) -> Result<(usize, usize)> {
    let (mut all, mut met) = (0, 0);
    let service = &shop.incidents[0].shown_at;
    for (_, table) in &shop.normal {
        let points = table.points(service, "p95");
        for start in (60..points.len().saturating_sub(WITHIN)).step_by(CALM) {
            let before = &points[start.saturating_sub(LEAD)..start];
            let mut service = Service::new(owner.spec(300.0, before))?;
            for point in before {
                service.turn(point)?;
            }
            let mut action = None;
            for point in &points[start..start + WITHIN] {
                let times = |value: Option<f64>, by: f64| value.map(|value| value * by);
                let (latency, throughput) = (times(point.latency, slower), times(point.throughput, more));
                action = action.or(acts(&service.turn(&Point { latency, throughput, ..*point })?));
            }
            all += 1;
            met += usize::from(action.is_some_and(|action| right(Kind::Flood, action)));
        }
    }
    Ok((all, met))
}

/// The smallest bound of a robust z that acts on no more than the allowed share of normal points, and what it sees.
fn robust(shop: &Shop, sight: Sight) -> (f64, f64, usize) {
    let mut normal = Vec::new();
    for (_, table) in &shop.normal {
        let mut services: Vec<&str> = shop.incidents.iter().map(|i| sight.service(i)).collect();
        services.sort_unstable();
        services.dedup();
        for name in services {
            let points = table.points(name, sight.statistic);
            normal.extend((60..points.len()).map(|i| rivals::robust_z(&points[..i], &points[i])));
        }
    }
    normal.sort_by(f64::total_cmp);
    let place = ((1.0 - ALLOWED) * normal.len() as f64).ceil() as usize;
    let bar = normal.get(place.min(normal.len().saturating_sub(1))).copied().unwrap_or(f64::INFINITY);
    let false_share = normal.iter().filter(|z| **z > bar).count() as f64 / normal.len().max(1) as f64;
    let caught =
        shop.incidents.iter().filter(|i| rival(shop, i, sight, |b, p| rivals::robust_z(b, p) > bar)).count();
    (bar, false_share, caught)
}

/// Whether a rule that sees what came before and the point acts in time.
fn rival(shop: &Shop, incident: &Incident, sight: Sight, acts: impl Fn(&[Point], &Point) -> bool) -> bool {
    let mut all = lead(shop, incident, sight);
    let lead = all.len();
    all.extend(incident.table.points(sight.service(incident), sight.statistic));
    let Some(first) = incident.first() else { return false };
    (lead + first..all.len().min(lead + first + WITHIN)).any(|i| acts(&all[..i], &all[i]))
}

/// Normal points that a rival acts on, in the services of the incidents.
fn rival_false(shop: &Shop, sight: Sight, acts: impl Fn(&[Point], &Point) -> bool) -> f64 {
    let (mut points, mut acted) = (0, 0);
    for (_, table) in &shop.normal {
        let all = table.points(sight.service(&shop.incidents[0]), sight.statistic);
        for i in 60..all.len() {
            points += 1;
            acted += usize::from(acts(&all[..i], &all[i]));
        }
    }
    f64::from(acted as u32) / f64::from(points.max(1))
}

fn measure(shop: &Shop, sight: Sight, owner: Owner) -> Result<Value> {
    let mut rows = Vec::new();
    let (mut acted, mut good, mut early) = (0, 0, 0);
    for one in &shop.incidents {
        let seen = incident(shop, one, sight, owner)?;
        let fits = seen.acted.is_some_and(|action| right(one.kind, action));
        acted += usize::from(seen.acted.is_some());
        good += usize::from(fits);
        early += usize::from(seen.early);
        rows.push(json!({"incident": one.name, "kind": format!("{:?}", one.kind),
            "action": seen.acted.map_or("Noop", Action::as_str), "right": fits}));
    }
    let n = shop.incidents.len() as f64;
    Ok(json!({"sight": sight.name, "owner": owner.name, "incidents": shop.incidents.len(),
        "actedWithinTwo": acted as f64 / n, "rightOfActed": good as f64 / f64::from(acted.max(1) as u32),
        "actedBefore": early, "calm": calm(shop, owner, sight)?.json(), "each": rows}))
}

fn main() -> Result<()> {
    let mut data =
        std::env::var_os("MATVERSE_DATA").map_or_else(|| PathBuf::from("../shared/data"), PathBuf::from);
    let mut as_json = false;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--data" => data = arguments.next().map(PathBuf::from).unwrap_or(data),
            "-o" => as_json = arguments.next().as_deref() == Some("json"),
            "--bench" => {}
            other => bail!("{other}: unknown; --data DIR and -o json are known"),
        }
    }
    let shop = Shop::read(&data)?;
    let mut results = Vec::new();
    for owner in OWNERS {
        for sight in SIGHTS {
            results.push(measure(&shop, sight, owner)?);
        }
    }
    let mut undisturbed = Vec::new();
    for owner in OWNERS {
        for statistic in ["Average", "p95"] {
            let count = quiet(&shop, owner, statistic)?;
            undisturbed.push(json!({"owner": owner.name, "latency": statistic, "normal": count.json()}));
        }
    }
    let mut made_up = Vec::new();
    for owner in [OWNERS[0], OWNERS[1]] {
        for (more, slower) in [(1.3, 1.0), (1.5, 1.3), (2.0, 1.5), (3.0, 3.0), (3.0, 1.0)] {
            let (all, met) = floods(&shop, owner, more, slower)?;
            made_up.push(json!({"owner": owner.name, "throughput": more, "latency": slower, "floods": all,
                "met": met as f64 / all.max(1) as f64}));
        }
    }
    let others: Vec<Value> = SIGHTS.into_iter().map(|sight| compare(&shop, sight)).collect();
    let report = json!({"incidents": results, "normalWithoutRollouts": undisturbed, "madeUpFloods": made_up,
        "others": others});
    if as_json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&report);
    }
    Ok(())
}

fn compare(shop: &Shop, sight: Sight) -> Value {
    let (bar, false_share, caught) = robust(shop, sight);
    let n = shop.incidents.len() as f64;
    let of = |acts: &dyn Fn(&[Point], &Point) -> Option<Action>| {
        let wanted = |kind: Kind| move |b: &[Point], p: &Point| acts(b, p).is_some_and(|a| right(kind, a));
        let acted =
            shop.incidents.iter().filter(|i| rival(shop, i, sight, |b, p| acts(b, p).is_some())).count();
        let good = shop.incidents.iter().filter(|i| rival(shop, i, sight, wanted(i.kind))).count();
        json!({"actedWithinTwo": acted as f64 / n, "right": good as f64 / n,
            "normal": rival_false(shop, sight, |b, p| acts(b, p).is_some())})
    };
    json!({"sight": sight.name,
        "robustZ": {"bar": bar, "actedWithinTwo": caught as f64 / n, "normal": false_share},
        "hpaOnRequests": of(&rivals::hpa), "original": of(&|_, p| rivals::original(p))})
}

fn print(report: &Value) {
    let share = |v: &Value| format!("{:.1} %", 100.0 * v.as_f64().unwrap_or(f64::NAN));
    println!("| owner | seen | acted within 2 | right of these | rollouts accused | calm points acted on |");
    println!("|---|---|---|---|---|---|");
    for row in report["incidents"].as_array().into_iter().flatten() {
        println!(
            "| {} | {} | {} | {} | {} of {} | {} |",
            row["owner"].as_str().unwrap_or(""),
            row["sight"].as_str().unwrap_or(""),
            share(&row["actedWithinTwo"]),
            share(&row["rightOfActed"]),
            row["calm"]["accused"],
            row["calm"]["rollouts"],
            share(&row["calm"]["share"]),
        );
    }
    println!("\n| normal operation, no rollout | latency | points | acted on |\n|---|---|---|---|");
    for row in report["normalWithoutRollouts"].as_array().into_iter().flatten() {
        let (owner, latency) = (row["owner"].as_str().unwrap_or(""), row["latency"].as_str().unwrap_or(""));
        println!(
            "| {owner} | {latency} | {} | {} |",
            row["normal"]["points"],
            share(&row["normal"]["share"])
        );
    }
    println!("\n| made-up flood | throughput × | latency × | met by more |\n|---|---|---|---|");
    for row in report["madeUpFloods"].as_array().into_iter().flatten() {
        let owner = row["owner"].as_str().unwrap_or("");
        println!("| {owner} | {} | {} | {} |", row["throughput"], row["latency"], share(&row["met"]));
    }
    println!("\n| others | seen | acted within 2 | normal points acted on |\n|---|---|---|---|");
    for row in report["others"].as_array().into_iter().flatten() {
        for (name, key) in
            [("robust z", "robustZ"), ("HPA on requests", "hpaOnRequests"), ("original", "original")]
        {
            let (seen, of) = (row["sight"].as_str().unwrap_or(""), &row[key]);
            println!("| {name} | {seen} | {} | {} |", share(&of["actedWithinTwo"]), share(&of["normal"]));
        }
    }
}
