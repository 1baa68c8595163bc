//! The chart, rendered by helm: what it grants, how the pod is confined, and that the configuration
//! arrives as it was given. `HELM` names the binary, else `helm` of the path; without one the tests say
//! so and pass.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "chart/metrics.rs"]
mod metrics;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

const IDENTITY: &str = "matverse-autonomy";
const RELEASE_NAMESPACE: &str = "matverse-system";

fn helm() -> Option<PathBuf> {
    let named = std::env::var_os("HELM").map(PathBuf::from);
    let on_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|folder| folder.join("helm")).find(|file| file.is_file())
    };
    let found = named.or_else(on_path);
    if found.is_none() {
        println!("skipped: needs helm (HELM or PATH)");
    }
    found
}

fn run(helm: &Path, arguments: &[&str], values: &Value) -> Output {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/matverse-autonomy");
    let file = std::env::temp_dir().join(format!("matverse-values-{:?}.json", std::thread::current().id()));
    std::fs::write(&file, values.to_string()).unwrap();
    let output = Command::new(helm)
        .args(arguments)
        .arg(folder)
        .args(["--namespace", RELEASE_NAMESPACE, "--values"])
        .arg(&file)
        .output()
        .unwrap();
    std::fs::remove_file(file).unwrap();
    output
}

/// Every object that the chart renders with these values.
fn render(helm: &Path, values: &Value) -> Vec<Value> {
    let output = run(helm, &["template", "matverse"], values);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    objects.into_iter().filter(|object| !object.is_null()).collect()
}

/// Why the chart refuses these values.
fn refusal(helm: &Path, values: &Value) -> String {
    let output = run(helm, &["template", "matverse"], values);
    assert!(!output.status.success(), "accepted: {values}");
    String::from_utf8(output.stderr).unwrap()
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

fn strings(list: &Value) -> BTreeSet<&str> {
    list.as_array().into_iter().flatten().map(|item| item.as_str().unwrap()).collect()
}

/// Rules bound to a service account, each with the namespace it holds in (`None` = everywhere).
fn rules_of<'a>(objects: &'a [Value], account: &str) -> Vec<(Option<&'a str>, &'a Value)> {
    let mut found = Vec::new();
    for binding in objects
        .iter()
        .filter(|o| ["RoleBinding", "ClusterRoleBinding"].contains(&o["kind"].as_str().unwrap()))
    {
        let subjects = binding["subjects"].as_array().unwrap();
        assert!(subjects.iter().all(|s| s["kind"] == "ServiceAccount"), "{}", name(binding));
        if !subjects.iter().any(|s| s["name"] == account && s["namespace"] == RELEASE_NAMESPACE) {
            continue;
        }
        let namespace = binding["metadata"]["namespace"].as_str();
        let role = objects
            .iter()
            .find(|o| {
                o["kind"] == binding["roleRef"]["kind"]
                    && o["metadata"]["name"] == binding["roleRef"]["name"]
                    && (o["kind"] == "ClusterRole" || o["metadata"]["namespace"].as_str() == namespace)
            })
            .unwrap_or_else(|| panic!("{} binds a role that is not there", name(binding)));
        found.extend(role["rules"].as_array().unwrap().iter().map(|rule| (namespace, rule)));
    }
    assert!(!found.is_empty(), "{account} has no rules");
    found
}

/// Whether the rules allow a verb on a resource in a namespace.
fn allows(
    rules: &[(Option<&str>, &Value)],
    namespace: &str,
    verb: &str,
    group: &str,
    resource: &str,
) -> bool {
    rules.iter().any(|(place, rule)| {
        place.is_none_or(|place| place == namespace)
            && strings(&rule["verbs"]).contains(verb)
            && strings(&rule["apiGroups"]).contains(group)
            && strings(&rule["resources"]).contains(resource)
    })
}

/// Values that between them reach every template.
fn variants() -> Vec<Value> {
    vec![
        json!({}),
        json!({"watchNamespaces": ["shop", "pay"], "actNamespaces": ["pay", "elsewhere"], "crds": {"install": false},
               "ledger": {"createNamespace": false, "createKey": false}}),
        json!({"actNamespaces": []}),
        json!({"replicas": 3, "podDisruptionBudget": {"enabled": true}, "antiAffinity": "required",
               "metrics": {"bind": "0.0.0.0:9102"}, "serviceMonitor": {"enabled": true},
               "image": {"repository": "localhost/matverse", "tag": "v1"}, "priorityClassName": "system-cluster-critical",
               "policies": {"enabled": false, "mode": "Warn"}, "tolerations": [{"operator": "Exists"}], "nodeSelector": {"a": "b"}, "imagePullSecrets": [{"name": "x"}]}),
    ]
}

#[test]
fn lint_finds_nothing() {
    let Some(helm) = helm() else { return };
    for values in variants() {
        let output = run(&helm, &["lint", "--strict"], &values);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn no_rule_anywhere_has_a_wildcard() {
    let Some(helm) = helm() else { return };
    for values in variants() {
        let objects = render(&helm, &values);
        let roles = of_kind(&objects, "ClusterRole").into_iter().chain(of_kind(&objects, "Role"));
        let mut seen = 0;
        for role in roles {
            for rule in role["rules"].as_array().unwrap() {
                seen += 1;
                for part in ["apiGroups", "resources", "verbs"] {
                    assert!(!rule[part].as_array().unwrap().is_empty(), "{}: {rule}", name(role));
                    assert!(
                        strings(&rule[part]).iter().all(|item| !item.contains('*')),
                        "{}: {rule}",
                        name(role)
                    );
                }
                assert!(rule["nonResourceURLs"].is_null());
            }
        }
        assert!(seen > 5);
    }
}

#[test]
fn the_operator_has_no_verb_on_secrets_and_the_hook_may_only_create_one() {
    let Some(helm) = helm() else { return };
    for values in variants() {
        let objects = render(&helm, &values);
        for (_, rule) in rules_of(&objects, IDENTITY) {
            assert!(!rule.to_string().contains("secrets"), "{rule}");
            let verbs = strings(&rule["verbs"]);
            assert!(
                verbs.is_disjoint(&["escalate", "bind", "impersonate", "deletecollection"].into()),
                "{rule}"
            );
        }
    }
    let objects = render(&helm, &json!({}));
    let account = "matverse-autonomy-keygen";
    let rules = rules_of(&objects, account);
    assert_eq!(rules.len(), 1);
    assert_eq!(
        rules[0],
        (Some(RELEASE_NAMESPACE), &json!({"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]}))
    );
    let job = of_kind(&objects, "Job")[0];
    assert_eq!(job["metadata"]["annotations"]["helm.sh/hook"], "pre-install", "an upgrade makes no key");
    let pod = &job["spec"]["template"]["spec"];
    assert_eq!(pod["serviceAccountName"], account);
    assert_eq!(
        pod["containers"][0]["args"],
        json!([
            "ledger",
            "keygen",
            "--name",
            "cluster/main",
            "--create-secret",
            "matverse-system/matverse-ledger-key"
        ])
    );
    // Every object of the hook is one, so that nothing of it stays.
    for object in objects.iter().filter(|o| name(o) == account) {
        let annotations = &object["metadata"]["annotations"];
        assert_eq!(annotations["helm.sh/hook"], "pre-install", "{object}");
        assert!(annotations["helm.sh/hook-delete-policy"].as_str().unwrap().contains("hook-succeeded"));
    }
    let own = render(&helm, &json!({"ledger": {"createKey": false}}));
    assert!(of_kind(&own, "Job").is_empty());
    assert!(!own.iter().any(|object| object.to_string().contains("\"secrets\"")));
}

#[test]
fn the_operator_is_granted_what_it_does_and_writes_only_where_it_may_act() {
    let Some(helm) = helm() else { return };
    let objects = render(&helm, &json!({}));
    let rules = rules_of(&objects, IDENTITY);
    for (namespace, verb, group, resource) in [
        ("shop", "watch", "matverse.io", "matversescalings"),
        ("shop", "patch", "matverse.io", "matversescalings"),
        ("shop", "patch", "matverse.io", "omegagates/status"),
        ("shop", "list", "apps", "replicasets"),
        ("shop", "patch", "apps", "deployments"),
        ("shop", "watch", "autoscaling", "horizontalpodautoscalers"),
        ("shop", "watch", "keda.sh", "scaledobjects"),
        ("shop", "watch", "argoproj.io", "rollouts"),
        ("shop", "watch", "flagger.app", "canaries"),
        ("shop", "watch", "autoscaling.k8s.io", "verticalpodautoscalers"),
        ("shop", "watch", "", "pods"),
        ("shop", "patch", "", "configmaps"),
        ("shop", "create", "events.k8s.io", "events"),
        (RELEASE_NAMESPACE, "update", "coordination.k8s.io", "leases"),
        ("matverse-ledger", "create", "", "configmaps"),
        ("matverse-ledger", "delete", "", "configmaps"),
    ] {
        assert!(allows(&rules, namespace, verb, group, resource), "{verb} {group}/{resource} in {namespace}");
    }
    for (namespace, verb, group, resource) in [
        ("shop", "create", "", "configmaps"),
        ("shop", "delete", "", "configmaps"),
        ("shop", "delete", "apps", "deployments"),
        ("shop", "update", "apps", "deployments"),
        ("shop", "patch", "apps", "replicasets"),
        ("shop", "delete", "", "pods"),
        ("shop", "delete", "matverse.io", "matversescalings"),
        ("shop", "update", "coordination.k8s.io", "leases"),
        ("shop", "patch", "autoscaling", "horizontalpodautoscalers"),
    ] {
        assert!(
            !allows(&rules, namespace, verb, group, resource),
            "{verb} {group}/{resource} in {namespace}"
        );
    }

    let objects = render(&helm, &json!({"actNamespaces": ["pay"]}));
    let rules = rules_of(&objects, IDENTITY);
    assert!(allows(&rules, "pay", "patch", "apps", "deployments"));
    assert!(!allows(&rules, "shop", "patch", "apps", "deployments"));
    assert!(allows(&rules, "shop", "patch", "matverse.io", "matversescalings/status"));

    let objects = render(&helm, &json!({"actNamespaces": []}));
    let rules = rules_of(&objects, IDENTITY);
    assert!(!allows(&rules, "shop", "patch", "apps", "deployments"));
    assert!(!allows(&rules, "shop", "patch", "", "configmaps"));
}

#[test]
fn watched_namespaces_are_granted_by_roles_alone() {
    let Some(helm) = helm() else { return };
    let objects =
        render(&helm, &json!({"watchNamespaces": ["shop", "pay"], "actNamespaces": ["pay", "elsewhere"]}));
    assert!(of_kind(&objects, "ClusterRole").is_empty());
    assert!(of_kind(&objects, "ClusterRoleBinding").is_empty());
    let rules = rules_of(&objects, IDENTITY);
    assert!(rules.iter().all(|(namespace, _)| namespace.is_some()));
    assert!(allows(&rules, "shop", "watch", "apps", "deployments"));
    assert!(allows(&rules, "pay", "patch", "apps", "deployments"));
    assert!(!allows(&rules, "shop", "patch", "apps", "deployments"));
    assert!(!allows(&rules, "elsewhere", "patch", "apps", "deployments"), "it does not watch there");

    let objects = render(&helm, &json!({"watchNamespaces": ["shop", "pay"]}));
    let rules = rules_of(&objects, IDENTITY);
    assert!(allows(&rules, "shop", "patch", "apps", "deployments"), "* is every watched namespace");
}

#[test]
fn every_pod_meets_the_restricted_standard() {
    let Some(helm) = helm() else { return };
    for values in variants() {
        let objects = render(&helm, &values);
        let pods = of_kind(&objects, "Deployment").into_iter().chain(of_kind(&objects, "Job"));
        for pod in pods.map(|owner| &owner["spec"]["template"]["spec"]) {
            let security = &pod["securityContext"];
            assert_eq!(security["runAsNonRoot"], true);
            assert_eq!(security["runAsUser"], 65532);
            assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault");
            for forbidden in ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"] {
                assert!(pod[forbidden].is_null() || pod[forbidden] == false, "{forbidden}");
            }
            let allowed =
                BTreeSet::from(["name", "configMap", "secret", "emptyDir", "projected", "downwardAPI"]);
            for volume in pod["volumes"].as_array().into_iter().flatten() {
                let kinds: BTreeSet<&str> = volume.as_object().unwrap().keys().map(String::as_str).collect();
                assert!(kinds.is_subset(&allowed), "{volume}");
            }
            for container in pod["containers"].as_array().unwrap() {
                let security = &container["securityContext"];
                assert_eq!(security["allowPrivilegeEscalation"], false);
                assert_eq!(security["readOnlyRootFilesystem"], true);
                assert_eq!(security["capabilities"], json!({"drop": ["ALL"]}));
                assert!(security["privileged"].is_null());
                assert_eq!(container["imagePullPolicy"], "IfNotPresent");
                assert!(container["resources"]["limits"]["memory"].is_string());
                assert!(container["ports"].as_array().into_iter().flatten().all(|p| p["hostPort"].is_null()));
                assert!(
                    container["volumeMounts"].as_array().into_iter().flatten().all(|m| m["readOnly"] == true)
                );
            }
        }
    }
}

/// The operator's configuration as its pod reads it.
fn configuration(objects: &[Value]) -> Value {
    let map = of_kind(objects, "ConfigMap")[0];
    serde_saphyr::from_str(map["data"]["config.yaml"].as_str().unwrap()).unwrap()
}

#[test]
fn the_configuration_arrives_as_it_was_given() {
    let Some(helm) = helm() else { return };
    let given = json!({
        "sources": {
            "default": {"url": "https://prometheus.monitoring:9090", "caFile": "/etc/ca/ca.crt", "timeoutSeconds": 5,
                        "headers": {"X-Scope-OrgID": "team"}, "matchers": {"cluster": "prod-eu"}, "namespaceLabel": "namespace"},
            "other": {"url": "http://10.0.0.1:9090"},
        },
        "profiles": {"mine": {"cpu": {"query": "sum(rate(x{namespace=\"$namespace\",pod=~\"$name-.*\"}[1m])) / 2"},
                              "errors": {"query": "a", "zeroWhenFresh": "b{x='y'}"}}},
        "pools": {"batch": {"maxReplicas": 32, "namespaces": ["a", "b"]}},
        "hpa": "Refuse", "actNamespaces": ["shop"], "watchNamespaces": ["shop"], "concurrency": 3,
        "metrics": {"bind": "127.0.0.1:8080"}, "health": {"bind": "0.0.0.0:8081"},
    });
    let mut values = given.clone();
    values["ledger"] = json!({"origin": "prod/main", "budgetBytes": 67_108_864_u64});
    let objects = render(&helm, &values);
    let mut found = configuration(&objects);
    let ledger = found.as_object_mut().unwrap().remove("ledger").unwrap();
    assert_eq!(found.as_object_mut().unwrap().remove("policies"), Some(json!("Enforce")));
    assert_eq!(found, given);
    assert_eq!(
        ledger,
        json!({"namespace": "matverse-ledger", "origin": "prod/main", "keyFile": "/etc/matverse-key/key.pem",
               "tailBytes": 65_536, "budgetBytes": 67_108_864})
    );
    let container = &of_kind(&objects, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["args"], json!(["run", "--config", "/etc/matverse/config.yaml"]));
    assert!(
        container["volumeMounts"].as_array().unwrap().iter().any(|m| m["mountPath"] == "/etc/matverse-key")
    );
    let environment: BTreeSet<&str> =
        container["env"].as_array().unwrap().iter().map(|e| e["name"].as_str().unwrap()).collect();
    assert!(environment.is_superset(&["POD_NAME", "POD_NAMESPACE"].into()));
}

#[test]
fn the_policies_come_with_the_chart_and_bear_its_names() {
    let Some(helm) = helm() else { return };
    let values = json!({"fullnameOverride": "mv", "serviceAccount": {"name": "acts"}, "ledger": {"namespace": "records"}});
    let objects = render(&helm, &values);
    let policies = of_kind(&objects, "ValidatingAdmissionPolicy");
    let names: BTreeSet<&str> = policies.iter().map(|p| name(p)).collect();
    assert_eq!(names, ["mv-worm", "mv-namespace", "mv-acts", "mv-deputy", "mv-requests"].into());
    for policy in &policies {
        assert_eq!(policy["spec"]["failurePolicy"], "Fail", "{}", name(policy));
        assert!(policy["spec"]["paramKind"].is_null(), "a missing parameter would skip the binding");
    }
    let bindings = of_kind(&objects, "ValidatingAdmissionPolicyBinding");
    assert_eq!(bindings.len(), policies.len());
    for binding in bindings {
        assert_eq!(binding["spec"], json!({"policyName": name(binding), "validationActions": ["Deny"]}));
    }
    let text = policies.iter().map(ToString::to_string).collect::<String>();
    for words in [
        "matverse-system:acts'",
        "matverse-system:mv-exporter'",
        "\"kubernetes.io/metadata.name\":\"records\"",
    ] {
        assert!(text.contains(words), "{words}");
    }
    let without = render(&helm, &json!({"policies": {"enabled": false, "mode": "Warn"}}));
    assert!(!without.iter().any(|o| o["kind"].as_str().unwrap().starts_with("ValidatingAdmissionPolicy")));
    assert_eq!(configuration(&without)["policies"], "Warn");
}

#[test]
fn the_exporter_reads_and_marks_and_deletes_nothing() {
    let Some(helm) = helm() else { return };
    let objects = render(&helm, &json!({}));
    let rules = rules_of(&objects, "matverse-autonomy-exporter");
    assert!(rules.iter().all(|(namespace, _)| *namespace == Some("matverse-ledger")));
    for verb in ["get", "list", "create", "patch"] {
        assert!(allows(&rules, "matverse-ledger", verb, "", "configmaps"), "{verb}");
    }
    assert!(!allows(&rules, "matverse-ledger", "delete", "", "configmaps"));
    assert!(of_kind(&objects, "CronJob").is_empty(), "it needs a volume, so it is not there by itself");
    let on =
        json!({"exporter": {"enabled": true, "volume": {"persistentVolumeClaim": {"claimName": "archive"}}}});
    let objects = render(&helm, &on);
    let pod = &of_kind(&objects, "CronJob")[0]["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    assert_eq!(pod["serviceAccountName"], "matverse-autonomy-exporter");
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["containers"][0]["securityContext"]["capabilities"], json!({"drop": ["ALL"]}));
    assert_eq!(pod["volumes"][0]["persistentVolumeClaim"]["claimName"], "archive");
    // The public half of the key, and nothing else of that Secret.
    assert_eq!(pod["containers"][0]["env"][0]["valueFrom"]["secretKeyRef"]["key"], "vkey");
    assert!(!pod.to_string().contains("key.pem"));
}

#[test]
fn a_retiring_key_is_mounted_beside_the_new_one() {
    let Some(helm) = helm() else { return };
    let values = json!({"ledger": {"keySecret": "new", "retiringKeySecret": "old"}});
    let objects = render(&helm, &values);
    assert_eq!(configuration(&objects)["ledger"]["retiringKeyFile"], "/etc/matverse-retiring-key/key.pem");
    let pod = &of_kind(&objects, "Deployment")[0]["spec"]["template"]["spec"];
    let secrets: Vec<&Value> =
        pod["volumes"].as_array().unwrap().iter().map(|v| &v["secret"]["secretName"]).collect();
    assert!(secrets.contains(&&json!("new")) && secrets.contains(&&json!("old")), "{secrets:?}");
}

#[test]
fn a_changed_configuration_restarts_the_pod_and_an_unchanged_one_does_not() {
    let Some(helm) = helm() else { return };
    let sum = |values: Value| {
        let objects = render(&helm, &values);
        let template = &of_kind(&objects, "Deployment")[0]["spec"]["template"];
        template["metadata"]["annotations"]["checksum/config"].as_str().unwrap().to_owned()
    };
    assert_eq!(sum(json!({})), sum(json!({"replicas": 2})));
    assert_ne!(sum(json!({})), sum(json!({"concurrency": 9})));
}

#[test]
fn an_uninstall_keeps_what_belongs_to_users_and_an_upgrade_brings_the_definitions() {
    let Some(helm) = helm() else { return };
    let objects = render(&helm, &json!({}));
    let definitions = of_kind(&objects, "CustomResourceDefinition");
    assert_eq!(
        definitions.iter().map(|d| name(d)).collect::<Vec<_>>(),
        ["matversescalings.matverse.io", "omegagates.matverse.io"]
    );
    let namespaces = of_kind(&objects, "Namespace");
    assert_eq!(name(namespaces[0]), "matverse-ledger");
    for object in definitions.into_iter().chain(namespaces) {
        assert_eq!(object["metadata"]["annotations"]["helm.sh/resource-policy"], "keep", "{}", name(object));
    }
    let without = render(&helm, &json!({"crds": {"install": false}, "ledger": {"createNamespace": false}}));
    assert!(of_kind(&without, "CustomResourceDefinition").is_empty());
    assert!(of_kind(&without, "Namespace").is_empty());
}

#[test]
fn values_that_cannot_work_are_refused_with_their_path() {
    let Some(helm) = helm() else { return };
    for (values, words) in [
        (json!({"sources": {"default": {"url": "prometheus:9090"}}}), "url"),
        (json!({"sources": {"default": {"url": "http://p", "insecure": true}}}), "insecure"),
        (json!({"actNamespace": ["shop"]}), "actNamespace"),
        (json!({"hpa": "Fight"}), "hpa"),
        (json!({"policies": {"mode": "Off"}}), "mode"),
        (json!({"ledger": {"origin": "has space/x"}}), "origin"),
        (json!({"ledger": {"origin": format!("prod/{}", "x".repeat(100))}}), "origin"),
        (json!({"ledger": {"namespace": RELEASE_NAMESPACE}}), "namespace of its own"),
        (json!({"metrics": {"bind": "8080"}}), "bind"),
        (json!({"serviceAccount": {"create": false}}), "serviceAccount.name"),
        (json!({"replicas": -1}), "replicas"),
        (json!({"exporter": {"enabled": true}}), "exporter.volume"),
    ] {
        let said = refusal(&helm, &values);
        assert!(said.contains(words), "{values}: {said}");
    }
}
