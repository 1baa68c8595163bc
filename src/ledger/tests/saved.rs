//! Saved files: JSON and YAML as `kubectl` writes them, and every byte of them changed in turn.

use super::fixture::*;
use crate::ledger::memory::MemoryStore;
use crate::ledger::statement::Note;
use crate::ledger::verify::{Finding, Report, Request, Saved, Signatures, Verdict, read, verify};

async fn small_ledger() -> MemoryStore {
    let store = MemoryStore::default();
    let (ledger, _) = open(&store, small(1700), 0).await.unwrap();
    for n in 0..2 {
        let note = Note { topic: "paused".into(), message: format!("by \"ana\", {n}"), ..Note::default() };
        ledger.note(note, at(n)).await.unwrap();
    }
    store
}

fn list(store: &MemoryStore) -> serde_json::Value {
    let items: Vec<_> = store
        .objects()
        .into_iter()
        .map(|object| {
            let mut item = serde_json::json!({
                "apiVersion": "v1",
                "data": object.data,
                "kind": "ConfigMap",
                "metadata": {"name": object.name, "namespace": "matverse-ledger"}
            });
            if object.immutable {
                item["immutable"] = true.into();
            }
            item
        })
        .collect();
    serde_json::json!({"apiVersion": "v1", "items": items, "kind": "List", "metadata": {"resourceVersion": ""}})
}

fn json(store: &MemoryStore) -> String {
    serde_json::to_string_pretty(&list(store)).unwrap() + "\n"
}

/// Block scalars, as `kubectl get -o yaml` writes values of several lines.
fn yaml(store: &MemoryStore) -> String {
    let mut lines = vec!["apiVersion: v1".to_owned(), "items:".to_owned()];
    for object in store.objects() {
        lines.extend(["- apiVersion: v1".to_owned(), "  data:".to_owned()]);
        for (key, value) in &object.data {
            if value.contains('\n') {
                lines.push(format!("    {key}: |"));
                let indented =
                    |line: &str| if line.is_empty() { String::new() } else { format!("      {line}") };
                lines.extend(value.split_terminator('\n').map(indented));
            } else {
                lines.push(format!("    {key}: \"{value}\""));
            }
        }
        lines.extend(object.immutable.then(|| "  immutable: true".to_owned()));
        lines.extend(["  kind: ConfigMap".to_owned(), "  metadata:".to_owned()]);
        lines.extend([format!("    name: {}", object.name), "    namespace: matverse-ledger".to_owned()]);
    }
    lines.join("\n") + "\nkind: List\n"
}

fn judge(bytes: &[u8]) -> Result<Report, Finding> {
    let objects = read("saved", bytes)?;
    Ok(verify(&Request { objects, keys: keys(), signatures: Signatures::Checkpoint, ..Request::default() }))
}

#[tokio::test]
async fn json_yaml_lists_and_several_documents_are_read() {
    let store = small_ledger().await;
    let same = |text: &str| {
        let mut read = read("saved", text.as_bytes()).unwrap();
        read.sort_by(|a, b| a.name.cmp(&b.name));
        for object in &mut read {
            assert_eq!(object.namespace.take().as_deref(), Some("matverse-ledger"));
        }
        let expected: Vec<Saved> = store.objects().into_iter().map(Saved::from).collect();
        assert_eq!(read, expected);
    };
    same(&json(&store));
    same(&yaml(&store));
    let items = list(&store)["items"].as_array().unwrap().clone();
    same(&items.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    let documents = yaml(&store);
    let report = judge(documents.as_bytes()).unwrap();
    assert_eq!(report.verdict, Verdict::Good, "{:?}", report.findings);
    assert_eq!(report.segments, 1);
}

#[tokio::test]
async fn what_every_namespace_has_is_ignored_and_strangers_are_not() {
    let store = small_ledger().await;
    let mut request = request(&store);
    request.objects.push(Saved { name: "kube-root-ca.crt".into(), ..Saved::default() });
    assert_eq!(verify(&request).verdict, Verdict::Good);
    request.objects.push(Saved { name: "other".into(), ..Saved::default() });
    assert_eq!(verify(&request).verdict, Verdict::Tampered);
    for bad in ["", "kind: Secret\napiVersion: v1\n", "{}", "[1", "{\"kind\":\"List\",\"apiVersion\":\"v1\"}"]
    {
        let none = judge(bad.as_bytes()).map_or(Verdict::Tampered, |report| report.verdict);
        assert_ne!(none, Verdict::Good, "{bad}");
    }
}

/// Lines of the file between the markers of an object's entries, with the index of each entry.
fn every_byte(text: &str, store: &MemoryStore) {
    let original = read("saved", text.as_bytes()).unwrap();
    let lines: Vec<(u64, String)> = store
        .objects()
        .iter()
        .filter_map(|object| object.data.get("entries"))
        .flat_map(|entries| entries.lines().map(str::to_owned).collect::<Vec<_>>())
        .enumerate()
        .map(|(index, line)| (index as u64, line))
        .collect();
    let place = |line: &str| {
        let escaped = serde_json::to_string(line).unwrap();
        let escaped = &escaped[1..escaped.len() - 1];
        text.find(escaped)
            .map(|at| (at, escaped.len()))
            .or_else(|| text.find(line).map(|at| (at, line.len())))
            .unwrap()
    };
    let places: Vec<(u64, usize, usize)> = lines
        .iter()
        .map(|(index, line)| {
            let (at, length) = place(line);
            (*index, at, length)
        })
        .collect();
    for at in 0..text.len() {
        let mut bytes = text.as_bytes().to_vec();
        bytes[at] ^= 1;
        if read("saved", &bytes).is_ok_and(|read| read == original) {
            let entry = places.iter().find(|(_, start, length)| (*start..start + length).contains(&at));
            assert_eq!(entry, None, "byte {at}");
            continue;
        }
        let (verdict, findings) = match judge(&bytes) {
            Ok(report) => (report.verdict, report.findings),
            Err(finding) => (Verdict::Tampered, vec![finding]),
        };
        let around =
            String::from_utf8_lossy(&bytes[at.saturating_sub(20)..(at + 20).min(bytes.len())]).into_owned();
        assert_eq!(verdict, Verdict::Tampered, "byte {at} {around:?}: {findings:?}");
        if let Some((index, ..)) =
            places.iter().find(|(_, start, length)| (*start..start + length).contains(&at))
        {
            assert!(
                findings.iter().any(|finding| finding.index == Some(*index)),
                "byte {at} of entry {index} {around:?}: {findings:?}"
            );
        }
    }
}

#[tokio::test]
async fn every_byte_of_a_json_file_is_covered_and_entries_are_named() {
    let store = small_ledger().await;
    every_byte(&json(&store), &store);
}

#[tokio::test]
async fn every_byte_of_a_yaml_file_is_covered_and_entries_are_named() {
    let store = small_ledger().await;
    every_byte(&yaml(&store), &store);
}
