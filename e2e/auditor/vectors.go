package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	reference "github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/tlog"
)

// inclusion and consistency have the fields of the reference's vectors.
type inclusion struct {
	LeafIdx  uint64   `json:"leafIdx"`
	TreeSize uint64   `json:"treeSize"`
	Root     []byte   `json:"root"`
	LeafHash []byte   `json:"leafHash"`
	Proof    [][]byte `json:"proof"`
	Desc     string   `json:"desc"`
	WantErr  bool     `json:"wantErr"`
}

type consistency struct {
	Size1   uint64   `json:"size1"`
	Size2   uint64   `json:"size2"`
	Root1   []byte   `json:"root1"`
	Root2   []byte   `json:"root2"`
	Proof   [][]byte `json:"proof"`
	Desc    string   `json:"desc"`
	WantErr bool     `json:"wantErr"`
}

// sizes of the trees: every small one, and those around the steps of tiles and powers of two.
var sizes = []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 16, 17, 31, 33, 64, 100, 255, 256, 257}

// write makes proofs with the checksum database's library, damages each in many ways, and lets the
// reference say which of them still hold.
func write(out string) error {
	tree, err := grow(slices.Max(sizes))
	if err != nil {
		return err
	}
	var included []inclusion
	var continued []consistency
	for _, size := range sizes {
		root, err := tlog.TreeHash(size, tree)
		if err != nil {
			return err
		}
		for _, n := range places(size) {
			of, err := inclusions(tree, size, n, root)
			if err != nil {
				return err
			}
			included = append(included, of...)
			of2, err := consistencies(tree, size, n+1, root)
			if err != nil {
				return err
			}
			continued = append(continued, of2...)
		}
	}
	return errors.Join(
		save(filepath.Join(out, "inclusion", "generated.json"), included),
		save(filepath.Join(out, "consistency", "generated.json"), continued),
	)
}

// places of a tree that are worth a proof: all of a small one, else the edges and some between.
func places(size int64) (at []int64) {
	for n := int64(0); n < size; n++ {
		if size <= 17 || n < 2 || n > size-3 || n&(n-1) == 0 || n == size/3 {
			at = append(at, n)
		}
	}
	return at
}

func inclusions(tree tlog.HashReader, size, n int64, root tlog.Hash) ([]inclusion, error) {
	path, err := tlog.ProveRecord(size, n, tree)
	if err != nil {
		return nil, err
	}
	leaf, err := tree.ReadHashes([]int64{tlog.StoredHashIndex(0, n)})
	if err != nil {
		return nil, err
	}
	good := inclusion{uint64(n), uint64(size), root[:], leaf[0][:], bytesOf(path), "as proven", false}
	all := []inclusion{good}
	with := func(desc string, change func(*inclusion)) {
		bad := good
		bad.Desc = desc
		change(&bad)
		all = append(all, bad)
	}
	for _, to := range numbers(good.LeafIdx) {
		with("another index", func(v *inclusion) { v.LeafIdx = to })
	}
	for _, to := range numbers(good.TreeSize) {
		with("another size", func(v *inclusion) { v.TreeSize = to })
	}
	with("another root", func(v *inclusion) { v.Root = flipped(v.Root) })
	with("another leaf", func(v *inclusion) { v.LeafHash = flipped(v.LeafHash) })
	with("root for leaf", func(v *inclusion) { v.LeafHash = v.Root })
	for _, damaged := range damages(good.Proof, good.Root, good.LeafHash) {
		with(damaged.desc, func(v *inclusion) { v.Proof = damaged.proof })
	}
	for i := range all {
		v := &all[i]
		err := reference.VerifyInclusion(rfc6962.DefaultHasher, v.LeafIdx, v.TreeSize, v.LeafHash, v.Proof, v.Root)
		v.WantErr = err != nil
	}
	if all[0].WantErr {
		return nil, fmt.Errorf("the libraries disagree on leaf %d of %d", n, size)
	}
	return all, nil
}

func consistencies(tree tlog.HashReader, size, old int64, root tlog.Hash) ([]consistency, error) {
	path, err := tlog.ProveTree(size, old, tree)
	if err != nil {
		return nil, err
	}
	before, err := tlog.TreeHash(old, tree)
	if err != nil {
		return nil, err
	}
	good := consistency{uint64(old), uint64(size), before[:], root[:], bytesOf(path), "as proven", false}
	all := []consistency{good}
	with := func(desc string, change func(*consistency)) {
		bad := good
		bad.Desc = desc
		change(&bad)
		all = append(all, bad)
	}
	for _, to := range numbers(good.Size1) {
		with("another old size", func(v *consistency) { v.Size1 = to })
	}
	for _, to := range numbers(good.Size2) {
		with("another size", func(v *consistency) { v.Size2 = to })
	}
	with("another old root", func(v *consistency) { v.Root1 = flipped(v.Root1) })
	with("another root", func(v *consistency) { v.Root2 = flipped(v.Root2) })
	with("roots swapped", func(v *consistency) { v.Root1, v.Root2 = v.Root2, v.Root1 })
	for _, damaged := range damages(good.Proof, good.Root1, good.Root2) {
		with(damaged.desc, func(v *consistency) { v.Proof = damaged.proof })
	}
	for i := range all {
		v := &all[i]
		err := reference.VerifyConsistency(rfc6962.DefaultHasher, v.Size1, v.Size2, v.Proof, v.Root1, v.Root2)
		v.WantErr = err != nil
	}
	if all[0].WantErr {
		return nil, fmt.Errorf("the libraries disagree on %d within %d", old, size)
	}
	return all, nil
}

// numbers near n, and far from it.
func numbers(n uint64) (near []uint64) {
	for _, to := range []uint64{n + 1, n - 1, n ^ 2, n * 2, n / 2, 0, 1 << 32, 1<<63 - 1, 1<<64 - 1} {
		// The empty tree is left out: the reference proves nothing of it, RFC 9162 leaves it open, ours is its own test.
		if to != n && to != 0 {
			near = append(near, to)
		}
	}
	return near
}

type damage struct {
	desc  string
	proof [][]byte
}

// damages of a proof; hashes are those that an attacker has at hand.
func damages(proof [][]byte, hashes ...[]byte) []damage {
	all := []damage{{"nothing", nil}, {"a hundred hashes", slices.Repeat(hashes[:1], 100)}}
	add := func(proof [][]byte, format string, args ...any) {
		all = append(all, damage{fmt.Sprintf(format, args...), proof})
	}
	for i := range proof {
		changed := slices.Clone(proof)
		changed[i] = flipped(changed[i])
		add(changed, "bit of hash %d", i)
		add(slices.Delete(slices.Clone(proof), i, i+1), "without hash %d", i)
		add(slices.Insert(slices.Clone(proof), i, proof[i]), "hash %d twice", i)
		if i > 0 {
			swapped := slices.Clone(proof)
			swapped[i-1], swapped[i] = swapped[i], swapped[i-1]
			add(swapped, "hash %d before hash %d", i, i-1)
		}
	}
	for i, hash := range hashes {
		add(slices.Insert(slices.Clone(proof), 0, hash), "root %d before it", i)
		add(append(slices.Clone(proof), hash), "root %d after it", i)
	}
	return all
}

func flipped(hash []byte) []byte {
	hash = slices.Clone(hash)
	hash[len(hash)/2] ^= 1 << 4
	return hash
}

func bytesOf[T ~[]tlog.Hash](path T) [][]byte {
	all := make([][]byte, len(path))
	for i, hash := range path {
		all[i] = slices.Clone(hash[:])
	}
	return all
}

// grow makes a tree in memory whose leaf n is the decimal n.
func grow(size int64) (tlog.HashReader, error) {
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		found := make([]tlog.Hash, len(indexes))
		for i, at := range indexes {
			if at >= int64(len(stored)) {
				return nil, fmt.Errorf("no hash %d", at)
			}
			found[i] = stored[at]
		}
		return found, nil
	})
	for n := range size {
		hashes, err := tlog.StoredHashes(n, fmt.Append(nil, n), reader)
		if err != nil {
			return nil, err
		}
		stored = append(stored, hashes...)
	}
	return reader, nil
}

func save(path string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, text, 0o644))
}
