package differential

import (
	"slices"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// cliMask is what the hubble CLI asks for by default.
var cliMask = []string{"time", "verdict", "ethernet", "IP", "l4", "source.identity", "source.namespace", "source.pod_name", "destination.identity",
	"destination.namespace", "destination.pod_name", "Type", "node_name", "l7", "event_type", "source_service", "destination_service", "is_reply",
	"Summary", "ip_trace_id", "traffic_direction", "policy_match_type", "ingress_allowed_by", "ingress_denied_by", "egress_allowed_by", "egress_denied_by"}

// validPaths are all paths into a flow down to a depth of four names.
var validPaths = pathsOf((&flowpb.Flow{}).ProtoReflect().Descriptor(), "", 4)

var invalidPaths = []string{"", ".", "nothing", "source.nothing", "Source", "source.", ".source", "source..identity", "l4.protocol", "l4.tcp", "ip", "IP.ip_version",
	"eventType", "isReply", "is_reply.nothing", "source.labels.x", "source.workloads.name", "egress_allowed_by.name", "uuid.x", "verdict.x", "source.pod_name.x",
	"l7.record", "time.second", "*", "source.*", "source identity", " source", "source,verdict", "source_names.0", "extensions.value.x", "Summary ", "l7.http.headers.key"}

func fieldByName(message protoreflect.MessageDescriptor, name string) protoreflect.FieldDescriptor {
	return message.Fields().ByName(protoreflect.Name(name))
}

func pathsOf(message protoreflect.MessageDescriptor, prefix string, depth int) []string {
	var paths []string
	for i := range message.Fields().Len() {
		field := message.Fields().Get(i)
		path := prefix + string(field.Name())
		paths = append(paths, path)
		if field.Message() != nil && !field.IsList() && depth > 1 {
			paths = append(paths, pathsOf(field.Message(), path+".", depth-1)...)
		}
	}
	return paths
}

func randomMask(d dice) *fieldmaskpb.FieldMask {
	mask := &fieldmaskpb.FieldMask{}
	switch {
	case d.chance(4):
	case d.chance(15):
		mask.Paths = slices.Clone(cliMask)
	case d.chance(8):
		mask.Paths = append(some(d, 0, 3, validPaths), pick(d, invalidPaths))
		d.Shuffle(len(mask.Paths), func(i, j int) { mask.Paths[i], mask.Paths[j] = mask.Paths[j], mask.Paths[i] })
	default:
		mask.Paths = some(d, 1, 8, validPaths)
	}
	return mask
}
