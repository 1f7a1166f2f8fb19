package differential

import (
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// shrink takes parts from a request as long as the servers still differ in the same way, and returns the last exchange that did.
func shrink(servers pair, request proto.Message) exchange {
	smallest := servers.ask(request)
	way := wayOf(smallest)
	for {
		smaller, ok := shrinkOnce(servers, smallest.request, way)
		if !ok {
			return smallest
		}
		smallest = smaller
	}
}

func shrinkOnce(servers pair, request proto.Message, way string) (exchange, bool) {
	for _, candidate := range reductions(request) {
		x := servers.ask(candidate)
		if wayOf(x) == way {
			return x, true
		}
	}
	return exchange{}, false
}

// wayOf is how the replies differ: in a response, in the number of responses, or in how they end.
func wayOf(x exchange) string {
	way, _, _ := strings.Cut(x.unexplained(), " ")
	return way
}

// reductions are copies of a message that each lack one part: a field, an element of a list, or a part of a message inside.
func reductions(message proto.Message) []proto.Message {
	var copies []proto.Message
	without := func(change func(protoreflect.Message)) {
		reduced := proto.Clone(message)
		change(reduced.ProtoReflect())
		copies = append(copies, reduced)
	}
	message.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		without(func(m protoreflect.Message) { m.Clear(field) })
		switch {
		case field.IsList():
			for i := range value.List().Len() {
				if value.List().Len() > 1 {
					without(func(m protoreflect.Message) { removeElement(m, field, i) })
				}
				if field.Message() == nil {
					continue
				}
				for _, part := range reductions(value.List().Get(i).Message().Interface()) {
					without(func(m protoreflect.Message) {
						m.Mutable(field).List().Set(i, protoreflect.ValueOfMessage(part.ProtoReflect()))
					})
				}
			}
		case field.Message() != nil:
			for _, part := range reductions(value.Message().Interface()) {
				without(func(m protoreflect.Message) { m.Set(field, protoreflect.ValueOfMessage(part.ProtoReflect())) })
			}
		}
		return true
	})
	return copies
}

func removeElement(message protoreflect.Message, field protoreflect.FieldDescriptor, index int) {
	list := message.Mutable(field).List()
	for i := index; i < list.Len()-1; i++ {
		list.Set(i, list.Get(i+1))
	}
	list.Truncate(list.Len() - 1)
}
