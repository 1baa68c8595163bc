//! One step of a league, in one write.
//!
//! ```text
//!  Intended ─► Route    one rule of the HTTPRoute          Share    replicas of one contestant
//!            ─► Promote  the champion's pod template        Revert   the same, back
//! ```

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, DynamicObject, Patch};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use super::patch::{Marks, annotate, patch_of, restore};
use super::{Now, Write, bounded, promotion, refused, route, stands, template_of_revision};
use crate::decide::league::{Contestant, Decision, Plan, Revision, Setup, Situation, Split, Who};
use crate::ledger::attestation::attestation;
use crate::ledger::step::Basis;
use crate::ledger::{Acted, Intended, Outcome};

/// A step whose intent stands in the ledger.
pub type IntendedStep = Intended<Basis, Decision>;

/// Carries out a step. Never fails: whatever happens is an [`Outcome`].
pub async fn act(client: &Client, intended: IntendedStep, now: Now<'_>) -> Acted<Basis, Decision> {
    let outcome = match carry_out(client, &intended, now).await {
        Ok(outcome) => outcome,
        Err(why) => refused(&why),
    };
    let at = now();
    intended.acted(outcome, at)
}

async fn carry_out(client: &Client, intended: &IntendedStep, now: Now<'_>) -> Result<Outcome, String> {
    let situation = &intended.situation().situation;
    let attestation = attestation(intended.entry());
    let marks = Marks { id: &intended.decision().id, attestation: &attestation };
    let step = Step { client, intended, situation, marks, now };
    match &intended.decision().plan {
        Plan::Nothing => Err("the plan is empty".into()),
        Plan::Route(split) => step.route(*split).await,
        Plan::Share { deployment, replicas } => step.share(*deployment, *replicas).await,
        Plan::Promote { .. } => step.promote().await,
        Plan::Revert(revision) => step.revert(revision).await,
    }
}

/// What every kind of step needs.
struct Step<'a> {
    client: &'a Client,
    intended: &'a IntendedStep,
    situation: &'a Situation,
    marks: Marks<'a>,
    now: Now<'a>,
}

impl Step<'_> {
    async fn route(&self, split: Split) -> Result<Outcome, String> {
        let decided = self.situation.route.as_ref().ok_or("the route was absent when it was decided")?;
        let touched = &self.intended.situation().touched;
        let api = route::api(self.client, &touched.namespace);
        let live = bounded(api.get(&touched.name)).await.map_err(|e| format!("HTTPRoute: {e}"))?;
        let rule = rule_of(&self.situation.spec).ok_or("the league names no route")?;
        let rules = rules_of(&live)?;
        let found = route::seen(rules, &rule)?;
        let as_decided = (decided.champion, decided.challenger, decided.mirror);
        if live.uid().as_deref() != Some(&decided.uid)
            || (found.champion, found.challenger, found.mirror) != as_decided
        {
            return Err("the route changed after the decision".into());
        }
        let wanted =
            route::Split { champion: split.champion, challenger: split.challenger, mirror: split.mirror };
        let rules = route::divided(rules, &rule, wanted)?;
        let (generation, bare) = (live.metadata.generation.unwrap_or(0), live.annotations().is_empty());
        let write = self.write(api, &decided.uid, live.resource_version().unwrap_or_default());
        let body = |version: &str| {
            let mut all = self.marks.operations(version, bare);
            all.push(json!({"op": "replace", "path": "/spec/rules", "value": rules}));
            patch_of(all).map(Patch::Json)
        };
        // A gateway writes its status into the route at any time; its rules change with the generation alone.
        let same = |live: &DynamicObject| stands(live, &decided.uid, generation);
        Ok(write.send(body, same, self.now).await)
    }

    async fn share(&self, who: Who, replicas: i32) -> Result<Outcome, String> {
        let contestant = match who {
            Who::Champion => self.situation.champion.as_ref(),
            Who::Challenger => self.situation.challenger.as_ref(),
        };
        let contestant = contestant.ok_or("the Deployment was absent when it was decided")?;
        let change = vec![json!({"op": "replace", "path": "/spec/replicas", "value": replicas})];
        Ok(self.deployment(contestant, change).await)
    }

    async fn promote(&self) -> Result<Outcome, String> {
        let (champion, challenger) = self
            .situation
            .champion
            .as_ref()
            .zip(self.situation.challenger.as_ref())
            .ok_or("a contestant was absent when it was decided")?;
        let template = promotion::promoted(
            &self.live(&self.situation.spec.champion.deployment, champion).await?,
            &self.live(&self.situation.spec.challenger.deployment, challenger).await?,
        )?;
        let template = serde_json::to_value(template).map_err(|e| e.to_string())?;
        let cause = format!("promoted from {} by decision {}", challenger.pod_template_hash, self.marks.id);
        let change = vec![
            json!({"op": "replace", "path": "/spec/template", "value": template}),
            annotate("kubernetes.io/change-cause", &cause),
        ];
        Ok(self.deployment(champion, change).await)
    }

    async fn revert(&self, to: &Revision) -> Result<Outcome, String> {
        let champion = self.situation.champion.as_ref().ok_or("the champion was absent")?;
        let namespace = &self.situation.object.namespace;
        let template =
            template_of_revision(self.client, namespace, &to.replica_set, &to.pod_template_hash).await?;
        let change = restore(&template, &to.pod_template_hash, self.marks.id).to_vec();
        Ok(self.deployment(champion, change).await)
    }

    /// A contestant as the API server has it, where its spec is still what was decided on.
    async fn live(&self, name: &str, decided: &Contestant) -> Result<Deployment, String> {
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), &self.situation.object.namespace);
        let live = bounded(api.get(name)).await.map_err(|e| format!("Deployment {name}: {e}"))?;
        if stands(&live, &decided.uid, decided.generation) {
            Ok(live)
        } else {
            Err(format!("Deployment {name} changed after the decision"))
        }
    }

    async fn deployment(&self, decided: &Contestant, change: Vec<Value>) -> Outcome {
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), &self.situation.object.namespace);
        let write = self.write(api, &decided.uid, decided.resource_version.clone());
        let body = |version: &str| {
            let mut all = self.marks.operations(version, false);
            all.extend(change.iter().cloned());
            patch_of(all).map(Patch::Json)
        };
        write.send(body, |live| stands(live, &decided.uid, decided.generation), self.now).await
    }

    fn write<'a, K>(&'a self, api: Api<K>, uid: &'a str, version: String) -> Write<'a, K> {
        let touched = &self.intended.situation().touched;
        Write {
            api,
            name: &touched.name,
            uid: Some(uid),
            version,
            id: self.marks.id,
            post: touched.expected.clone(),
            epoch: self.intended.entry().epoch,
            not_after: self.intended.not_after(),
        }
    }
}

/// The rule that a league writes; `None` by replica share.
#[must_use]
pub fn rule_of(league: &Setup) -> Option<route::Rule<'_>> {
    let route = league.route_ref.as_ref()?;
    Some(route::Rule {
        index: usize::try_from(route.rule_index).unwrap_or(usize::MAX),
        champion: &league.champion.service,
        challenger: &league.challenger.service,
        port: league.challenger.port,
        mirror_unsafe: league.mirror_unsafe,
    })
}

/// `spec.rules` of a route.
///
/// # Errors
/// The route has none.
pub fn rules_of(route: &DynamicObject) -> Result<&Vec<Value>, String> {
    route.data.pointer("/spec/rules").and_then(Value::as_array).ok_or_else(|| "the route has no rules".into())
}
