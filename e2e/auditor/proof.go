package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"

	reference "github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// proof checks a file of C2SP tlog-proof: its checkpoint's signature, and that the entry is in that tree.
func proof(file, entry string, verifier note.Verifier) (string, error) {
	message, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	data, err := os.ReadFile(entry)
	if err != nil {
		return "", err
	}
	// An entry of the ledger is one line, and its newline is not part of it.
	data = bytes.TrimSuffix(data, []byte("\n"))
	index, path, signed, err := parseProof(string(message))
	if err != nil {
		return "", err
	}
	stated, err := openCheckpoint([]byte(signed), verifier)
	if err != nil {
		return "", err
	}
	if err := tlog.CheckRecord(path, stated.tree.N, stated.tree.Hash, index, tlog.RecordHash(data)); err != nil {
		return "", fmt.Errorf("entry %d of %d: %w", index, stated.tree.N, err)
	}
	hashes := make([][]byte, len(path))
	for i := range path {
		hashes[i] = path[i][:]
	}
	hasher := rfc6962.DefaultHasher
	err = reference.VerifyInclusion(
		hasher, uint64(index), uint64(stated.tree.N), hasher.HashLeaf(data), hashes, stated.tree.Hash[:])
	if err != nil {
		return "", fmt.Errorf("entry %d of %d: %w", index, stated.tree.N, err)
	}
	return fmt.Sprintf("ok origin=%s index=%d size=%d root=%s", stated.origin, index, stated.tree.N, stated.tree.Hash), nil
}

// parseProof takes a proof apart; what it calls extra is not authenticated, and so only its form is looked at.
func parseProof(text string) (index int64, path tlog.RecordProof, signed string, err error) {
	head, signed, ok := strings.Cut(text, "\n\n")
	if !ok {
		return 0, nil, "", errors.New("proof: no empty line before the checkpoint")
	}
	lines := strings.Split(head, "\n")
	if lines[0] != "c2sp.org/tlog-proof@v1" {
		return 0, nil, "", errors.New("proof: not a c2sp.org/tlog-proof@v1")
	}
	lines = lines[1:]
	if len(lines) > 0 && strings.HasPrefix(lines[0], "extra ") {
		if _, err := base64.StdEncoding.Strict().DecodeString(lines[0][len("extra "):]); err != nil {
			return 0, nil, "", fmt.Errorf("proof: extra: %w", err)
		}
		lines = lines[1:]
	}
	if len(lines) == 0 || !strings.HasPrefix(lines[0], "index ") {
		return 0, nil, "", errors.New("proof: no index")
	}
	if index, err = decimal(lines[0][len("index "):]); err != nil {
		return 0, nil, "", fmt.Errorf("proof: index: %w", err)
	}
	for _, line := range lines[1:] {
		hash, err := hashOf(line)
		if err != nil {
			return 0, nil, "", fmt.Errorf("proof: %q: %w", line, err)
		}
		path = append(path, hash)
	}
	return index, path, signed, nil
}
