package differential

import (
	"testing"

	"google.golang.org/protobuf/proto"
)

// TestCELExpressions tries each expression by itself, so that each counts whatever the generator draws.
func TestCELExpressions(t *testing.T) {
	servers := startPair(t, corpusCapacity, corpus(newDice(seed(t), purposeCorpus), 300))
	var requests []proto.Message
	for _, expression := range celExpressions {
		request := only(byCEL(expression))
		request.FieldMask = mask("uuid")
		requests = append(requests, request)
	}
	report(t, servers, askAll(servers, requests))
}
