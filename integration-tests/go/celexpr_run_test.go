package differential

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
)

// TestCELExpressions tries each expression by itself, so that each counts whatever the generator draws, and as many varied ones.
func TestCELExpressions(t *testing.T) {
	chosen := seed(t)
	servers := startPair(t, corpusCapacity, corpus(newDice(chosen, purposeCorpus), 300))
	d := newDice(chosen, purposeCEL)
	expressions := slices.Clone(celExpressions)
	for range requestCount(t) / 4 {
		expressions = append(expressions, pick(d, []func(dice) string{joinedCEL, damagedCEL})(d))
	}
	var requests []proto.Message
	for _, expression := range expressions {
		request := only(byCEL(expression))
		request.FieldMask = mask("uuid")
		requests = append(requests, request)
	}
	report(t, servers, askAll(servers, requests))
}
