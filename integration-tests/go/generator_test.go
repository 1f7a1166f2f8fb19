package differential

import (
	"slices"
	"testing"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// TestCorpusCoversFlow: each field that a flow can have, down to the last message inside, is set in some flow of the corpus. A field
// that is new upstream fails here until the corpus has it.
func TestCorpusCoversFlow(t *testing.T) {
	seen := map[protoreflect.FullName]bool{}
	for _, flow := range flowsOf(corpus(newDice(seed(t), purposeCorpus), corpusFlows)) {
		noteFields(flow.ProtoReflect(), seen)
	}
	for _, name := range fieldsBelow((&flowpb.Flow{}).ProtoReflect().Descriptor(), map[protoreflect.FullName]bool{}) {
		if !seen[name] {
			t.Errorf("no flow of the corpus has %s", name)
		}
	}
}

func noteFields(message protoreflect.Message, seen map[protoreflect.FullName]bool) {
	message.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		seen[field.FullName()] = true
		switch {
		case field.Message() == nil:
		case field.IsList():
			for i := range value.List().Len() {
				noteFields(value.List().Get(i).Message(), seen)
			}
		default:
			noteFields(value.Message(), seen)
		}
		return true
	})
}

// fieldsBelow are the fields of a message and of all messages that it can hold.
func fieldsBelow(message protoreflect.MessageDescriptor, visited map[protoreflect.FullName]bool) []protoreflect.FullName {
	if visited[message.FullName()] {
		return nil
	}
	visited[message.FullName()] = true
	var names []protoreflect.FullName
	for i := range message.Fields().Len() {
		field := message.Fields().Get(i)
		names = append(names, field.FullName())
		if field.Message() != nil {
			names = append(names, fieldsBelow(field.Message(), visited)...)
		}
	}
	return names
}

// TestGeneratorCoversFilter: each field of a FlowFilter is one that the generator can set, and does.
func TestGeneratorCoversFilter(t *testing.T) {
	d := newDice(seed(t), purposeRequests)
	flows := flowsOf(corpus(newDice(1, purposeCorpus), 50))
	fields := (&flowpb.FlowFilter{}).ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		at := slices.IndexFunc(filterFields, func(f filterField) bool { return f.name == string(field.Name()) })
		if at < 0 {
			t.Errorf("the generator does not know %s", field.FullName())
			continue
		}
		filter := &flowpb.FlowFilter{}
		for range 20 {
			filterFields[at].set(d, filter, pick(d, flows))
		}
		if !filter.ProtoReflect().Has(field) {
			t.Errorf("the generator does not set %s", field.FullName())
		}
	}
}
