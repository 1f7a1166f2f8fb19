package differential

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
	v1 "github.com/cilium/cilium/pkg/hubble/api/v1"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

const (
	readyWithin = 20 * time.Second
	exitWithin  = 10 * time.Second
)

// subjectBinary is the sextantd under test: $SEXTANTD, else the debug build, else the release build of this repository.
func subjectBinary(t *testing.T) string {
	t.Helper()
	candidates := []string{"../../target/debug/sextantd", "../../target/release/sextantd"}
	if named := os.Getenv("SEXTANTD"); named != "" {
		candidates = []string{named}
	}
	for _, path := range candidates {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	t.Fatalf("no sextantd at %v: build it, or name it in $SEXTANTD", candidates)
	return ""
}

// startSubject runs sextantd with the events as its replay file, and waits until it is ready.
func startSubject(t *testing.T, capacity int, events []*v1.Event) *peer {
	t.Helper()
	dir := t.TempDir()
	replay := filepath.Join(dir, "flows.jsonl")
	if err := os.WriteFile(replay, jsonLines(t, events), 0o600); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(socketDir(t), "subject.sock")
	log := &lockedBuffer{}
	process := exec.Command(subjectBinary(t),
		"--no-datapath",
		"--replay", replay,
		"--listen", "unix://"+socket,
		"--metrics-listen", "off",
		"--state-dir", filepath.Join(dir, "state"),
		"--flow-capacity", strconv.Itoa(capacity),
		"--node-name", nodeName)
	process.Stdout, process.Stderr = log, log
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	var exitError error
	go func() { exitError = process.Wait(); close(exited) }()
	t.Cleanup(func() {
		stop(process, exited)
		if exitError != nil {
			t.Errorf("sextantd: %v", exitError)
		}
		if t.Failed() {
			t.Logf("log of sextantd:\n%s", log)
		}
	})
	subject := dial(t, "sextantd", socket)
	waitUntilServing(t, subject, exited)
	return subject
}

// stop ends the process by SIGTERM, which must do in time; a process that stays is killed.
func stop(process *exec.Cmd, exited <-chan struct{}) {
	_ = process.Process.Signal(syscall.SIGTERM)
	select {
	case <-exited:
	case <-time.After(exitWithin):
		_ = process.Process.Kill()
		<-exited
	}
}

func waitUntilServing(t *testing.T, subject *peer, exited <-chan struct{}) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), readyWithin)
	defer cancel()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	last := errors.New("not asked yet")
	for {
		response, err := subject.health.Check(ctx, &healthpb.HealthCheckRequest{Service: v1.ObserverServiceName})
		if err == nil && response.Status == healthpb.HealthCheckResponse_SERVING {
			return
		}
		if err != nil {
			last = err
		} else {
			last = errors.New(response.Status.String())
		}
		select {
		case <-exited:
			t.Fatal("sextantd ended before it was ready")
		case <-ctx.Done():
			t.Fatalf("sextantd not ready after %s: %v", readyWithin, last)
		case <-poll.C:
		}
	}
}

// jsonLines writes events as upstream's exporter does.
func jsonLines(t *testing.T, events []*v1.Event) []byte {
	t.Helper()
	var lines bytes.Buffer
	encoder := json.NewEncoder(&lines)
	for _, event := range events {
		if err := encoder.Encode(exported(event)); err != nil {
			t.Fatal(err)
		}
	}
	return lines.Bytes()
}

func exported(event *v1.Event) *observerpb.ExportEvent {
	line := &observerpb.ExportEvent{Time: event.Timestamp, NodeName: nodeName}
	switch kind := event.Event.(type) {
	case *flowpb.Flow:
		line.Time, line.NodeName = kind.GetTime(), kind.GetNodeName()
		line.ResponseTypes = &observerpb.ExportEvent_Flow{Flow: kind}
	case *flowpb.LostEvent:
		line.ResponseTypes = &observerpb.ExportEvent_LostEvents{LostEvents: kind}
	case *flowpb.AgentEvent:
		line.ResponseTypes = &observerpb.ExportEvent_AgentEvent{AgentEvent: kind}
	case *flowpb.DebugEvent:
		line.ResponseTypes = &observerpb.ExportEvent_DebugEvent{DebugEvent: kind}
	}
	return line
}

// lockedBuffer collects the output of the process while the test may already read it.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
