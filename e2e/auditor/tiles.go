package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// height of a tile in C2SP tlog-tiles: 256 hashes.
const height = 8

const width = 1 << height

// tiles checks every tile and every entry under dir against its signed checkpoint.
func tiles(dir string, verifier note.Verifier) (string, error) {
	message, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		return "", err
	}
	stated, err := openCheckpoint(message, verifier)
	if err != nil {
		return "", err
	}
	folder := &folder{dir}
	size := stated.tree.N
	hashes := tlog.TileHashReader(stated.tree, folder)
	if size == 0 {
		// There is no tile to ask, and the root of nothing is fixed.
		if stated.tree.Hash != sha256.Sum256(nil) {
			return "", errors.New("checkpoint: not the root of an empty tree")
		}
	}
	for level := 0; size>>(height*level) > 0; level++ {
		at := size >> (height * level)
		for n := int64(0); n*width < at; n++ {
			if err := authenticate(hashes, level, n, min(width, at-n*width)); err != nil {
				return "", fmt.Errorf("%s: %w", pathOf(level, n, int(min(width, at-n*width))), err)
			}
		}
	}
	root, err := entries(folder, hashes, size)
	if err != nil {
		return "", err
	}
	if !bytes.Equal(root, stated.tree.Hash[:]) {
		return "", errors.New("the root over the entries is not that of the checkpoint")
	}
	return fmt.Sprintf("ok origin=%s size=%d root=%s", stated.origin, size, stated.tree.Hash), nil
}

// authenticate reads every hash of a tile by a path from the signed root.
func authenticate(hashes tlog.HashReader, level int, n, count int64) error {
	indexes := make([]int64, count)
	for i := range indexes {
		indexes[i] = tlog.StoredHashIndex(height*level, n*width+int64(i))
	}
	_, err := hashes.ReadHashes(indexes)
	return err
}

// entries compares each entry with its leaf in the tiles, and gives the root over all of them by a second library.
func entries(folder *folder, hashes tlog.HashReader, size int64) ([]byte, error) {
	factory := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	tree := factory.NewEmptyRange(0)
	for n := int64(0); n*width < size; n++ {
		count := min(width, size-n*width)
		bundle, err := folder.read("entries", n, int(count))
		if err != nil {
			return nil, err
		}
		indexes := make([]int64, count)
		for i := range indexes {
			indexes[i] = tlog.StoredHashIndex(0, n*width+int64(i))
		}
		leaves, err := hashes.ReadHashes(indexes)
		if err != nil {
			return nil, err
		}
		for i, leaf := range leaves {
			var entry []byte
			if entry, bundle, err = next(bundle); err != nil {
				return nil, fmt.Errorf("entry %d: %w", n*width+int64(i), err)
			}
			if tlog.RecordHash(entry) != leaf {
				return nil, fmt.Errorf("entry %d: its hash is not the leaf of the tree", n*width+int64(i))
			}
			if err := tree.Append(rfc6962.DefaultHasher.HashLeaf(entry), nil); err != nil {
				return nil, err
			}
		}
		// A full bundle may stand in for a partial one that was cleaned away: then it holds more.
		if len(bundle) > 0 && !folder.full("entries", n, int(count)) {
			return nil, fmt.Errorf("%d bytes after entry %d", len(bundle), n*width+count-1)
		}
	}
	if size == 0 {
		return rfc6962.DefaultHasher.EmptyRoot(), nil
	}
	return tree.GetRootHash(nil)
}

// next takes one entry off a bundle: a big-endian uint16, and as many bytes.
func next(bundle []byte) (entry, rest []byte, err error) {
	if len(bundle) < 2 {
		return nil, nil, errors.New("its bundle ends before it")
	}
	length := int(binary.BigEndian.Uint16(bundle))
	if bundle = bundle[2:]; len(bundle) < length {
		return nil, nil, errors.New("its bundle ends within it")
	}
	return bundle[:length], bundle[length:], nil
}

// folder is a tlog.TileReader over the files of C2SP tlog-tiles.
type folder struct{ dir string }

func (*folder) Height() int { return height }

func (*folder) SaveTiles([]tlog.Tile, [][]byte) {}

func (f *folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for i, tile := range tiles {
		bytes, err := f.read(fmt.Sprint(tile.L), tile.N, tile.W)
		if err != nil {
			return nil, err
		}
		if want := tile.W * tlog.HashSize; len(bytes) != want {
			if !f.full(fmt.Sprint(tile.L), tile.N, tile.W) || len(bytes) != width*tlog.HashSize {
				return nil, fmt.Errorf("%s: %d bytes, not %d", pathOf(tile.L, tile.N, tile.W), len(bytes), want)
			}
			bytes = bytes[:want]
		}
		data[i] = bytes
	}
	return data, nil
}

// read gives a partial tile or, where it was cleaned away, the full one.
func (f *folder) read(level string, n int64, count int) ([]byte, error) {
	bytes, err := os.ReadFile(filepath.Join(f.dir, tilePath(level, n, count)))
	if errors.Is(err, fs.ErrNotExist) && count < width {
		if full, fullErr := os.ReadFile(filepath.Join(f.dir, tilePath(level, n, width))); fullErr == nil {
			return full, nil
		}
	}
	return bytes, err
}

// full tells whether read took the full tile in place of a partial one.
func (f *folder) full(level string, n int64, count int) bool {
	_, err := os.Stat(filepath.Join(f.dir, tilePath(level, n, count)))
	return count < width && errors.Is(err, fs.ErrNotExist)
}

func pathOf(level int, n int64, count int) string { return tilePath(fmt.Sprint(level), n, count) }

// tilePath is tile/<L>/<N>[.p/<W>], N in groups of three digits, all but the last after an x.
func tilePath(level string, n int64, count int) string {
	digits := fmt.Sprintf("%03d", n)
	for len(digits)%3 != 0 {
		digits = "0" + digits
	}
	var groups []string
	for ; len(digits) > 3; digits = digits[3:] {
		groups = append(groups, "x"+digits[:3])
	}
	path := "tile/" + level + "/" + strings.Join(append(groups, digits), "/")
	if count < width {
		path += fmt.Sprintf(".p/%d", count)
	}
	return path
}
