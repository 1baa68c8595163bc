//! Seeds of the fuzz targets that read what the ledger writes: `MATVERSE_FUZZ_SEEDS=fuzz/seeds cargo test seeds`
//! writes them anew after a change of form.

use std::path::PathBuf;

use super::fixture::*;
use crate::ledger::attestation::attestation;
use crate::ledger::memory::MemoryStore;
use crate::ledger::statement::{Note, Parts};
use crate::ledger::tail::lines_of;

#[tokio::test]
async fn the_fuzz_targets_find_their_seeds() {
    let Some(folder) = std::env::var_os("MATVERSE_FUZZ_SEEDS").map(PathBuf::from) else { return };
    let put = |target: &str, name: &str, text: &str| {
        std::fs::create_dir_all(folder.join(target)).unwrap();
        std::fs::write(folder.join(target).join(name), text).unwrap();
    };
    let store = MemoryStore::default();
    let (ledger, _) = open(&store, small(2600), 0).await.unwrap();
    let seen = situation("web", 3, 10);
    let decision = scale(&seen, 5);
    let outcome = applied(&seen, &decision);
    let intended = ledger.intend(&seen, decision, at(10)).await.unwrap();
    put("attestation", "intent", &attestation(intended.entry()));
    ledger.conclude(intended.acted(outcome, at(11))).await.unwrap();
    let note = Note { topic: "paused".into(), message: "by ana".into(), ..Note::default() };
    ledger.note(note, at(12)).await.unwrap();
    put("vkey", "public", &signer().verifier().to_string());
    // The key of seed 01…01 is every target's, and nobody else's.
    put("vkey", "private", &signer().to_pkcs8_pem().unwrap());
    let items: Vec<_> = store
        .objects()
        .into_iter()
        .map(|object| {
            let data = object.data;
            for line in data.get("entries").map(|entries| lines_of(entries).unwrap()).unwrap_or_default() {
                let statement = Parts::of(line).unwrap().statement;
                let kind = statement.split_once("\"kind\":\"").unwrap().1.split_once('"').unwrap().0;
                put("entry", kind, statement);
                put("entry", &format!("{kind}-line"), line);
            }
            if object.name == "tail" {
                let part = |key: &str| data[key].as_str();
                let parts = ["sealed", "size", "epoch", "frontier", "entries"].map(part);
                put("tail", "tail", &parts.join("\u{1}"));
                put("checkpoint", "note", part("checkpoint"));
                put(
                    "checkpoint",
                    "text",
                    &(part("checkpoint").split_once("\n\n").unwrap().0.to_owned() + "\n"),
                );
            }
            serde_json::json!({
                "apiVersion": "v1", "kind": "ConfigMap", "data": data, "immutable": object.immutable,
                "metadata": {"name": object.name}
            })
        })
        .collect();
    let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": items});
    put("saved", "list.json", &list.to_string());
    let documents: Vec<String> = items.iter().map(|item| serde_saphyr::to_string(item).unwrap()).collect();
    put("saved", "documents.yaml", &documents.join("---\n"));
}
