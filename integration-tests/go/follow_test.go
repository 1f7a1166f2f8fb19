package differential

import (
	"sync"
	"testing"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
)

// quietFor is how long a follower must stay without a further response to pass for waiting.
const quietFor = 150 * time.Millisecond

// followRequests all follow. How many responses to read is what upstream answers to the same request not following, unless given.
var followRequests = []struct {
	request *flowRequest
	reads   int
}{
	{request: &flowRequest{Number: 3}, reads: 3},
	{request: &flowRequest{Number: 100}, reads: 10},
	// The number is where to start, not a cap.
	{request: &flowRequest{Number: 2, Whitelist: list(dropped)}, reads: 2},
	{request: &flowRequest{Since: second(3)}, reads: 7},
	{request: &flowRequest{Since: second(3), Number: 2}, reads: 7},
	{request: &flowRequest{Since: nanosecondAfter(9)}, reads: 0},
	{request: &flowRequest{Since: second(0), Blacklist: list(dropped), FieldMask: mask("uuid", "time")}, reads: 7},
	// A past until ends a follower too, with OK.
	{request: &flowRequest{Number: 10, Until: second(4)}, reads: 5},
	{request: &flowRequest{Since: second(2), Until: second(4), Whitelist: list(dropped)}, reads: 1},
	{request: &flowRequest{Since: second(2), Until: second(99)}, reads: 8},
	// Mistakes end it at once.
	{request: &flowRequest{Whitelist: list(badIP)}},
	{request: &flowRequest{FieldMask: badMask}},
	{request: &flowRequest{Until: tooLate}},
	{request: &flowRequest{First: true}},
}

// TestFollow reads what is there and then hangs up: the ends must be alike too. Live flows have no part in it, since sextantd without
// datapath gets none.
func TestFollow(t *testing.T) {
	servers := startPair(t, 63, timed(positionTopic.flows))
	var followers sync.WaitGroup
	for _, row := range followRequests {
		row.request.Follow = true
		followers.Go(func() {
			x := exchange{request: row.request, oracle: servers.oracle}
			x.want = servers.oracle.follow(row.request, row.reads, quietFor)
			x.got = servers.subject.follow(row.request, row.reads, quietFor)
			if found := x.unexplained(); found != "" {
				t.Errorf("%s\n%s", show(row.request), found)
			}
		})
	}
	followers.Wait()
}

// TestFollowFromNow asks for new flows only: none come.
func TestFollowFromNow(t *testing.T) {
	servers := startPair(t, 63, timed([]*flowpb.Flow{{Uuid: "old"}, {Uuid: "newest"}}))
	request := &flowRequest{Follow: true}
	x := exchange{request: request, oracle: servers.oracle}
	x.want = servers.oracle.follow(request, 1, quietFor)
	x.got = servers.subject.follow(request, 0, quietFor)
	if found := x.unexplained(); found != "" {
		t.Error(found)
	}
}
