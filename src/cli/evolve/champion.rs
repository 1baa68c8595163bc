//! The champion pointer: which candidate serves, in one ConfigMap that moves by one conditional write.

use anyhow::{Result, bail};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::{Api, PostParams};
use serde_json::json;

use super::league::MANAGER;
use super::runs::Run;

/// Times that the move is tried when somebody else's comes first.
const TRIES: usize = 5;

/// Moves the pointer of a gate to a run that the operator has promoted. A reader sees the old champion or the new one,
/// never a part of either.
pub(super) async fn point(client: &Client, namespace: &str, gate: &str, run: &Run) -> Result<()> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let name = format!("{gate}-champion");
    let how = PostParams { field_manager: Some(MANAGER.into()), ..PostParams::default() };
    let data = json!({
        "candidate": run.candidate,
        "run": run.id,
        "template": run.template.clone().unwrap_or_default(),
        "promotedAt": run.time.to_string(),
    });
    for _ in 0..TRIES {
        let answer = if let Some(mut standing) = maps.get_opt(&name).await? {
            // With the resourceVersion that was read, so that a move in between is seen.
            standing.data = Some(serde_json::from_value(data.clone())?);
            maps.replace(&name, &how, &standing).await
        } else {
            let new = json!({"apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": name, "namespace": namespace,
                    "labels": {"app.kubernetes.io/managed-by": MANAGER}},
                "data": data});
            maps.create(&how, &serde_json::from_value(new)?).await
        };
        match answer {
            Ok(_) => return Ok(()),
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(error.into()),
        }
    }
    bail!("somebody else keeps moving ConfigMap {namespace}/{name}")
}
