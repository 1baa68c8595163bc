// Command mkimage writes a container image as an OCI archive of one layer: no
// base image, no builder, no registry.
//
//	mkimage -o OUT.tar -ref localhost/shop:v1 -entrypoint /shop FILE:/DEST…
//
// The same input gives the same bytes.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
)

func main() {
	out := flag.String("o", "", "archive to write")
	ref := flag.String("ref", "", "name of the image, with its tag")
	entrypoint := flag.String("entrypoint", "", "program and arguments, separated by spaces")
	user := flag.String("user", "65532:65532", "uid:gid that the program runs as")
	arch := flag.String("arch", runtime.GOARCH, "architecture of the files")
	flag.Parse()
	if *out == "" || *ref == "" || *entrypoint == "" || flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: mkimage -o OUT.tar -ref NAME:TAG -entrypoint /PROGRAM FILE:/DEST…")
		os.Exit(64)
	}
	if err := write(*out, *ref, *entrypoint, *user, *arch, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "mkimage:", err)
		os.Exit(1)
	}
}

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

const (
	configType   = "application/vnd.oci.image.config.v1+json"
	layerType    = "application/vnd.oci.image.layer.v1.tar+gzip"
	manifestType = "application/vnd.oci.image.manifest.v1+json"
)

func write(out, ref, entrypoint, user, arch string, files []string) error {
	i := strings.LastIndexByte(ref, ':')
	if i < 0 || strings.Contains(ref[i:], "/") {
		return fmt.Errorf("-ref %q has no tag", ref)
	}
	tag := ref[i+1:]
	layer, err := layerOf(files)
	if err != nil {
		return err
	}
	zipped, err := zip(layer)
	if err != nil {
		return err
	}

	type object = map[string]any
	config, err := json.Marshal(object{
		"architecture": arch,
		"os":           "linux",
		"config": object{
			"Entrypoint": strings.Fields(entrypoint),
			"Env":        []string{"PATH=/"},
			"User":       user,
			"WorkingDir": "/",
		},
		"rootfs": object{"type": "layers", "diff_ids": []string{digest(layer)}},
	})
	if err != nil {
		return err
	}
	manifest, err := json.Marshal(object{
		"schemaVersion": 2,
		"mediaType":     manifestType,
		"config":        descriptor{MediaType: configType, Digest: digest(config), Size: len(config)},
		"layers":        []descriptor{{MediaType: layerType, Digest: digest(zipped), Size: len(zipped)}},
	})
	if err != nil {
		return err
	}
	index, err := json.Marshal(object{
		"schemaVersion": 2,
		"manifests": []descriptor{{
			MediaType: manifestType, Digest: digest(manifest), Size: len(manifest),
			Annotations: map[string]string{
				// containerd takes the image's full name from here.
				"io.containerd.image.name":          ref,
				"org.opencontainers.image.ref.name": tag,
			},
		}},
	})
	if err != nil {
		return err
	}

	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	add := func(name string, body []byte) {
		err = errors.Join(err, addFile(w, name, body, 0o644))
	}
	add("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	for _, blob := range [][]byte{config, manifest, zipped} {
		add("blobs/sha256/"+strings.TrimPrefix(digest(blob), "sha256:"), blob)
	}
	add("index.json", index)
	if err = errors.Join(err, w.Close()); err != nil {
		return err
	}
	// A reader never sees half an archive.
	part := out + ".part"
	if err := os.WriteFile(part, archive.Bytes(), 0o644); err != nil {
		return err
	}
	return os.Rename(part, out)
}

// layerOf is the tar of the root: the files, their folders, and a /tmp.
func layerOf(files []string) ([]byte, error) {
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	made := map[string]bool{".": true}
	var folder func(name string, mode int64) error
	folder = func(name string, mode int64) error {
		if made[name] {
			return nil
		}
		if err := folder(path.Dir(name), 0o755); err != nil {
			return err
		}
		made[name] = true
		return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode})
	}
	if err := folder("tmp", 0o1777); err != nil {
		return nil, err
	}
	for _, file := range files {
		source, dest, ok := strings.Cut(file, ":")
		if !ok {
			dest = "/" + filepath.Base(source)
		}
		dest = strings.TrimPrefix(path.Clean("/"+dest), "/")
		if dest == "" {
			return nil, fmt.Errorf("%q names no file in the image", file)
		}
		body, err := os.ReadFile(source)
		if err != nil {
			return nil, err
		}
		info, err := os.Stat(source)
		if err != nil {
			return nil, err
		}
		mode := int64(0o644)
		if info.Mode()&0o111 != 0 {
			mode = 0o755
		}
		if err := folder(path.Dir(dest), 0o755); err != nil {
			return nil, err
		}
		if err := addFile(w, dest, body, mode); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return layer.Bytes(), err
}

func addFile(w *tar.Writer, name string, body []byte, mode int64) error {
	if err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(body)), Mode: mode}); err != nil {
		return err
	}
	_, err := w.Write(body)
	return err
}

func zip(b []byte) ([]byte, error) {
	var z bytes.Buffer
	w, err := gzip.NewWriterLevel(&z, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(b); err != nil {
		return nil, err
	}
	err = w.Close()
	return z.Bytes(), err
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}
