package differential

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	observerpb "github.com/cilium/cilium/api/v1/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// callWithin bounds every call. A server that hangs shows as DeadlineExceeded, which is then a difference like any other.
const callWithin = 20 * time.Second

// peer is one of the two servers, as a client sees it.
type peer struct {
	name     string
	observer observerpb.ObserverClient
	health   healthpb.HealthClient
	// reflection tells the descriptors.
	reflection reflectionpb.ServerReflectionClient
}

// reply is what a call brought: responses in order, and how it ended.
type reply struct {
	responses []proto.Message
	code      codes.Code
	message   string
}

func dial(t *testing.T, name, socket string) *peer {
	t.Helper()
	// The socket of a starting server is not there yet; by default the client would look again after a second only.
	often := grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 10 * time.Millisecond, Multiplier: 1, MaxDelay: 10 * time.Millisecond}}
	connection, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithConnectParams(often))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	return &peer{
		name:       name,
		observer:   observerpb.NewObserverClient(connection),
		health:     healthpb.NewHealthClient(connection),
		reflection: reflectionpb.NewServerReflectionClient(connection),
	}
}

// socketDir is a short directory: the path of a unix socket has room for 107 bytes, and t.TempDir() may be longer.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sextant")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// call sends a request that does not follow, and collects the reply.
func (p *peer) call(request proto.Message) reply { return p.callWithin(callWithin, request) }

func (p *peer) callWithin(limit time.Duration, request proto.Message) reply {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	switch r := request.(type) {
	case *observerpb.GetFlowsRequest:
		return collect(p.observer.GetFlows(ctx, r))
	case *observerpb.GetAgentEventsRequest:
		return collect(p.observer.GetAgentEvents(ctx, r))
	case *observerpb.GetDebugEventsRequest:
		return collect(p.observer.GetDebugEvents(ctx, r))
	case *observerpb.GetNamespacesRequest:
		return single(p.observer.GetNamespaces(ctx, r))
	case *observerpb.GetNodesRequest:
		return single(p.observer.GetNodes(ctx, r))
	case *observerpb.ServerStatusRequest:
		return single(p.observer.ServerStatus(ctx, r))
	case *healthpb.HealthCheckRequest:
		return single(p.health.Check(ctx, r))
	}
	return reply{code: codes.Internal, message: "the harness cannot call this"}
}

func collect[R any](stream grpc.ServerStreamingClient[R], err error) reply {
	var got reply
	for err == nil {
		var response *R
		if response, err = stream.Recv(); err == nil {
			got.responses = append(got.responses, any(response).(proto.Message))
		}
	}
	if !errors.Is(err, io.EOF) {
		got.code, got.message = status.Code(err), status.Convert(err).Message()
	}
	return got
}

func single(response proto.Message, err error) reply {
	if err != nil {
		return reply{code: status.Code(err), message: status.Convert(err).Message()}
	}
	return reply{responses: []proto.Message{response}}
}

// follow reads n responses of a request that follows and hangs up, so that the reply ends with Canceled. Should more than n
// responses come within the grace given, or the stream end by itself before, the reply shows that instead.
func (p *peer) follow(request *observerpb.GetFlowsRequest, n int, grace time.Duration) reply {
	ctx, cancel := context.WithTimeout(context.Background(), callWithin)
	defer cancel()
	stream, err := p.observer.GetFlows(ctx, request)
	var got reply
	for err == nil && len(got.responses) <= n {
		if len(got.responses) == n {
			hangUp := time.AfterFunc(grace, cancel)
			defer hangUp.Stop()
		}
		var response *observerpb.GetFlowsResponse
		if response, err = stream.Recv(); err == nil {
			got.responses = append(got.responses, response)
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		got.code, got.message = status.Code(err), status.Convert(err).Message()
	}
	return got
}
