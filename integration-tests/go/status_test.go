package differential

import (
	"math"
	"testing"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
	v1 "github.com/cilium/cilium/pkg/hubble/api/v1"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func health(service string) *healthpb.HealthCheckRequest {
	return &healthpb.HealthCheckRequest{Service: service}
}

// compareStatus holds the counters of both servers against each other. Uptime and version are each server's own.
func compareStatus(t *testing.T, servers pair) {
	t.Helper()
	x := servers.ask(&observerpb.ServerStatusRequest{})
	if x.want.code != codes.OK || x.got.code != codes.OK {
		t.Errorf("ServerStatus: want %s, got %s", x.want, x.got)
		return
	}
	want, got := x.want.responses[0].(*observerpb.ServerStatusResponse), x.got.responses[0].(*observerpb.ServerStatusResponse)
	if got.Version == "" || got.UptimeNs == 0 {
		t.Errorf("ServerStatus lacks version or uptime: %s", show(got))
	}
	// A rate of 0 makes the CLI divide all flows by the uptime, so that sextantd gives the least number above it after a replay.
	if math.Abs(want.FlowsRate-got.FlowsRate) > 0.05*want.FlowsRate+math.SmallestNonzeroFloat64 {
		t.Errorf("flows_rate: want %v, got %v", want.FlowsRate, got.FlowsRate)
	}
	want.Version, want.UptimeNs, want.FlowsRate = got.Version, got.UptimeNs, got.FlowsRate
	if found := x.unexplained(); found != "" {
		t.Errorf("ServerStatus: %s", found)
	}
}

// TestFlowRate loads flows of the last minutes: the rate is that of the last 60 s, or of the time since the oldest flow if the ring
// does not reach back so far.
func TestFlowRate(t *testing.T) {
	for name, span := range map[string]time.Duration{"longer than a minute": 3 * time.Minute, "shorter": 40 * time.Second} {
		t.Run(name, func(t *testing.T) {
			now := time.Now()
			var events []*v1.Event
			for i := range 200 {
				at := timestamppb.New(now.Add(-span + span*time.Duration(i)/200))
				events = append(events, &v1.Event{Timestamp: at, Event: &flowpb.Flow{Time: at}})
			}
			compareStatus(t, startPair(t, 255, events))
			// A full ring does not reach back a minute either.
			compareStatus(t, startPair(t, 31, events))
		})
	}
}
