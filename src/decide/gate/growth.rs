//! The growth gates: SR, G, OCI, ΔL∞, CAOS⁺ φ, Agápe, score.

use jiff::Timestamp;

use super::bounds::Bounds;
use super::earlier::EarlierLinf;
use super::evidence::{Found, NOT_NAMED, Silent};
use super::rows::judge;
use super::{GateResult, GateSituation};
use crate::decide::view::short;
use crate::observe::reading::{Readings, SignalName, Use};
use crate::orient::growth::{self, Caos, GAMMA, KAPPA, Linf, SCORE_CANARY, ScoreWeights};

const SR: [&str; 4] = ["sr.calibration", "sr.ethics", "sr.metacognition", "sr.autocorrection"];
const G: [&str; 8] = ["g.1", "g.2", "g.3", "g.4", "g.5", "g.6", "g.7", "g.8"];
const OCI: [&str; 4] = ["oci.memory", "oci.flow", "oci.policy", "oci.feedback"];
const LINF: [&str; 6] =
    ["linf.rsi", "linf.synergy", "linf.novelty", "linf.stability", "linf.viability", "linf.cost"];
const CAOS: [&str; 4] = ["caos.c", "caos.a", "caos.o", "caos.s"];
const SCORE: [&str; 4] = ["score.u", "score.s", "score.c", "score.l"];
/// Beginning of the names of Agápe's parts, which are as many as the owner names.
const AGAPE: &str = "agape.";

/// Every signal that a growth gate is made of, but for Agápe's, which begin with `agape.`.
pub fn signals() -> impl Iterator<Item = &'static str> {
    [&SR[..], &G, &OCI, &LINF, &CAOS, &SCORE].into_iter().flatten().copied()
}

/// The rows that are asked for, and L∞: all where `growth` is given, else those whose signals are named.
pub(super) fn rows(
    s: &GateSituation,
    bounds: &Bounds,
    ethics: &Found<bool>,
) -> (Vec<GateResult>, Option<f64>) {
    let bound = &bounds.growth;
    let given = s.spec.growth.is_some();
    let asked = |names: &[&str]| given || names.iter().any(|name| s.named(name));
    let mut rows = Vec::new();
    if asked(&SR) {
        let parts = s.parts(SR);
        let value = parts.and_then(|p| whole("sr", growth::sr(p, ethics.clone()?)));
        rows.push(judge("sr", &value, bound.sr_min));
    }
    if asked(&G) {
        let value = s.parts(G).and_then(|p| whole("g", growth::even(&p)));
        rows.push(judge("g", &value, bound.g_min));
    }
    if asked(&OCI) {
        let value = s.parts(OCI).and_then(|p| whole("oci", growth::even(&p)));
        rows.push(judge("oci", &value, bound.oci_min));
    }
    let linf = linf(s, ethics);
    if asked(&LINF) {
        rows.push(gain(s, &linf, bound.delta_linf_min));
    }
    if asked(&CAOS) {
        rows.push(caos(s, bound.caos_phi_min));
    }
    let agape = agape_parts(s);
    if bound.agape_min.is_some() || !agape.is_empty() {
        rows.push(agape_row(s, &agape, bound.agape_min));
    }
    if asked(&SCORE) {
        rows.push(score(s, bounds.score_min));
    }
    (rows, linf.ok())
}

/// A quantity of parts that are all there; one of them may still be no share.
fn whole(name: &str, value: Option<f64>) -> Found<f64> {
    value.ok_or_else(|| Silent::Unknown(format!("{name}: a part lies outside 0 to 1")))
}

/// L∞ of one side's readings and the time of its oldest part, where all parts are fresh. Whether ethics hold is not
/// asked here: that is the gate's own question.
#[must_use]
pub fn linf_of(readings: &Readings) -> Option<(f64, Timestamp)> {
    let part = |name: &str| {
        let reading = readings.get(&SignalName::new(name))?;
        reading.fresh().filter(|_| reading.supports(Use::Other))
    };
    let [rsi, synergy, novelty, stability, viability, cost] = LINF.map(part);
    let (rsi, synergy, novelty) = (rsi?, synergy?, novelty?);
    let (stability, viability, cost) = (stability?, viability?, cost?);
    let parts = Linf {
        rsi: rsi.0,
        synergy: synergy.0,
        novelty: novelty.0,
        stability: stability.0,
        viability: viability.0,
        cost: cost.0,
    };
    let oldest = [rsi.1, synergy.1, novelty.1, stability.1, viability.1, cost.1].into_iter().min()?;
    Some((growth::linf(&parts, growth::COST_FACTOR, true)?, oldest))
}

/// The champion's L∞ as what a challenger must grow beyond.
#[must_use]
pub fn champion_linf(readings: &Readings) -> EarlierLinf {
    if !LINF.iter().any(|name| readings.contains_key(&SignalName::new(name))) {
        return EarlierLinf::None;
    }
    linf_of(readings).map_or(EarlierLinf::Unknown, |(linf, _)| EarlierLinf::Of(linf))
}

fn linf(s: &GateSituation, ethics: &Found<bool>) -> Found<f64> {
    let [rsi, synergy, novelty, stability, viability, cost] = s.parts(LINF)?;
    let parts = Linf { rsi, synergy, novelty, stability, viability, cost };
    whole("linf", growth::linf(&parts, growth::COST_FACTOR, ethics.clone()?))
}

/// ΔL∞ against what was admitted before.
fn gain(s: &GateSituation, linf: &Found<f64>, min: f64) -> GateResult {
    let linf = match linf {
        Ok(linf) => *linf,
        Err(silent) => return judge("deltaLinf", &Err(silent.clone()), min),
    };
    let earlier = match s.earlier_linf {
        EarlierLinf::None => Err(Silent::Off("no earlier L∞ to compare with")),
        EarlierLinf::Of(earlier) if (0.0..=1.0).contains(&earlier) => Ok(earlier),
        EarlierLinf::Of(_) | EarlierLinf::Unknown => {
            Err(Silent::Unknown("the earlier L∞ is not to be believed".into()))
        }
    };
    let row = judge("deltaLinf", &earlier.clone().map(|earlier| linf - earlier), min);
    match earlier {
        Ok(earlier) => row.saying(&format!("L∞ {} against {}", short(linf), short(earlier))),
        Err(_) => row,
    }
}

fn caos(s: &GateSituation, min: f64) -> GateResult {
    let parts = s.parts(CAOS).map(|[c, a, o, s]| Caos { c, a, o, s });
    let value = parts.clone().and_then(|p| whole("caos", growth::caos_phi(p, KAPPA, GAMMA)));
    let row = judge("caosPhi", &value, min);
    match parts.ok().and_then(|p| growth::caos_exponential(p, KAPPA)) {
        Some(shown) => row.saying(&format!("as (1 + κCA)^OS {}", short(shown))),
        None => row,
    }
}

fn agape_parts(s: &GateSituation) -> Vec<&SignalName> {
    s.readings.keys().filter(|name| name.as_str().starts_with(AGAPE)).collect()
}

fn agape_row(s: &GateSituation, names: &[&SignalName], min: Option<f64>) -> GateResult {
    let value = match min {
        None => Err(Silent::Off("growth.agapeMin is not given")),
        Some(_) if names.is_empty() => Err(NOT_NAMED),
        Some(_) => names
            .iter()
            .map(|name| s.evidence(name))
            .collect::<Found<Vec<f64>>>()
            .and_then(|parts| whole("agape", growth::even(&parts))),
    };
    judge("agape", &value, min.unwrap_or(0.0))
}

fn score(s: &GateSituation, min: f64) -> GateResult {
    let parts = s.parts(SCORE);
    let value = parts.and_then(|p| whole("score", growth::score(p, &ScoreWeights::default())));
    let row = judge("score", &value, min);
    match row.value {
        Some(score) if score < min && score >= SCORE_CANARY => row.saying("enough for a canary, not to pass"),
        _ => row,
    }
}
