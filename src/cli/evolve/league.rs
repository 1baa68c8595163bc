//! One league as the command line sees it: the challenger it sets, and the status it waits on.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use json_patch::Patch as JsonPatch;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::ApiResource;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use crate::api::OmegaGate;
use crate::decide::evolve::Candidate;
use crate::decide::league::runs;
use crate::ledger::attestation::ATTESTATION;
use crate::operator::clock::{Clock, Monotonic};

/// Times that a write is tried when somebody else's comes first.
const TRIES: usize = 5;
/// Field manager of what this verb writes.
pub(super) const MANAGER: &str = "matverse-evolve";

/// The league of a gate.
pub(super) struct League {
    gates: Api<DynamicObject>,
    deployments: Api<Deployment>,
    gate: String,
    champion: String,
    challenger: String,
    container: String,
}

/// How a candidate's league ended, and what the gate's status said then.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    /// The last stage that was seen of it; empty where none began.
    pub stage: String,
    /// Why it ended.
    pub reason: String,
    /// The status.
    pub status: Value,
    /// Leaf of the promotion in the ledger, base64.
    pub leaf: Option<String>,
}

impl Ended {
    /// Whether the operator says that it was promoted.
    pub fn promoted(&self) -> bool {
        self.stage == "Promoted"
    }
}

fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

impl League {
    /// Looks the gate up, and the container of its challenger.
    ///
    /// # Errors
    /// No such gate, league, Deployment or container; a league that is under way.
    pub async fn open(client: &Client, namespace: &str, name: &str, container: Option<&str>) -> Result<Self> {
        let kind = ApiResource::erase::<OmegaGate>(&());
        let gates: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &kind);
        let gate = gates.get(name).await.with_context(|| format!("OmegaGate {namespace}/{name}"))?;
        let [champion, challenger] = ["champion", "challenger"]
            .map(|side| text(&gate.data, &format!("/spec/league/{side}/deployment")));
        if challenger.is_empty() || champion.is_empty() {
            bail!("OmegaGate {namespace}/{name} has no spec.league");
        }
        let stage = text(&gate.data, "/status/league/stage");
        if runs(&stage) {
            bail!("a league of {namespace}/{name} is under way (stage {stage}); wait for its end");
        }
        let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
        let found = deployments.get(&challenger).await;
        let found = found.with_context(|| format!("challenger Deployment {namespace}/{challenger}"))?;
        let names = containers(&found);
        let container = match (container, names.as_slice()) {
            (Some(wanted), names) if names.iter().any(|name| name == wanted) => wanted.to_owned(),
            (Some(wanted), names) => {
                bail!("{challenger} has no container {wanted}, but {}", names.join(", "))
            }
            (None, [only]) => only.clone(),
            (None, names) => {
                bail!("{challenger} has the containers {}; name one by --container", names.join(", "))
            }
        };
        Ok(Self { gates, deployments, gate: name.to_owned(), champion, challenger, container })
    }

    /// Sets a candidate's parameters as environment variables of the challenger, in one write. Whether that changed
    /// anything.
    ///
    /// # Errors
    /// The API server refuses it, or somebody else keeps writing.
    pub async fn set(&self, candidate: &Candidate, dry_run: bool) -> Result<bool> {
        let how = PatchParams { dry_run, field_manager: Some(MANAGER.into()), ..PatchParams::default() };
        for _ in 0..TRIES {
            let found = self.deployments.get(&self.challenger).await?;
            let Some(patch) = patch(&found, &self.container, candidate)? else { return Ok(false) };
            match self.deployments.patch(&self.challenger, &how, &Patch::Json::<()>(patch)).await {
                Ok(_) => return Ok(true),
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(error) => return Err(error.into()),
            }
        }
        bail!("somebody else keeps changing Deployment {}", self.challenger)
    }

    /// Sets a candidate and waits for the end of its league, or of the budget.
    ///
    /// # Errors
    /// It could not be set.
    pub async fn try_one(
        &self,
        candidate: &Candidate,
        clock: &Clock,
        deadline: Monotonic,
        rest: Duration,
    ) -> Result<Ended> {
        let ended = |stage: &str, reason: &str, status: &Value| Ended {
            stage: stage.to_owned(),
            reason: reason.to_owned(),
            status: status.clone(),
            leaf: None,
        };
        if clock.monotonic() >= deadline {
            return Ok(ended("", "not tried: the budget is used up", &Value::Null));
        }
        let mut status = self.gates.get(&self.gate).await.context(self.gate.clone())?.data["status"].clone();
        let before = text(&status, "/league/challengerTemplate");
        if !self.set(candidate, false).await? {
            return Ok(ended("", "not tried: the challenger has these parameters already", &status));
        }
        // The template that the league names after the change is the candidate's, and stays so to its end.
        let mut ours: Option<String> = None;
        loop {
            // A look that fails is tried again: it says nothing of the league.
            if let Ok(gate) = self.gates.get(&self.gate).await {
                status = gate.data["status"].clone();
                let (template, stage) =
                    (text(&status, "/league/challengerTemplate"), text(&status, "/league/stage"));
                if ours.is_none() && !template.is_empty() && template != before {
                    ours = Some(template.clone());
                }
                if ours.as_ref().is_some_and(|ours| *ours != template) {
                    return Ok(ended("", "somebody else changed the challenger", &status));
                }
                if ours.is_some() && ["Promoted", "RolledBack"].contains(&stage.as_str()) {
                    let mut end = ended(&stage, &text(&status, "/league/reason"), &status);
                    if end.promoted() {
                        end.leaf = self.leaf().await;
                    }
                    return Ok(end);
                }
            }
            if clock.monotonic() >= deadline {
                let stage = ours.map(|_| text(&status, "/league/stage")).unwrap_or_default();
                return Ok(ended(&stage, "the budget was used up before an end", &status));
            }
            tokio::time::sleep(rest).await;
        }
    }

    /// Leaf of the promotion, as the champion's attestation states it.
    async fn leaf(&self) -> Option<String> {
        let champion = self.deployments.get(&self.champion).await.ok()?;
        let attestation = champion.annotations().get(ATTESTATION)?;
        attestation.split(' ').find_map(|part| part.strip_prefix("leaf=")).map(str::to_owned)
    }
}

fn containers(deployment: &Deployment) -> Vec<String> {
    let template = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    template.map(|pod| pod.containers.iter().map(|c| c.name.clone()).collect()).unwrap_or_default()
}

/// The one write that sets a candidate on the Deployment as it was read; `None` where it is set already.
fn patch(found: &Deployment, container: &str, candidate: &Candidate) -> Result<Option<JsonPatch>> {
    let pod = found.spec.as_ref().and_then(|spec| spec.template.spec.as_ref()).context("no pod template")?;
    let place = pod.containers.iter().position(|c| c.name == container);
    let place = place.with_context(|| format!("container {container} is gone"))?;
    let present = pod.containers[place].env.clone().unwrap_or_default();
    let mut env = present.clone();
    for (name, value) in &candidate.parameters {
        let entry = serde_json::from_value(json!({"name": name, "value": value}))?;
        match env.iter_mut().find(|entry| entry.name == *name) {
            Some(old) => *old = entry,
            None => env.push(entry),
        }
    }
    if env == present {
        return Ok(None);
    }
    let path = format!("/spec/template/spec/containers/{place}/env");
    let version = found.resource_version();
    Ok(Some(serde_json::from_value(json!([
        {"op": "replace", "path": "/metadata/resourceVersion", "value": version},
        {"op": "add", "path": path, "value": env},
    ]))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(env: &Value) -> Deployment {
        serde_json::from_value(json!({
            "metadata": {"name": "b", "resourceVersion": "7"},
            "spec": {"selector": {}, "template": {"spec": {"containers": [
                {"name": "side"}, {"name": "web", "env": env}]}}},
        }))
        .unwrap()
    }

    fn candidate() -> Candidate {
        let parameters = [("TOP_P".to_owned(), "0.9".to_owned())].into();
        Candidate { digest: String::new(), parameters }
    }

    #[test]
    fn the_write_keeps_other_variables_and_names_what_it_was_made_for() {
        let found = deployment(&json!([{"name": "A", "value": "1"}, {"name": "TOP_P", "value": "0.5"}]));
        let patch = json!(patch(&found, "web", &candidate()).unwrap().unwrap());
        assert_eq!(patch[0]["value"], "7");
        assert_eq!(patch[1]["path"], "/spec/template/spec/containers/1/env");
        let env = json!([{"name": "A", "value": "1"}, {"name": "TOP_P", "value": "0.9"}]);
        assert_eq!(patch[1]["value"], env);
    }

    #[test]
    fn what_stands_already_is_not_written_and_a_missing_container_is_said() {
        let found = deployment(&json!([{"name": "TOP_P", "value": "0.9"}]));
        assert!(patch(&found, "web", &candidate()).unwrap().is_none());
        assert!(patch(&found, "gone", &candidate()).unwrap_err().to_string().contains("gone"));
    }
}
