//! Proofs over the tree of RFC 6962: that an entry is in it (2.1.1), and that it continues an older one (2.1.2).
//!
//! ```text
//!  c2sp.org/tlog-proof@v1
//!  extra …                        the entry line itself, base64
//!  index 7
//!  gSKy…                          sibling of the leaf first, child of the root last
//!                                 (an empty line)
//!  prod/main …                    the checkpoint, as signed
//! ```
//!
//! With the entry in `extra` the file stands alone: whoever holds the verifier key needs nothing else.

use super::checkpoint::{CheckpointError, SignedCheckpoint};
use super::keys::VerifierKey;
use super::merkle::{Hash, leaf_hash, node_hash, root_of};
use super::statement::{EntryError, Parts};
use super::text;

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";
/// Longest proof file, in bytes: an entry in base64, 64 hashes and a note.
const MAX_PROOF: usize = 64 * 1024;
/// A tree has at most 2⁶⁴ leaves.
const MAX_HASHES: usize = 64;

/// Largest power of two below `n`; `n` is at least 2.
fn split(n: usize) -> usize {
    1 << (usize::BITS - 1 - (n - 1).leading_zeros())
}

/// Siblings on the way from leaf `index` to the root, lowest first; `None` where there is no such leaf.
#[must_use]
pub fn inclusion(leaves: &[Hash], index: u64) -> Option<Vec<Hash>> {
    let mut at = usize::try_from(index).ok().filter(|at| *at < leaves.len())?;
    let (mut part, mut path) = (leaves, Vec::new());
    while part.len() > 1 {
        let (left, right) = part.split_at(split(part.len()));
        if at < left.len() {
            path.push(root_of(right));
            part = left;
        } else {
            path.push(root_of(left));
            at -= left.len();
            part = right;
        }
    }
    path.reverse();
    Some(path)
}

/// Nodes that show the tree of the first `old` leaves, at least one, to be the beginning of the whole; `None` where
/// there are not so many.
#[must_use]
pub fn consistency(leaves: &[Hash], old: u64) -> Option<Vec<Hash>> {
    let mut old = usize::try_from(old).ok().filter(|old| (1..=leaves.len()).contains(old))?;
    let (mut part, mut path, mut known) = (leaves, Vec::new(), true);
    while old < part.len() {
        let (left, right) = part.split_at(split(part.len()));
        if old <= left.len() {
            path.push(root_of(right));
            part = left;
        } else {
            path.push(root_of(left));
            old -= left.len();
            part = right;
            known = false;
        }
    }
    // The old root itself is known to whoever checks, unless it was cut on the way.
    if !known {
        path.push(root_of(part));
    }
    path.reverse();
    Some(path)
}

/// Whether `proof` leads from a leaf to the root of a tree of `size` leaves (RFC 9162, 2.1.3.2).
#[must_use]
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last, mut node) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            node = node_hash(sibling, &node);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            node = node_hash(&node, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && node == *root
}

/// Whether `proof` shows the tree of `old_size` leaves to be the beginning of that of `size` (RFC 9162, 2.1.4.2).
/// Of the empty tree nothing can be shown, so it is no beginning (section 2.1.4.1 starts at one).
#[must_use]
pub fn verify_consistency(old_size: u64, old_root: &Hash, size: u64, root: &Hash, proof: &[Hash]) -> bool {
    if old_size == 0 || old_size > size {
        return false;
    }
    if old_size == size {
        return proof.is_empty() && old_root == root;
    }
    let (mut at, mut last) = (old_size - 1, size - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    let mut rest = proof.iter();
    // A complete subtree is its own beginning, and its root need not be sent.
    let first = if old_size.is_power_of_two() { Some(old_root) } else { rest.next() };
    let Some(first) = first.filter(|_| !proof.is_empty()) else { return false };
    let (mut old, mut new) = (*first, *first);
    for node in rest {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            old = node_hash(node, &old);
            new = node_hash(node, &new);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            new = node_hash(&new, node);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && old == *old_root && new == *root
}

/// Why a proof does not prove.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// It is not of the format.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// Its checkpoint is not one to rely on.
    #[error("its checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The entry is not what was logged at that index.
    #[error("entry {0} is not in the tree of the checkpoint")]
    NotIncluded(u64),
    /// The entry itself does not hold.
    #[error("its entry: {0}")]
    Entry(#[from] EntryError),
}

/// The proof that an entry is in the ledger (C2SP tlog-proof).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The entry line.
    pub entry: String,
    /// Its index.
    pub index: u64,
    /// Siblings, lowest first.
    pub path: Vec<Hash>,
    /// The checkpoint, as signed.
    pub note: String,
}

impl Proof {
    /// Its text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let path: String = self.path.iter().map(|hash| text::base64(hash) + "\n").collect();
        let extra = text::base64(self.entry.as_bytes());
        format!("{FIRST_LINE}\nextra {extra}\nindex {}\n{path}\n{}", self.index, self.note)
    }

    /// Reads a proof that carries its entry.
    ///
    /// # Errors
    /// [`ProofError::Malformed`].
    pub fn parse(file: &str) -> Result<Self, ProofError> {
        use ProofError::Malformed;
        if file.len() > MAX_PROOF {
            return Err(Malformed("longer than 64 KiB"));
        }
        let (head, note) = file.split_once("\n\n").ok_or(Malformed("no empty line before the checkpoint"))?;
        let mut lines = head.split('\n');
        if lines.next() != Some(FIRST_LINE) {
            return Err(Malformed("its first line"));
        }
        let entry = lines
            .next()
            .and_then(|line| text::unbase64(line.strip_prefix("extra ")?))
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or(Malformed("no entry in its extra line"))?;
        let index = lines
            .next()
            .and_then(|line| text::decimal(line.strip_prefix("index ")?))
            .ok_or(Malformed("its index"))?;
        let mut path = Vec::new();
        for line in lines {
            if path.len() == MAX_HASHES {
                return Err(Malformed("more than 64 hashes"));
            }
            path.push(text::unbase64_hash(line).ok_or(Malformed("a hash"))?);
        }
        Ok(Self { entry, index, path, note: note.to_owned() })
    }

    /// Checks everything: the checkpoint by one of `keys`, the entry's place under it, its own signature and index.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn verify(&self, keys: &[VerifierKey]) -> Result<SignedCheckpoint, ProofError> {
        let signed = SignedCheckpoint::open(&self.note, keys)?;
        let stated = signed.checkpoint();
        let leaf = leaf_hash(self.entry.as_bytes());
        if !verify_inclusion(&leaf, self.index, stated.size, &self.path, &stated.root) {
            return Err(ProofError::NotIncluded(self.index));
        }
        let parts = Parts::of(&self.entry)?;
        parts.verify(keys)?;
        if parts.read()?.predicate.index != self.index {
            return Err(ProofError::NotIncluded(self.index));
        }
        Ok(signed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(n: u64) -> Vec<Hash> {
        (0..n).map(|i| leaf_hash(&i.to_be_bytes())).collect()
    }

    #[test]
    fn every_leaf_of_every_small_tree_is_proven_and_nothing_else_is() {
        for size in 1..40_u64 {
            let leaves = leaves(size);
            let root = root_of(&leaves);
            for (index, leaf) in (0..).zip(&leaves) {
                let proof = inclusion(&leaves, index).unwrap();
                assert!(verify_inclusion(leaf, index, size, &proof, &root), "{index} of {size}");
                assert!(!verify_inclusion(&[0; 32], index, size, &proof, &root));
                assert!(!verify_inclusion(leaf, index + 1, size, &proof, &root));
                assert!(!verify_inclusion(leaf, index, size, &proof, &[0; 32]));
                let longer = [proof.as_slice(), &[root]].concat();
                assert!(!verify_inclusion(leaf, index, size, &longer, &root));
                if let Some((_, shorter)) = proof.split_last() {
                    assert!(!verify_inclusion(leaf, index, size, shorter, &root));
                }
            }
            assert_eq!(inclusion(&leaves, size), None);
        }
    }

    #[test]
    fn every_beginning_of_every_small_tree_is_proven_and_no_other() {
        for size in 1..40_u64 {
            let all = leaves(size);
            let root = root_of(&all);
            for old in 1..=size {
                let old_root = root_of(&leaves(old));
                let proof = consistency(&all, old).unwrap();
                assert!(verify_consistency(old, &old_root, size, &root, &proof), "{old} of {size}");
                assert!(!verify_consistency(old, &[0; 32], size, &root, &proof), "{old} of {size}");
                assert!(!verify_consistency(old, &old_root, size, &[0; 32], &proof));
                let longer = [proof.as_slice(), &[root]].concat();
                assert!(!verify_consistency(old, &old_root, size, &root, &longer));
                if let Some((_, shorter)) = proof.split_last() {
                    assert!(!verify_consistency(old, &old_root, size, &root, shorter));
                }
            }
            assert_eq!((consistency(&all, 0), consistency(&all, size + 1)), (None, None));
            assert!(!verify_consistency(0, &root_of(&[]), size, &root, &[]));
        }
    }

    #[test]
    fn what_is_no_proof_is_refused() {
        let proof = Proof { entry: "e".into(), index: 7, path: vec![[1; 32]; 3], note: "n\n\n".into() };
        let text = proof.to_text();
        assert_eq!(Proof::parse(&text), Ok(proof));
        let many = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n".repeat(65);
        for bad in [
            String::new(),
            text.replace("@v1", "@v2"),
            text.replace("index 7", "index 07"),
            text.replace("index 7", "index -7"),
            text.replace("extra ZQ==", "extra ZQ"),
            text.replace("extra ZQ==\n", ""),
            text.replace('\n', "\r\n"),
            text.replace("AQE=\n", "AQ==\n"),
            text.replace("index 7\n", &format!("index 7\n{many}")),
            "x".repeat(MAX_PROOF + 1),
        ] {
            assert!(Proof::parse(&bad).is_err(), "{bad:.80}");
        }
    }
}
