package main

import (
	"crypto/sha256"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

// burnCPU computes until this thread has used d of CPU: not of wall time,
// which a busy machine would stretch.
func burnCPU(d time.Duration) {
	if d <= 0 {
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	end := threadCPU() + d
	var block [4096]byte
	for threadCPU() < end {
		sum := sha256.Sum256(block[:])
		copy(block[:], sum[:])
	}
}

// threadCPU is the CPU time that the current thread has used.
func threadCPU() time.Duration {
	const clockThreadCPUTime = 3
	var t syscall.Timespec
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockThreadCPUTime, uintptr(unsafe.Pointer(&t)), 0)
	return time.Duration(t.Nano())
}
