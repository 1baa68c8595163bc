//! Scalers and release tools of others that name the same Deployment, where their kinds are installed.
//!
//! Their types are nobody's dependency: each is watched as it comes, and only the reference is read. A kind that is
//! not installed answers 404, which settles it until the watch asks again.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::reflector::store::Writer;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::groups::{Group, Groups};
use super::slim::slim;

/// How long a kind that cannot be listed is let be. The watch's own patience starts anew with each try of a list.
const REST: Duration = Duration::from_secs(30);

/// A kind that may own a Deployment's count or template, and where it names the Deployment.
#[derive(Clone, Copy, Debug)]
struct Foreign {
    group: &'static str,
    version: &'static str,
    name: &'static str,
    plural: &'static str,
    reference: &'static str,
}

const KINDS: [Foreign; 4] = [
    Foreign {
        group: "keda.sh",
        version: "v1alpha1",
        name: "ScaledObject",
        plural: "scaledobjects",
        reference: "/spec/scaleTargetRef",
    },
    Foreign {
        group: "argoproj.io",
        version: "v1alpha1",
        name: "Rollout",
        plural: "rollouts",
        reference: "/spec/workloadRef",
    },
    Foreign {
        group: "flagger.app",
        version: "v1beta1",
        name: "Canary",
        plural: "canaries",
        reference: "/spec/targetRef",
    },
    Foreign {
        group: "autoscaling.k8s.io",
        version: "v1",
        name: "VerticalPodAutoscaler",
        plural: "verticalpodautoscalers",
        reference: "/spec/targetRef",
    },
];

impl Foreign {
    fn resource(self) -> ApiResource {
        let gvk = GroupVersionKind::gvk(self.group, self.version, self.name);
        ApiResource::from_gvk_with_plural(&gvk, self.plural)
    }

    /// The Deployments that `object` may lay claim to.
    fn groups(self, object: &DynamicObject) -> Vec<Group> {
        let name = object.data.pointer(self.reference).and_then(|reference| reference["name"].as_str());
        let namespace = object.namespace().unwrap_or_default();
        let names = name.map(|name| [name.to_owned(), format!("{name}-primary")]);
        names.into_iter().flatten().map(|name| Group::Target(namespace.clone(), name)).collect()
    }

    /// Whether `object` lays claim to the Deployment `name`.
    fn claims(self, object: &DynamicObject, name: &str) -> bool {
        let text = |pointer: &str| object.data.pointer(pointer).and_then(Value::as_str);
        // KEDA leaves the kind out where it is a Deployment.
        let kind = text(&format!("{}/kind", self.reference)).unwrap_or("Deployment");
        let named = text(&format!("{}/name", self.reference));
        let active = match self.name {
            "VerticalPodAutoscaler" => {
                !matches!(text("/spec/updatePolicy/updateMode"), Some("Off" | "Initial"))
            }
            _ => true,
        };
        // Flagger moves the traffic to a copy of the Deployment, which is its own as well.
        let copy = self.name == "Canary"
            && named.is_some_and(|named| name.strip_suffix("-primary").is_some_and(|of| of == named));
        active && kind == "Deployment" && (named == Some(name) || copy)
    }
}

/// The watches of one scope.
#[derive(Clone)]
pub struct Owners {
    watches: Vec<(Foreign, Groups<DynamicObject>, watch::Receiver<bool>)>,
}

impl Owners {
    /// Starts a watch for each kind; their tasks end with `tasks`.
    #[must_use]
    pub fn start(
        client: &Client,
        namespace: Option<&str>,
        config: &watcher::Config,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let watches = KINDS.map(|kind| {
            let resource = kind.resource();
            let api: Api<DynamicObject> = match namespace {
                Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
                None => Api::all_with(client.clone(), &resource),
            };
            let writer = Writer::new(resource.clone());
            let found = Groups::new(writer.as_reader(), resource, move |object| kind.groups(object));
            let (settle, settled) = watch::channel(false);
            let events = watcher(api, config.clone()).default_backoff();
            let events = events.modify(|object| slim(&mut object.metadata, &[])).inspect_ok(found.noting());
            tasks.spawn(drive(kind, events.reflect(writer), settle));
            (kind, found, settled)
        });
        Self { watches: watches.into() }
    }

    /// Waits until each kind is listed, or known not to be there.
    pub async fn ready(&self) {
        for (_, _, settled) in &self.watches {
            let _ = settled.clone().wait_for(|settled| *settled).await;
        }
    }

    /// Who lays claim to a Deployment, as `Kind/name`.
    #[must_use]
    pub fn of(&self, namespace: &str, deployment: &str) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        let target = Group::Target(namespace.to_owned(), deployment.to_owned());
        for (kind, found, _) in &self.watches {
            let here = found.of(&target);
            let here = here.iter().filter(|object| kind.claims(object, deployment));
            all.extend(here.map(|object| format!("{}/{}", kind.name, object.name_any())));
        }
        all.sort_unstable();
        all
    }
}

async fn drive(
    kind: Foreign,
    stream: impl futures::Stream<Item = Result<watcher::Event<DynamicObject>, watcher::Error>>,
    settle: watch::Sender<bool>,
) {
    let mut stream = std::pin::pin!(stream);
    while let Some(event) = stream.next().await {
        match event {
            Ok(watcher::Event::InitDone) => {
                settle.send_replace(true);
            }
            Ok(_) => {}
            Err(watcher::Error::InitialListFailed(kube::Error::Api(status))) if status.code == 404 => {
                settle.send_replace(true);
                tokio::time::sleep(REST).await;
            }
            Err(watcher::Error::InitialListFailed(kube::Error::Api(status))) if status.code == 403 => {
                let plural = kind.plural;
                tracing::warn!(
                    plural,
                    "may not be listed: a Deployment of theirs is not recognised; give the operator the chart's roles"
                );
                settle.send_replace(true);
                tokio::time::sleep(REST).await;
            }
            Err(error) => tracing::warn!(%error, kind = kind.name, "a watch failed; it is tried again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(kind: &str, spec: &Value, name: &str) -> bool {
        let kind = KINDS.into_iter().find(|known| known.name == kind).unwrap();
        let object = DynamicObject::new("it", &kind.resource()).within("shop").data(json!({"spec": spec}));
        kind.claims(&object, name)
    }

    #[test]
    fn each_kind_names_its_deployment_in_its_own_way() {
        let named = |name: &str| json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": name});
        assert!(claims("ScaledObject", &json!({"scaleTargetRef": {"name": "web"}}), "web"));
        assert!(claims("ScaledObject", &json!({"scaleTargetRef": named("web")}), "web"));
        assert!(!claims(
            "ScaledObject",
            &json!({"scaleTargetRef": {"kind": "StatefulSet", "name": "web"}}),
            "web"
        ));
        assert!(!claims("ScaledObject", &json!({"scaleTargetRef": {"name": "api"}}), "web"));
        assert!(claims("Rollout", &json!({"workloadRef": named("web")}), "web"));
        assert!(!claims("Rollout", &json!({"template": {}}), "web"));
        assert!(claims("Canary", &json!({"targetRef": named("web")}), "web"));
        assert!(claims("Canary", &json!({"targetRef": named("web")}), "web-primary"));
        assert!(!claims("Canary", &json!({"targetRef": named("web")}), "webs"));
    }

    #[test]
    fn a_vertical_scaler_counts_where_it_restarts_pods() {
        let mode = |mode: Option<&str>| {
            let mut spec = json!({"targetRef": {"kind": "Deployment", "name": "web"}});
            if let Some(mode) = mode {
                spec["updatePolicy"] = json!({"updateMode": mode});
            }
            claims("VerticalPodAutoscaler", &spec, "web")
        };
        assert!(mode(None) && mode(Some("Auto")) && mode(Some("Recreate")));
        assert!(!mode(Some("Off")) && !mode(Some("Initial")));
    }
}
