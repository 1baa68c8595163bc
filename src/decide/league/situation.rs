//! What a league's decision is made of, and what comes of it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::request::Request;
use crate::api::gate::League;
use crate::decide::gate::GateAnswer;
use crate::decide::situation::{Holds, ObjectRef};
use crate::orient::trial::Evidence;

/// Everything a league's decision may depend on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Situation {
    /// The time of the decision.
    pub now: Timestamp,
    /// The resource; its target is the champion's Deployment.
    pub object: ObjectRef,
    /// What the owner asks for. With `routeRef` the league goes by the route, without by replica share.
    pub spec: League,
    /// Length of one turn, s.
    pub interval_seconds: u32,
    /// Age up to which evidence counts as fresh, s.
    pub max_age_seconds: u32,
    /// Who paused it, where somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<String>,
    /// Why the ledger takes no intent, where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger_trouble: Option<String>,
    /// Why it may not act, where it may not: an act without outcome, the namespace, another owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<String>,
    /// The champion's Deployment; `None` where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub champion: Option<Contestant>,
    /// The challenger's Deployment; `None` where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenger: Option<Contestant>,
    /// The route's rule; `None` by replica share, and where it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<Route>,
    /// Why the route cannot be read, where one is named and it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route_trouble: Option<String>,
    /// What is remembered from earlier turns.
    pub memory: Memory,
    /// What the turns of the current stage say, as [`super::weigh`] gives it.
    pub evidence: Evidence,
    /// What the gate says of the challenger's evidence.
    pub gate: GateAnswer,
    /// Whether L∞ is named; then a challenger must gain some.
    pub linf_configured: bool,
    /// Smallest mean gain of L∞ (`growth.deltaLinfMin`).
    pub delta_linf_min: f64,
    /// Ω of the champion, where it may be believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub omega: Option<f64>,
    /// Whether effort is calm enough for a new canary.
    pub calm: bool,
    /// What a person asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Request>,
}

/// One Deployment of a league.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Contestant {
    /// Its uid.
    pub uid: String,
    /// Its resourceVersion.
    pub resource_version: String,
    /// Its generation.
    pub generation: i64,
    /// Identity of its pod template: a hash without selector labels and `restartedAt`.
    pub template: String,
    /// pod-template-hash of its current `ReplicaSet`.
    pub pod_template_hash: String,
    /// Its current `ReplicaSet`.
    pub replica_set: String,
    /// Replicas asked for.
    pub desired: i32,
    /// Replicas ready.
    pub ready: i32,
    /// Replicas of the current template.
    pub updated: i32,
    /// Whether its rollout is complete.
    pub settled: bool,
    /// Whether its pods crash or its rollout passed the progress deadline.
    pub failing: bool,
    /// When its current template began to roll out.
    pub started_at: Timestamp,
}

impl Contestant {
    /// What is needed to bring back the present template.
    #[must_use]
    pub fn revision(&self) -> Revision {
        Revision {
            replica_set: self.replica_set.clone(),
            pod_template_hash: self.pod_template_hash.clone(),
            template: self.template.clone(),
        }
    }
}

/// One rule of an `HTTPRoute`, as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// Its uid.
    pub uid: String,
    /// Its resourceVersion.
    pub resource_version: String,
    /// The champion's weight out of 100.
    pub champion: u32,
    /// The challenger's weight out of 100.
    pub challenger: u32,
    /// Whether requests are mirrored to the challenger.
    pub mirror: bool,
    /// Whether the rule has a shape that the league can read and write.
    pub shape_ok: bool,
    /// Why not, where it has not.
    #[serde(default)]
    pub why_not: String,
}

/// How a route divides the traffic. The weights sum to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Split {
    /// The champion's weight.
    pub champion: u32,
    /// The challenger's weight.
    pub challenger: u32,
    /// Whether requests are mirrored to the challenger.
    pub mirror: bool,
}

/// A template that the champion can be brought back to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    /// Its `ReplicaSet`.
    pub replica_set: String,
    /// Its pod-template-hash.
    pub pod_template_hash: String,
    /// Identity of its pod template.
    pub template: String,
}

/// A stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Stage {
    /// No league yet.
    #[default]
    Idle,
    /// Mirrored traffic.
    Shadow,
    /// A small share of traffic.
    Canary,
    /// The champion has the challenger's template and rolls it out.
    Promote,
    /// Its rollout is complete; it is watched.
    Watch,
    /// Ended in favour of the champion.
    RolledBack,
    /// Ended in favour of the challenger.
    Promoted,
}

impl Stage {
    /// The name as status, metrics and the ledger spell it. `Promote` covers the watch after it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "Idle",
            Self::Shadow => "Shadow",
            Self::Canary => "Canary",
            Self::Promote | Self::Watch => "Promote",
            Self::RolledBack => "RolledBack",
            Self::Promoted => "Promoted",
        }
    }

    /// Whether a league runs in it.
    #[must_use]
    pub fn running(self) -> bool {
        matches!(self, Self::Shadow | Self::Canary | Self::Promote | Self::Watch)
    }
}

/// What a league remembers between turns; kept in status.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Memory {
    /// The stage.
    pub stage: Stage,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// When its time is over; an extension moves it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// How often it was extended.
    pub extensions: u32,
    /// Id of the league.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// The champion's template when the league began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub champion_template: Option<String>,
    /// The challenger's template when the league began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub challenger_template: Option<String>,
    /// Challenger templates that are not tried again, the newest last; at most 8.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<String>,
    /// No new league before this, after one that ended through no fault of the challenger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rest_until: Option<Timestamp>,
    /// How our last write left the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<Split>,
    /// Replicas of the challenger that our last write left, by replica share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_replicas: Option<i32>,
    /// What the champion ran before, to go back to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<Revision>,
    /// What the canary stage showed, the baseline of the watch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Evidence>,
    /// Ω of the champion at promotion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub omega_before: Option<f64>,
    /// Why the last step was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The last template that served its watch out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_good: Option<Revision>,
    /// The last request that was answered, as it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered: Option<String>,
}

/// Which Deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Who {
    /// The one that serves.
    Champion,
    /// The one that wants to.
    Challenger,
}

/// The exact state to reach, in one write.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "kind")]
pub enum Plan {
    /// No write.
    #[default]
    Nothing,
    /// The route's rule divides the traffic like this.
    Route(Split),
    /// A Deployment has this many replicas.
    Share {
        /// Which.
        deployment: Who,
        /// How many.
        replicas: i32,
    },
    /// The champion gets the challenger's pod template, keeping its own selector labels.
    Promote {
        /// Identity of the champion's template.
        from_template: String,
        /// Identity of the challenger's template.
        to_template: String,
    },
    /// The champion gets the pod template of one of its own `ReplicaSet`s back.
    Revert(Revision),
}

/// Why, in one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Reason {
    /// Nothing to do.
    Steady,
    /// Somebody paused it.
    Paused,
    /// The ledger takes no intent.
    LedgerUnavailable,
    /// It may not act.
    Blocked,
    /// The route cannot be read, or its rule has a shape that the league does not know.
    RouteUnreadable,
    /// Somebody else changed the route.
    RouteEdited,
    /// Somebody else changed the challenger's replicas, by replica share.
    SharesEdited,
    /// What the route or the shares were is no longer what the resource names.
    SetupChanged,
    /// The route or the challenger's replicas go back to where they were.
    Returned,
    /// There is no challenger with another template.
    NoChallenger,
    /// This template has failed before.
    NotTriedAgain,
    /// It rests after a league that ended through no fault of the challenger.
    Resting,
    /// Effort is not calm enough for a new canary.
    NotCalm,
    /// A league began.
    LeagueStarted,
    /// The stage takes its time.
    Collecting,
    /// There is no fresh evidence.
    NoFreshEvidence,
    /// The shadow stage was passed.
    ShadowPassed,
    /// The challenger fails more often.
    ErrorsWorse,
    /// The challenger is slower.
    LatencyWorse,
    /// The challenger fails more often than is allowed.
    ErrorMax,
    /// The challenger is slower than is allowed.
    P95,
    /// The challenger gains too little L∞.
    LinfTooSmall,
    /// The gate does not admit it.
    GateNotAdmit,
    /// Too few samples, also after the extensions.
    TooFewSamples,
    /// Neither worse nor not worse was shown, also after the extensions.
    Undecided,
    /// The stage was extended.
    Extended,
    /// The challenger is gone.
    ChallengerGone,
    /// The challenger has no ready pods, or too few to begin.
    ChallengerNotReady,
    /// The challenger's pods fail.
    ChallengerFailing,
    /// The challenger has another template than the league began with.
    ChallengerChanged,
    /// The champion is gone.
    ChampionGone,
    /// Somebody else changed the champion's template.
    ChampionChanged,
    /// The champion itself is in trouble.
    ChampionTrouble,
    /// The challenger's template became the champion's.
    Promoted,
    /// The champion still rolls it out.
    RollingOut,
    /// The champion's rollout is complete and the watch began.
    WatchStarted,
    /// The watch was served out.
    WatchPassed,
    /// The promoted template was bad, and the champion got its template back.
    WatchFailed,
    /// A person asked for it.
    Requested,
}

impl Reason {
    /// The token as status, events and the ledger spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Steady => "Steady",
            Self::Paused => "Paused",
            Self::LedgerUnavailable => "LedgerUnavailable",
            Self::Blocked => "Blocked",
            Self::RouteUnreadable => "RouteUnreadable",
            Self::RouteEdited => "RouteEdited",
            Self::SharesEdited => "SharesEdited",
            Self::SetupChanged => "SetupChanged",
            Self::Returned => "Returned",
            Self::NoChallenger => "NoChallenger",
            Self::NotTriedAgain => "NotTriedAgain",
            Self::Resting => "Resting",
            Self::NotCalm => "NotCalm",
            Self::LeagueStarted => "LeagueStarted",
            Self::Collecting => "Collecting",
            Self::NoFreshEvidence => "NoFreshEvidence",
            Self::ShadowPassed => "ShadowPassed",
            Self::ErrorsWorse => "ErrorsWorse",
            Self::LatencyWorse => "LatencyWorse",
            Self::ErrorMax => "ErrorMax",
            Self::P95 => "P95",
            Self::LinfTooSmall => "LinfTooSmall",
            Self::GateNotAdmit => "GateNotAdmit",
            Self::TooFewSamples => "TooFewSamples",
            Self::Undecided => "Undecided",
            Self::Extended => "Extended",
            Self::ChallengerGone => "ChallengerGone",
            Self::ChallengerNotReady => "ChallengerNotReady",
            Self::ChallengerFailing => "ChallengerFailing",
            Self::ChallengerChanged => "ChallengerChanged",
            Self::ChampionGone => "ChampionGone",
            Self::ChampionChanged => "ChampionChanged",
            Self::ChampionTrouble => "ChampionTrouble",
            Self::Promoted => "Promoted",
            Self::RollingOut => "RollingOut",
            Self::WatchStarted => "WatchStarted",
            Self::WatchPassed => "WatchPassed",
            Self::WatchFailed => "WatchFailed",
            Self::Requested => "Requested",
        }
    }
}

/// One rule and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// Its name.
    pub rule: String,
    /// Whether it holds.
    pub holds: Holds,
    /// Why, with the numbers.
    pub because: String,
}

/// What is to be done, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// Its id, made of its content; sorts by time.
    pub id: String,
    /// The time of the decision.
    pub at: Timestamp,
    /// The resource.
    pub object: ObjectRef,
    /// The one write, if any.
    pub plan: Plan,
    /// What to remember once the plan was applied; at once where it is [`Plan::Nothing`].
    pub next: Memory,
    /// The stage of `next`.
    pub stage: Stage,
    /// Why, in one token.
    pub reason: Reason,
    /// Why, in one sentence with the numbers.
    pub reasoning: String,
    /// Every rule that was tried, in order.
    pub rules: Vec<Rule>,
    /// What has to come before anything else happens.
    pub waiting_on: Vec<String>,
    /// Version of the rules.
    pub policy_version: u32,
}
