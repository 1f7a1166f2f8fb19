package differential

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	v1 "github.com/cilium/cilium/pkg/hubble/api/v1"
	"github.com/cilium/cilium/pkg/hubble/observer"
	nodetypes "github.com/cilium/cilium/pkg/node/types"
	"google.golang.org/protobuf/types/known/timestamppb"

	"sextant/integration-tests/oracle"
)

// nodeName is the name that both servers give themselves: upstream stamps it on lost events.
const nodeName = "moon-1"

// TestMain names the node before anything reads the name: upstream keeps it in a global without a lock.
func TestMain(m *testing.M) {
	nodetypes.SetName(nodeName)
	code := m.Run()
	printMeantDifferences()
	printMeantPolicyDifferences()
	os.Exit(code)
}

// startOracle serves events from the real Hubble observer. The capacity must be a power of two minus one.
func startOracle(t *testing.T, capacity int, events []*v1.Event) *peer {
	t.Helper()
	quiet := oracle.Quiet()
	local, err := oracle.New(quiet, capacity)
	if err != nil {
		t.Fatal(err)
	}
	go local.Start()
	oracle.Feed(local, events...)
	close(local.GetEventsChannel())
	<-local.GetStopped()
	if len(events) > 0 {
		local.GetRingBuffer().Write(padding(events[len(events)-1]))
	}
	return serveOracle(t, quiet, local)
}

// padding follows the last event: the newest slot of upstream's ring is never readable, and with one event more both servers can
// read the same ones. It goes past the flow counter and the namespaces, straight into the ring.
func padding(last *v1.Event) *v1.Event {
	at := timestamppb.New(last.Timestamp.AsTime().Add(time.Nanosecond))
	return &v1.Event{Timestamp: at, Event: &flowpb.Flow{Time: at, Uuid: "padding"}}
}

func serveOracle(t *testing.T, log *slog.Logger, local *observer.LocalObserverServer) *peer {
	t.Helper()
	path := filepath.Join(socketDir(t), "oracle.sock")
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	grpcServer, err := oracle.Serve(log, local, listener)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- grpcServer.Serve() }()
	t.Cleanup(func() {
		grpcServer.Stop()
		if err := <-done; err != nil {
			t.Errorf("oracle: %v", err)
		}
	})
	return dial(t, "oracle", path)
}
