//! `cargo bench --bench ledger`: what verification costs at 600,000 entries and, on a cluster
//! (`MATVERSE_E2E_KUBECONFIG`, `ETCD_METRICS`), what an act costs.

#![allow(
    missing_docs,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "a benchmark measures time, and stops at what is unexpected"
)]

mod cluster;
#[path = "../common/turns.rs"]
#[allow(dead_code, reason = "the hot step is another benchmark's")]
mod turns;

use std::time::Instant;

use jiff::Timestamp;
use matverse::ledger::checkpoint::Checkpoint;
use matverse::ledger::keys::Signer;
use matverse::ledger::merkle::{Frontier, leaf_hash};
use matverse::ledger::statement::{Body, Entry, Note, Predicate};
use matverse::ledger::tail::{FOUNDED, Segment, TAIL, Tail, segment_name};
use matverse::ledger::verify::{Request, Saved, Signatures, verify};

const ORIGIN: &str = "bench/main";
const ENTRIES: u64 = 600_000;
const SEGMENT: usize = 64 * 1024;

fn entry(index: u64, body: Body, signer: &Signer) -> String {
    let predicate = Predicate {
        index,
        epoch: u64::from(index > 0),
        recorded_at: Timestamp::from_second(1_700_000_000 + index.cast_signed()).unwrap(),
        actor: "matverse-0".into(),
        body,
    };
    Entry::sign(ORIGIN, predicate, signer).unwrap().line().to_owned()
}

/// A ledger of notes of 1 KiB each, in segments of 64 KiB.
fn ledger(signer: &Signer) -> Vec<Saved> {
    let key = signer.verifier().to_string();
    let (mut saved, mut start, mut end) = (Vec::new(), Frontier::default(), Frontier::default());
    let (mut lines, mut bytes) = (Vec::new(), 0);
    for index in 0..ENTRIES {
        let body = match index {
            0 => Body::Genesis { origin: ORIGIN.into(), key: key.clone(), succeeds: None },
            1 => Body::Epoch { found: String::new() },
            _ => Body::Note(Note {
                topic: "decision".into(),
                message: format!("{index:>0$}", 440),
                ..Note::default()
            }),
        };
        let line = entry(index, body, signer);
        if bytes + line.len() >= SEGMENT {
            let segment = Segment { start: std::mem::replace(&mut start, end.clone()), lines };
            saved.push(Saved {
                name: segment_name(segment.start.size()),
                immutable: true,
                data: segment.data(),
                namespace: None,
            });
            (lines, bytes) = (Vec::new(), 0);
        }
        bytes += line.len() + 1;
        end.append(leaf_hash(line.as_bytes()));
        lines.push(line);
    }
    let checkpoint = Checkpoint { origin: ORIGIN.into(), size: end.size(), root: end.root() }.sign(signer);
    let tail = Tail { start, end, lines, epoch: 1, checkpoint };
    saved.push(Saved { name: TAIL.into(), immutable: false, data: tail.data(), namespace: None });
    let data = [("key".to_owned(), key)].into();
    saved.push(Saved { name: FOUNDED.into(), immutable: true, data, namespace: None });
    saved
}

fn verification() {
    let signer = Signer::from_seed(ORIGIN, &[1; 32]).unwrap();
    let objects = ledger(&signer);
    let bytes: usize = objects.iter().flat_map(|object| object.data.values()).map(String::len).sum();
    println!("{ENTRIES} entries, {} bytes each on average", bytes as u64 / ENTRIES);
    let mut request = Request { objects, keys: vec![signer.verifier().clone()], ..Request::default() };
    for (signatures, what) in [
        (Signatures::Checkpoint, "tree, checkpoint and meaning"),
        (Signatures::All, "the same and every signature"),
    ] {
        request.signatures = signatures;
        let mut took: Vec<f64> = (0..3)
            .map(|_| {
                let began = Instant::now();
                let report = verify(&request);
                assert!(report.findings.is_empty(), "{:?}", report.findings.first());
                began.elapsed().as_secs_f64()
            })
            .collect();
        took.sort_by(f64::total_cmp);
        println!("  {what}: {:.2} s (median of 3; {:.2} to {:.2})", took[1], took[0], took[2]);
    }
}

fn main() {
    verification();
    tokio::runtime::Runtime::new().unwrap().block_on(cluster::costs());
}
