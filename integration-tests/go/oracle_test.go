package differential

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	v1 "github.com/cilium/cilium/pkg/hubble/api/v1"
	"github.com/cilium/cilium/pkg/hubble/container"
	"github.com/cilium/cilium/pkg/hubble/observer"
	"github.com/cilium/cilium/pkg/hubble/observer/namespace"
	"github.com/cilium/cilium/pkg/hubble/observer/observeroption"
	observertypes "github.com/cilium/cilium/pkg/hubble/observer/types"
	"github.com/cilium/cilium/pkg/hubble/server"
	"github.com/cilium/cilium/pkg/hubble/server/serveroption"
	nodetypes "github.com/cilium/cilium/pkg/node/types"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// nodeName is the name that both servers give themselves: upstream stamps it on lost events.
const nodeName = "moon-1"

// lostEventInterval is upstream's default of hubble-lost-event-send-interval.
const lostEventInterval = time.Second

// TestMain names the node before anything reads the name: upstream keeps it in a global without a lock.
func TestMain(m *testing.M) {
	nodetypes.SetName(nodeName)
	code := m.Run()
	printMeantDifferences()
	os.Exit(code)
}

// passThrough is the decoder of the oracle: the "raw" payload already is the decoded event. So events take upstream's whole way
// (namespace tracking, flow counter, ring) and not only the ring.
type passThrough struct{}

func (passThrough) Decode(raw *observertypes.MonitorEvent) (*v1.Event, error) {
	event, ok := raw.Payload.(*v1.Event)
	if !ok {
		return nil, fmt.Errorf("payload is %T, not an event", raw.Payload)
	}
	return event, nil
}

// startOracle serves events from the real Hubble observer. The capacity must be a power of two minus one.
func startOracle(t *testing.T, capacity int, events []*v1.Event) *peer {
	t.Helper()
	ring, err := container.NewCapacity(capacity)
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	local, err := observer.NewLocalServer(passThrough{}, namespace.NewManager(), quiet,
		observeroption.WithMaxFlows(ring),
		observeroption.WithLostEventSendInterval(lostEventInterval))
	if err != nil {
		t.Fatal(err)
	}
	go local.Start()
	for _, event := range events {
		local.GetEventsChannel() <- &observertypes.MonitorEvent{Payload: event}
	}
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
	grpcServer, err := server.NewServer(log,
		func(o *serveroption.Options) error { o.Listener = listener; return nil },
		serveroption.WithInsecure(),
		serveroption.WithHealthService(),
		serveroption.WithObserverService(local))
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
