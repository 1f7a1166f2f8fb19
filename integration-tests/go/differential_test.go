// Package differential holds sextantd against the real Hubble observer: both are loaded with the same events and asked the same. In
// files policy_* it holds the policy engine of sextantd against the real one of Cilium.
//
// Run it with "go test -count=1 ." in this folder once sextantd is built (without -count=1 Go may repeat an old result: it does not
// see that sextantd is another one). The environment:
//
//	SEXTANTD          the binary (default: target/debug, then target/release of this repository)
//	SEXTANT_SEED      seed of the flows and requests, or "random"
//	SEXTANT_REQUESTS  how many requests are generated
//	POLICY_JUDGE      the program that asks the policy engine: target/release/examples/judge
//	POLICY_SEED       seed of the policies, or "random"
package differential

import (
	"runtime"
	"slices"
	"sync"
	"testing"

	observerpb "github.com/cilium/cilium/api/v1/observer"
	v1 "github.com/cilium/cilium/pkg/hubble/api/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

const (
	corpusFlows     = 600
	corpusCapacity  = 1023
	failuresReduced = 60
)

// Streams of chance, see newDice.
const (
	purposeCorpus uint64 = iota
	purposeRequests
	purposeCEL
	purposeMetrics
	purposeMetricsFlows
	purposeAggregates
)

// pair is the two servers loaded with the same events.
type pair struct {
	oracle, subject *peer
	events          []*v1.Event
}

func startPair(t *testing.T, capacity int, events []*v1.Event) pair {
	t.Helper()
	return pair{
		oracle:  startOracle(t, capacity, events),
		subject: startSubject(t, capacity, events),
		events:  events,
	}
}

// ask sends the request to both servers.
func (p pair) ask(request proto.Message) exchange {
	return exchange{request: request, oracle: p.oracle, want: p.oracle.call(request), got: p.subject.call(request)}
}

// unexplained is the difference of an exchange, or empty if there is none or it is one of the meant ones.
func (x exchange) unexplained() string {
	found := difference(x.want, x.got)
	if found == "" {
		return ""
	}
	for i := range meantDifferences {
		if meantDifferences[i].explains(x) {
			meantDifferences[i].seen.Add(1)
			return ""
		}
	}
	return found
}

func TestGeneratedRequests(t *testing.T) {
	chosen := seed(t)
	events := corpus(newDice(chosen, purposeCorpus), corpusFlows)
	servers := startPair(t, corpusCapacity, events)
	d := newDice(chosen, purposeRequests)
	requests := make([]proto.Message, requestCount(t))
	for i := range requests {
		requests[i] = randomRequest(d, events)
	}

	outcomes := askAll(servers, requests)

	report(t, servers, outcomes)
}

// askAll sends the requests from as many workers as there are processors, and keeps of the replies only what differs.
func askAll(servers pair, requests []proto.Message) []outcome {
	outcomes := make([]outcome, len(requests))
	next := make(chan int)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := range next {
				x := servers.ask(requests[i])
				outcomes[i] = outcome{
					request:    requests[i],
					found:      slices.ContainsFunc(x.want.responses, isFlow),
					refused:    x.want.code != codes.OK,
					difference: x.unexplained(),
				}
			}
		})
	}
	for i := range requests {
		next <- i
	}
	close(next)
	workers.Wait()
	return outcomes
}

// outcome is what remains of an exchange: whether upstream found flows or refused the request, and how the other one differs.
type outcome struct {
	request        proto.Message
	found, refused bool
	difference     string
}

func isFlow(response proto.Message) bool {
	return response.(*observerpb.GetFlowsResponse).GetFlow() != nil
}

// report fails the test for differences that are not meant. Many requests stumble over one mistake: the first ones are reduced, and
// what reduces to the same request is shown once.
func report(t *testing.T, servers pair, outcomes []outcome) {
	t.Helper()
	found, refused, differing := 0, 0, 0
	shown := map[string]bool{}
	for i, o := range outcomes {
		switch {
		case o.refused:
			refused++
		case o.found:
			found++
		}
		if o.difference == "" {
			continue
		}
		differing++
		if differing > failuresReduced {
			continue
		}
		smallest := shrink(servers, o.request)
		if reduced := show(smallest.request); !shown[reduced] {
			shown[reduced] = true
			t.Errorf("request %d: %s\nreduced: %s\n%s", i, show(o.request), reduced, difference(smallest.want, smallest.got))
		}
	}
	t.Logf("%d requests: upstream finds flows for %d, nothing for %d, and refuses %d; sextantd differs in %d",
		len(outcomes), found, len(outcomes)-found-refused, refused, differing)
}
