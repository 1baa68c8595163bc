// Command auditor checks what the ledger publishes with other people's code: the checksum database's libraries for
// notes, tiles and record proofs, and transparency-dev's for the tree. Nothing of the operator is in it.
//
//	auditor tiles DIR -vkey KEY              a tree of tiles with its checkpoint (C2SP tlog-tiles)
//	auditor proof FILE -vkey KEY -entry FILE an inclusion proof (C2SP tlog-proof)
//	auditor vectors -o DIR                   new test vectors of proofs, judged by the reference
//
// KEY is a verifier key, or a file with one. Exit codes: 0 it holds, 1 it does not, 64 usage.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// errUsage: the command line makes no sense; anything else is a verdict.
var errUsage = errors.New("usage: auditor tiles DIR -vkey KEY | proof FILE -vkey KEY -entry FILE | vectors -o DIR")

func main() {
	said, err := run(os.Args[1:])
	switch {
	case errors.Is(err, errUsage), errors.Is(err, flag.ErrHelp):
		fmt.Fprintln(os.Stderr, err)
		os.Exit(64)
	case err != nil:
		fmt.Fprintln(os.Stderr, "auditor:", err)
		os.Exit(1)
	}
	fmt.Println(said)
}

func run(args []string) (string, error) {
	if len(args) == 0 {
		return "", errUsage
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	var vkey, entry, out string
	flags.StringVar(&vkey, "vkey", "", "verifier key, or a file with one")
	flags.StringVar(&entry, "entry", "", "file with the entry")
	flags.StringVar(&out, "o", "", "folder for new vectors")
	names, err := parse(flags, args[1:])
	if err != nil {
		return "", fmt.Errorf("%w\n%w", err, errUsage)
	}
	if args[0] == "vectors" {
		if len(names) != 0 || out == "" {
			return "", errUsage
		}
		return out, write(out)
	}
	if len(names) != 1 || vkey == "" {
		return "", errUsage
	}
	verifier, err := verifierOf(vkey)
	if err != nil {
		return "", err
	}
	switch {
	case args[0] == "tiles":
		return tiles(names[0], verifier)
	case args[0] == "proof" && entry != "":
		return proof(names[0], entry, verifier)
	}
	return "", errUsage
}

// parse takes flags before and after names.
func parse(flags *flag.FlagSet, args []string) (names []string, err error) {
	for {
		if err := flags.Parse(args); err != nil {
			return nil, err
		}
		if flags.NArg() == 0 {
			return names, nil
		}
		names = append(names, flags.Arg(0))
		args = flags.Args()[1:]
	}
}

func verifierOf(vkey string) (note.Verifier, error) {
	if text, err := os.ReadFile(vkey); err == nil {
		vkey = strings.TrimSpace(string(text))
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, fmt.Errorf("%q is no verifier key: %w", vkey, err)
	}
	return verifier, nil
}
