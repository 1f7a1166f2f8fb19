package differential

import (
	"fmt"
	"strings"

	observerpb "github.com/cilium/cilium/api/v1/observer"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/structpb"
)

// difference says where two replies part, or is empty when they are equal.
func difference(want, got reply) string {
	for i := range min(len(want.responses), len(got.responses)) {
		if !sameResponse(want.responses[i], got.responses[i]) {
			wantRest, gotRest := rests(want.responses[i], got.responses[i])
			return fmt.Sprintf("response %d (of %d wanted, %d got) differs; of what is not equal:\n  want: %s\n  got:  %s",
				i, len(want.responses), len(got.responses), brief(wantRest), brief(gotRest))
		}
	}
	if len(want.responses) != len(got.responses) {
		return fmt.Sprintf("number of responses: want %d, got %d; the first without partner: %s",
			len(want.responses), len(got.responses), brief(firstAlone(want, got)))
	}
	if want.code != got.code || foldSpace(want.message) != foldSpace(got.message) {
		return fmt.Sprintf("ends differ\n  want: %s %q\n  got:  %s %q", want.code, want.message, got.code, got.message)
	}
	return ""
}

func firstAlone(want, got reply) proto.Message {
	shared := min(len(want.responses), len(got.responses))
	if len(want.responses) > shared {
		return want.responses[shared]
	}
	return got.responses[shared]
}

// sameResponse is proto.Equal, except that a Struct in Flow.extensions is compared by its meaning: the order of a map on the wire
// is free, and Any carries it as bytes.
func sameResponse(want, got proto.Message) bool {
	if proto.Equal(want, got) {
		return true
	}
	wantFlow, ok := want.(*observerpb.GetFlowsResponse)
	if !ok || wantFlow.GetFlow().GetExtensions() == nil {
		return false
	}
	return proto.Equal(orderedExtensions(want), orderedExtensions(got))
}

// rests are copies of two messages without what is equal in both.
func rests(want, got proto.Message) (proto.Message, proto.Message) {
	want, got = proto.Clone(want), proto.Clone(got)
	dropEqual(want.ProtoReflect(), got.ProtoReflect())
	return want, got
}

func dropEqual(a, b protoreflect.Message) {
	for i := range a.Descriptor().Fields().Len() {
		field := a.Descriptor().Fields().Get(i)
		switch {
		case !a.Has(field) || !b.Has(field):
		case a.Get(field).Equal(b.Get(field)):
			a.Clear(field)
			b.Clear(field)
		case field.Message() != nil && !field.IsList() && field.Message().ParentFile().Package() != "google.protobuf":
			dropEqual(a.Mutable(field).Message(), b.Mutable(field).Message())
		}
	}
}

func orderedExtensions(response proto.Message) proto.Message {
	response = proto.Clone(response)
	extensions := response.(*observerpb.GetFlowsResponse).GetFlow().GetExtensions()
	fields := &structpb.Struct{}
	// A mask may have left the value without its type; all values are Structs here.
	if extensions == nil || proto.Unmarshal(extensions.Value, fields) != nil {
		return response
	}
	if ordered, err := (proto.MarshalOptions{Deterministic: true}).Marshal(fields); err == nil {
		extensions.Value = ordered
	}
	return response
}

// foldSpace levels what the Go protobuf library varies on purpose from build to build in its error texts: the kind and number of
// spaces.
func foldSpace(message string) string {
	return strings.Join(strings.Fields(message), " ")
}

// brief is the beginning of what show prints: enough to recognise a flow, or a difference.
func brief(message proto.Message) string {
	const length = 300
	text := show(message)
	if len(text) <= length {
		return text
	}
	return strings.ToValidUTF8(text[:length], "") + "…"
}

// show prints a message as one line of JSON; a mask that JSON cannot express, such as one with the path IP, makes it text format.
func show(message proto.Message) string {
	if message == nil {
		return "nothing"
	}
	json, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(message)
	if err != nil {
		return prototext.MarshalOptions{}.Format(message)
	}
	return string(json)
}

func (r reply) String() string {
	if r.code == codes.OK {
		return fmt.Sprintf("%d responses, OK", len(r.responses))
	}
	return fmt.Sprintf("%d responses, %s %q", len(r.responses), r.code, r.message)
}
