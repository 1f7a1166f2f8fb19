// Package oracle runs the real Hubble observer outside of Cilium: its ring, filters and gRPC service as the agent has them, fed with
// events that are decoded already. It decodes no packets.
package oracle

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	v1 "github.com/cilium/cilium/pkg/hubble/api/v1"
	"github.com/cilium/cilium/pkg/hubble/container"
	"github.com/cilium/cilium/pkg/hubble/observer"
	"github.com/cilium/cilium/pkg/hubble/observer/namespace"
	"github.com/cilium/cilium/pkg/hubble/observer/observeroption"
	observertypes "github.com/cilium/cilium/pkg/hubble/observer/types"
	"github.com/cilium/cilium/pkg/hubble/server"
	"github.com/cilium/cilium/pkg/hubble/server/serveroption"
)

// lostEventInterval is upstream's default of hubble-lost-event-send-interval.
const lostEventInterval = time.Second

// passThrough is the decoder: the "raw" payload already is the decoded event. So events take upstream's whole way (namespace
// tracking, flow counter, ring) and not only the ring.
type passThrough struct{}

func (passThrough) Decode(raw *observertypes.MonitorEvent) (*v1.Event, error) {
	event, ok := raw.Payload.(*v1.Event)
	if !ok {
		return nil, fmt.Errorf("payload is %T, not an event", raw.Payload)
	}
	return event, nil
}

// Quiet is a log that nobody reads.
func Quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// New is an observer whose ring has room for capacity events, a power of two minus one, with further options. The caller runs its Start.
func New(log *slog.Logger, capacity int, options ...observeroption.Option) (*observer.LocalObserverServer, error) {
	ring, err := container.NewCapacity(capacity)
	if err != nil {
		return nil, err
	}
	all := append([]observeroption.Option{
		observeroption.WithMaxFlows(ring),
		observeroption.WithLostEventSendInterval(lostEventInterval),
	}, options...)
	return observer.NewLocalServer(passThrough{}, namespace.NewManager(), log, all...)
}

// Feed hands events to the observer, through the channel that the agent's monitor consumer writes to. It waits when that is full.
func Feed(local *observer.LocalObserverServer, events ...*v1.Event) {
	for _, event := range events {
		local.GetEventsChannel() <- &observertypes.MonitorEvent{Payload: event}
	}
}

// Serve is the gRPC server of the observer, with health, in plain text, not yet serving.
func Serve(log *slog.Logger, local *observer.LocalObserverServer, listener net.Listener) (*server.Server, error) {
	return server.NewServer(log,
		func(o *serveroption.Options) error { o.Listener = listener; return nil },
		serveroption.WithInsecure(),
		serveroption.WithHealthService(),
		serveroption.WithObserverService(local))
}
