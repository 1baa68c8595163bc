//! Proofs against ct-merkle, and against the vectors of transparency-dev/merkle.

use std::path::{Path, PathBuf};

use matverse::ledger::merkle::{Hash, root_of};
use matverse::ledger::proof::{consistency, inclusion, verify_consistency, verify_inclusion};
use matverse::ledger::text::unbase64;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::Deserialize;

use super::trees::grown;

/// More folders with vectors than the public ones, separated as in `PATH`.
const FOLDERS: &str = "MATVERSE_MERKLE_VECTORS";
/// Random trees of the differential test.
const TREES: usize = 20_000;

fn hashes_of(bytes: &[u8]) -> Vec<Hash> {
    bytes.chunks_exact(32).map(|hash| hash.try_into().unwrap()).collect()
}

#[test]
fn random_trees_have_the_proofs_of_another_implementation() {
    let mut random = ChaCha8Rng::seed_from_u64(8);
    for _ in 0..TREES {
        let (oracle, leaves) = grown(&mut random);
        let (size, root) = (leaves.len(), root_of(&leaves));
        let index = random.next_u32() as usize % size;
        let ours = inclusion(&leaves, index as u64).unwrap();
        assert_eq!(hashes_of(oracle.prove_inclusion(index).as_bytes()), ours, "{index} of {size}");
        assert!(verify_inclusion(&leaves[index], index as u64, size as u64, &ours, &root));
        let old = 1 + random.next_u32() as usize % size;
        let ours = consistency(&leaves, old as u64).unwrap();
        assert_eq!(hashes_of(oracle.prove_consistency(size - old).as_bytes()), ours, "{old} within {size}");
        assert!(verify_consistency(old as u64, &root_of(&leaves[..old]), size as u64, &root, &ours));
    }
}

#[test]
fn sizes_beyond_all_trees_and_endless_proofs_are_refused() {
    let [root, leaf] = [[1; 32], [2; 32]];
    for proof in [vec![], vec![root], vec![root; 64], vec![root; 65], vec![root; 10_000]] {
        for size in [0, 1, 2, u64::MAX - 1, u64::MAX] {
            for at in [0, 1, size / 2, size.wrapping_sub(1), size, u64::MAX] {
                assert!(!verify_inclusion(&leaf, at, size, &proof, &root), "{at} of {size}");
                assert!(!verify_consistency(at, &leaf, size, &root, &proof), "{at} within {size}");
            }
        }
    }
}

/// One vector of either kind. Where the public ones state no 32 bytes for a hash, there is none.
#[derive(Deserialize)]
#[serde(untagged, rename_all_fields = "camelCase", deny_unknown_fields)]
enum Vector {
    Inclusion {
        leaf_idx: u64,
        tree_size: u64,
        root: String,
        leaf_hash: String,
        proof: Option<Vec<String>>,
        desc: String,
        want_err: bool,
    },
    Consistency {
        size1: u64,
        size2: u64,
        root1: String,
        root2: String,
        proof: Option<Vec<String>>,
        desc: String,
        want_err: bool,
    },
}

/// A file holds one vector, or a list of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum File {
    One(Vector),
    Many(Vec<Vector>),
}

fn hash(text: &str) -> Option<Hash> {
    unbase64(text)?.try_into().ok()
}

impl Vector {
    /// Whether ours takes the proof; a hash that is none is refused before any proof is looked at.
    fn holds(&self) -> bool {
        let path = |proof: &Option<Vec<String>>| -> Option<Vec<Hash>> {
            proof.as_deref().unwrap_or_default().iter().map(|text| hash(text)).collect()
        };
        let holds = || match self {
            Self::Inclusion { leaf_idx, tree_size, root, leaf_hash, proof, .. } => {
                let (leaf, root) = (hash(leaf_hash)?, hash(root)?);
                Some(verify_inclusion(&leaf, *leaf_idx, *tree_size, &path(proof)?, &root))
            }
            Self::Consistency { size1, size2, root1, root2, proof, .. } => {
                let (old, root) = (hash(root1)?, hash(root2)?);
                Some(verify_consistency(*size1, &old, *size2, &root, &path(proof)?))
            }
        };
        holds().unwrap_or(false)
    }

    fn stated(&self) -> (&str, bool) {
        match self {
            Self::Inclusion { desc, want_err, .. } | Self::Consistency { desc, want_err, .. } => {
                (desc, !*want_err)
            }
        }
    }

    /// The one exception. The reference compares roots as texts of any length, so that two equal ones of twelve bytes
    /// are a proof for trees of the same size; here a root has 32 bytes, and what has not is refused.
    fn is_exception(&self) -> bool {
        matches!(self, Self::Consistency { size1: 1, size2: 1, root1, root2, .. } if root1 == root2 && hash(root1).is_none())
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

#[test]
fn the_vectors_of_the_reference_hold() {
    let folders = std::env::var_os(FOLDERS).unwrap_or_default();
    let more = std::env::split_paths(&folders).filter(|folder| !folder.as_os_str().is_empty());
    let public = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/public");
    for folder in std::iter::once(public).chain(more) {
        let mut seen = [0, 0];
        for (kind, name) in ["inclusion", "consistency"].into_iter().enumerate() {
            for path in files_below(&folder.join(name)) {
                let file: File = serde_json::from_slice(&std::fs::read(&path).unwrap())
                    .unwrap_or_else(|why| panic!("{}: {why}", path.display()));
                let vectors = match file {
                    File::One(vector) => vec![vector],
                    File::Many(vectors) => vectors,
                };
                for vector in vectors {
                    let (desc, expected) = vector.stated();
                    let expected = expected && !vector.is_exception();
                    assert_eq!(vector.holds(), expected, "{}: {desc}", path.display());
                    seen[kind] += 1;
                }
            }
        }
        println!("{}: {} inclusions, {} consistencies", folder.display(), seen[0], seen[1]);
        assert!(seen.iter().all(|seen| *seen >= 98), "{}: only {seen:?} vectors", folder.display());
    }
}
