package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// checkpoint is the state of a tree that a key has signed (C2SP tlog-checkpoint).
type checkpoint struct {
	origin string
	tree   tlog.Tree
}

func openCheckpoint(message []byte, verifier note.Verifier) (*checkpoint, error) {
	opened, err := note.Open(message, note.VerifierList(verifier))
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	lines := strings.Split(strings.TrimSuffix(opened.Text, "\n"), "\n")
	if len(lines) < 3 {
		return nil, errors.New("checkpoint: fewer than three lines")
	}
	for _, line := range lines {
		if line == "" {
			return nil, errors.New("checkpoint: an empty line")
		}
	}
	size, err := decimal(lines[1])
	if err != nil {
		return nil, fmt.Errorf("checkpoint: size: %w", err)
	}
	root, err := hashOf(lines[2])
	if err != nil {
		return nil, fmt.Errorf("checkpoint: root: %w", err)
	}
	return &checkpoint{lines[0], tlog.Tree{N: size, Hash: root}}, nil
}

// decimal reads a number of one spelling: no sign, no leading zero.
func decimal(text string) (int64, error) {
	number, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, err
	}
	if number < 0 || strconv.FormatInt(number, 10) != text {
		return 0, fmt.Errorf("%q is no plain decimal", text)
	}
	return number, nil
}

// hashOf is stricter than tlog.ParseHash: bits after the end of the hash must be zero.
func hashOf(text string) (hash tlog.Hash, err error) {
	bytes, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return hash, err
	}
	if len(bytes) != tlog.HashSize {
		return hash, fmt.Errorf("%d bytes, not %d", len(bytes), tlog.HashSize)
	}
	copy(hash[:], bytes)
	return hash, nil
}
