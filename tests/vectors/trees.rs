//! The tree against ct-merkle: every shape that a right edge can have.

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use matverse::ledger::merkle::{Frontier, Hash, leaf_hash, root_of};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sha2::Sha256;

/// Random trees of the differential test.
const TREES: usize = 100_000;

/// A tree of the other implementation.
pub type Oracle = MemoryBackedTree<Sha256, Vec<u8>>;

/// Mostly trees of a few leaves, where every shape of a right edge occurs; some of up to 600.
fn size(random: &mut ChaCha8Rng) -> usize {
    let most = match random.next_u32() % 1000 {
        0 => 600,
        1..20 => 40,
        _ => 9,
    };
    1 + random.next_u32() as usize % most
}

/// The same random leaves in both forms.
pub fn grown(random: &mut ChaCha8Rng) -> (Oracle, Vec<Hash>) {
    let mut oracle = Oracle::new();
    let leaves = (0..size(random))
        .map(|_| {
            let mut leaf = vec![0; random.next_u32() as usize % 40];
            random.fill_bytes(&mut leaf);
            let hash = leaf_hash(&leaf);
            oracle.push(leaf);
            hash
        })
        .collect();
    (oracle, leaves)
}

#[test]
fn random_trees_have_the_roots_of_another_implementation() {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    for tree in 0..TREES {
        let (oracle, leaves) = grown(&mut random);
        let size = leaves.len();
        assert_eq!(oracle.root().as_bytes()[..], root_of(&leaves), "tree {tree} of {size}");
        // Grown in two steps, with the frontier written down between them, as a tail and its segments do.
        let mut frontier = Frontier::default();
        let split = random.next_u32() as usize % size;
        for (n, leaf) in leaves.into_iter().enumerate() {
            if n == split {
                frontier = Frontier::from_text(n as u64, &frontier.to_text()).unwrap();
            }
            frontier.append(leaf);
        }
        assert_eq!(oracle.root().as_bytes()[..], frontier.root(), "tree {tree} of {size}, split at {split}");
    }
}
