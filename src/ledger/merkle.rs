//! The Merkle tree of RFC 6962 (section 2.1), grown at its right edge.
//!
//! ```text
//!        root = H(1 ‖ a ‖ H(1 ‖ b ‖ c))          leaf  = SHA-256(0x00 ‖ data)
//!        ╱    ╲                                  node  = SHA-256(0x01 ‖ left ‖ right)
//!       a      ·                                 split = largest power of two < n
//!      ╱╲     ╱ ╲
//!     ·  ·   b   c      n = 7: the frontier is [a, b, c], subtrees of 4, 2 and 1 leaves
//! ```
//!
//! A tree of n leaves has as many complete subtrees along its right edge as n has one-bits. They are all that is
//! needed to append and to state the root, so no older entry has to be read again.

use super::text;

/// A node of the tree.
pub type Hash = [u8; 32];

/// Hash of one entry.
#[must_use]
pub fn leaf_hash(data: &[u8]) -> Hash {
    text::sha256(&[&[0], data])
}

/// Hash of two subtrees.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    text::sha256(&[&[1], left, right])
}

/// Root of a tree without leaves: SHA-256 of nothing.
#[must_use]
pub fn empty_root() -> Hash {
    text::sha256(&[])
}

/// Root of a tree, from its leaf hashes.
#[must_use]
pub fn root_of(leaves: &[Hash]) -> Hash {
    let mut frontier = Frontier::default();
    for leaf in leaves {
        frontier.append(*leaf);
    }
    frontier.root()
}

/// The right edge of a tree: at most 64 hashes, the largest subtree first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    edge: Vec<Hash>,
}

impl Frontier {
    /// Adds one leaf hash.
    pub fn append(&mut self, leaf: Hash) {
        let mut node = leaf;
        // Each trailing one-bit of the old size is a complete subtree as large as `node`.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.edge.pop() {
                node = node_hash(&left, &node);
            }
        }
        self.edge.push(node);
        self.size += 1;
    }

    /// Root of the tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.edge
            .iter()
            .rev()
            .copied()
            .reduce(|right, left| node_hash(&left, &right))
            .unwrap_or_else(empty_root)
    }

    /// Number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// One line of base64 a hash, the largest subtree first; the empty string for the empty tree.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.edge.iter().map(|hash| text::base64(hash) + "\n").collect()
    }

    /// The frontier of a tree of `size` leaves from [`Self::to_text`]; `None` unless it is exactly such a text.
    #[must_use]
    pub fn from_text(size: u64, lines: &str) -> Option<Self> {
        let edge: Option<Vec<Hash>> =
            lines.split_inclusive('\n').map(|line| text::unbase64_hash(line.strip_suffix('\n')?)).collect();
        let edge = edge?;
        (edge.len() == size.count_ones() as usize).then_some(Self { size, edge })
    }
}

#[cfg(test)]
mod tests {
    use ct_merkle::mem_backed_tree::MemoryBackedTree;
    use proptest::prelude::*;
    use sha2::Sha256;

    use super::*;

    fn golden_leaves() -> Vec<Vec<u8>> {
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
            .iter()
            .map(|hex| text::unhex(hex).unwrap())
            .collect()
    }

    #[test]
    fn golden_roots() {
        assert_eq!(
            text::hex(&empty_root()),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(Frontier::default().root(), empty_root());
        let leaves: Vec<Hash> = golden_leaves().iter().map(|leaf| leaf_hash(leaf)).collect();
        assert_eq!(
            text::hex(&root_of(&leaves)),
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
        );
        assert_eq!(
            text::hex(&root_of(&leaves[..1])),
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
        );
    }

    #[test]
    fn a_frontier_survives_its_text_at_every_size() {
        let mut frontier = Frontier::default();
        for n in 0..70_u64 {
            let text = frontier.to_text();
            assert_eq!(Frontier::from_text(n, &text), Some(frontier.clone()), "size {n}");
            assert_eq!(Frontier::from_text(n + 1, &text).is_some(), n.count_ones() == (n + 1).count_ones());
            frontier.append(leaf_hash(&n.to_be_bytes()));
        }
    }

    #[test]
    fn a_frontier_text_has_one_spelling() {
        let mut frontier = Frontier::default();
        frontier.append(leaf_hash(b"a"));
        let text = frontier.to_text();
        for bad in
            [text.trim_end().to_owned(), format!("{text}\n"), format!(" {text}"), text.replace('\n', "\r\n")]
        {
            assert_eq!(Frontier::from_text(1, &bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_an_independent_tree(leaves in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..80)) {
            let mut oracle = MemoryBackedTree::<Sha256, Vec<u8>>::new();
            let mut frontier = Frontier::default();
            for leaf in leaves {
                frontier.append(leaf_hash(&leaf));
                oracle.push(leaf);
                let root = oracle.root();
                prop_assert_eq!(&frontier.root()[..], &root.as_bytes()[..]);
                prop_assert_eq!(frontier.size(), oracle.len());
            }
        }
    }
}
