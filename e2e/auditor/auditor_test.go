package main

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// published is a log as files, made by the checksum database's library alone.
type published struct {
	dir, vkey string
	signer    note.Signer
	tree      tlog.HashReader
}

func publish(t *testing.T, size int64) *published {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, "prod/main")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := grow(size)
	if err != nil {
		t.Fatal(err)
	}
	log := &published{t.TempDir(), vkey, signer, tree}
	log.put(t, "checkpoint", log.checkpoint(t, size))
	for _, tile := range tlog.NewTiles(height, 0, size) {
		data, err := tlog.ReadTileData(tile, tree)
		if err != nil {
			t.Fatal(err)
		}
		log.put(t, "tile/"+strings.TrimPrefix(tile.Path(), "tile/8/"), data)
	}
	var bundle []byte
	for n := range size {
		entry := fmt.Append(nil, n)
		bundle = append(binary.BigEndian.AppendUint16(bundle, uint16(len(entry))), entry...)
		if n%width == width-1 || n == size-1 {
			log.put(t, tilePath("entries", n/width, int(n%width+1)), bundle)
			bundle = nil
		}
	}
	return log
}

func (log *published) checkpoint(t *testing.T, size int64) []byte {
	t.Helper()
	root, err := tlog.TreeHash(size, log.tree)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := note.Sign(&note.Note{Text: fmt.Sprintf("prod/main\n%d\n%s\n", size, root)}, log.signer)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func (log *published) put(t *testing.T, path string, data []byte) {
	t.Helper()
	path = filepath.Join(log.dir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func (log *published) verdict() error {
	_, err := run([]string{"tiles", log.dir, "-vkey", log.vkey})
	return err
}

func TestPathsAreThoseOfTheFormat(t *testing.T) {
	for want, got := range map[string]string{
		"tile/0/000":                tilePath("0", 0, 256),
		"tile/63/007.p/255":         tilePath("63", 7, 255),
		"tile/0/x001/x234/067":      tilePath("0", 1234067, 256),
		"tile/entries/x001/000.p/1": tilePath("entries", 1000, 1),
	} {
		if got != want {
			t.Errorf("%s, not %s", got, want)
		}
	}
}

func TestALogHoldsAtEverySize(t *testing.T) {
	for _, size := range []int64{1, 2, 255, 256, 257, 512, 70_000} {
		if err := publish(t, size).verdict(); err != nil {
			t.Errorf("%d: %v", size, err)
		}
	}
	empty := &published{dir: t.TempDir()}
	full := publish(t, 1)
	empty.vkey, empty.signer = full.vkey, full.signer
	for root, holds := range map[string]bool{"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=": true, strings.Repeat("A", 43) + "=": false} {
		signed, err := note.Sign(&note.Note{Text: "prod/main\n0\n" + root + "\n"}, full.signer)
		if err != nil {
			t.Fatal(err)
		}
		empty.put(t, "checkpoint", signed)
		if err := empty.verdict(); (err == nil) != holds {
			t.Errorf("empty with root %s: %v", root, err)
		}
	}
}

// Every file, with a bit of its first, middle and last byte changed, one byte too many, one too few, or not at all.
func TestEveryFileCounts(t *testing.T) {
	log := publish(t, 600)
	if err := log.verdict(); err != nil {
		t.Fatal(err)
	}
	files := 0
	err := filepath.WalkDir(log.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		good, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		bad := [][]byte{append(slices.Clone(good), 0), good[:len(good)-1], {}}
		for _, at := range []int{0, len(good) / 2, len(good) - 1} {
			changed := slices.Clone(good)
			changed[at] ^= 1
			bad = append(bad, changed)
		}
		for i, data := range bad {
			if err := os.WriteFile(path, data, 0o644); err != nil {
				return err
			}
			if log.verdict() == nil {
				t.Errorf("%s, change %d, is not noticed", path, i)
			}
		}
		if err := os.Remove(path); err != nil {
			return err
		}
		if log.verdict() == nil {
			t.Errorf("%s is missing, and that is not noticed", path)
		}
		return os.WriteFile(path, good, 0o644)
	})
	if err != nil || files != 8 {
		t.Fatal(files, err)
	}
}

func TestAFullTileStandsInForAPartialOne(t *testing.T) {
	log := publish(t, 512)
	log.put(t, "checkpoint", log.checkpoint(t, 300))
	log.put(t, "tile/1/000.p/1", slices.Clone(read(t, log, "tile/1/000.p/2"))[:32])
	if err := log.verdict(); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, log *published, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(log.dir, path))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestAProofHoldsForItsEntryAlone(t *testing.T) {
	log := publish(t, 300)
	path, err := tlog.ProveRecord(300, 77, log.tree)
	if err != nil {
		t.Fatal(err)
	}
	var hashes strings.Builder
	for _, hash := range path {
		fmt.Fprintln(&hashes, hash)
	}
	good := "c2sp.org/tlog-proof@v1\nextra eA==\nindex 77\n" + hashes.String() + "\n" + string(log.checkpoint(t, 300))
	verdict := func(text, entry string) error {
		log.put(t, "proof", []byte(text))
		log.put(t, "entry", []byte(entry))
		_, err := run([]string{"proof", filepath.Join(log.dir, "proof"), "-vkey", log.vkey, "-entry", filepath.Join(log.dir, "entry")})
		return err
	}
	for _, text := range []string{good, strings.Replace(good, "extra eA==\n", "", 1)} {
		for _, entry := range []string{"77", "77\n"} {
			if err := verdict(text, entry); err != nil {
				t.Errorf("%q: %v", text, err)
			}
		}
	}
	first := base64.StdEncoding.EncodeToString(path[0][:])
	for _, text := range []string{
		"", strings.ReplaceAll(good, "\n", "\r\n"), good[1:], good + "x",
		strings.Replace(good, "@v1", "@v2", 1),
		strings.Replace(good, "index 77", "index 78", 1),
		strings.Replace(good, "index 77", "index 077", 1),
		strings.Replace(good, "index 77", "index 300", 1),
		strings.Replace(good, "index 77", "index -1", 1),
		strings.Replace(good, "index 77\n", "", 1),
		strings.Replace(good, "extra eA==", "extra ?", 1),
		strings.Replace(good, first+"\n", "", 1),
		strings.Replace(good, first, first+"\n"+first, 1),
		strings.Replace(good, first, first[1:], 1),
		strings.Replace(good, "\n300\n", "\n299\n", 1),
	} {
		if verdict(text, "77") == nil {
			t.Errorf("%q holds", text)
		}
	}
	if verdict(good, "78") == nil {
		t.Error("another entry holds")
	}
	other := publish(t, 1)
	log.vkey = other.vkey
	if verdict(good, "77") == nil {
		t.Error("another key holds")
	}
}

func TestVectorsAreMadeAndNotAllOfThemHold(t *testing.T) {
	dir := t.TempDir()
	if _, err := run([]string{"vectors", "-o", dir}); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"inclusion", "consistency"} {
		data, err := os.ReadFile(filepath.Join(dir, kind, "generated.json"))
		if err != nil {
			t.Fatal(err)
		}
		good, bad := strings.Count(string(data), `"wantErr":false`), strings.Count(string(data), `"wantErr":true`)
		if good < 300 || bad < 5000 {
			t.Errorf("%s: %d hold, %d do not", kind, good, bad)
		}
	}
}
